//! The organization that is robbed: what its people decided, signed and halted before, and its machines.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use countersign_thief::loot::Loot;
use countersign_trust::delivery::{News, write_sequence};
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::job::{Job, Run, Script, Step};
use countersign_trust::statement::policy::{Hours, PersonKey, Policy, Property, Rule, WEEK_MINUTES};
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};

use super::catalogue::{Found, On};
use super::lines::Lines;
use crate::http::Http;
use crate::keys::token_key;
use crate::organization::{labels, names, person, sign, ssh_key, word};
use crate::part::{Stage, now, until};
use crate::world::World;

/// Machines in the order in which they joined.
pub const PLACES: [On; 15] = [
    On::Till,
    On::Till,
    On::Till,
    On::Till,
    On::Outside,
    On::Deaf,
    On::Deaf,
    On::Stopped,
    On::Vault,
    On::Night,
    On::Day,
    On::Guarded,
    On::Waved,
    On::Board,
    On::Lonely,
];

/// The organization in the thief's hands.
pub struct Robbed {
    pub world: World,
    pub loot: Arc<Loot>,
    pub found: Found,
    pub lines: Lines,
    pub base: Job,
    pub listed: Vec<DeviceId>,
}

fn key_of(name: &str, same_origin: bool) -> PersonKey {
    PersonKey { key: ssh_key(name).public_key().clone(), same_origin }
}

/// Six people, and a rule for each class of machines. Beacons have no address that a machine could ask: the thief cut the wires.
fn edit(policy: &mut Policy) {
    let everybody = ["anna", "bo", "cia", "dan", "eve", "fay"];
    policy.people = everybody.map(|name| (word(name), person(&[name]))).into();
    for name in ["anna", "bo"] {
        let keys = &mut policy.people.get_mut(&word(name)).unwrap().keys;
        keys.push(key_of(&format!("{name} spare"), false));
        keys.push(key_of(&format!("{name} pages"), true));
        keys.push(PersonKey { key: token_key(&format!("{name} token")), same_origin: false });
    }
    policy.roles = [("operator", &everybody[..]), ("owner", &everybody[..3]), ("board", &everybody[2..3])]
        .map(|(role, people)| (word(role), names(people)))
        .into();
    let minute = (now().0 / 60 + 3 * 24 * 60) % WEEK_MINUTES;
    let away = if minute < WEEK_MINUTES / 2 { WEEK_MINUTES - 120 } else { 60 };
    let plain = policy.rules[0].clone();
    let rule = |class: &str, change: &dyn Fn(&mut Rule)| {
        let mut rule = Rule { labels: labels(&[("class", class)]), ..plain.clone() };
        change(&mut rule);
        rule
    };
    policy.rules = vec![
        rule("till", &|_| ()),
        rule("vault", &|rule| rule.approvals = 2),
        rule("night", &|rule| rule.hours = vec![Hours { from: away, until: away + 60 }]),
        rule("day", &|rule| {
            let after = Hours { from: away + 60, until: WEEK_MINUTES };
            rule.hours = vec![Hours { from: 0, until: away }, after];
        }),
        rule("guarded", &|rule| rule.properties = [Property::Presence].into()),
        rule("waved", &|rule| rule.waves = 2),
        rule("board", &|rule| rule.requesters = names(&["board"])),
    ];
    policy.limits.concurrent = std::num::NonZeroU8::new(16).unwrap();
    policy.limits.auto_waves_max = 1;
    policy.addresses.beacons.clear();
}

impl Robbed {
    /// Founds the organization, lets its people act, and steals its server.
    pub fn new(stage: Stage) -> Self {
        let mut world = World::set_up_with(stage, |_| (), edit);
        world.join(8);
        for class in ["vault", "night", "day", "guarded", "waved", "board", "lonely"] {
            world.join_as(1, class);
        }
        let listed: Vec<DeviceId> = world
            .machines
            .iter()
            .zip(PLACES)
            .filter(|(_, on)| *on != On::Outside)
            .map(|(machine, _)| machine.id)
            .collect();
        let mark = format!("echo here >> {}", world.folder.path().join("evil").display());
        let halted_line = format!("{mark} # this was halted");
        let halted = world.job(&listed, &[&mark]);
        decide(&world, &halted, &halted_line);
        let mut base = world.job(&listed, &["true"]);
        let (loot, listener) = steal(&mut world);
        base.policy = loot.chain.policy().hash;
        base.resume = loot.chain.resume();
        tell_beacons(&world, &loot);
        let found = Found {
            chain: loot.chain.clone(),
            server: loot.halt_key().unwrap(),
            witness: countersign_witness::config::Config::read(
                &world.witnesses[3].folder.with_extension("toml"),
            )
            .unwrap()
            .signer()
            .unwrap(),
            beacon: countersign_beacon::config::Config::read(&world.beacons[3].folder.with_extension("toml"))
                .unwrap()
                .signer()
                .unwrap(),
            now: now(),
            halted,
            mark,
            halted_line,
        };
        let (lines, loot) = (Lines::default(), Arc::new(loot));
        drop(world.spawn(lines.clone().serve(listener, loot.clone())));
        let robbed = Self { world, loot, found, lines, base, listed };
        robbed.until_all_are_there();
        robbed
    }

    /// Waits until every agent has left a challenge.
    pub fn until_all_are_there(&self) {
        for machine in &self.world.machines {
            until("every agent leaves a challenge", || self.lines.challenge(&machine.id));
        }
    }

    /// Starts an agent again: what it held in memory is gone.
    pub fn restart(&mut self, machine: usize) {
        let agent = &mut self.world.machines[machine];
        agent.agent.stop();
        self.lines.forget(&agent.id);
        agent.agent.start();
        until("it is back", || self.lines.challenge(&agent.id));
    }

    /// A file that scripts write into.
    pub fn nonce(&self, name: &str) -> PathBuf {
        self.world.folder.path().join(format!("nonce-{name}"))
    }

    /// A good job that adds a line to this file.
    pub fn good(&self, nonce: &std::path::Path, id: [u8; 32]) -> Job {
        let mut job = self.base.clone();
        job.id.0.copy_from_slice(&id[..16]);
        if let Step::Script(Script { run: Run::Lines(lines), .. }) = &mut job.steps[0] {
            lines.lines = vec![word(&format!("echo here >> {}", nonce.display()))];
        }
        job
    }
}

/// Dan is dropped; Eve, a script and a job are halted; what Fay signed so far is cut.
fn decide(world: &World, halted: &Job, halted_line: &str) {
    let genesis = world.statement(&Sha256(world.org.0)).envelope;
    let genesis: Policy =
        countersign_trust::statement::read(Logged::from_text(&genesis).unwrap().signed.statement()).unwrap();
    let mut next = genesis;
    (next.org, next.number, next.previous) = (Some(world.org), 2, [Sha256(world.org.0)].into());
    next.people.remove(&word("dan"));
    next.roles.values_mut().for_each(|people| assert!(people.remove(&word("dan")) || !people.is_empty()));
    let policy = world.log(&sign(&next, &["anna", "bo"]), &[]);
    let script = Sha256::of(format!("{halted_line}\n").as_bytes());
    let hash = sign(halted, &["anna"]).hash();
    let scopes =
        [Scope::Person(word("eve")), Scope::Script(script), Scope::Job(hash), Scope::Person(word("fay"))];
    let halts = scopes.map(|scope| {
        let halt = Halt {
            org: Some(world.org),
            id: world.id(),
            policy: Some(policy),
            scope,
            made: now(),
            reason: word("Something is wrong."),
            advisory: word(""),
        };
        let signed = sign(&halt, &["cia"]);
        world.post(&signed, &[]).unwrap();
        signed.hash()
    });
    let resume = Resume {
        org: world.org,
        policy,
        previous: [].into(),
        lifts: Lifts::Halts([halts[3]].into()),
        cuts: Cuts::People(names(&["fay"])),
        keeps: [].into(),
        why: word("It was a mistake."),
    };
    world.log(&sign(&resume, &["anna", "bo"]), &[]);
}

/// The server goes down, and the thief comes up at its address with all that it had.
fn steal(world: &mut World) -> (Loot, tokio::net::TcpListener) {
    world.server.stop();
    let folder = world.folder.path().join("loot");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(&world.server.folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let (address, taken) = (world.server.address, Loot::take(&folder));
    let loot = world.block_on(taken).unwrap();
    let listener = world.block_on(tokio::net::TcpListener::bind(address)).unwrap();
    (loot, listener)
}

/// Honest beacons hear of all that was decided, as from any server.
fn tell_beacons(world: &World, loot: &Loot) {
    let news = write_sequence(&News::since(&loot.chain, 0));
    for beacon in &world.beacons {
        let http = Http { address: beacon.address, token: String::new() };
        let path = format!("/v1/orgs/{}/news", world.org);
        let (status, answer) = world.block_on(http.ask("POST", &path, news.clone()));
        assert_eq!(status, 200, "{answer}");
    }
}
