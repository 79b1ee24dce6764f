//! For whom a job is.

use countersign_trust::statement::job::{TargetLabels, Targets};

use super::{Mutation, NOTHING, On, SIGNED, another, nobody, row, untouched};
use crate::organization::{labels, word};

const NOT_A_TARGET: (&str, &str) = ("not_a_target", "is not among its");

pub fn mutations() -> Vec<Mutation> {
    vec![
        row(
            ("brought to a machine it is not for", NOTHING),
            On::Outside,
            NOT_A_TARGET,
            another,
            |b, parcel| {
                parcel.target = Some(b.targets[b.chance.index(b.targets.len())].clone());
            },
        ),
        row(
            ("brought to a machine it is not for, without a place", NOTHING),
            On::Outside,
            NOT_A_TARGET,
            another,
            |_, parcel| {
                parcel.target = None;
            },
        ),
        row(("with a place of his own making", NOTHING), On::Outside, NOT_A_TARGET, another, |b, parcel| {
            let mut target = b.targets[b.chance.index(b.targets.len())].clone();
            let at = b.chance.index(target.path.len());
            target.path[at] = nobody(b.chance);
            parcel.target = Some(target);
        }),
        row(("with the place of another", NOTHING), On::Till, NOT_A_TARGET, another, |b, parcel| {
            let others: Vec<_> =
                b.targets.iter().filter(|target| parcel.target.as_ref() != Some(*target)).collect();
            parcel.target = Some(others[b.chance.index(others.len())].clone());
        }),
        row(("with a place bent", NOTHING), On::Till, NOT_A_TARGET, another, |b, parcel| {
            let target = parcel.target.as_mut().unwrap();
            let at = b.chance.index(target.path.len());
            target.path[at].0[b.chance.index(32)] ^= 1 << b.chance.index(8);
        }),
        row(
            ("for labels that the machine does not carry", SIGNED),
            On::Till,
            ("not_labelled", "does not carry the label"),
            |b| {
                b.past(&["anna", "bo"], |job, chance| {
                    let labels = [(word("class"), word(&format!("c{}", chance.below(9_999))))].into();
                    job.targets = Targets::Labels(TargetLabels { labels, as_of: 1 << 40, joins: true });
                })
            },
            untouched,
        ),
        row(
            ("for machines enrolled before it was", SIGNED),
            On::Till,
            ("enrolled_later", "was enrolled at leaf"),
            |b| {
                b.past(&["anna", "bo"], |job, chance| {
                    let as_of = chance.below(2);
                    job.targets = Targets::Labels(TargetLabels {
                        labels: labels(&[("class", "till")]),
                        as_of,
                        joins: false,
                    });
                })
            },
            untouched,
        ),
    ]
}
