//! Asks for the index again and again, fetches the halts that it names, and has them offered.

use std::sync::{Arc, Weak};
use std::time::Duration;

use countersign_trust::feed::{Feed, FeedError, MAX_HALT_BYTES, MAX_INDEX_BYTES, Step};
use countersign_trust::ids::Sha256;

use super::{locked, offer, report};
use crate::app::App;
use crate::config::Vendor;
use crate::disk::Folder;
use crate::peers::{Answer, PeerError};

/// How long an answer may take: a server that holds connections answers within half of it.
const ANSWER_TIME: Duration = Duration::from_secs(50);
/// The least time between two questions.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a round of following came to less than it should.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("it answers with status {0}")]
    Status(u16),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("halt {halt}: {error}")]
    Halt { halt: Sha256, error: Box<Trouble> },
}

/// What an answer shows of the server that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It holds connections, or had something newer: it is asked again at once.
    AtOnce,
    /// It serves static files: it is asked again after the interval.
    Later,
}

/// Follows every feed of the configuration until the server is gone.
pub fn start(app: &Arc<App>, folder: &Folder) {
    let Some(vendor) = app.config.vendor.clone() else { return };
    if let Some(report) = vendor.report.clone() {
        tokio::spawn(report::follow(Arc::downgrade(app), report));
    }
    for url in vendor.feeds.clone() {
        tokio::spawn(follow(Arc::downgrade(app), vendor.clone(), folder.clone(), url));
    }
}

async fn follow(app: Weak<App>, vendor: Vendor, folder: Folder, url: String) {
    let (mut seen, mut told) = (None, Vec::new());
    loop {
        let (pause, interval) = (tokio::time::sleep(PAUSE), tokio::time::sleep(jittered(vendor.interval())));
        let Some(app) = app.upgrade() else { return };
        let asked = tokio::select! {
            asked = round(&app, &vendor, &folder, &url, &mut seen) => asked,
            () = app.stopping() => return,
        };
        note(&app, &url, seen, &asked);
        if newest(&app) != told {
            told = newest(&app);
            app.vendor.changed.notify_one();
        }
        drop(app);
        pause.await;
        if !matches!(asked, Ok(Next::AtOnce)) {
            interval.await;
        }
    }
}

async fn round(
    app: &Arc<App>,
    vendor: &Vendor,
    folder: &Folder,
    url: &str,
    seen: &mut Option<u64>,
) -> Result<Next, Trouble> {
    let after = seen.map(|seen| format!("?after={seen}")).unwrap_or_default();
    let asked = ask(app, &format!("{url}/index{after}"), MAX_INDEX_BYTES).await;
    let next = asked.and_then(|text| match text {
        None => Ok(Next::AtOnce),
        Some(text) => take(app, vendor, &text, seen),
    });
    let missing = locked(&app.vendor.held).missing();
    let mut trouble = None;
    for halt in missing {
        if let Err(error) = fetch(app, url, &halt).await {
            trouble = Some(Trouble::Halt { halt, error: Box::new(error) });
        }
    }
    // What is held is offered whatever became of the question: an organization may have begun, or changed its policy.
    offer::all(app).await;
    keep(app, folder);
    match (next, trouble) {
        (Ok(_), Some(trouble)) => Err(trouble),
        (next, _) => next,
    }
}

/// None if nothing has changed, which only a server says that holds connections.
async fn ask(app: &App, url: &str, most: usize) -> Result<Option<String>, Trouble> {
    match app.peers.get_at_most(url, most, ANSWER_TIME).await? {
        Answer { status: 304, .. } => Ok(None),
        Answer { status: 200, text } => Ok(Some(text)),
        Answer { status, .. } => Err(Trouble::Status(status)),
    }
}

fn take(app: &App, vendor: &Vendor, text: &str, seen: &mut Option<u64>) -> Result<Next, Trouble> {
    let feed = Feed::read(text, &vendor.keys)?;
    let (sequence, halts) = (feed.index.sequence, feed.index.halts.len());
    if locked(&app.vendor.held).take(feed)? == Step::Newer {
        tracing::info!(feed.sequence = sequence, feed.halts = halts, "a newer index of the vendor's feed");
    }
    let newer = *seen != Some(sequence);
    *seen = Some(sequence);
    Ok(if newer { Next::AtOnce } else { Next::Later })
}

async fn fetch(app: &App, url: &str, hash: &Sha256) -> Result<(), Trouble> {
    let text = ask(app, &format!("{url}/halts/{hash}"), MAX_HALT_BYTES).await?.unwrap_or_default();
    Ok(locked(&app.vendor.held).take_halt(&text, hash)?)
}

/// The hashes of the newest indexes.
fn newest(app: &App) -> Vec<Sha256> {
    locked(&app.vendor.held).feeds().map(|feed| feed.hash).collect()
}

/// The halts that organizations have taken are in their records; this is so that nobody leads back behind what was seen.
fn keep(app: &App, folder: &Folder) {
    let text = locked(&app.vendor.held).to_text();
    let kept = folder.vendor_feed().ok().flatten();
    if kept.as_deref().unwrap_or_default() != text
        && let Err(error) = folder.keep_vendor_feed(&text)
    {
        tracing::error!(%error, "what is held of the vendor's feed is not kept");
    }
}

/// For people to see; in the journal once, until it changes.
fn note(app: &App, url: &str, seen: Option<u64>, asked: &Result<Next, Trouble>) {
    let mut heard = locked(&app.vendor.heard);
    let heard = heard.entry(url.to_owned()).or_default();
    let trouble = asked.as_ref().err().map(ToString::to_string).unwrap_or_default();
    if trouble != heard.trouble {
        match trouble.as_str() {
            "" => tracing::info!(feed.url = url, "the vendor's feed is well again"),
            why => tracing::error!(feed.url = url, why, "the vendor's feed is not followed as it should be"),
        }
    }
    heard.sequence = seen.unwrap_or(heard.sequence);
    if trouble.is_empty() {
        heard.at = app.now().0;
    }
    heard.trouble = trouble;
}

/// Up to a quarter less, so that not all followers ask at once.
fn jittered(interval: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness they ask at once.
    let _none = getrandom::fill(&mut random);
    interval - interval * u32::from(u16::from_be_bytes(random)) / (4 * 65_536)
}
