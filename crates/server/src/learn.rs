//! What a beacon knows and the server does not: a halt that was handed to beacons alone, or that a policy has waited its time.
//!
//! Until the server brings that halt's text to the agents, they take no Clear that names it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use countersign_trust::chain::Taken;
use countersign_trust::delivery::{News, read_sequence};
use countersign_trust::ids::OrgId;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::app::{App, Org};
use crate::statements::{intake, settle};

/// A beacon whose Clear names something else than is held here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hint {
    /// The organization.
    pub org: OrgId,
    /// The beacon's address.
    pub url: String,
}

/// Beacons that are being asked, and whether another hint came meanwhile.
type Asking = Arc<Mutex<HashMap<Hint, bool>>>;

/// Follows hints until the server ends. Each beacon is asked by a task of its own, and by one at a time: one that is slow, or that gives
/// hint after hint, keeps nobody from hearing another.
pub async fn follow(app: Weak<App>, mut hints: UnboundedReceiver<Hint>) {
    let asking = Asking::default();
    while let Some(hint) = hints.recv().await {
        let Some(app) = app.upgrade() else { return };
        let Some(org) = app.orgs.get(&hint.org) else { continue };
        let is_asked =
            asking.lock().unwrap_or_else(PoisonError::into_inner).insert(hint.clone(), true).is_some();
        if !is_asked {
            tokio::spawn(ask_until_still(app, org, hint, asking.clone()));
        }
    }
}

/// Asks as long as hints come.
async fn ask_until_still(app: Arc<App>, org: Arc<Org>, hint: Hint, asking: Asking) {
    loop {
        {
            let mut asking = asking.lock().unwrap_or_else(PoisonError::into_inner);
            match asking.get_mut(&hint) {
                Some(again) if *again => *again = false,
                _ => {
                    asking.remove(&hint);
                    return;
                }
            }
        }
        tokio::select! {
            () = ask(&app, &org, &hint.url) => {}
            () = app.stopping() => return,
        }
    }
}

async fn ask(app: &Arc<App>, org: &Arc<Org>, url: &str) {
    let number = org.chain().policy().body.number;
    let text = match app.peers.get(&format!("{url}/v1/orgs/{}/news?after={number}", org.id)).await {
        Ok(answer) if answer.status == 200 => answer.text,
        Ok(answer) => {
            return tracing::warn!(beacon.url = url, status = answer.status, "beacon shows no news");
        }
        Err(error) => return tracing::warn!(beacon.url = url, why = %error, "beacon shows no news"),
    };
    for item in read_sequence(&text).unwrap_or_default() {
        match News::from_text(item) {
            Ok(news) => take(app, org, url, &news).await,
            Err(error) => tracing::warn!(beacon.url = url, why = %error, "beacon shows what is no news"),
        }
    }
}

async fn take(app: &Arc<App>, org: &Arc<Org>, url: &str, news: &News) {
    let known = {
        let chain = org.chain();
        let hash = news.hash();
        let resumed = chain.resumes().iter().any(|resume| resume.hash == hash);
        let waits = chain.waiting().iter().any(|policy| policy.hash == hash);
        chain.halt(&hash).is_some() || chain.policy_by_hash(&hash).is_some() || resumed || waits
    };
    match news {
        _ if known => {}
        // No beacon keeps enrollments.
        News::Enroll(_) => {}
        News::Recovered(word) => {
            if let Err(error) = settle::recovered(app, org, word).await {
                tracing::warn!(beacon.url = url, why = %error, "beacon's word not kept");
            }
        }
        News::Halt(signed) => {
            if let Err(error) = intake::take_of_beacon(app, org, signed).await {
                tracing::warn!(beacon.url = url, why = %error, "halt of a beacon not taken");
            }
        }
        News::Policy(_) if news.offer(&mut org.chain_now()) == Ok(Taken::Waits) => {
            tracing::error!(
                beacon.url = url,
                statement.hash = %news.hash(),
                "a policy of the recovery set waits at a beacon and was never brought here: somebody may have found its keys"
            );
        }
        News::Policy(_) | News::Resume(_) => {
            tracing::error!(
                beacon.url = url,
                statement.hash = %news.hash(),
                "a beacon holds a policy or resume that these records lack: they were restored from an older copy"
            );
        }
    }
}
