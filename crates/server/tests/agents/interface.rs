//! The HTTP interface: who may ask, what is refused and why, and what people's statements become.

use std::collections::BTreeSet;

use countersign_trust::chain::{Chain, Inclusion};
use countersign_trust::clear::Clear;
use countersign_trust::delivery::{News, read_sequence};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{Sha256, StatementId};
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::job::Job;
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use countersign_wire::http::{
    About, EnrollmentEvidence, JobEvent, JobSummary, NewToken, Page, PostStatement, Problem, StatementView,
    TokenView,
};

use crate::http::Http;
use crate::organization::{device_id, sign, word};
use crate::world::{World, now, until};

async fn refused(world: &World, signed: &Signed, targets: &[&str]) -> Problem {
    let targets = targets.iter().map(|name| device_id(name)).collect::<Vec<_>>();
    let targets = targets.iter().map(ToString::to_string).collect();
    let body = serde_json::to_string(&PostStatement { signed: signed.to_string(), targets }).unwrap();
    world.http.refused("POST", &format!("/v1/orgs/{}/statements", world.org), &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_place_but_the_open_ones_wants_the_right_token() {
    let world = World::new().await;
    let server = world.server.address;
    let with = |token: &str| Http { server, token: token.to_owned() };
    let org = format!("/v1/orgs/{}", world.org);
    let open: About = with("none").get("/v1/about").await;
    assert!(open.time.abs_diff(now().0) < 60);
    assert_eq!(with("none").raw("GET", "/openapi.json", "").await.0, 200);
    let (halts, of_one) = (format!("{org}/halts"), format!("{org}/halts/{}/devices", Sha256([9; 32])));
    let closed = [
        ("GET", org.as_str()),
        ("GET", &halts),
        ("GET", &of_one),
        ("GET", "/v1/nothing"),
        ("POST", "/v1/orgs"),
        ("GET", "/"),
    ];
    for (method, path) in closed {
        assert_eq!(with("none").refused(method, path, "").await.code, "unauthorized", "{method} {path}");
    }
    let setup = "the organization's token does not prepare another";
    assert_eq!(world.http.refused("POST", "/v1/orgs", "{}").await.code, "unauthorized", "{setup}");
    let other = format!("/v1/orgs/org-{}", Sha256([9; 32]));
    for path in
        [other.clone(), format!("{other}/halts"), format!("{other}/halts/{}/devices", Sha256([9; 32]))]
    {
        assert_eq!(world.http.refused("GET", &path, "").await.code, "forbidden", "{path}");
    }

    let wish = NewToken { name: "bo".to_owned(), token: String::new() };
    let made: NewToken = world.http.post(&format!("{org}/tokens"), &wish).await;
    assert_eq!(with(&made.token).raw("GET", &org, "").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_listed_and_taken_back_by_who_runs_the_server_or_who_has_it() {
    let world = World::new().await;
    let org = format!("/v1/orgs/{}", world.org);
    let with = |token: &str| Http { server: world.server.address, token: token.to_owned() };
    let make = async |name: &str| -> (String, String) {
        let wish = NewToken { name: name.to_owned(), token: String::new() };
        let made: NewToken = world.http.post(&format!("{org}/tokens"), &wish).await;
        let hash = Sha256::of(made.token.as_bytes());
        (made.token, format!("{org}/tokens/{hash}"))
    };
    let names = async || -> BTreeSet<String> {
        let tokens: Vec<TokenView> = world.http.get(&format!("{org}/tokens")).await;
        tokens.into_iter().map(|token| token.name).collect()
    };
    let (bos, bos_path) = make("bo").await;
    let (mallorys, mallorys_path) = make("mallory").await;
    let (_, cias_path) = make("cia").await;
    let before = names().await;
    assert!(["bo", "cia", "mallory"].iter().all(|name| before.contains(*name)), "{before:?}");
    let listed = world.http.raw("GET", &format!("{org}/tokens"), "").await.2;
    assert!(!String::from_utf8(listed).unwrap().contains(&bos), "what a token is stands nowhere");

    // Mallory takes back nobody's but her own, and no token of an organization takes back a token of another.
    for path in [&bos_path, &cias_path, &format!("{org}/tokens/nothing")] {
        assert_eq!(with(&mallorys).refused("DELETE", path, "").await.code, "forbidden");
    }
    assert_eq!(with("none").refused("DELETE", &bos_path, "").await.code, "unauthorized");
    assert_eq!(with(&bos).raw("DELETE", &bos_path, "").await.0, 204);
    assert_eq!(with(&bos).refused("GET", &org, "").await.code, "unauthorized");

    let setup = world.setup_token();
    assert_eq!(setup.raw("DELETE", &mallorys_path, "").await.0, 204);
    assert_eq!(with(&mallorys).refused("GET", &org, "").await.code, "unauthorized");
    assert_eq!(setup.refused("DELETE", &mallorys_path, "").await.code, "not_found");
    assert_eq!(setup.refused("GET", &format!("{org}/tokens"), "").await.code, "unauthorized");
    let gone = ["bo", "mallory"].map(str::to_owned).into();
    assert_eq!(names().await, before.difference(&gone).cloned().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_a_problem_with_a_code() {
    let world = World::new().await;
    let org = format!("/v1/orgs/{}", world.org);
    let huge = format!("{{\"signed\": \"{}\"}}", "x".repeat(5 * 1024 * 1024));
    let cases = [
        ("GET", format!("{org}/nothing"), "", "not_found"),
        ("POST", format!("{org}/jobs"), "", "method_not_allowed"),
        ("POST", format!("{org}/statements"), "{", "unreadable"),
        ("POST", format!("{org}/statements"), "{\"signed\": 5}", "unreadable"),
        ("POST", format!("{org}/statements"), "{\"signed\": \"hello\"}", "no_envelope"),
        ("POST", format!("{org}/statements"), &huge, "too_large"),
        ("GET", format!("{org}/statements/hello"), "", "unreadable"),
        ("GET", format!("{org}/statements/{}", Sha256([1; 32])), "", "not_found"),
        ("GET", format!("{org}/statements?limit=many"), "", "unreadable"),
        ("GET", format!("{org}/statements?after=yesterday"), "", "unreadable"),
        ("GET", format!("{org}/log/tile/0/5"), "", "not_found"),
    ];
    for (method, path, body, code) in cases {
        let problem = world.http.refused(method, &path, body).await;
        assert_eq!(problem.code, code, "{method} {path}: {}", problem.detail);
        assert!(!problem.detail.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_no_signature_makes_good_is_refused_with_both_values() {
    let world = World::new().await;
    let ids = [device_id("till-1")];
    let good = world.job(&ids);
    type Case<'a> = (&'a str, fn(&mut Job), &'a str);
    let cases: [Case<'_>; 6] = [
        ("expired", |job| (job.not_before, job.not_after) = (Time(1_000), Time(2_000)), "expired at 2000"),
        ("another organization's", |job| job.org.0 = [3; 32], "of organization org-0303"),
        ("under a policy nobody knows", |job| job.policy = Sha256([4; 32]), "policy 0404"),
        ("after a resume nobody knows", |job| job.resume = Some(Sha256([5; 32])), "0505"),
        ("without steps", |job| job.steps.clear(), "0 steps"),
        ("asked for by a stranger", |job| job.requester = word("dora"), "dora"),
    ];
    for (name, bend, says) in cases {
        let mut job = good.clone();
        bend(&mut job);
        let problem = refused(&world, &sign(&job, &["anna", "bo"]), &["till-1"]).await;
        assert_eq!(problem.code, "unfit", "{name}: {}", problem.detail);
        assert!(problem.detail.contains(says), "{name}: {}", problem.detail);
    }
    let problem = refused(&world, &sign(&good, &["mallory"]), &["till-1"]).await;
    assert_eq!((problem.status, problem.code.as_str()), (403, "unknown_signers"));
    let problem = refused(&world, &sign(&good, &["anna", "bo"]), &["till-2"]).await;
    assert!(problem.detail.contains("the 1 device ids beside it have root"), "{}", problem.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_of_several_posts_are_put_together_and_the_log_has_them_all() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    let (job, ids) = (world.job(&[till.id()]), [till.id()]);
    let view = world.post(&sign(&job, &["anna"]), &ids).await;
    assert_eq!(view.state, "waiting");
    assert!(view.missing.contains("0 of 1"), "{}", view.missing);
    let mut events = world.events(&view.hash.parse().unwrap()).await;
    let view = world.post(&sign(&job, &["bo"]), &[]).await;
    assert_eq!((view.state.as_str(), view.missing.as_str()), ("logged", ""));
    assert_eq!(view.targets, [till.id().to_string()], "the list that came with the first post");

    let logged = Logged::from_text(&view.envelope).unwrap();
    assert_eq!(logged.signed.signatures().len(), 2);
    chain(&world).await.logged(&logged.signed.leaf(&world.org).unwrap(), &logged.proof).unwrap();
    let is_logged = |event: &JobEvent| matches!(event, JobEvent::State { state, .. } if state == "logged");
    events.until(is_logged).await;

    let late = world.post(&sign(&job, &["cia"]), &[]).await;
    assert_eq!(late.envelope, view.envelope, "the leaf names the signatures that were there");
    until("it ended", async || world.on(&logged.signed.hash(), &till.id()).await.verdict == "ended").await;
    let jobs: Page<JobSummary> = world.get("jobs").await;
    assert_eq!((jobs.items[0].state.as_str(), jobs.items[0].counts[0].verdict.as_str()), ("logged", "ended"));
}

/// What the server shows of the organization, checked from genesis on.
async fn chain(world: &World) -> Chain {
    let (_, _, text) = world.http.raw("GET", &format!("/v1/orgs/{}/news", world.org), "").await;
    let text = String::from_utf8(text).unwrap();
    let items = read_sequence(&text).unwrap();
    let genesis = Logged::from_text(items[0]).unwrap();
    let mut chain = Chain::begin(world.org, &genesis.signed, Inclusion::Proved(&genesis.proof)).unwrap();
    for item in &items[1..] {
        News::from_text(item).unwrap().offer(&mut chain).unwrap();
    }
    chain
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_waits_for_both_quorums_and_then_reaches_beacons_agents_and_jobs() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    let mut next = world.policy.clone();
    (next.org, next.number, next.previous) = (Some(world.org), 2, [Sha256(world.org.0)].into());
    next.limits.output = 77;
    let view = world.post(&sign(&next, &["anna"]), &[]).await;
    assert!(view.missing.contains("1 of 2 signatures"), "{}", view.missing);
    let policy = world.log(&sign(&next, &["cia"]), &[]).await;
    until("it is in force", async || world.view().await.policy == policy.to_string()).await;
    assert_eq!(chain(&world).await.policy().body.limits.output, 77);

    let org = world.server.app.orgs.get(&world.org).unwrap();
    until("beacons name it", async || {
        let clears = world.server.app.peers.clears(&org.chain_now(), &Sha256([1; 32])).await;
        let names = |text: &str| text.parse::<Clear>().is_ok_and(|clear| clear.policy == policy);
        clears.len() >= 3 && clears.iter().all(|clear| names(clear.text()))
    })
    .await;
    let mut job = world.job(&[till.id()]);
    job.policy = policy;
    let job = world.order(&job, &[till.id()]).await;
    until("a job under it ended", async || world.on(&job, &till.id()).await.verdict == "ended").await;

    next.number = 4;
    let problem = refused(&world, &sign(&next, &["anna", "bo"]), &[]).await;
    assert!(problem.detail.contains("follows"), "{}", problem.detail);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_that_only_beacons_were_told_reaches_the_server_when_it_asks_them() {
    let world = World::new().await;
    let org = world.server.app.orgs.get(&world.org).unwrap();
    let halt = Halt {
        org: Some(world.org),
        id: StatementId([99; 16]),
        policy: Some(Sha256(world.org.0)),
        scope: Scope::Organization(Nothing {}),
        made: now(),
        reason: word("Something is wrong."),
        advisory: word(""),
    };
    let signed = sign(&halt, &["cia"]);
    let acknowledged = world.server.app.peers.halt(&org.chain_now(), &signed).await;
    assert_eq!(acknowledged.values().filter(|note| note.is_ok()).count(), 4);
    assert_eq!(world.view().await.halts, [""; 0]);
    world.server.app.peers.clears(&org.chain_now(), &Sha256([1; 32])).await;
    until("the server knows it", async || world.view().await.halts == [signed.hash().to_string()]).await;
    let hash = signed.hash().to_string();
    let logged = |view: &StatementView| view.hash == hash && view.state == "logged";
    until("it is logged", async || {
        world.get::<Page<StatementView>>("statements").await.items.iter().any(logged)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages() {
    let world = World::new().await;
    world.tills(["till-1", "till-2", "till-3"]).await;
    let (mut after, mut shown) = (String::new(), Vec::new());
    loop {
        let page: Page<EnrollmentEvidence> = world.get(&format!("enrollments?limit=2&after={after}")).await;
        shown.extend(page.items);
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(shown.iter().filter(|evidence| evidence.join.is_some()).count(), 3);
    assert_eq!(shown.iter().filter(|evidence| evidence.join.is_none()).count(), 1, "the batch itself");

    let first: Page<StatementView> = world.get("statements?limit=1").await;
    let next = first.next.unwrap();
    let second: Page<StatementView> = world.get(&format!("statements?limit=1&after={next}")).await;
    assert_eq!((first.items[0].kind.as_str(), second.items[0].kind.as_str()), ("enroll", "policy"));
    let only: Page<StatementView> = world.get("statements?kind=policy").await;
    assert_eq!((only.items.len(), only.next), (1, None));
}
