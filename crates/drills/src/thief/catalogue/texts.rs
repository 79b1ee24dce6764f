//! The bytes of a job: what people signed without looking, and what the thief did to an envelope after that.

use countersign_trust::envelope::Signed;

use super::{Bench, Mutation, NOTHING, On, Parcel, SIGNED, good, row, untouched};
use crate::organization::sign;
use countersign_trust::ids::OrgId;

const TEXT: &str = "statement";
const UNREADABLE: &str = "unreadable";

pub fn mutations() -> Vec<Mutation> {
    [careless(), envelopes()].into_iter().flatten().collect()
}

fn careless() -> Vec<Mutation> {
    vec![
        row(
            ("keys in another order", SIGNED),
            On::Till,
            (TEXT, "no canonical job: line "),
            |b| {
                b.careless(|text, chance| {
                    let mut lines: Vec<&str> = text.split('\n').collect();
                    let at = 1 + chance.index(6);
                    lines.swap(at, at + 1);
                    lines.join("\n")
                })
            },
            untouched,
        ),
        row(
            ("a key twice", SIGNED),
            On::Till,
            (TEXT, "no canonical job: line "),
            |b| {
                b.careless(|text, chance| {
                    let mut lines: Vec<&str> = text.split('\n').collect();
                    let at = 1 + chance.index(7);
                    lines.insert(at, lines[at]);
                    lines.join("\n")
                })
            },
            untouched,
        ),
        row(
            ("a key that jobs do not have", SIGNED),
            On::Till,
            (TEXT, "expected `\\\"why\\\": `"),
            |b| {
                b.careless(|text, chance| {
                    text.replacen("  \"why\"", &format!("  \"x{}\": 1,\n  \"why\"", chance.number()), 1)
                })
            },
            untouched,
        ),
        row(
            ("text that runs from right to left", SIGNED),
            On::Till,
            (TEXT, "is not allowed here"),
            |b| {
                b.careless(|text, chance| {
                    let marks =
                        ['\u{202a}', '\u{202b}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{200f}'];
                    text.replacen("A drill.", &format!("A {}drill.", marks[chance.index(marks.len())]), 1)
                })
            },
            untouched,
        ),
        row(
            ("a control character", SIGNED),
            On::Till,
            (TEXT, "is not allowed here"),
            |b| {
                b.careless(|text, chance| {
                    let marks = ['\u{1}', '\u{7}', '\u{8}', '\r', '\u{1b}', '\u{7f}', '\u{85}'];
                    text.replacen("A drill.", &format!("A {}drill.", marks[chance.index(marks.len())]), 1)
                })
            },
            untouched,
        ),
        row(
            ("larger than a job may be", SIGNED),
            On::Till,
            (TEXT, "at most 65536 are allowed"),
            |b| {
                b.careless(|text, chance| {
                    text.replacen("A drill.", &"x".repeat(65_536 + chance.index(999)), 1)
                })
            },
            untouched,
        ),
        row(
            ("a space more", SIGNED),
            On::Till,
            (TEXT, "no canonical job: line "),
            |b| {
                b.careless(|text, chance| {
                    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
                    lines[1 + chance.index(7)].push(' ');
                    lines.join("\n")
                })
            },
            untouched,
        ),
        row(
            ("a number with zeros before it", SIGNED),
            On::Till,
            (TEXT, "expected an integer from 0"),
            |b| {
                b.careless(|text, chance| {
                    let zeros = "0".repeat(1 + chance.index(9));
                    text.replacen("\"not_before\": ", &format!("\"not_before\": {zeros}"), 1)
                })
            },
            untouched,
        ),
        row(
            ("another organization's job, by the same people", SIGNED),
            On::Till,
            ("other_organization", "this device belongs to"),
            |b| b.past(&["anna", "bo"], |job, chance| job.org = OrgId(chance.bytes())),
            untouched,
        ),
    ]
}

/// The armor of each signature of the job, in their order.
fn armors(signed: &Signed) -> Vec<String> {
    signed.signatures().iter().map(countersign_trust::sshsig::SshSig::to_armor).collect()
}

fn envelopes() -> Vec<Mutation> {
    vec![
        row(("without a signature", NOTHING), On::Till, (UNREADABLE, "0 signatures"), good, |_, parcel| {
            let text = parcel.job.to_string();
            let bare =
                armors(&parcel.job.signed).iter().fold(text, |text, armor| text.replacen(armor, "", 1));
            parcel.text = Some(bare);
        }),
        row(
            ("bytes behind the statement", NOTHING),
            On::Till,
            (UNREADABLE, "signatures"),
            good,
            |b, parcel| {
                let (text, statement) = (parcel.job.to_string(), parcel.job.signed.statement().to_owned());
                let junk = format!("{statement}{:x}\n", b.chance.number());
                parcel.text = Some(text.replacen(&statement, &junk, 1));
            },
        ),
        row(("bytes behind the proof", NOTHING), On::Till, (UNREADABLE, "the job: "), good, |b, parcel| {
            parcel.text = Some(format!("{}{:x}\n", parcel.job, b.chance.number()));
        }),
        row(
            ("signatures in another order", NOTHING),
            On::Till,
            (UNREADABLE, "must ascend"),
            good,
            |_, parcel| {
                let both = armors(&parcel.job.signed);
                let [first, second] = both.as_slice() else { panic!("two signatures") };
                let text = parcel.job.to_string();
                parcel.text =
                    Some(text.replacen(&format!("{first}{second}"), &format!("{second}{first}"), 1));
            },
        ),
        row(("a signature twice", NOTHING), On::Till, (UNREADABLE, "must ascend"), good, |b, parcel| {
            let armors = armors(&parcel.job.signed);
            let armor = &armors[b.chance.index(armors.len())];
            parcel.text = Some(parcel.job.to_string().replacen(armor, &format!("{armor}{armor}"), 1));
        }),
        row(
            ("signatures in two namespaces", SIGNED),
            On::Till,
            (UNREADABLE, "namespace"),
            good,
            two_namespaces,
        ),
        row(
            ("cut off somewhere", NOTHING),
            On::Till,
            (UNREADABLE, "what came cannot be read: the job: "),
            good,
            |b, parcel| {
                let text = parcel.job.to_string();
                let head = text.find("c2sp.org").unwrap();
                let end = b.chance.index(head);
                parcel.text =
                    Some(text.char_indices().take_while(|(at, _)| *at < end).map(|(_, c)| c).collect());
            },
        ),
        row(("without a proof", NOTHING), On::Till, (UNREADABLE, "a proof"), good, |_, parcel| {
            parcel.text = Some(parcel.job.signed.to_string());
        }),
    ]
}

fn two_namespaces(bench: &mut Bench<'_>, parcel: &mut Parcel) {
    let text = bench.text();
    let halt = crate::organization::sign_text(text, countersign_trust::statement::Kind::Halt, &["bo"]);
    let bo = sign(bench.good, &["bo"]).signatures()[0].to_armor();
    parcel.text = Some(parcel.job.to_string().replacen(&bo, &halt.signatures()[0].to_armor(), 1));
}
