//! The thief has the server, and gives all registers an order at once: by himself, by what people signed for something else, and in
//! the vendor's name.

use std::time::Instant;

use countersign_trust::envelope::Signed;
use countersign_trust::ids::{Sha256, StatementId};
use countersign_trust::receipt::Receipt;
use countersign_trust::statement::job::service::{Action, Service};
use countersign_trust::statement::job::{Job, Step};
use countersign_trust::statement::{Kind, Statement as _, write};

use super::facts;
use super::hostile::{Hostile, Ware};
use super::jobs::{Said, said};
use super::lying::Lying;
use super::stores::Field;
use super::story::{Story, thousands};
use crate::organization::{sign, sign_text, word};
use crate::part::now;

/// One thing that the thief tries on all.
struct Try {
    what: &'static str,
    ware: Ware,
    /// The code with which a register is to refuse it that may be worked on at this hour. In markets, which may not, the hour is looked at
    /// before signatures are counted and after one that anybody known made.
    code: &'static str,
}

/// His own job, and three of other people's.
pub fn procedure(field: &Field, thief: &mut Hostile<'_>, lying: &Lying, story: &mut Story) -> Vec<Sha256> {
    story.begin("An order to the whole fleet (the thief has the server, its database, keys and port)");
    story.in_2021(facts::PROCEDURE);
    let all = field.those(|_| true);
    let evil = Job { id: StatementId([0xEE; 16]), ..field.job(&all, now().0 - 60, &[&[&lying.evil.line()]]) };
    let text = write(&evil).0;
    let own = thief.halt_key().sign(&Job::KIND.namespace(), text.as_bytes()).unwrap();
    let done = thief.jobs().iter().find(|job| job.signed.hash() == lying.done).unwrap();
    let bent = Signed::new(text.clone(), done.signed.signatures().iter().cloned()).unwrap();
    let ware = |signed: Signed| Ware { signed, listed: all.clone() };
    let tries = vec![
        Try {
            what: "a job of the thief's own, signed with the only SSH key a server has",
            ware: ware(Signed::new(text, [own]).unwrap()),
            code: "unknown_signers",
        },
        Try {
            what: "the job that ran on Tuesday, brought once more",
            ware: ware(done.signed.clone()),
            code: "again",
        },
        Try {
            what: "the thief's text under the signatures of Tuesday's job",
            ware: ware(
                Signed::new(
                    write(&Job { id: StatementId([0xED; 16]), ..evil }).0,
                    bent.signatures().iter().cloned(),
                )
                .unwrap(),
            ),
            code: "unknown_signers",
        },
        Try {
            what: "Anna's job that waits for Bo's approval",
            ware: ware(lying.waits.clone()),
            code: "approvals",
        },
    ];
    refused_by_all(field, thief, lying, story, &tries)
}

/// The same in the vendor's name, and what switched the antivirus off.
pub fn hotfix(field: &Field, thief: &mut Hostile<'_>, lying: &Lying, story: &mut Story) -> Vec<Sha256> {
    story.begin("Disguised as the vendor's hot-fix (the thief has the vendor's key besides)");
    story.in_2021(facts::PROCEDURE);
    let all = field.those(|_| true);
    let plain = field.job(&all, now().0 - 60, &[&[&lying.evil.line()]]);
    let job = Job { id: StatementId([0xFE; 16]), why: word("Agent Hot-fix"), ..plain };
    let mut guarded = Job { id: StatementId([0xFD; 16]), ..job.clone() };
    guarded.steps = vec![Step::Service(Service {
        unit: word("clamav-daemon.service"),
        action: Action::Stop,
        timeout: 60,
    })];
    let ware = |signed: Signed| Ware { signed, listed: all.clone() };
    let tries = vec![
        Try {
            what: "a hot-fix signed with the vendor's key alone",
            ware: ware(sign_text(write(&job).0, Kind::Job, &["vendor"])),
            code: "unknown_signers",
        },
        Try {
            what: "an order to stop the antivirus, signed by Anna and Bo themselves, on whose policy stands that it is guarded",
            ware: ware(sign(&guarded, &["anna", "bo"])),
            code: "guarded",
        },
    ];
    let tried = refused_by_all(field, thief, lying, story, &tries);
    story.not_played("a real release, which vendor and customer sign together: the job kind `release` is not built. What is shown is that the vendor's key alone makes nothing run.");
    tried
}

/// Brings all of it to all, and holds every receipt against what it should be; what was brought.
fn refused_by_all(
    field: &Field,
    thief: &mut Hostile<'_>,
    lying: &Lying,
    story: &mut Story,
    tries: &[Try],
) -> Vec<Sha256> {
    let all = field.those(|_| true);
    let (ran, hashes) = (field.ran(), tries.iter().map(|one| one.ware.signed.hash()).collect::<Vec<_>>());
    let wares: Vec<_> = tries.iter().map(|one| thief.log(field, one.ware.clone())).collect();
    let answers = thief.ask_beacons(field, &all);
    let began = Instant::now();
    wares.iter().for_each(|ware| thief.bring(ware, &all, &answers));
    let took = thief.until_said(&hashes, tries.len() * all.len(), began);
    let signed = thief.all_receipts(field);
    let everybody = u64::try_from(all.len()).unwrap();
    let markets = u64::try_from(field.those(|one| one.store.is_market()).len()).unwrap();
    for Try { what, ware, code } in tries {
        let hash = ware.signed.hash();
        let by_hour = if *code == "unknown_signers" { 0 } else { markets };
        let row = |code: &str, count| (("refused".to_owned(), code.to_owned()), count);
        let expected: Said = [row(code, everybody - by_hour), row("outside_hours", by_hour)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(said(&signed, &hash), expected, "{what}");
        let of_markets = match by_hour {
            0 => String::new(),
            count => format!(", and by {} in markets already for the hour (outside_hours)", thousands(count)),
        };
        story.holds(format!(
            "{what}: refused by all {}, each with a receipt that it signed: by {} with code {code}, \"{}\"{of_markets}.",
            thousands(everybody),
            thousands(everybody - by_hour),
            example(&signed, &hash, code),
        ));
    }
    assert_eq!(field.ran(), ran, "a simulated register ran something");
    assert_eq!(
        (lying.evil.lines(), lying.waits_mark.lines()),
        (vec![], vec![]),
        "a whole agent ran something"
    );
    story.holds(format!(
        "{} deliveries, each logged, cosigned by honest witnesses and cleared by honest beacons: 0 runs on the simulated registers, by their own count, and no line in the files that {} whole agents would have written.",
        thousands(u64::try_from(tries.len() * all.len()).unwrap()),
        field.world.machines.len()
    ));
    story.measured(
        format!(
            "from the first delivery to the last of {} receipts",
            thousands(u64::try_from(tries.len() * all.len()).unwrap())
        ),
        took,
    );
    hashes
}

/// The sentence beside this code, of one of them.
fn example(receipts: &[Receipt], job: &Sha256, code: &str) -> String {
    let says = |receipt: &&Receipt| receipt.code.as_ref().is_some_and(|said| said.as_str() == code);
    let said = receipts.iter().filter(|receipt| receipt.job == Some(*job)).find(says);
    said.map(|receipt| receipt.because.to_string()).unwrap_or_default()
}
