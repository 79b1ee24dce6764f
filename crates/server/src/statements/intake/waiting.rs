//! How much may wait for signatures: nobody who may sign fills the disk with what nobody else will.

use std::time::Duration;

use countersign_trust::envelope::Signed;
use countersign_trust::ids::Name;
use countersign_trust::signers::signers;
use countersign_trust::statement::job::Job;
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::{self as statements, Kind};
use countersign_trust::time::Time;

use super::IntakeError;
use crate::app::{App, Org};
use crate::statements::decide::Unfit;
use crate::store::counted;
use crate::store::statement::{self, StatementRow};

/// How many statements of one person may wait.
const MOST_OF_A_PERSON: usize = 64;
/// And of all together.
const MOST: usize = 1_024;
/// What has waited longer gives way, if it is not over before.
const PATIENCE: Duration = Duration::from_secs(30 * 86_400);

/// Whether one more may wait that these people signed. Answers the hashes of what is over and gives way to it.
pub async fn make_room(app: &App, org: &Org, signed: &Signed) -> Result<Vec<String>, IntakeError> {
    let policy = org.chain().policy().body.clone();
    let rows = statement::waiting(&app.db, &org.id.to_string()).await?;
    let (over, open): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| is_over(app, row));
    let kind = signed.kind()?;
    let by = signers(&policy, kind, signed);
    // The people's policies and resumes end what others do here: each has a few, and nobody else's are in their way.
    if open.len() >= MOST && (by.is_empty() || !matches!(kind, Kind::Policy | Kind::Resume)) {
        return Err(Unfit::TooManyWait { who: "the organization has".to_owned(), most: MOST }.into());
    }
    // A key of the recovery set is nobody's: all of them have together what a person has.
    if by.is_empty() && open.iter().filter(|row| is_nobodys(&policy, row)).count() >= MOST_OF_A_PERSON {
        return Err(
            Unfit::TooManyWait { who: "keys of no person have".to_owned(), most: MOST_OF_A_PERSON }.into()
        );
    }
    for person in by.people() {
        // Keys are quickly compared; whether they have signed is asked only of somebody who may be at the limit.
        let named: Vec<_> = open.iter().filter_map(|row| under(&policy, row, person)).collect();
        let of_person = |signed: &&Signed| {
            signed.kind().is_ok_and(|kind| signers(&policy, kind, signed).contains(person))
        };
        if named.len() >= MOST_OF_A_PERSON && named.iter().filter(of_person).count() >= MOST_OF_A_PERSON {
            return Err(Unfit::TooManyWait { who: format!("{person} has"), most: MOST_OF_A_PERSON }.into());
        }
    }
    // Not before: what is over may still be looked at as long as there is room.
    let room = over.len() + open.len() < MOST_OF_A_PERSON;
    Ok(if room { Vec::new() } else { over.into_iter().map(|row| row.hash).collect() })
}

fn is_over(app: &App, row: &StatementRow) -> bool {
    let oldest = (app.now_ms)().saturating_sub(u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX));
    let ended = |now: Time| {
        let job = Signed::from_text(&row.envelope)
            .ok()
            .and_then(|signed| statements::read::<Job>(signed.statement()).ok());
        job.is_some_and(|job| job.not_after <= now)
    };
    counted(row.received_ms) < oldest || ended(app.now())
}

/// Whether no person has signed a row.
fn is_nobodys(policy: &Policy, row: &StatementRow) -> bool {
    let signed = Signed::from_text(&row.envelope).ok();
    let signed = signed.as_ref().and_then(|signed| Some((signed.kind().ok()?, signed)));
    signed.is_none_or(|(kind, signed)| signers(policy, kind, signed).is_empty())
}

/// The statement of a row, if a key of this person stands under it.
fn under(policy: &Policy, row: &StatementRow, person: &Name) -> Option<Signed> {
    let signed = Signed::from_text(&row.envelope).ok()?;
    let of_person = |blob: &[u8]| policy.person_of_key(blob).is_some_and(|(name, _)| name == person);
    signed.signatures().iter().any(|signature| of_person(signature.key_blob())).then_some(signed)
}
