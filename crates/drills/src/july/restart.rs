//! Starting again: one key cannot; the quorum can, in a log that the thief has no key of, in waves.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::receipt::Verdict;
use countersign_trust::statement;
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::job::{ALL, Job, Wave, Who};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::Cuts;
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use countersign_wire::http::{NewLog, NewLogView, OrgView};

use super::alone::resume;
use super::facts;
use super::halt::Handed;
use super::lying::{Lying, after};
use super::stores::{FIRST_COUNTY, Field, first_county};
use super::story::{Story, thousands};
use crate::organization::{sign, word};
use crate::part::{now, until, until_within};

/// Half past midnight of Tuesday the sixth.
const TUESDAY_NIGHT: u64 = after(3 * 24 * 60 + 8 * 60);
/// Half an hour between waves.
const SOAK: u64 = 1_800;

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

/// The server comes back from the copy of its records.
pub fn from_backup(field: &mut Field, backup: &Path, lying: &Lying, story: &mut Story) -> Since {
    let marks = [&lying.waves, &lying.good, &lying.delay].map(|order| order.mark.lines().len());
    let since = Since { ran: field.ran(), marks };
    story.begin("Back from a copy of the records");
    story.in_2021(facts::CLOSED);
    field.clock_to(TUESDAY_NIGHT);
    story.in_2021(facts::BY_HAND);
    for entry in fs::read_dir(backup).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), field.world.server.folder.join(entry.file_name())).unwrap();
    }
    let began = Instant::now();
    field.world.server.start();
    field.until_all_connected();
    story.here("Three and a half days pass by everybody's clock. The server starts again at its address, on the copy of Friday afternoon's records. The thief's leaves are not in it, and the registers come by themselves.");
    story.measured(
        format!("until all {} registers were connected to it", thousands(number(field.registers.len()))),
        began.elapsed(),
    );
    since
}

/// One person's resume waits at the honest server, too.
pub fn one_key(field: &Field, bo: &Handed, story: &mut Story) {
    let alone = sign(&resume(field, &[bo.hash], Cuts::All(Nothing)), &["anna"]);
    let view = field.world.post(&alone, &[]).unwrap();
    assert_eq!(view.state, "waiting", "{view:?}");
    story.holds(format!("Anna signs a resume alone: the server does not log it (\"{}\").", view.missing));
}

/// A policy names another log, and the server goes on there.
pub fn another_log(field: &mut Field, story: &mut Story) {
    let stuck = sign(&field.job(&field.those(|_| true), now().0 - 60, &[&["true"]]), &["anna", "bo"]);
    let view = field.world.post(&stuck, &field.those(|_| true)).unwrap();
    assert!(view.state == "waiting" && view.missing.contains("witness"), "{view:?}");
    story.holds(format!("Whatever is signed now, the witnesses do not take it from this server: they have seen more of its log than it has (\"{}\").", view.missing));
    let wish = NewLog { anew: false };
    let new: NewLogView =
        field.world.block_on(field.world.http.post(&field.world.path("new-log"), &wish)).unwrap();
    let genesis = field.world.statement(&field.policy).envelope;
    let genesis = countersign_trust::envelope::Logged::from_text(&genesis).unwrap();
    let held: Policy = statement::read(genesis.signed.statement()).unwrap();
    let mut next = Policy {
        org: Some(field.world.org),
        number: held.number + 1,
        previous: [field.policy].into(),
        ..held
    };
    next.log.key = new.key.parse().unwrap();
    (next.log.old_size, next.log.old_root) = (new.old_size, Some(new.old_root.parse().unwrap()));
    field.world.log(&sign(&next, &["anna", "bo"]), &[]);
    until("the server holds the policy", || {
        let path = format!("/v1/orgs/{}", field.world.org);
        let view: OrgView = field.world.block_on(field.world.http.get(&path));
        (view.policy_number == 2).then_some(())
    });
    field.policy = statement::write(&next).1;
    story.holds(format!("Anna and Bo sign a policy that names another log: the {} leaves of the copy count on, the thief's do not. It is in force though everything is halted.", thousands(new.old_size)));
}

/// Two people lift Bo's halt; the vendor's still stands; then that, too.
pub fn quorum(field: &mut Field, bo: &Handed, vendor: &(Signed, Handed), story: &mut Story) {
    story.begin("The quorum resumes");
    field.world.post(&vendor.0, &[]).unwrap();
    lift(field, &[bo.hash], Cuts::All(Nothing));
    let some = some(field);
    let nonce = field.world.nonce();
    let ran = field.ran();
    let early =
        field.order(&sign(&field.job(&some, now().0 - 60, &[&[&nonce.line()]]), &["anna", "bo"]), &some);
    field.until_counted(&early, Verdict::Refused, some.len(), Instant::now());
    let receipts = field.receipts(&early);
    assert!(
        receipts.values().all(|one| one.because.as_str().contains(&vendor.1.hash.to_string())),
        "{receipts:?}"
    );
    assert_eq!(receipts.len(), some.len());
    story.holds(format!("Anna and Bo lift Bo's halt, and cut off all that was signed before. A new job of theirs is refused by {} registers it is for: the vendor's halt still stands.", some.len()));
    let began = Instant::now();
    lift(field, &[vendor.1.hash], Cuts::All(Nothing));
    let job =
        field.order(&sign(&field.job(&some, now().0 - 60, &[&[&nonce.line()]]), &["anna", "bo"]), &some);
    let took = field.until_counted(&job, Verdict::Ended, some.len(), began);
    let real = some.iter().filter(|id| field.registers[id].real).count();
    assert_eq!((field.ran() - ran, nonce.lines().len()), (number(some.len() - real), real));
    story.holds(format!(
        "They lift the vendor's halt as well, and the next job runs on those {}.",
        some.len()
    ));
    story.measured("from the second resume until its last receipt", took);
}

fn some(field: &Field) -> Vec<DeviceId> {
    let simulated = field.those(|one| !one.real);
    let every = (simulated.len() / 50).max(1);
    simulated.into_iter().step_by(every).chain(field.those(|one| one.real)).collect()
}

fn lift(field: &mut Field, halts: &[Sha256], cuts: Cuts) {
    let signed = sign(&resume(field, halts, cuts), &["anna", "bo"]);
    field.world.log(&signed, &[]);
    field.resume = Some(signed.hash());
}

/// What lay on the server on Friday came back with the copy of its records; what ran since is all known.
fn nothing_of_friday(field: &Field, lying: &Lying, since: &Since, ordered: u64, story: &mut Story) {
    let marks = [&lying.waves, &lying.good, &lying.delay].map(|order| order.mark.lines().len());
    assert_eq!((field.ran() - since.ran, marks), (ordered, since.marks));
    let evil = (lying.evil.lines(), lying.waits_mark.lines());
    assert_eq!(evil, (Vec::new(), Vec::new()));
    story.holds("The three jobs that two people had signed by Friday came back with the copy of the records, and the resume has cut them off: since then the simulated registers have run what was signed anew, and by their own count nothing else; the files of whole agents have no line of Friday's.");
}

/// What had run when the server came back.
pub struct Since {
    ran: u64,
    marks: [usize; 3],
}

/// Tuesday's job once more, as a new one, in waves of half an hour, each of which two people let begin.
pub fn rerun(field: &mut Field, lying: &Lying, since: &Since, story: &mut Story) {
    story.begin("Store after store, without a visit");
    story.in_2021(facts::SIX_DAYS);
    let (nonce, all) = (field.world.nonce(), field.those(|_| true));
    let begins = now().0 - 60;
    let mut job = field.job(&all, begins, &[&["sleep 0"], &[&nonce.line()]]);
    let wave = |who, soak| Wave { who, soak };
    job.waves = vec![
        wave(Who::Labels(first_county()), 0),
        wave(Who::Share(2_500), SOAK),
        wave(Who::Share(ALL), 2 * SOAK),
    ];
    let ran = field.ran();
    let hash = field.order(&sign(&job, &["anna", "bo"]), &all);
    let waves = waves_of(field, &job, &hash);
    let (mut done, mut began) = (0, Instant::now());
    for (place, devices) in waves.iter().enumerate() {
        if place > 0 {
            let next = Time(begins + SOAK * number(place) + 5 * 60);
            field.clock_to(next.0);
            advance(field, &hash, number(place) + 1, done);
            began = Instant::now();
        }
        done += devices.len();
        let (took, receipts) = field.until_ended(&hash, done, 1, began);
        let ended: std::collections::BTreeSet<_> =
            receipts.iter().filter(|(_, one)| one.verdict == Verdict::Ended).map(|(id, _)| *id).collect();
        let due: std::collections::BTreeSet<_> = waves[..=place].iter().flatten().copied().collect();
        assert_eq!(ended, due, "wave {place}");
        story.holds(format!(
            "Wave {}: {} registers run it, none before its turn; {} of {} are done.",
            place + 1,
            thousands(number(devices.len())),
            thousands(number(done)),
            thousands(number(all.len()))
        ));
        story.measured("until the wave's last receipt was stored", took);
        if place == 1 {
            story.in_2021(facts::ALL_OPEN);
        }
    }
    let simulated = number(field.swarm.size());
    assert_eq!((field.ran() - ran, nonce.lines().len()), (2 * simulated, field.world.machines.len()));
    story.holds(format!("All {} registers in {FIRST_COUNTY} and the other counties have run both steps once, and nobody was sent to a store.", thousands(number(all.len()))));
    let ordered = 2 * simulated + number(some(field).iter().filter(|id| !field.registers[id].real).count());
    nothing_of_friday(field, lying, since, ordered, story);
    story.in_2021(facts::PATCH);
}

/// Whose turn comes when.
fn waves_of(field: &Field, job: &Job, hash: &Sha256) -> Vec<Vec<DeviceId>> {
    let mut waves = vec![Vec::new(); job.waves.len()];
    for register in field.registers.values() {
        waves[job.wave_of(hash, &register.id, &register.store.all_labels())].push(register.id);
    }
    waves
}

/// Two people have looked at what the waves before did.
fn advance(field: &Field, job: &Sha256, wave: u64, well: usize) {
    let receipts = field.receipts(job);
    let done = receipts.values().filter(|one| one.verdict == Verdict::Ended);
    let root = done.map(|one| countersign_trust::merkle::leaf_hash(one.to_string().as_bytes()));
    let advance = Advance {
        org: field.world.org,
        id: field.world.id(),
        policy: field.policy,
        resume: field.resume,
        job: *job,
        wave,
        root: root.collect::<countersign_trust::merkle::Tree>().root(),
        well: number(well),
        failed: 0,
        missing: 0,
        why: word("All ended well."),
    };
    let signed = sign(&advance, &["anna", "bo"]);
    field.world.post(&signed, &[]).unwrap();
    until_within(Duration::from_secs(30), Duration::from_millis(20), "the advance is logged", || {
        (field.world.statement(&signed.hash()).state == "logged").then_some(())
    });
}
