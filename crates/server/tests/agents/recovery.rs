//! The day the keys are lost: a policy of the recovery set, the words of beacons, and what the server does about both.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use countersign_trust::chain::Recovered;
use countersign_trust::delivery::{News, write_sequence};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::policy::{Policy, Recovery};
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::text::Nothing;
use countersign_wire::http::{PostStatement, StatementView};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::agent::Agent;
use crate::organization::{note_key, person, sign, ssh_key, word};
use crate::world::{World, now, until};

const SAFE: [&str; 2] = ["safe 1", "safe 2"];
const NEW_KEYS: [&str; 2] = ["anna new", "bo new"];

fn with_a_safe(policy: &mut Policy) {
    let keys = SAFE.map(|name| ssh_key(name).public_key().clone()).into();
    policy.recovery = Recovery { need: 2, keys };
    policy.beacons.need = std::num::NonZeroU8::new(3).unwrap();
}

/// New keys for everybody, and one beacon that nobody has heard of in the place of all the old ones; logged.
async fn safes(world: &World) -> Sha256 {
    let mut next = world.policy.clone();
    (next.org, next.number) = (Some(world.org), 2);
    next.previous = [Sha256(world.org.0)].into();
    next.people = ["anna", "bo", "cia"].map(|name| (word(name), person(&[&format!("{name} new")]))).into();
    next.beacons.need = std::num::NonZeroU8::MIN;
    next.beacons.keys = [note_key("beacon-5").verifier().clone()].into();
    next.recovery = Recovery { need: 0, keys: BTreeSet::new() };
    world.log(&sign(&next, &[&SAFE[..], &NEW_KEYS[..]].concat()), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_safe_crowd_out_nobodys_statements() {
    let world = World::with(with_a_safe).await;
    let next = |day: u64| {
        let mut next = world.policy.clone();
        (next.org, next.number) = (Some(world.org), 2);
        next.previous = [Sha256(world.org.0)].into();
        next.limits.output += day;
        next
    };
    for day in 0..64 {
        assert_ne!(world.post(&sign(&next(day), &SAFE[..1]), &[]).await.missing, "");
    }
    let body = PostStatement { signed: sign(&next(64), &SAFE[..1]).to_string(), targets: Vec::new() };
    let path = format!("/v1/orgs/{}/statements", world.org);
    let problem = world.http.refused("POST", &path, &serde_json::to_string(&body).unwrap()).await;
    assert!(
        problem.detail.starts_with("keys of no person have 64 statements that wait"),
        "{}",
        problem.detail
    );
    // A policy and a job that a person asks for wait beside them.
    assert_ne!(world.post(&sign(&next(65), &["anna"]), &[]).await.missing, "");
    assert_ne!(world.post(&sign(&world.job(&[]), &["anna"]), &[]).await.missing, "");
}

/// What the first so many beacons sign after 72 hours.
fn words(world: &World, policy: Sha256, count: u8) -> Vec<News> {
    let said = Recovered { org: world.org, policy, after: Sha256(world.org.0) };
    let word = |number| News::Recovered(world.beacon_key(number).note(said.to_string()).unwrap());
    (1..=count).map(word).collect()
}

fn number(world: &World) -> u64 {
    world.server.app.orgs.get(&world.org).unwrap().chain().policy().body.number
}

fn number_at(till: &Agent) -> u64 {
    till.mind().device.ledger().chain().unwrap().policy().body.number
}

/// Whoever is asked for a signature makes the server look.
async fn post_something(world: &World) {
    world.halt(countersign_trust::statement::halt::Scope::Job(Sha256::of(b"none"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beacons_words_are_brought_to_machines_and_outlive_the_server_and_the_beacons() {
    let mut world = World::with(with_a_safe).await;
    let [till] = world.tills(["till-1"]).await;
    let policy = safes(&world).await;
    let url = world.policy.addresses.beacons.values().next().unwrap().to_string();
    let peers = world.server.app.peers.clone();
    let tell = async |news: &[News]| {
        let path = format!("{url}/v1/orgs/{}/news", world.org);
        assert_eq!(peers.post(&path, write_sequence(news)).await.unwrap().status, 200);
    };
    let words = words(&world, policy, 4);
    tell(&words[..2]).await;
    post_something(&world).await;
    assert_eq!((number(&world), number_at(&till)), (1, 1), "two of three");
    tell(&words[2..]).await;
    post_something(&world).await;
    assert_eq!(number(&world), 2);
    until("the machine has taken it", async || number_at(&till) == 2).await;

    // The beacons it dismissed may go; the records have their word, for whoever comes later.
    world.stop_beacons(4).await;
    let world = world.restart().await;
    assert_eq!(number(&world), 2);
    let batch = world.batch_by(&NEW_KEYS, 1, now().plus(3_600)).await;
    let late = Agent::join(world.server.address, world.org, batch, "till-2").await;
    assert_eq!(number_at(&late), 2);
}

/// Anna and Bo's, who know nothing of the policy that waits.
fn resume_of_the_old_people(world: &World) -> Signed {
    let resume = Resume {
        org: world.org,
        policy: Sha256(world.org.0),
        previous: BTreeSet::new(),
        lifts: Lifts::Halts(BTreeSet::new()),
        cuts: Cuts::None(Nothing),
        keeps: BTreeSet::new(),
        why: word("Nothing is wrong any more."),
    };
    sign(&resume, &["anna", "bo"])
}

/// The beacons' words for the policy reach the server, and put it in force.
async fn words_come(world: &World, policy: Sha256) {
    for word in words(world, policy, 3) {
        let News::Recovered(word) = word else { unreachable!() };
        let org = world.server.app.orgs.get(&world.org).unwrap();
        countersign_server::statements::settle::recovered(&world.server.app, &org, &word).await.unwrap();
    }
    assert_eq!(number(world), 2);
}

/// All that the chain which the server holds is made of, and its resumes.
fn chain_of(world: &World) -> (Vec<Sha256>, Vec<Sha256>) {
    let chain = world.server.app.orgs.get(&world.org).unwrap().chain_now();
    let resumes = chain.resumes().iter().map(|resume| resume.hash).collect();
    (News::since(&chain, 0).iter().map(News::hash).collect(), resumes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_that_came_before_the_words_is_over_with_them_also_after_a_start() {
    let world = World::with(with_a_safe).await;
    let policy = safes(&world).await;
    let resume = world.log(&resume_of_the_old_people(&world), &[]).await;
    until("it is taken", async || chain_of(&world).1 == [resume]).await;
    words_come(&world, policy).await;
    let held = chain_of(&world);
    assert_eq!(held.1, [], "it stands in the log after the policy that is in force now");
    let world = world.restart().await;
    assert_eq!(chain_of(&world), held);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_that_was_logged_when_the_words_had_come_is_not_held_after_a_start_either() {
    let mut world = World::with(with_a_safe).await;
    let policy = safes(&world).await;
    world.stop_witnesses(2).await;
    let resume = resume_of_the_old_people(&world);
    let view = world.post(&resume, &[]).await;
    assert!(view.missing.contains("enough witnesses"), "decided under the old policy: {}", view.missing);
    words_come(&world, policy).await;
    world.revive_witness(1).await;
    let path = format!("statements/{}", resume.hash());
    until("it is logged", async || world.get::<StatementView>(&path).await.state == "logged").await;
    let later = world.halt(countersign_trust::statement::halt::Scope::Job(Sha256::of(b"none"))).await;
    let held = chain_of(&world);
    assert_eq!(held.1, []);
    assert!(held.0.contains(&later));
    let world = world.restart().await;
    assert_eq!(chain_of(&world), held);
}

/// Ways to a world's last two beacons, which can be shut: who asks waits then.
struct Gates {
    open: watch::Sender<bool>,
    beyond: Vec<String>,
}

impl Gates {
    fn before_the_last_two(policy: &mut Policy) -> Self {
        let open = watch::Sender::new(true);
        let mut beyond = Vec::new();
        for url in policy.addresses.beacons.values_mut().skip(2) {
            let way = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            way.set_nonblocking(true).unwrap();
            beyond.push(url.to_string());
            let to = url.as_str().strip_prefix("https://").unwrap().parse().unwrap();
            *url = word(&format!("https://{}", way.local_addr().unwrap()));
            tokio::spawn(gate(TcpListener::from_std(way).unwrap(), to, open.subscribe()));
        }
        Self { open, beyond }
    }
}

async fn gate(way: TcpListener, to: SocketAddr, open: watch::Receiver<bool>) {
    while let Ok((mut from, _)) = way.accept().await {
        let mut open = open.clone();
        tokio::spawn(async move {
            let mut to = TcpStream::connect(to).await.unwrap();
            open.wait_for(|open| *open).await.unwrap();
            // Either end may close whenever it likes.
            let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_half_the_beacons_are_enough_the_slower_half_is_heard_as_well() {
    let mut gates = None;
    let world = World::with(|policy| {
        with_a_safe(policy);
        policy.beacons.need = std::num::NonZeroU8::new(2).unwrap();
        gates = Some(Gates::before_the_last_two(policy));
    })
    .await;
    let gates = gates.unwrap();
    let [mut till] = world.tills(["till-1"]).await;
    till.disconnect().await;
    let job = world.order(&world.job(&[till.id()]), &[till.id()]).await;
    let policy = safes(&world).await;
    until("it waits", async || !world.server.app.orgs.get(&world.org).unwrap().chain().waiting().is_empty())
        .await;
    gates.open.send_replace(false);
    // New connections, which wait at the gates.
    let world = world.restart().await;
    for url in &gates.beyond {
        let path = format!("{url}/v1/orgs/{}/news", world.org);
        let words = write_sequence(&words(&world, policy, 4)[2..]);
        assert_eq!(world.server.app.peers.post(&path, words).await.unwrap().status, 200);
    }
    till.server = world.server.address;
    till.connect().await;
    until("two beacons are enough for it", async || world.on(&job, &till.id()).await.verdict == "ended")
        .await;
    assert_eq!(number(&world), 1);
    gates.open.send_replace(true);
    until("the others are heard", async || number(&world) == 2).await;
}
