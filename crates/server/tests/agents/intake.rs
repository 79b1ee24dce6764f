//! What the server keeps of what people sign, and what it hands on though it can keep nothing.

use std::collections::BTreeSet;

use countersign_server::store::Db;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::Kind;
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::text::Nothing;
use countersign_wire::http::{Page, PostStatement, Problem, StatementView};

use crate::organization::{everything, sign, sign_text, ssh_key, word};
use crate::world::{World, now, until};

fn halt(world: &World, scope: Scope) -> Signed {
    let policy = Some(Sha256(world.org.0));
    let (reason, advisory) = (word("Something is wrong."), word(""));
    sign(
        &Halt { org: Some(world.org), id: world.id(), policy, scope, made: now(), reason, advisory },
        &["anna"],
    )
}

async fn refused(world: &World, signed: &Signed) -> Problem {
    let body = PostStatement { signed: signed.to_string(), targets: Vec::new() };
    let path = format!("/v1/orgs/{}/statements", world.org);
    world.http.refused("POST", &path, &serde_json::to_string(&body).unwrap()).await
}

async fn kept(world: &World, kind: &str) -> usize {
    world.get::<Page<StatementView>>(&format!("statements?kind={kind}&limit=1000")).await.items.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_that_stops_nothing_is_refused_with_a_sentence_and_not_kept() {
    let world = World::new().await;
    world.halt(everything()).await;
    let keys = [ssh_key("anna").public_key().clone()].into();
    let resume = Resume {
        org: world.org,
        policy: Sha256(world.org.0),
        previous: BTreeSet::new(),
        lifts: Lifts::Keys(keys),
        cuts: Cuts::None(Nothing),
        keeps: BTreeSet::new(),
        why: word("It is over."),
    };
    world.log(&sign(&resume, &["anna", "bo"]), &[]).await;
    let lifted = halt(&world, everything());
    let problem = refused(&world, &lifted).await;
    assert_eq!(problem.code, "unfit");
    assert!(problem.detail.contains("stops nothing"), "{}", problem.detail);
    assert_eq!(kept(&world, "halt").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_seventeenth_halt_of_jobs_is_refused_and_one_of_everything_is_taken() {
    let world = World::new().await;
    for number in 0..16 {
        world.halt(Scope::Job(Sha256([number; 32]))).await;
    }
    let problem = refused(&world, &halt(&world, Scope::Job(Sha256([16; 32])))).await;
    assert!(problem.detail.contains("its key has 16 active halts already"), "{}", problem.detail);
    assert_eq!(kept(&world, "halt").await, 16);
    world.halt(everything()).await;
    assert_eq!(kept(&world, "halt").await, 17);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_halts_are_refused_with_a_sentence_each_and_the_good_one_beside_them_stops() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    let good = halt(&world, everything());
    let text = good.to_string();
    let other = Halt {
        org: Some(countersign_trust::ids::OrgId([9; 32])),
        id: world.id(),
        policy: None,
        scope: everything(),
        made: now(),
        reason: word("Something is wrong."),
        advisory: word(""),
    };
    let unreadable = sign_text("{\n  \"org\": \"nobody\"\n}\n".to_owned(), Kind::Halt, &["anna"]);
    let cases = [
        ("nothing", String::new(), "no_envelope", "no line `}` ends a statement"),
        ("cut off", text[..text.len() - 40].to_owned(), "no_envelope", "signature 1"),
        ("altered", text.replace("wrong", "right"), "unfit", "signed by nobody who may halt"),
        ("by a stranger", sign(&other, &["mallory"]).to_string(), "unfit", "signed by nobody who may halt"),
        ("another organization's", sign(&other, &["anna"]).to_string(), "unfit", "of organization"),
        ("a text that is no halt", unreadable.to_string(), "unfit", ""),
    ];
    let path = format!("/v1/orgs/{}/statements", world.org);
    for (what, signed, code, words) in cases {
        let body = serde_json::to_string(&PostStatement { signed, targets: Vec::new() }).unwrap();
        let problem = world.http.refused("POST", &path, &body).await;
        assert!(problem.code == code && problem.detail.contains(words), "{what}: {problem:?}");
    }
    assert_eq!(kept(&world, "halt").await, 0);
    world.log(&good, &[]).await;
    until("the device has it", async || {
        till.mind().device.ledger().chain().unwrap().halt(&good.hash()).is_some()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halt_that_the_records_do_not_take_reaches_the_beacons_all_the_same() {
    let world = World::new().await;
    let Db::Lite { write, .. } = &world.server.app.db else { panic!("SQLite") };
    let full = "CREATE TRIGGER full BEFORE INSERT ON statement BEGIN SELECT RAISE(ABORT, 'full'); END";
    sqlx::query(full).execute(write).await.unwrap();
    let halt = halt(&world, everything());
    let problem = refused(&world, &halt).await;
    assert_eq!((problem.status, problem.code.as_str()), (503, "records_unavailable"));
    let urls: Vec<String> = world.policy.addresses.beacons.values().map(ToString::to_string).collect();
    for url in urls {
        let state = format!("{url}/v1/orgs/{}/state", world.org);
        until("the beacon has it", async || {
            let said = world.server.app.peers.get(&state).await.unwrap().text;
            said.contains(&halt.hash().to_string())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_person_only_so_many_statements_wait() {
    let world = World::new().await;
    let alone = |_: usize| {
        let mut job = world.job(&[]);
        job.id = world.id();
        sign(&job, &["anna"])
    };
    for number in 0..64 {
        assert_ne!(world.post(&alone(number), &[]).await.missing, "");
    }
    let problem = refused(&world, &alone(64)).await;
    assert!(problem.detail.starts_with("anna has 64 statements that wait"), "{}", problem.detail);
    assert_eq!(kept(&world, "job").await, 64);
    let job = world.job(&[]);
    let of_another = countersign_trust::statement::job::Job { id: world.id(), requester: word("bo"), ..job };
    assert_ne!(world.post(&sign(&of_another, &["bo"]), &[]).await.missing, "");
}
