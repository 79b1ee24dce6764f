//! The HTTP interface to somebody without a token, and to somebody who may only look.

use countersign_wire::http::{About, NewToken, Page, StatementView};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::served;
use crate::http::Http;
use crate::wire::{client, connect};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_token_is_not_read() {
    let world = World::new().await;
    let path = format!("/v1/orgs/{}/statements", world.org);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 4000000\r\n\r\n"
    );
    let mut stream = connect(world.server.address, client(None, b"http/1.1")).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401", "it is answered before its body comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_is_refused() {
    let world = World::new().await;
    let mut stream = connect(world.server.address, client(None, b"http/1.1")).await;
    let line = format!("x-y: {}\r\n", "z".repeat(1_000));
    let _ = stream.write_all(b"GET /v1/about HTTP/1.1\r\nhost: localhost\r\n").await;
    let mut sent = 0;
    while sent < 10_000_000 && stream.write_all(line.as_bytes()).await.is_ok() {
        sent += line.len();
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 431") || sent < 10_000_000, "{sent} bytes of a head were taken");
    let open: About = Http { server: world.server.address, token: String::new() }.get("/v1/about").await;
    assert!(open.time > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_so_many_requests_under_way_and_other_tokens_are_not_held_up() {
    let world = World::new().await;
    let [honest] = world.tills(["honest"]).await;
    let ids = [honest.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    let org = format!("/v1/orgs/{}", world.org);
    let wish = NewToken { name: "viewer".to_owned(), token: String::new() };
    let made: NewToken = world.http.post(&format!("{org}/tokens"), &wish).await;
    let viewer = Http { server: world.server.address, token: made.token };
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(viewer.events(&format!("{org}/jobs/{job}/events")).await);
    }
    let problem = viewer.refused("GET", &org, "").await;
    assert_eq!((problem.status, problem.code.as_str()), (429, "too_many"));
    served(&world, &honest).await;
    streams.truncate(20);
    crate::world::until("there is room again", async || viewer.raw("GET", &org, "").await.0 == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_viewer_can_make_the_server_keep_has_bounds() {
    let world = World::new().await;
    let org = format!("/v1/orgs/{}", world.org);
    for name in [String::new(), "x".repeat(201), "x".repeat(3_000_000)] {
        let wish = serde_json::to_string(&NewToken { name, token: String::new() }).unwrap();
        assert_eq!(world.http.refused("POST", &format!("{org}/tokens"), &wish).await.code, "unreadable");
    }
    let countersign_server::store::Db::Lite { write, .. } = &world.server.app.db else { panic!("SQLite") };
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO api_token (hash, org, name, created_ms) SELECT 'h' || i, ?, 'n', 0 FROM n";
    sqlx::query(many).bind(world.org.to_string()).execute(write).await.unwrap();
    let wish =
        serde_json::to_string(&NewToken { name: "one more".to_owned(), token: String::new() }).unwrap();
    let problem = world.http.refused("POST", &format!("{org}/tokens"), &wish).await;
    assert_eq!((problem.status, problem.code.as_str()), (409, "too_many_tokens"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_a_largest_size_whatever_is_asked_for() {
    let world = World::new().await;
    world.tills(["till-1", "till-2"]).await;
    for limit in ["0", "4294967295"] {
        let page: Page<StatementView> = world.get(&format!("statements?limit={limit}")).await;
        assert!(!page.items.is_empty());
    }
    let org = format!("/v1/orgs/{}", world.org);
    for limit in ["-1", "4294967296", "1e9"] {
        assert_eq!(
            world.http.refused("GET", &format!("{org}/devices?limit={limit}"), "").await.code,
            "unreadable"
        );
    }
    let after = "'%20OR%201=1%20--";
    let shown: Page<serde_json::Value> = world.get(&format!("devices?after={after}")).await;
    assert_eq!(shown.items.len(), 2, "a cursor is a text to compare with, and below every id");
}

mod long {
    use super::*;
    use std::time::{Duration, Instant};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_body_that_never_ends_is_given_up_and_others_post_meanwhile() {
        let world = World::new().await;
        let [honest] = world.tills(["honest"]).await;
        let path = format!("/v1/orgs/{}/statements", world.org);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
            world.http.token
        );
        let mut stream = connect(world.server.address, client(None, b"http/1.1")).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let begun = Instant::now();
        let mut answer = [0; 12];
        loop {
            let _ = stream.write_all(b"1\r\n \r\n").await;
            let _ = stream.flush().await;
            match tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut answer)).await {
                Ok(_) => break,
                Err(_) => assert!(begun.elapsed() < Duration::from_secs(60), "it is waited for for ever"),
            }
            if begun.elapsed() < Duration::from_secs(5) {
                served(&world, &honest).await;
            }
        }
        assert_eq!(&answer, b"HTTP/1.1 408");
    }
}
