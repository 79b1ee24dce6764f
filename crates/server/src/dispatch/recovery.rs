//! While a policy of the recovery set waits: whether beacons have given their word that it has waited its time.

use std::sync::Arc;

use countersign_trust::delivery::News;

use crate::app::{App, Org};
use crate::statements::settle;
use crate::store::StoreError;

/// Asks the beacons of the policy in force if another waits: what people sign next may name it. True if it is in force.
///
/// # Errors
/// The records cannot be reached.
pub async fn look(app: &Arc<App>, org: &Arc<Org>) -> Result<bool, StoreError> {
    let chain = org.chain_now();
    if chain.waiting().is_empty() {
        return Ok(false);
    }
    for news in app.peers.news_of_beacons(&chain).await {
        if let News::Recovered(word) = news {
            settle::recovered(app, org, &word).await?;
        }
    }
    Ok(org.chain().policy().hash != chain.policy().hash)
}
