//! An unsafe restart: one person's key does not lift a halt, also with the server's log in the same hands.

use std::time::Instant;

use countersign_trust::clear::Clear;
use countersign_trust::delivery::{News, write_sequence};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::note::Note;
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::text::Nothing;

use super::halt::Handed;
use super::hostile::{Hostile, LoggedWare, Ware};
use super::lying::Lying;
use super::stores::Field;
use super::story::{Story, thousands};
use crate::http::Http;
use crate::organization::{sign, word};

/// The resume that would follow: it lifts these halts.
pub fn resume(field: &Field, lifts: &[Sha256], cuts: Cuts) -> Resume {
    Resume {
        org: field.world.org,
        policy: field.policy,
        previous: field.resume.into_iter().collect(),
        lifts: Lifts::Halts(lifts.iter().copied().collect()),
        cuts,
        keeps: [].into(),
        why: word("The server is in our hands again."),
    }
}

/// The thief has Anna's key, too, and the log: her resume is logged, cosigned, and brought to beacons and registers.
pub fn play(field: &Field, thief: &mut Hostile<'_>, lying: &Lying, halts: &[&Handed], story: &mut Story) {
    story.begin("An unsafe restart: one key cannot");
    let lifts: Vec<Sha256> = halts.iter().map(|halt| halt.hash).collect();
    let alone = sign(&resume(field, &lifts, Cuts::None(Nothing)), &["anna"]);
    let logged = thief.log(field, Ware { signed: alone, listed: Vec::new() });
    story.here("The thief has Anna's key as well. Her resume, which lifts both halts, he logs, and honest witnesses cosign it: they judge no statement.");
    let answered = at_beacons(field, &logged, &lifts);
    story.holds(format!(
        "No beacon of four takes it: \"{answered}\". Each one's next Clear names both halts and no resume."
    ));
    at_registers(field, thief, lying, logged, story);
}

/// What a beacon answers; none of them holds it afterwards.
fn at_beacons(field: &Field, logged: &LoggedWare, halts: &[Sha256]) -> String {
    let news = write_sequence(&[News::Resume(logged.job())]);
    let mut answered = String::new();
    for beacon in &field.world.beacons {
        let http = Http { address: beacon.address, token: String::new() };
        let ask =
            |path: &str, body: String| field.world.block_on(http.ask("POST", &field.world.path(path), body));
        let (_, said) = ask("news", news.clone());
        answered = said.lines().next().unwrap_or_default().to_owned();
        let (status, said) = ask("clear", format!("{}\n", Sha256([9; 32])));
        assert_eq!(status, 200, "{said}");
        let clear: Clear = said.parse::<Note>().unwrap().text().parse().unwrap();
        assert_eq!(clear.resume, None);
        assert!(halts.iter().all(|halt| clear.halts.contains(halt)), "{said}");
    }
    answered
}

/// Registers are brought it with a job that two people signed, and refuse that for the halts.
fn at_registers(
    field: &Field,
    thief: &mut Hostile<'_>,
    lying: &Lying,
    logged: LoggedWare,
    story: &mut Story,
) {
    let devices: Vec<DeviceId> = lying.delay.devices.clone();
    let good = thief.log(field, super::eve::ware(&lying.good));
    let (ran, hash) = (field.ran(), good.hash());
    let (before, answers) = (thief.heard_of(&hash), thief.ask_beacons(field, &devices));
    let halted = |thief: &Hostile<'_>| {
        thief.said(field, &hash).get(&("refused".to_owned(), "halted".to_owned())).copied()
    };
    let refused_before = halted(thief).unwrap_or(0);
    thief.bring_with(&good, &devices, &answers, &[News::Resume(logged.job())]);
    thief.until_said(&[hash], before + devices.len(), Instant::now());
    let refused = halted(thief).unwrap_or(0) - refused_before;
    assert_eq!(refused, u64::try_from(devices.len()).unwrap());
    assert_eq!((field.ran(), lying.good.mark.lines()), (ran, Vec::<String>::new()));
    story.holds(format!(
        "{} registers are brought it with a job that Anna and Bo signed and fresh Clears of honest beacons: each refuses the job with code halted, 0 runs.",
        thousands(refused)
    ));
}
