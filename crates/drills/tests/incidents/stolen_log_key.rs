//! The log's key is stolen: the thief has witnesses cosign leaves that the honest server has never seen, and from then on they take
//! nothing more of that server. The people sign a policy that names another log.

use countersign_drills::http::Http;
use countersign_drills::organization::{labels, sign};
use countersign_drills::part::{now, until};
use countersign_drills::world::World;
use countersign_trust::chain::{Chain, ChainError};
use countersign_trust::checkpoint::{AddCheckpoint, Checkpoint, Proof};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{Sha256, StatementId};
use countersign_trust::join::{EnrollError, check_enroll};
use countersign_trust::merkle::{Tree, entries_path, leaf_hash};
use countersign_trust::note::{KeyKind, Note, NoteSigner};
use countersign_trust::receipt::Verdict;
use countersign_trust::statement;
use countersign_trust::statement::enroll::{Batch, Enroll, What};
use countersign_trust::statement::policy::Policy;
use countersign_wire::http::{NewLogView, OrgView};
use countersign_wire::token::TOKEN_KEY_NAME;

/// What a thief of the database has of the log.
struct Loot {
    signer: NoteSigner,
    tree: Tree,
}

impl Loot {
    /// Reads the stopped server's database.
    fn of(world: &World) -> Self {
        let url = format!("sqlite://{}", world.server.folder.join("countersign.db").display());
        let (origin, seed, entries): (String, Vec<u8>, Vec<(String,)>) = world.block_on(async {
            let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
            let key = sqlx::query_as("SELECT log_origin, log_seed FROM org_key").fetch_one(&pool);
            let (origin, seed): (String, Vec<u8>) = key.await.unwrap();
            let entries = sqlx::query_as("SELECT entry FROM leaf ORDER BY place").fetch_all(&pool);
            let entries = entries.await.unwrap();
            pool.close().await;
            (origin, seed, entries)
        });
        let signer = NoteSigner::new(&origin, KeyKind::Ed25519, &seed.try_into().unwrap()).unwrap();
        let tree = entries.iter().map(|(entry,)| leaf_hash(entry.as_bytes())).collect();
        Self { signer, tree }
    }

    /// Has witnesses cosign the log with these leaves at its end: the proof of the first of them.
    fn log(&mut self, world: &World, leaves: &[String]) -> Proof {
        let (old, origin) = (self.tree.size(), self.signer.verifier().name().to_owned());
        leaves.iter().for_each(|leaf| self.tree.push(leaf_hash(leaf.as_bytes())));
        let (size, root) = (self.tree.size(), self.tree.root());
        let own = self.signer.note(Checkpoint { origin, size, root }.to_string()).unwrap();
        let mut note = own.clone();
        for witness in &world.witnesses {
            let http = Http { address: witness.address, token: String::new() };
            let mut seen = old;
            let line = loop {
                let consistency = self.tree.consistency(seen, size).unwrap();
                let request = AddCheckpoint { old: seen, consistency, checkpoint: own.clone() };
                match world.block_on(http.ask("POST", "/add-checkpoint", request.to_string())) {
                    (200, line) => break line,
                    (409, size) => seen = size.trim().parse().unwrap(),
                    other => panic!("{other:?}"),
                }
            };
            note.add(line.trim().parse().unwrap()).unwrap();
        }
        Proof {
            extra: None,
            index: old,
            inclusion: self.tree.inclusion(old, size).unwrap(),
            checkpoint: note,
        }
    }
}

/// An enrollment that Anna and Bo signed and never sent: the thief found it.
fn never_sent(world: &World) -> Signed {
    let token = NoteSigner::new(TOKEN_KEY_NAME, KeyKind::Ed25519, &[99; 32]).unwrap();
    let batch = Batch {
        token: token.verifier().clone(),
        site: "Smygehamn".parse().unwrap(),
        labels: labels(&[("class", "till")]),
        count: 9,
        until: now().plus(3_600),
    };
    let enroll = Enroll { org: world.org, id: StatementId([99; 16]), what: What::Batch(batch) };
    sign(&enroll, &["anna", "bo"])
}

fn text(world: &World, path: &str) -> String {
    world.block_on(world.http.ask("GET", path, String::new())).1
}

fn new_log(world: &World) -> NewLogView {
    let wish = countersign_wire::http::NewLog { anew: false };
    world.block_on(world.http.post(&world.path("new-log"), &wish)).unwrap()
}

/// A policy like the one in force, in another log.
fn moved(world: &World, chain: &Chain) -> (Policy, NewLogView) {
    let (mut next, view) = (chain.next_policy(), new_log(world));
    assert_eq!(view, new_log(world), "the same key until a policy names it");
    next.log.key = view.key.parse().unwrap();
    (next.log.old_size, next.log.old_root) = (view.old_size, Some(view.old_root.parse().unwrap()));
    (next, view)
}

/// Reads the log with this origin to `size`, and its root.
fn root_of(world: &World, origin: &str, size: u64) -> Sha256 {
    assert!(size < 256, "one bundle");
    let hash = Sha256::of(origin.as_bytes());
    let path = world.path(&format!("logs/{hash}/{}", entries_path(0, u16::try_from(size).unwrap())));
    // Between the entries stand their lengths, which are no text.
    const HEAD: &str = "countersign-leaf/v1\n";
    let bundle = text(world, &path);
    let entries = bundle.split(HEAD).skip(1);
    let whole = |rest: &str| rest.split_inclusive('\n').take(4).collect::<String>();
    let tree: Tree = entries.map(|rest| leaf_hash(format!("{HEAD}{}", whole(rest)).as_bytes())).collect();
    assert_eq!(tree.size(), size);
    tree.root()
}

fn holds_policy(world: &World, number: u64) {
    until("the server holds the policy", || {
        let view: OrgView = world.block_on(world.http.get(&format!("/v1/orgs/{}", world.org)));
        (view.policy_number == number).then_some(())
    });
}

fn everyone_ends(world: &World, jobs: &[Sha256]) {
    for machine in &world.machines {
        jobs.iter().for_each(|job| drop(world.says(Verdict::Ended, job, machine)));
    }
}

#[test]
fn a_policy_takes_the_log_from_the_thief_and_every_machine_goes_on_without_a_visit() {
    let mut world = World::new(2);
    let (devices, before) = (world.all(), world.chain());
    let ran = world.nonce();
    let done = world.order(&world.job(&devices, &[&ran.line()]), &devices);
    everyone_ends(&world, &[done]);
    // A job waits for machines that are off.
    world.machines.iter_mut().for_each(|machine| machine.agent.stop());
    world.until_connected(0);
    let (waits, stuck, later) = (world.nonce(), world.nonce(), world.nonce());
    let waiting = world.order(&world.job(&devices, &[&waits.line()]), &devices);

    world.server.stop();
    let (mut loot, secret) = (Loot::of(&world), never_sent(&world));
    let leaf = secret.leaf(&world.org).unwrap();
    let proof = loot.log(&world, &[leaf.clone(), "something else\n".to_owned()]);
    let stolen = Logged { signed: secret, proof };
    assert!(check_enroll(&before, &stolen).is_ok(), "until the people say otherwise it counts");

    world.server.start();
    let job = sign(&world.job(&devices, &[&stuck.line()]), &["anna", "bo"]);
    let view = world.post(&job, &devices).unwrap();
    assert_eq!(view.state, "waiting", "witnesses refuse the honest server");

    let (policy, view) = moved(&world, &before);
    assert!(view.old_size <= stolen.proof.index, "{view:?}");
    world.log(&sign(&policy, &["anna", "bo"]), &[]);
    let after = world.chain();
    assert_eq!((after.policy().body.number, after.policy().place.log), (2, 1));
    let ChainError::ReplacedLog { index, size } = (match check_enroll(&after, &stolen) {
        Err(EnrollError::Chain(error)) => error,
        other => panic!("{other:?}"),
    }) else {
        panic!("the thief's leaf counts")
    };
    assert_eq!((index, size), (stolen.proof.index, view.old_size));

    world.machines.iter_mut().for_each(|machine| machine.agent.start());
    world.until_connected(2);
    let mut job_then = world.job(&devices, &[&later.line()]);
    job_then.policy = statement::write(&policy).1;
    let ordered = world.order(&job_then, &devices);
    everyone_ends(&world, &[waiting, job.hash(), ordered]);
    let lines = [&ran, &waits, &stuck, &later].map(|nonce| nonce.lines().len());
    assert_eq!(lines, [2; 4], "each once on each machine");

    // The log before can still be held against what the people signed, and the new one stands by itself.
    assert_eq!(
        root_of(&world, before.policy().body.log.key.name(), view.old_size).to_string(),
        view.old_root
    );
    let note: Note = text(&world, &world.path("log/checkpoint")).parse().unwrap();
    let shown: Checkpoint = note.text().parse().unwrap();
    assert_eq!(shown.origin, policy.log.key.name());
    // A join made in the old log still enrolls, and another machine joins in the new one.
    world.join(1);
    let devices = world.all();
    let mut last = world.job(&devices, &[&later.line()]);
    last.policy = job_then.policy;
    world.server.stop();
    world.server.start();
    world.until_connected(3);
    let last = world.order(&last, &devices);
    everyone_ends(&world, &[last]);
    assert_eq!(later.lines().len(), 5);
}

#[test]
fn a_server_cut_off_before_its_witnesses_have_seen_the_new_log_goes_on_there() {
    let mut world = World::new(1);
    let (devices, before) = (world.all(), world.chain());
    let ran = world.nonce();
    let (policy, _) = moved(&world, &before);
    world.witnesses[..2].iter_mut().for_each(|witness| witness.stop());
    let signed = sign(&policy, &["anna", "bo"]);
    assert_eq!(world.post(&signed, &[]).unwrap().state, "waiting");
    let mut job = world.job(&devices, &[&ran.line()]);
    // What is ordered meanwhile is stuck with it, and goes where the log goes.
    let ordered = sign(&job, &["anna", "bo"]);
    world.post(&ordered, &devices).unwrap();
    for _ in 0..3 {
        world.server.kill();
        world.server.start();
    }
    assert_eq!(world.statement(&signed.hash()).state, "waiting");
    world.server.kill();
    world.witnesses[..2].iter_mut().for_each(|witness| witness.start());
    world.server.start();
    holds_policy(&world, 2);
    until("what was stuck is logged", || (world.statement(&ordered.hash()).state == "logged").then_some(()));
    everyone_ends(&world, &[ordered.hash()]);
    job.id = StatementId([98; 16]);
    job.policy = signed.hash();
    let next = world.order(&job, &devices);
    everyone_ends(&world, &[next]);
    assert_eq!(ran.lines().len(), 2);
    assert_eq!(world.chain().policy().place.log, 1);
}

#[test]
fn a_policy_is_not_taken_that_misnames_the_old_log_or_names_a_key_that_is_not_here() {
    let world = World::new(0);
    let (good, view) = moved(&world, &world.chain());
    let bend = |edit: fn(&mut Policy)| {
        let mut bent = good.clone();
        edit(&mut bent);
        world.post(&sign(&bent, &["anna", "bo"]), &[]).unwrap_err().detail
    };
    let root = bend(|policy| policy.log.old_root = Some(Sha256([1; 32])));
    assert!(root.contains(&view.old_root), "{root}");
    assert!(bend(|policy| policy.log.old_root = None).contains("root"));
    assert!(bend(|policy| policy.log.old_size += 1).contains("cosigned"));
    let stranger = bend(|policy| {
        let key = NoteSigner::new("log.example/other", KeyKind::Ed25519, &[5; 32]).unwrap();
        policy.log.key = key.verifier().clone();
    });
    assert!(stranger.contains("whose key this server does not hold"), "{stranger}");
    assert_eq!(world.chain().policy().body.number, 1);
}
