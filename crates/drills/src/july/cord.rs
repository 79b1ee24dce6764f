//! An operator halts without the server: what runs is killed, the second step never comes, and what was gathered before ages.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use countersign_trust::ids::DeviceId;
use countersign_trust::receipt::{Receipt, Verdict};

use super::eve::ware;
use super::facts;
use super::halt::{Handed, hand_over, of_everything};
use super::hostile::{Answers, Hostile, LoggedWare};
use super::jobs::Said;
use super::lying::{Lying, after};
use super::stores::Field;
use super::story::{Story, thousands};
use crate::part::until_within;

/// How long what beacons said is good for.
const LIFETIME: Duration = Duration::from_secs(180);
/// On so many registers the thief uses what he gathered while it is good.
const WITHIN: usize = 10;

/// What the thief has ready for later: a job that two people signed, and what the beacons said while nobody had said stop.
struct Gathered {
    good: LoggedWare,
    answers: Answers,
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

/// Registers that do nothing when the halt comes, and have not heard of it.
fn idle(field: &Field, lying: &Lying) -> Vec<DeviceId> {
    let busy: BTreeSet<_> = lying.delay.devices.iter().collect();
    lying.good.devices.iter().filter(|id| !busy.contains(id) && !field.registers[id].real).copied().collect()
}

/// Bo halts; returns his halt.
pub fn halt(field: &mut Field, thief: &mut Hostile<'_>, lying: &Lying, story: &mut Story) -> Handed {
    story.begin("An operator halts with the server's cord pulled: through the beacons alone");
    story.in_2021(facts::SEEN);
    thief.pass_to(field, after(30));
    let idle = idle(field, lying);
    let good = thief.log(field, ware(&lying.good));
    let gathered = thief.ask_beacons(field, &lying.good.devices);
    story.here(
        "Just before, the thief gathers what the beacons say to every register's challenge, to use it later.",
    );
    let handed = hand_over(field, &of_everything(field), "Bo halts everything", story);
    let gathered = Gathered { good, answers: gathered };
    let spent = within(field, thief, &gathered, &idle, story);
    strike(field, thief, lying, &handed, story);
    late(field, thief, lying, &gathered, &spent, story);
    handed
}

/// The promise is the lifetime, and not less: what was gathered before may start something until then. Whom this was tried on.
fn within(
    field: &Field,
    thief: &Hostile<'_>,
    gathered: &Gathered,
    idle: &[DeviceId],
    story: &mut Story,
) -> BTreeSet<DeviceId> {
    let (few, ran) = (&idle[..WITHIN.min(idle.len() / 2)], field.ran());
    thief.bring(&gathered.good, few, &gathered.answers);
    // One that has asked the beacons by chance refuses already: one receipt instead of two.
    let hash = gathered.good.hash();
    let closing = |receipt: &Receipt| receipt.job == Some(hash) && receipt.verdict != Verdict::Accepted;
    let closed = until_within(
        Duration::from_secs(60),
        Duration::from_millis(50),
        "each has said how it ended",
        || {
            let receipts: Vec<Receipt> = few.iter().flat_map(|id| thief.receipts_of(field, id)).collect();
            let closed: Vec<Receipt> = receipts.into_iter().filter(closing).collect();
            (closed.len() == few.len()).then_some(closed)
        },
    );
    let started = closed.iter().filter(|receipt| receipt.verdict == Verdict::Ended).count();
    assert_eq!(field.ran() - ran, number(started));
    assert!(started > 0, "nothing shows that what follows can fail");
    story.holds(format!(
        "Within the lifetime of what the beacons said (180 s) a server in the wrong hands can still start what two people signed: {started} of {} registers that he brings it to run it. So what comes next can fail.",
        few.len()
    ));
    few.iter().copied().collect()
}

/// The first step is killed, the second never starts.
fn strike(field: &mut Field, thief: &Hostile<'_>, lying: &Lying, handed: &Handed, story: &mut Story) {
    let (devices, ran, hash) = (&lying.delay.devices, field.ran(), lying.delay.signed.hash());
    let early = thief.heard_of(&hash) - devices.len();
    let before = handed.began.elapsed();
    field.pass(LIFETIME / 3 + Duration::from_secs(1));
    let began = Instant::now();
    let took = thief.until_said(&[hash], 2 * devices.len(), began);
    let said = thief.said(field, &lying.delay.signed.hash());
    let of = |verdict: Verdict| said.get(&(verdict.to_string(), String::new())).copied().unwrap_or(0);
    assert_eq!(of(Verdict::Ended), number(devices.len()), "{said:?}");
    assert_eq!(
        of(Verdict::Accepted),
        number(devices.len()),
        "only the first step was ever accepted: {said:?}"
    );
    for receipt in thief.all_receipts(field) {
        if receipt.job == Some(lying.delay.signed.hash()) && receipt.verdict == Verdict::Ended {
            assert!(
                receipt.step == 0 && receipt.because.as_str().contains(&handed.hash.to_string()),
                "{receipt}"
            );
        }
    }
    assert_eq!(field.ran(), ran);
    assert_eq!(lying.delay.mark.lines(), Vec::<String>::new());
    story.here("The thief tells nobody of the halt. 61 s pass by everybody's clock: a third of the lifetime, after which whoever runs something asks the beacons himself.");
    story.holds(format!(
        "All {} registers hear of it from the beacons and kill the first step ({early} had just asked when the halt came); the second starts on none: no receipt, 0 runs, and no line in the files of whole agents.",
        thousands(number(devices.len()))
    ));
    story.measured("from then until the last register had signed that its step was killed, by asking four beacons by TLS each", took);
    assert!(before < LIFETIME / 3, "the drill was too slow to show this");
}

/// How many refused because of a halt, and how many because they lacked Clears.
fn refused(said: &Said) -> [u64; 2] {
    ["halted", "not_fresh"]
        .map(|code| said.get(&("refused".to_owned(), code.to_owned())).copied().unwrap_or(0))
}

/// What was gathered has aged.
fn late(
    field: &mut Field,
    thief: &Hostile<'_>,
    lying: &Lying,
    gathered: &Gathered,
    spent: &BTreeSet<DeviceId>,
    story: &mut Story,
) {
    thief.pass(field, LIFETIME);
    let rest: Vec<DeviceId> = lying.good.devices.iter().filter(|id| !spent.contains(id)).copied().collect();
    let (ran, hash) = (field.ran(), gathered.good.hash());
    let (before, began) = (thief.heard_of(&hash), Instant::now());
    let [halted_before, _] = refused(&thief.said(field, &hash));
    thief.bring(&gathered.good, &rest, &gathered.answers);
    let took = thief.until_said(&[hash], before + rest.len(), began);
    let [halted, lacking] = refused(&thief.said(field, &hash));
    let halted = halted - halted_before;
    assert_eq!(halted + lacking, number(rest.len()));
    assert!(halted > 0, "nobody heard of the halt");
    assert_eq!(field.ran(), ran);
    assert_eq!(lying.good.mark.lines(), Vec::<String>::new());
    story.here(format!("180 s more pass. The thief brings the same job, with what he gathered before the halt, to the other {} registers it is for.", thousands(number(rest.len()))));
    story.holds(format!(
        "None starts it: what he gathered is older than the lifetime, so each asks the beacons itself. {} hear of the halt and refuse with it (halted), {} get no answer within another lifetime and refuse for that (not_fresh): 0 runs.",
        thousands(halted),
        thousands(lacking)
    ));
    story.measured("until the last register had refused, by asking four beacons by TLS each", took);
}
