//! Witnesses and beacons: what the server asks of them and tells them.
//!
//! They are independent of the server and reached over the network, so each call has a time limit and every answer is
//! checked by its signature. Connections are kept: a job's Clears cost one round trip each.
//!
//! Source: docs/spec/8-interfaces.md, "Beacon" and "Witness".

mod bring;
mod connect;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use countersign_trust::chain::Chain;
use countersign_trust::clear::{Acknowledgement, Clear};
use countersign_trust::delivery::{News, read_sequence, write_sequence};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::statement::policy::Policy;
use countersign_trust::words::Address;
use http_body_util::{BodyExt, Full, Limited};
use hyper::http::request::Builder;
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::learn::Hint;
use connect::Connector;

/// How long one request may take, connection included.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// How long Clears are waited for; a job is not sent with fewer than the policy asks for, but tried again for a minute. After that
/// devices that reach beacons themselves are left to gather the rest.
const CLEAR_TIME: Duration = Duration::from_secs(3);
/// How long an idle connection is kept: less than peers keep it.
const IDLE_TIME: Duration = Duration::from_secs(45);
/// The largest answer that is read, in bytes.
const MOST_ANSWER: usize = 4 * 1024 * 1024;

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PeerError {
    /// The request is none.
    #[error("{url} is no address of a peer: {error}")]
    Url {
        /// The address.
        url: String,
        /// Why not.
        error: String,
    },
    /// No connection, or it broke.
    #[error("{url} does not answer: {why}")]
    Silent {
        /// The address.
        url: String,
        /// Why not.
        why: String,
    },
    /// Too slow.
    #[error("{url} has not answered within {} s", limit.as_secs())]
    Slow {
        /// The address.
        url: String,
        /// The limit.
        limit: Duration,
    },
    /// An answer that says no, or that does not hold.
    #[error("{url} answered {status}: {text}")]
    Answer {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// The beginning of what it said.
        text: String,
    },
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; what is not UTF-8 is replaced.
    pub text: String,
}

/// What a beacon answered, its key, and where it is.
type Asked = (Result<Note, PeerError>, VerifierKey, String);

/// Connections to witnesses and beacons.
#[derive(Clone)]
pub struct Peers {
    client: Client<Connector, Full<Bytes>>,
    hints: UnboundedSender<Hint>,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peers")
    }
}

impl Peers {
    /// No connection yet. Hints tell of beacons that know something else than is held here.
    ///
    /// # Errors
    /// TLS cannot be set up at all.
    pub fn new() -> Result<(Self, UnboundedReceiver<Hint>), rustls::Error> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .build(Connector::new()?);
        let (hints, hinted) = unbounded_channel();
        Ok((Self { client, hints }, hinted))
    }

    /// Posts a text.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn post(&self, url: &str, body: String) -> Result<Answer, PeerError> {
        self.request(Method::POST, url, body).await
    }

    /// Gets a text.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn get(&self, url: &str) -> Result<Answer, PeerError> {
        self.request(Method::GET, url, String::new()).await
    }

    /// Gets a text of at most so many bytes, and waits so long for it.
    ///
    /// # Errors
    /// No such answer in time.
    pub async fn get_at_most(&self, url: &str, most: usize, limit: Duration) -> Result<Answer, PeerError> {
        self.ask(Method::GET, url, String::new(), most, limit).await
    }

    /// Posts a JSON text under a token, and wants status 204.
    ///
    /// # Errors
    /// No such answer in time.
    pub async fn report(&self, url: &str, token: &str, body: String) -> Result<(), PeerError> {
        let request = Request::builder().method(Method::POST).uri(url);
        let request = request
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        let answer = self.send(request, url, body, MOST_ANSWER, REQUEST_TIME).await?;
        if answer.status == 204 { Ok(()) } else { Err(refused(url.to_owned(), &answer)) }
    }

    async fn request(&self, method: Method, url: &str, body: String) -> Result<Answer, PeerError> {
        self.ask(method, url, body, MOST_ANSWER, REQUEST_TIME).await
    }

    async fn ask(
        &self,
        method: Method,
        url: &str,
        body: String,
        most: usize,
        limit: Duration,
    ) -> Result<Answer, PeerError> {
        let request =
            Request::builder().method(method).uri(url).header("content-type", "text/plain; charset=utf-8");
        self.send(request, url, body, most, limit).await
    }

    async fn send(
        &self,
        request: Builder,
        url: &str,
        body: String,
        most: usize,
        limit: Duration,
    ) -> Result<Answer, PeerError> {
        let request = request
            .body(Full::from(body))
            .map_err(|error| PeerError::Url { url: url.to_owned(), error: error.to_string() })?;
        let silent =
            |error: &dyn std::error::Error| PeerError::Silent { url: url.to_owned(), why: chain_of(error) };
        let answer = async {
            let answer = self.client.request(request).await.map_err(|error| silent(&error))?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), most).collect().await;
            let body = body.map_err(|error| silent(error.as_ref()))?.to_bytes();
            Ok(Answer { status, text: String::from_utf8_lossy(&body).into_owned() })
        };
        let slow = || PeerError::Slow { url: url.to_owned(), limit };
        tokio::time::timeout(limit, answer).await.map_err(|_| slow())?
    }

    /// Posts a text and wants status 200.
    async fn post_well(&self, url: String, body: String) -> Result<String, PeerError> {
        let answer = self.post(&url, body).await?;
        if answer.status == 200 { Ok(answer.text) } else { Err(refused(url, &answer)) }
    }

    /// Asks every beacon of the newest policy to answer `root`; returns as soon as there are enough Clears that an agent
    /// which holds `chain` accepts, or with those that came in time.
    ///
    /// A beacon that knows less than `chain` is told the rest, for the next time. Those that are slower than enough others are
    /// heard out all the same: what they know besides may be what the faster half has not heard of.
    pub async fn clears(&self, chain: &Chain, root: &Sha256) -> Vec<Note> {
        let policy = &chain.policy().body;
        let need = usize::from(policy.beacons.need.get());
        let mut asked = JoinSet::new();
        for (key, url) in beacons(policy) {
            let (peers, org, root) = (self.clone(), chain.org(), *root);
            asked.spawn(async move { (peers.clear(&url, &org, &root).await, key, url) });
        }
        let mut clears = Vec::new();
        let gather = async {
            while clears.len() < need
                && let Some(answered) = asked.join_next().await
            {
                clears.extend(answered.ok().and_then(|answered| self.judge_clear(chain, root, answered)));
            }
        };
        // Those that came in time are what there is.
        let _ = tokio::time::timeout(CLEAR_TIME, gather).await;
        self.hear_out(chain, *root, asked);
        clears
    }

    /// Judges in the background what comes too late to be used; each question has an end.
    fn hear_out(&self, chain: &Chain, root: Sha256, mut asked: JoinSet<Asked>) {
        if asked.is_empty() {
            return;
        }
        let (peers, chain) = (self.clone(), chain.clone());
        tokio::spawn(async move {
            while let Some(answered) = asked.join_next().await {
                let _late = answered.ok().and_then(|answered| peers.judge_clear(&chain, &root, answered));
            }
        });
    }

    /// The Clear, if an agent that holds `chain` would count it. Whoever knows something else is told, and asked.
    fn judge_clear(&self, chain: &Chain, root: &Sha256, (answer, key, url): Asked) -> Option<Note> {
        match answer.and_then(|note| good_clear(chain, &key, root, note, &url)) {
            Ok(note) => {
                // Agents that know the halt take the Clear all the same; whoever asks the beacon alone must hear of it.
                if note.text().parse().is_ok_and(|clear: Clear| bring::unnamed(chain, &clear).is_some()) {
                    self.tell(chain, key, url);
                }
                Some(note)
            }
            Err(error) => {
                tracing::warn!(beacon.name = key.name(), why = %error, "no Clear");
                if matches!(error, PeerError::Answer { .. }) {
                    self.reconcile(chain, key, url);
                }
                None
            }
        }
    }

    async fn clear(&self, url: &str, org: &OrgId, root: &Sha256) -> Result<Note, PeerError> {
        let url = format!("{url}/v1/orgs/{org}/clear");
        let text = self.post_well(url.clone(), format!("{root}\n")).await?;
        text.parse().map_err(|_| PeerError::Answer { url, status: 200, text })
    }

    /// What the beacons of the newest policy know besides it; of those that answer, whatever can be read.
    pub async fn news_of_beacons(&self, chain: &Chain) -> Vec<News> {
        let mut asked = JoinSet::new();
        for (key, url) in beacons(&chain.policy().body) {
            let (peers, number) = (self.clone(), chain.policy().body.number);
            let url = format!("{url}/v1/orgs/{}/news?after={number}", chain.org());
            asked.spawn(async move { (key, peers.get(&url).await) });
        }
        let mut all = Vec::new();
        while let Some(answered) = asked.join_next().await {
            match answered {
                Ok((_, Ok(answer))) if answer.status == 200 => {
                    let items = read_sequence(&answer.text).unwrap_or_default();
                    all.extend(items.into_iter().filter_map(|item| News::from_text(item).ok()));
                }
                Ok((key, Ok(Answer { status, .. }))) => {
                    tracing::warn!(beacon.name = key.name(), status, "beacon shows no news");
                }
                Ok((key, Err(error))) => {
                    tracing::warn!(beacon.name = key.name(), why = %error, "beacon shows no news");
                }
                Err(_) => {}
            }
        }
        all
    }

    /// Tells one beacon what it may lack, and lets somebody ask what it knows; in the background.
    fn reconcile(&self, chain: &Chain, key: VerifierKey, url: String) {
        // Nobody follows hints while the server stops.
        let _ = self.hints.send(Hint { org: chain.org(), url: url.clone() });
        self.tell(chain, key, url);
    }

    /// Tells one beacon what it lacks, in the background.
    fn tell(&self, chain: &Chain, key: VerifierKey, url: String) {
        let (peers, chain) = (self.clone(), chain.clone());
        tokio::spawn(async move {
            if let Err(error) = peers.bring_one(&chain, &key, &url).await {
                tracing::warn!(beacon.name = key.name(), why = %error, "beacon not told");
            }
        });
    }

    /// Shows a witness the policies that say which log is the organization's; also one that is to follow them, whose log nothing has
    /// been cosigned in yet.
    ///
    /// # Errors
    /// It does not take them.
    pub async fn tell_witness(
        &self,
        chain: &Chain,
        also: Option<&Signed>,
        url: &str,
    ) -> Result<(), PeerError> {
        let policies = chain.policies().iter().chain(chain.waiting()).flat_map(|held| {
            let words = chain.words(&held.hash).map(ToString::to_string);
            std::iter::once(held.signed.to_string()).chain(words)
        });
        let policies = policies.chain(also.map(ToString::to_string));
        let url = format!("{url}/v1/orgs/{}/policies", chain.org());
        self.post_well(url, write_sequence(&policies.collect::<Vec<_>>())).await.map(|_| ())
    }

    /// Shows the policies to every witness of the newest one, and waits for all answers.
    pub async fn tell_witnesses(&self, chain: &Chain) {
        for (key, url) in witnesses(&chain.policy().body) {
            if let Err(error) = self.tell_witness(chain, None, &url).await {
                tracing::warn!(witness.name = key.name(), why = %error, "witness not told");
            }
        }
    }

    /// Hands a halt to every beacon of the newest policy; answers each one's acknowledgement, or why there is none.
    pub async fn halt(&self, chain: &Chain, halt: &Signed) -> BTreeMap<String, Result<Note, PeerError>> {
        let mut handed = JoinSet::new();
        for (key, url) in beacons(&chain.policy().body) {
            let (peers, halt, hash, org) = (self.clone(), halt.to_string(), halt.hash(), chain.org());
            let url = format!("{url}/v1/orgs/{org}/halts");
            handed.spawn(async move {
                let text = peers.post_well(url.clone(), halt).await;
                let note = text.and_then(|text| acknowledged(&key, &org, &hash, text, url));
                (key.name().to_owned(), note)
            });
        }
        handed.join_all().await.into_iter().collect()
    }
}

/// The beacons of a policy with their addresses.
fn beacons(policy: &Policy) -> Vec<(VerifierKey, String)> {
    let url = |key| policy.address_of_beacon(key).map(Address::as_str);
    addressed(policy.beacons.keys.iter().map(|key| (key, url(key))))
}

/// The witnesses of a policy with their addresses.
pub(crate) fn witnesses(policy: &Policy) -> Vec<(VerifierKey, String)> {
    let url =
        |key: &VerifierKey| policy.addresses.witnesses.iter().find(|(name, _)| name.as_str() == key.name());
    addressed(policy.witnesses.keys.iter().map(|key| (key, url(key).map(|(_, url)| url.as_str()))))
}

fn addressed<'a>(
    peers: impl Iterator<Item = (&'a VerifierKey, Option<&'a str>)>,
) -> Vec<(VerifierKey, String)> {
    let mut there = Vec::new();
    for (key, url) in peers {
        match url {
            Some(url) => there.push((key.clone(), url.trim_end_matches('/').to_owned())),
            None => tracing::error!(peer.name = key.name(), "the policy names no address for this key"),
        }
    }
    there
}

/// The note, if an agent that holds `chain` would count it.
fn good_clear(
    chain: &Chain,
    key: &VerifierKey,
    root: &Sha256,
    note: Note,
    url: &str,
) -> Result<Note, PeerError> {
    let bad = |text: String| PeerError::Answer { url: url.to_owned(), status: 200, text };
    let clear: Clear = note.text().parse().map_err(|error| bad(format!("a Clear that is none: {error}")))?;
    if !note.signed_by(key) {
        return Err(bad(format!("a Clear that is not signed by {key}")));
    }
    if clear.org != chain.org() || clear.root != *root {
        return Err(bad("a Clear for another organization or question".to_owned()));
    }
    if clear.policy != chain.policy().hash || clear.resume != chain.resume() {
        return Err(bad("a Clear that names another policy or resume than the newest here".to_owned()));
    }
    match clear.halts.iter().find(|halt| chain.halt(halt).is_none()) {
        Some(halt) => Err(bad(format!("a Clear that names the halt {halt}, which is not known here"))),
        None => Ok(note),
    }
}

fn acknowledged(
    key: &VerifierKey,
    org: &OrgId,
    halt: &Sha256,
    text: String,
    url: String,
) -> Result<Note, PeerError> {
    let note = text.parse::<Note>().ok().filter(|note| note.signed_by(key));
    let names_it = |note: &Note| {
        note.text().parse().is_ok_and(|said: Acknowledgement| said.org == *org && said.halt == *halt)
    };
    note.filter(names_it).ok_or(PeerError::Answer { url, status: 200, text })
}

fn refused(url: String, answer: &Answer) -> PeerError {
    let text = answer.text.chars().take(500).collect();
    PeerError::Answer { url, status: answer.status, text }
}

/// An error with what caused it, in one line.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
