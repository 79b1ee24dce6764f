//! Follows a vendor's feed: asks for the index, again and again, and offers each halt to every organization that is served, as if
//! somebody had brought it. Nothing is judged here but the feed itself.
//!
//! Source: docs/spec/8-interfaces.md, "A vendor's feed".

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use countersign_trust::envelope::Signed;
use countersign_trust::feed::{Feed, FeedError, Held, MAX_HALT_BYTES, MAX_INDEX_BYTES, Step};
use countersign_trust::ids::{OrgId, Sha256};
use tokio::task::spawn_blocking;

use crate::ask::{AskError, Asker};
use crate::beacon::Beacon;
use crate::config::Vendor;
use crate::disk::DiskError;

/// What is kept of feeds, in the data folder.
const FILE: &str = "vendor-feed";
/// How long an answer may take: a server that holds connections answers within half of it.
const ANSWER_TIME: Duration = Duration::from_secs(50);
/// The least time between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a round of following came to less than it should.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("halt {0}: {1}")]
    Halt(Sha256, AskError),
}

/// What all feeds of this beacon have come to.
struct Followed {
    vendor: Vendor,
    asker: Asker,
    held: Mutex<Held>,
    /// Why an organization does not take a halt, as it was said last.
    refusals: Mutex<BTreeMap<(OrgId, Sha256), String>>,
}

/// Follows every feed of the configuration until the beacon is gone.
///
/// # Errors
/// The data folder, or TLS.
pub fn start(beacon: &Arc<Beacon>, vendor: &Vendor) -> Result<(), FollowError> {
    let kept = beacon.folder().read(FILE)?.unwrap_or_default();
    let held = Held::from_text(&kept, &vendor.keys).unwrap_or_else(|error| {
        tracing::error!(%error, file = FILE, "what was kept of the vendor's feed is not read; it is fetched again");
        Held::default()
    });
    let (vendor, asker) = (vendor.clone(), Asker::new()?);
    let followed = Arc::new(Followed { vendor, asker, held: Mutex::new(held), refusals: Mutex::default() });
    for url in followed.vendor.feeds.clone() {
        tokio::spawn(follow(Arc::downgrade(beacon), followed.clone(), url));
    }
    Ok(())
}

/// Why a feed cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// TLS.
    #[error("TLS as a client cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

async fn follow(beacon: Weak<Beacon>, followed: Arc<Followed>, url: String) {
    let (mut seen, mut said) = (None, String::new());
    loop {
        let interval = tokio::time::sleep(jittered(followed.vendor.interval()));
        let pause = tokio::time::sleep(PAUSE);
        let asked = round(&beacon, &followed, &url, &mut seen).await;
        let at_once = matches!(asked, Ok(Heard::Held | Heard::Newer));
        let trouble = asked.err().map(|error| error.to_string()).unwrap_or_default();
        if trouble != said {
            match trouble.as_str() {
                "" => tracing::info!(feed.url = url, "the vendor's feed is well again"),
                why => {
                    tracing::error!(feed.url = url, why, "the vendor's feed is not followed as it should be")
                }
            }
            said = trouble;
        }
        if beacon.strong_count() == 0 {
            return;
        }
        pause.await;
        if !at_once {
            interval.await;
        }
    }
}

/// What an answer shows of the server that gave it.
enum Heard {
    /// The connection was held, and nothing came.
    Held,
    /// A newer index.
    Newer,
    /// The same index: a server of static files.
    Same,
}

async fn round(
    beacon: &Weak<Beacon>,
    followed: &Arc<Followed>,
    url: &str,
    seen: &mut Option<u64>,
) -> Result<Heard, Trouble> {
    let after = seen.map(|seen| format!("?after={seen}")).unwrap_or_default();
    let answer = followed.asker.get(&format!("{url}/index{after}"), MAX_INDEX_BYTES, ANSWER_TIME).await;
    let heard = match answer {
        Ok(None) => Ok(Heard::Held),
        Ok(Some(text)) => take(followed, &text, seen),
        Err(error) => Err(error.into()),
    };
    // What is held is offered whatever became of the question: an organization may have begun, or changed its policy.
    let missing = locked(&followed.held).missing();
    let mut trouble = None;
    for hash in missing {
        if let Err(error) = fetch(followed, url, &hash).await {
            trouble = Some(error);
        }
    }
    if let Some(beacon) = beacon.upgrade() {
        let followed = followed.clone();
        // A panic there has been reported where it happened.
        let _done = spawn_blocking(move || offer(&beacon, &followed)).await;
    }
    match trouble {
        Some(trouble) if heard.is_ok() => Err(trouble),
        _ => heard,
    }
}

fn take(followed: &Followed, text: &str, seen: &mut Option<u64>) -> Result<Heard, Trouble> {
    let feed = Feed::read(text, &followed.vendor.keys)?;
    let (sequence, halts) = (feed.index.sequence, feed.index.halts.len());
    let step = locked(&followed.held).take(feed)?;
    let newer = *seen != Some(sequence);
    *seen = Some(sequence);
    if step == Step::Newer {
        tracing::info!(feed.sequence = sequence, feed.halts = halts, "a newer index of the vendor's feed");
    }
    Ok(if newer { Heard::Newer } else { Heard::Same })
}

async fn fetch(followed: &Followed, url: &str, hash: &Sha256) -> Result<(), Trouble> {
    let answer = followed.asker.get(&format!("{url}/halts/{hash}"), MAX_HALT_BYTES, ANSWER_TIME).await;
    let text = answer.map_err(|error| Trouble::Halt(*hash, error))?.unwrap_or_default();
    Ok(locked(&followed.held).take_halt(&text, hash)?)
}

/// Offers all halts to all organizations, then keeps what is held: a halt that is taken is on disk by the organization's own files.
fn offer(beacon: &Beacon, followed: &Followed) {
    let (halts, text) = {
        let held = locked(&followed.held);
        (held.halts().cloned().collect::<Vec<Signed>>(), held.to_text())
    };
    for halt in &halts {
        for (org, outcome) in beacon.offer_halt(halt) {
            say(followed, org, halt.hash(), outcome);
        }
    }
    let kept = beacon.folder().read(FILE).ok().flatten();
    if kept.as_deref() != Some(&text)
        && let Err(error) = beacon.folder().write(FILE, &text)
    {
        tracing::error!(%error, "what is held of the vendor's feed is not kept");
    }
}

/// Each answer is said once, until it is another.
fn say(followed: &Followed, org: OrgId, halt: Sha256, outcome: Result<(), String>) {
    let mut refusals = locked(&followed.refusals);
    match outcome {
        Ok(()) => {
            refusals.remove(&(org, halt));
            tracing::warn!(org.id = %org, halt.hash = %halt, "a vendor's halt was taken");
        }
        Err(why) => {
            let before = refusals.insert((org, halt), why.clone());
            if before.as_ref() != Some(&why) {
                tracing::warn!(org.id = %org, halt.hash = %halt, why, "a vendor's halt was not taken");
            }
        }
    }
}

/// Up to a quarter less, so that not all followers ask at once.
fn jittered(interval: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness they ask at once.
    let _none = getrandom::fill(&mut random);
    interval - interval * u32::from(u16::from_be_bytes(random)) / (4 * 65_536)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
