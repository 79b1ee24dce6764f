//! While a policy of the recovery set waits: whether the beacons call it in force.

use std::sync::Arc;

use countersign_trust::chain::Chain;
use countersign_trust::clear::Clear;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;

use crate::app::{App, Org};
use crate::settle;
use crate::store::StoreError;

/// Asks the beacons if a policy waits: what people sign next may name it.
///
/// # Errors
/// The records cannot be reached.
pub async fn look(app: &Arc<App>, org: &Arc<Org>) -> Result<(), StoreError> {
    let chain = org.chain_now();
    if chain.waiting().is_empty() {
        return Ok(());
    }
    // No device's challenge: what comes back is for this server alone.
    let clears = app.peers.clears(&chain, &Sha256([0; 32])).await;
    follow(app, org, &chain, &clears).await
}

/// Puts a policy in force that as many beacons name as devices ask for.
///
/// # Errors
/// The records cannot be reached.
pub async fn follow(
    app: &Arc<App>,
    org: &Arc<Org>,
    chain: &Chain,
    clears: &[Note],
) -> Result<(), StoreError> {
    match named(chain, clears) {
        Some(policy) => settle::recover(app, org, policy).await,
        None => Ok(()),
    }
}

fn named(chain: &Chain, clears: &[Note]) -> Option<Sha256> {
    let beacons = &chain.policy().body.beacons;
    let names = |policy: &Sha256, note: &Note| {
        note.text().parse::<Clear>().is_ok_and(|clear| clear.policy == *policy)
    };
    // Each note is of another beacon: `Peers::clears` asks each once.
    let enough = |policy: &Sha256| {
        clears.iter().filter(|note| names(policy, note)).count() >= usize::from(beacons.need.get())
    };
    chain.waiting().iter().map(|held| held.hash).find(enough)
}
