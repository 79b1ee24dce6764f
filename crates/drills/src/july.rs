//! The drill of the second of July: what was done to a fleet in 2021 is done to an invented co-operative, act by act, and told in two
//! columns beside what happened then.
//!
//! | file | what it has |
//! | --- | --- |
//! | [`facts`] | what happened in 2021 |
//! | [`story`] | the two columns, and the same as a file |
//! | [`stores`] | the co-operative: stores, registers, a swarm, whole agents |
//! | [`jobs`] | jobs, and what registers signed of them |
//! | [`before`] | the control: what two people sign runs; what is uploaded is bytes |
//! | [`doors`] | every route of the server, asked by nobody |
//! | [`lying`] | what lies on the server when the thief comes |
//! | [`hostile`] | the thief at the server's port |
//! | [`fleet`] | orders to all: the thief's own, and in the vendor's name |
//! | [`eve`] | all at once on the eve of a holiday; a delay before the strike |
//! | [`halt`] | a halt handed to beacons that are asked for Clears meanwhile |
//! | [`cord`] | an operator halts without the server |
//! | [`vendor`] | the vendor's halt |
//! | [`alone`] | one key does not lift a halt |
//! | [`wiped`] | records deleted, and what is still known |
//! | [`records`] | what the registers kept comes back to the server and its log |
//! | [`restart`] | the quorum resumes, in another log and in waves |

mod alone;
mod before;
mod cord;
mod doors;
mod eve;
mod facts;
mod fleet;
mod halt;
mod hostile;
mod jobs;
mod lying;
mod records;
mod restart;
mod stores;
mod story;
mod vendor;
mod wiped;

use std::path::Path;
use std::time::Instant;

use crate::part::{Shift, now_ms};
use hostile::{Hostile, steal};
use lying::after;
use stores::Field;
use story::{Story, clock, thousands};

/// One in the morning, UTC, of Tuesday the 29th of June 2021: when the drill begins.
const BEGINS: u64 = 1_624_928_400;

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Stores.
    pub stores: u64,
    /// Registers in the swarm.
    pub registers: u64,
    /// Registers with a whole agent.
    pub agents: usize,
}

/// Plays it, and writes what was told into `folder`.
///
/// # Panics
/// Something is not as it should be, or a part does not come up.
pub fn play(plan: &Plan, folder: &Path) {
    let (mut story, began) = (Story::default(), Instant::now());
    let wall_ms = i64::try_from(BEGINS * 1_000).unwrap() - i64::try_from(now_ms()).unwrap();
    Shift { wall_ms, boot_ms: 0 }.set();
    story.preface(&preface(plan));
    let mut field = Field::new();
    story.begin("The co-operative");
    story.here("A server, four beacons and four witnesses are up, each a process of its own; three of four must agree.");
    field.join(plan, &mut story);
    story.here(field.words());
    acts(&mut field, &mut story);
    story.begin("The end");
    let checks = story.checks();
    story.here(format!("{checks} assertions, all met."));
    story.measured("for the whole drill", began.elapsed());
    story.write(folder).unwrap();
    println!("\nThis is also in {0}/july-2.txt, and as JSON lines in {0}/july-2.jsonl.", folder.display());
}

fn acts(field: &mut Field, story: &mut Story) {
    let done = before::control(field, story);
    let kept = wiped::keep(field, &done);
    doors::play(field, story);
    before::upload(field, story);
    field.clock_to(after(0) - 1_200);
    let lying = lying::prepare(field, done, story);
    field.clock_to(after(0));
    story.begin("Half past four");
    story.in_2021(facts::FIRST);
    let (loot, backup) = steal(field);
    let mut thief = Hostile::new(field, &loot);
    story.here(format!("The server's process ends. The thief has a copy of its folder, and its port: all {} registers connect to him, for his key is the server's.", thousands(u64::try_from(field.registers.len()).unwrap())));
    let mut tried = fleet::procedure(field, &mut thief, &lying, story);
    tried.extend(fleet::hotfix(field, &mut thief, &lying, story));
    eve::all_at_once(field, &mut thief, &lying, story);
    eve::delay(field, &mut thief, &lying, story);
    let bo = cord::halt(field, &mut thief, &lying, story);
    let vendor = vendor::halt(field, &thief, story);
    alone::play(field, &mut thief, &lying, &[&bo, &vendor.1], story);
    wiped::play(field, thief, &lying, &kept, story);
    let since = restart::from_backup(field, &backup, &lying, story);
    restart::one_key(field, &bo, story);
    restart::another_log(field, story);
    records::come_back(field, &tried, story);
    restart::quorum(field, &bo, &vendor, story);
    restart::rerun(field, &lying, &since, story);
}

fn preface(plan: &Plan) -> String {
    format!(
        "The drill of 2 July. Left: what happened in 2021, as far as it is known. Right: what happens here, on this machine.\n\n\
         Real: the server, beacons, witnesses and {agents} whole agents are processes with sockets and disks; every register has a key, a TLS connection and the state\n\
         machine of a device, which checks what it is brought, and signs receipts. \"ok\" is something that was asserted: the drill stops where it is not so.\n\
         Simulated: the {registers} registers of the swarm run nothing (a step is a wait and a line of output) and have no disk. The {stores} stores and the co-operative are invented.\n\
         People sign with keys of the drill, by the code that judges their signatures and not by the command line.\n\
         Virtual: the clock, which stands before each line. Every program of the drill is told that it is {begins} UTC, 29 June 2021; the hours between events are jumped over.\n\
         Measured: only lines with \"ms\", by this machine's own clock, on which all of it runs at once{built}.",
        built =
            if cfg!(debug_assertions) { ", built without optimization: in life it is faster" } else { "" },
        agents = plan.agents,
        registers = thousands(plan.registers),
        stores = thousands(plan.stores),
        begins = clock(BEGINS),
    )
}
