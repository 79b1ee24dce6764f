//! Jobs that repeat are kept and judged again: which of two deliveries of one job is the better, and which gives up its place.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::wave::{Turn, my_wave};
use super::{Facts, SignedBy, allowed_by_rules, enrolled, in_log, is_target, not_cut, read_job, stops};
use crate::chain::HeldHalt;
use crate::clear::Freshness;
use crate::delivery::Delivery;
use crate::envelope::Logged;
use crate::ids::Sha256;
use crate::time::Time;
use crate::verify::Refusal;

/// What a delivery must bring by itself, whatever the time and whatever was done before: enough signatures, a proof that counts,
/// this device's place, and the advance that its wave needs, which is answered. The same checks as [`super::judge`]'s.
pub fn shows<'a>(facts: &Facts<'_>, delivery: &'a Delivery) -> Result<Option<&'a Logged>, Refusal> {
    let Delivery { job: logged, target, advances, .. } = delivery;
    let chain = facts.ledger.chain().ok_or(Refusal::NotEnrolled)?;
    let me = enrolled(facts)?;
    let job = read_job(chain, logged)?;
    let hash = logged.signed.hash();
    let signed_by = SignedBy::count(chain, &job, &logged.signed)?;
    let none = BTreeSet::new();
    let halts = halts(facts, &none);
    not_cut(chain, &hash, &job, &signed_by)?;
    allowed_by_rules(chain, &me.labels, &halts, &job, &signed_by)?;
    let witnessed = in_log(chain, logged)?;
    is_target(chain, me, &job, target.as_ref())?;
    let begins = job.not_before.max(witnessed.time());
    let turn = Turn { chain, me, halts: &halts, hash: &hash, job: &job, begins };
    my_wave(&turn, advances, Time(u64::MAX))
}

/// A kept job that a halt of that very job stops: it gives up its place where another needs one.
pub(crate) fn cancelled(facts: &Facts<'_>) -> Option<Sha256> {
    let none = BTreeSet::new();
    let halts = halts(facts, &none);
    facts.ledger.standing().map(|(job, _)| *job).find(|job| stops(&halts, job))
}

/// Active halts, mine and the beacons'.
fn halts<'a>(facts: &Facts<'a>, none: &'a BTreeSet<Sha256>) -> Vec<&'a HeldHalt> {
    let theirs = facts.freshness.map_or(none, Freshness::halts);
    facts.ledger.chain().map(|chain| chain.active_halts_with(theirs).collect()).unwrap_or_default()
}
