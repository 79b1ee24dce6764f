//! Asks beacons directly: all of the policy's at once, with a tree of challenges that has one leaf.
//!
//! Nothing is decided here either. What a beacon says is handed on with its signature; a beacon that knows of policies,
//! resumes or halts which this device does not hold is asked for them first. Its Clear is good without them: the device may
//! hear of what it names from elsewhere.

mod http;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_trust::chain::Chain;
use countersign_trust::clear::{AnsweredClear, Clear};
use countersign_trust::delivery::{News, read_sequence};
use countersign_trust::device::Input;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::merkle::leaf_hash;
use countersign_trust::note::{Note, NoteError, VerifierKey};
use http::{HttpError, Request};
use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::drive::Heard;

/// How long a beacon may take for each answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The longest Clear that is read, in bytes.
const MOST_CLEAR: usize = Note::MAX_BYTES;
/// The longest news that are read, in bytes.
const MOST_NEWS: usize = 8 << 20;

/// What beacons are asked, and what the device holds at that time.
#[derive(Clone, Debug)]
pub struct Question {
    org: OrgId,
    root: Sha256,
    need: usize,
    beacons: Vec<(VerifierKey, String)>,
    number: u64,
    policy: Sha256,
    resume: Option<Sha256>,
    halts: BTreeSet<Sha256>,
}

/// Why a beacon's answer is of no use.
#[derive(Debug, thiserror::Error)]
enum BeaconError {
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Slow,
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("its answer is no note: {0}")]
    Note(#[from] NoteError),
    #[error("its news are no sequence of envelopes")]
    Sequence,
}

/// What one beacon answered.
struct Answer {
    clear: Note,
    /// And the room that they take.
    news: Option<(Vec<News>, OwnedSemaphorePermit)>,
}

impl Question {
    /// Whether anybody has said stop, asked with `challenge` by one who holds `chain`.
    pub fn new(chain: &Chain, challenge: &[u8; 32]) -> Self {
        let policy = chain.policy();
        let addresses = &policy.body.addresses.beacons;
        let address = |key: &VerifierKey| addresses.iter().find(|(name, _)| name.as_str() == key.name());
        let beacons =
            policy.body.beacons.keys.iter().filter_map(|key| {
                address(key).map(|(_, address)| (key.clone(), address.as_str().to_owned()))
            });
        Self {
            org: chain.org(),
            // A tree of one leaf is the leaf.
            root: leaf_hash(challenge),
            need: usize::from(policy.body.beacons.need.get()),
            beacons: beacons.collect(),
            number: policy.body.number,
            policy: policy.hash,
            resume: chain.resume(),
            halts: chain.halts().map(|halt| halt.hash).collect(),
        }
    }

    /// Whether `clear`, if `key` signed it, names anything the device does not hold.
    fn is_behind(&self, clear: &Note, key: &VerifierKey) -> bool {
        let Some(clear) = clear.signed_by(key).then(|| clear.text().parse::<Clear>().ok()).flatten() else {
            return false;
        };
        clear.policy != self.policy || clear.resume != self.resume || !clear.halts.is_subset(&self.halts)
    }
}

/// Asks, and tells of the answers: as soon as enough have come, and again if more come after that. Of `room` each beacon that has
/// news takes one.
pub async fn ask(question: Question, tls: Arc<ClientConfig>, room: Arc<Semaphore>, to: mpsc::Sender<Heard>) {
    let question = Arc::new(question);
    let mut asked = JoinSet::new();
    for (key, url) in question.beacons.clone() {
        let (question, tls, room) = (question.clone(), tls.clone(), room.clone());
        asked.spawn(async move {
            let answer = ask_one(&question, &key, &url, &tls, room).await;
            answer
                .inspect_err(
                    |error| tracing::warn!(beacon.key = key.name(), %error, "a beacon gave no Clear"),
                )
                .ok()
        });
    }
    let (mut answers, mut told) = (Vec::new(), 0);
    while let Some(answered) = asked.join_next().await {
        let Ok(Some(Answer { clear, news })) = answered else { continue };
        if let Some((news, room)) = news
            && to.send(Heard::Brought(Input::News(news), room)).await.is_err()
        {
            return;
        }
        answers.push(AnsweredClear { clear, index: 0, size: 1, path: Vec::new() });
        if answers.len() == question.need {
            told = answers.len();
            // Nobody listens any more: then nobody needs it. The same below.
            let _ = to.send(Heard::Input(Input::Clears(answers.clone()))).await;
        }
    }
    if answers.len() > told {
        let _ = to.send(Heard::Input(Input::Clears(answers))).await;
    }
}

async fn ask_one(
    question: &Question,
    key: &VerifierKey,
    url: &str,
    tls: &Arc<ClientConfig>,
    room: Arc<Semaphore>,
) -> Result<Answer, BeaconError> {
    let path = format!("/v1/orgs/{}/clear", question.org);
    let body = Bytes::from(format!("{}\n", question.root));
    let clear: Note = answer(Request::post(url, path, body, MOST_CLEAR), tls).await?.parse()?;
    let mut news = None;
    // Nobody closes the semaphore.
    if question.is_behind(&clear, key)
        && let Ok(room) = room.acquire_owned().await
    {
        let fetched = fetch_news(question, key, url, tls).await;
        let fetched = fetched.inspect_err(|error| {
            tracing::warn!(beacon.key = key.name(), %error, "a beacon gave a Clear, and not what it names");
        });
        news = fetched.ok().map(|news| (news, room));
    }
    Ok(Answer { clear, news })
}

async fn fetch_news(
    question: &Question,
    key: &VerifierKey,
    url: &str,
    tls: &Arc<ClientConfig>,
) -> Result<Vec<News>, BeaconError> {
    let path = format!("/v1/orgs/{}/news?after={}", question.org, question.number);
    let text = answer(Request::get(url, path, MOST_NEWS), tls).await?;
    let envelopes = read_sequence(&text).ok_or(BeaconError::Sequence)?;
    let all = envelopes.len();
    let news: Vec<News> = envelopes.into_iter().filter_map(|text| News::from_text(text).ok()).collect();
    if news.len() < all {
        let unread = all - news.len();
        tracing::warn!(beacon.key = key.name(), news.unread = unread, "news of a beacon cannot be read");
    }
    Ok(news)
}

async fn answer(request: Request<'_>, tls: &Arc<ClientConfig>) -> Result<String, BeaconError> {
    Ok(timeout(PATIENCE, request.send(tls)).await.map_err(|_| BeaconError::Slow)??)
}
