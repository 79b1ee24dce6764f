//! Connections that say nothing, or too slowly.

use std::time::{Duration, Instant};

use countersign_wire::frame::ALPN;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::served;
use crate::agent::seed;
use crate::wire::{PATIENCE, Wire, client, connect, tcp_from};
use crate::world::World;

/// As many as one address may have.
const ROOM: usize = 1_024;

/// Whether the server closes within a moment what it was handed.
async fn is_closed(mut stream: TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut [0; 16])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_handshakes_from_one_address_leave_room_for_all_others() {
    let world = World::new().await;
    let [honest] = world.tills(["honest"]).await;
    let mut silent = Vec::new();
    for _ in 0..ROOM + 100 {
        silent.push(tcp_from([127, 0, 0, 66], world.server.address).await);
    }
    assert!(is_closed(silent.pop().unwrap()).await, "beyond its room an address is not let in");
    served(&world, &honest).await;
    let mut other = connect(world.server.address, client(None, b"http/1.1")).await;
    other.write_all(b"GET /v1/about HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    other.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_are_known_take_no_room_at_the_door() {
    let world = World::new().await;
    let [mut honest] = world.tills(["honest"]).await;
    honest.disconnect().await;
    honest.from = [127, 0, 0, 67];
    honest.connect().await;
    world.until_connected(1).await;
    let mut silent = Vec::new();
    for _ in 0..ROOM {
        silent.push(tcp_from([127, 0, 0, 67], world.server.address).await);
    }
    assert!(!is_closed(silent.pop().unwrap()).await, "the agent is no guest any more");
    served(&world, &honest).await;
}

mod long {
    use super::*;

    /// Until the server has closed, or patience is over.
    async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin), most: Duration) -> Duration {
        let begun = Instant::now();
        let mut piece = [0; 1_024];
        while begun.elapsed() < most {
            let read = tokio::time::timeout(most, stream.read(&mut piece)).await;
            if !matches!(read, Ok(Ok(1..))) {
                break;
            }
        }
        begun.elapsed()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn handshakes_heads_and_first_words_that_do_not_come_end_by_themselves() {
        let world = World::new().await;
        let server = world.server.address;
        let handshake = async { until_closed(&mut tcp_from([127, 0, 0, 1], server).await, PATIENCE).await };
        let hello = async {
            let begun = Instant::now();
            let why = Wire::connect(server, &seed("stranger")).await.sorry().await;
            assert!(why.contains("no message came within 10 s"), "{why}");
            begun.elapsed()
        };
        let silent = async |protocol: &'static [u8], said: &'static [u8]| {
            let mut stream = connect(server, client(None, protocol)).await;
            stream.write_all(said).await.unwrap();
            until_closed(&mut stream, Duration::from_secs(90)).await
        };
        let dribbled = async {
            let mut stream = connect(server, client(None, b"http/1.1")).await;
            let begun = Instant::now();
            stream.write_all(b"GET /v1/about HTTP/1.1\r\n").await.unwrap();
            while begun.elapsed() < Duration::from_secs(90) {
                if stream.write_all(b"x: y\r\n").await.and(stream.flush().await).is_err() {
                    break;
                }
                if let Ok(Ok(0) | Err(_)) =
                    tokio::time::timeout(Duration::from_secs(1), stream.read(&mut [0; 64])).await
                {
                    break;
                }
            }
            begun.elapsed()
        };
        let (handshake, hello, nothing, half, h2, preface, dribbled) = tokio::join!(
            handshake,
            hello,
            silent(b"http/1.1", b""),
            silent(b"http/1.1", b"GET /v1/about HT"),
            silent(b"h2", b""),
            silent(b"h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
            dribbled,
        );
        println!(
            "handshake {handshake:?}, hello {hello:?}, no head {nothing:?}, half a head {half:?}, h2 {h2:?}, h2 without a request {preface:?}, dribbled {dribbled:?}"
        );
        assert!(handshake < Duration::from_secs(12) && hello < Duration::from_secs(12));
        for slow in [nothing, half, h2, preface, dribbled] {
            assert!(slow < Duration::from_secs(60), "{slow:?}");
        }
        assert!(!ALPN.is_empty());
    }

    /// Longer than a connection over which nothing goes on is kept.
    const LONG: Duration = Duration::from_secs(50);

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_goes_on_keeps_its_connection() {
        let world = World::new().await;
        let [honest] = world.tills(["honest"]).await;
        let ids = [honest.id()];
        let job = world.order(&world.job(&ids), &ids).await;
        let stream = connect(world.server.address, client(None, b"h2")).await;
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .uri(format!("https://localhost/v1/orgs/{}/jobs/{job}/events", world.org))
            .header("authorization", format!("Bearer {}", world.http.token))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let mut events = sender.send_request(request).await.unwrap().into_body();
        let begun = Instant::now();
        while let Some(left) = LONG.checked_sub(begun.elapsed()) {
            match tokio::time::timeout(left, events.frame()).await {
                Err(_) => break,
                Ok(piece) => assert!(piece.is_some_and(|piece| piece.is_ok()), "after {:?}", begun.elapsed()),
            }
        }
        assert!(!connection.is_finished());
        drop(events);
        let begun = Instant::now();
        tokio::time::timeout(LONG, connection)
            .await
            .expect("it is closed once nothing goes on")
            .unwrap()
            .unwrap();
        println!("closed {:?} after the last request", begun.elapsed());
    }
}
