//! The job that was bent, unbent: what makes it right on each machine, so that a machine that refuses whatever comes is found out.

use countersign_trust::delivery::TargetProof;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::DeviceId;
use countersign_trust::merkle::leaf_hash;
use countersign_trust::statement::job::{ALL, Job, TargetList, Targets, Wave, Who};
use countersign_trust::statement::write;

use super::catalogue::On;
use crate::keys::{sign_also, token_signature};
use crate::organization::{labels, sign, word};

/// What a security key says of a person who touched it.
const TOUCHED: u8 = 1;

/// The good job as it is right for this machine, signed; none where nothing is.
pub fn signed(mut job: Job, on: On, me: &DeviceId) -> Option<Signed> {
    Some(match on {
        On::Till | On::Deaf | On::Stopped | On::Day => sign(&job, &["anna", "bo"]),
        On::Vault => sign(&job, &["anna", "bo", "cia"]),
        On::Board => {
            job.requester = word("cia");
            sign(&job, &["cia", "bo"])
        }
        On::Waved => {
            let mine = labels(&[("class", "waved")]);
            job.waves =
                vec![Wave { who: Who::Labels(mine), soak: 0 }, Wave { who: Who::Share(ALL), soak: 0 }];
            sign(&job, &["anna", "bo"])
        }
        On::Outside => {
            job.targets = Targets::List(TargetList { count: 1, root: leaf_hash(&me.0) });
            sign(&job, &["anna", "bo"])
        }
        On::Guarded => {
            let text = write(&job).0;
            let touched = ["anna token", "bo token"].map(|name| token_signature(name, &text, TOUCHED));
            sign_also(&job, &[], touched)
        }
        On::Night | On::Lonely => return None,
    })
}

/// The machine's place among the targets of its twin, if they are not those of all others.
pub fn target(on: On) -> Option<TargetProof> {
    (on == On::Outside).then(|| TargetProof { index: 0, path: Vec::new() })
}
