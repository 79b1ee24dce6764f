//! How a machine becomes a device of an organization: by a token, or by an enrollment that an operator hands over.
//!
//! What the server answers is believed as little here as later: the token names the organization by the hash of its genesis
//! policy, and from there everything is signed, logged and cosigned, or the machine is not enrolled.

use std::path::Path;
use std::time::Duration;

use countersign_trust::delivery::News;
use countersign_trust::envelope::Logged;
use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_trust::join::{Enrolled, Join, device_key};
use countersign_trust::ledger::{Ledger, LedgerError, Record};
use countersign_trust::note::{KeyKind, Note, NoteError, NoteSigner, VerifierKeyError};
use countersign_trust::statement::Kind;
use countersign_trust::words::Line;
use countersign_wire::message::{self, ContentError, Joined, from_agent, from_server, read_news};
use countersign_wire::token::{TOKEN_KEY_NAME, Token};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::disk::ledger::read_ledger;
use crate::disk::{DiskError, Folder};
use crate::link::{Incoming, LinkError, Server, connect, say};
use crate::tls::{Identity, TlsError};

/// How long the server may take: the join must be logged and cosigned first.
const PATIENCE: Duration = Duration::from_secs(60);
/// Where this machine's own SSH key lies, if it has one.
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key.pub";

/// Why the machine is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The folder.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server.
    #[error("{server}: {error}")]
    Link {
        /// Its address.
        server: String,
        /// What happened.
        error: LinkError,
    },
    /// The server does not answer.
    #[error("{server} did not answer within {} s; it may still have enrolled this machine: try again", PATIENCE.as_secs())]
    Slow {
        /// The server's address.
        server: String,
    },
    /// The answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    Content(#[from] ContentError),
    /// The answer has a part missing or one too many.
    #[error("the answer lacks {0}")]
    Lacks(&'static str),
    /// What was shown does not enroll this machine.
    #[error("what was shown does not enroll this machine in {org}: {error}")]
    Shown {
        /// The organization that was expected.
        org: OrgId,
        /// What does not hold.
        error: LedgerError,
    },
    /// It enrolls by another statement than the token's.
    #[error("the answer enrolls by {found}, the token names {expected}")]
    OtherBatch {
        /// The token's.
        expected: Sha256,
        /// The answer's.
        found: Sha256,
    },
    /// It enrolls another machine.
    #[error("it enrolls {found}, this machine is {expected}")]
    OtherDevice {
        /// This machine.
        expected: DeviceId,
        /// The one enrolled.
        found: DeviceId,
    },
    /// It is enrolled already, elsewhere.
    #[error(
        "this machine belongs to {held} already; to move it to {wanted}, begin with an empty data folder"
    )]
    Elsewhere {
        /// Where it is enrolled.
        held: OrgId,
        /// Where it should be.
        wanted: OrgId,
    },
    /// What enrolled it does not hold any more.
    #[error(
        "what enrolled this machine in {0} does not hold by the policies it was shown since: begin with an empty data folder, so that \
         nothing it has run runs again"
    )]
    NoLonger(OrgId),
    /// A key.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
    /// A note.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// The device's key, by which it signs receipts, named by the device's id.
///
/// # Errors
/// The seed makes no key.
pub fn device_signer(seed: &[u8; 32]) -> Result<NoteSigner, VerifierKeyError> {
    let raw = *NoteSigner::new("device", KeyKind::Ed25519, seed)?.verifier().raw();
    NoteSigner::new(device_key(raw)?.name(), KeyKind::Ed25519, seed)
}

/// Enrolls this machine with `token`. A machine that is enrolled in that organization stays as it is.
///
/// # Errors
/// It is not enrolled, and nothing was written but its key.
pub async fn enroll(folder: &Folder, token: &Token) -> Result<Enrolled, EnrollError> {
    if let Some(enrolled) = enrolled_already(folder.root(), token.org)? {
        return Ok(enrolled);
    }
    let seed = folder.seed()?;
    let signer = device_signer(&seed)?;
    let join = join(token, &signer, host_key())?;
    let server = Server { address: token.server.clone(), pin: token.pin };
    let joined = ask_to_join(&Identity::new(&seed)?, &server, &join).await?;
    let (records, batch) = read_answer(token.org, joined, join)?;
    if batch != token.batch {
        return Err(EnrollError::OtherBatch { expected: token.batch, found: batch });
    }
    begin(folder, token.org, &signer, &records)
}

/// Enrolls this machine in `org` by `envelopes`: the genesis policy, what was decided since, and the statement that enrolls it.
///
/// # Errors
/// It is not enrolled, and nothing was written but its key.
pub fn enroll_offline(folder: &Folder, org: OrgId, envelopes: &[&str]) -> Result<Enrolled, EnrollError> {
    if let Some(enrolled) = enrolled_already(folder.root(), org)? {
        return Ok(enrolled);
    }
    let signer = device_signer(&folder.seed()?)?;
    let (enroll, chain) = envelopes.split_last().ok_or(EnrollError::Lacks("everything"))?;
    let enroll = read_logged("the enrollment", enroll)?;
    if enroll.signed.kind() != Ok(Kind::Enroll) {
        return Err(EnrollError::Lacks("an enrollment at its end"));
    }
    let mut records = read_chain(org, chain)?;
    records.push(Record::Enrolled { enroll, join: None });
    begin(folder, org, &signer, &records)
}

/// How the machine with the folder `data` is enrolled in `wanted`, if it is; an agent may be running there.
///
/// # Errors
/// It is enrolled elsewhere, or its ledger cannot be read.
pub fn enrolled_already(data: &Path, wanted: OrgId) -> Result<Option<Enrolled>, EnrollError> {
    let ledger = match read_ledger(data) {
        Err(DiskError::NotEnrolled(_)) => return Ok(None),
        read => read?,
    };
    match ledger.chain().map(|chain| chain.org()) {
        Some(held) if held != wanted => Err(EnrollError::Elsewhere { held, wanted }),
        Some(held) => ledger.enrolled().cloned().map(Some).ok_or(EnrollError::NoLonger(held)),
        None => Ok(None),
    }
}

/// The wish to join, which is the same however often it is made.
///
/// # Errors
/// The token's seed makes no key.
pub fn join(token: &Token, signer: &NoteSigner, host_key: Line) -> Result<Note, EnrollError> {
    let device = signer.verifier().clone();
    let text = Join { org: token.org, batch: token.batch, device, host_key }.to_string();
    let mut note = signer.note(text)?;
    let by_token = NoteSigner::new(TOKEN_KEY_NAME, KeyKind::Ed25519, &token.seed)?;
    note.add(by_token.sign(note.text())?)?;
    Ok(note)
}

/// Type and key, without the comment; nothing where there is none.
fn host_key() -> Line {
    let text = std::fs::read_to_string(HOST_KEY).unwrap_or_default();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    words.join(" ").parse().unwrap_or_default()
}

/// How much of an organization's history may come before the answer to a join, in bytes.
const MOST_HISTORY: usize = 64 << 20;

async fn ask_to_join(identity: &Identity, server: &Server, join: &Note) -> Result<Joined, EnrollError> {
    let exchange = async {
        let (read, mut write) = tokio::io::split(connect(identity, server).await?);
        let wish = message::Join { note: join.to_string() };
        say(&mut write, from_agent::What::Join(wish), true).await?;
        let mut incoming = Incoming::new(read);
        let (mut news, mut bytes) = (Vec::new(), 0);
        let joined = loop {
            match incoming.next().await? {
                from_server::What::Joined(mut joined) => {
                    joined.chain.append(&mut news);
                    break joined;
                }
                // A history that is too long for one message comes before it.
                from_server::What::News(part) => {
                    bytes += part.envelopes.iter().map(String::len).sum::<usize>();
                    if bytes > MOST_HISTORY {
                        return Err(LinkError::History(MOST_HISTORY));
                    }
                    news.extend(part.envelopes);
                }
                from_server::What::Sorry(sorry) => return Err(LinkError::Sorry(sorry.why)),
                _ => {}
            }
        };
        // A farewell, so that the server does not take it for a broken connection; the answer is there either way.
        let _ = write.shutdown().await;
        Ok(joined)
    };
    let answered = timeout(PATIENCE, exchange).await;
    let answered = answered.map_err(|_| EnrollError::Slow { server: server.address.clone() })?;
    answered.map_err(|error| EnrollError::Link { server: server.address.clone(), error })
}

/// The records that the answer gives, and by which statement it enrolls.
///
/// # Errors
/// The answer cannot be read. Whether it holds shows when a ledger is made of it.
pub fn read_answer(org: OrgId, joined: Joined, join: Note) -> Result<(Vec<Record>, Sha256), EnrollError> {
    let chain: Vec<&str> = joined.chain.iter().map(String::as_str).collect();
    let mut records = read_chain(org, &chain)?;
    let enroll = read_logged("the enrollment", &joined.enroll)?;
    let proof = joined.proof.parse();
    let proof = proof.map_err(|error| ContentError { what: "the proof", why: format!("{error}") })?;
    let batch = enroll.signed.hash();
    records.push(Record::Enrolled { enroll, join: Some((join, proof)) });
    Ok((records, batch))
}

fn read_chain(org: OrgId, envelopes: &[&str]) -> Result<Vec<Record>, EnrollError> {
    let (genesis, news) = envelopes.split_first().ok_or(EnrollError::Lacks("a genesis policy"))?;
    let mut records = vec![Record::Began { org, genesis: read_logged("the genesis policy", genesis)? }];
    for text in news {
        let news: News = read_news(text)?;
        records.push(Record::News(news));
    }
    Ok(records)
}

fn read_logged(what: &'static str, text: &str) -> Result<Logged, ContentError> {
    Logged::from_text(text).map_err(|error| ContentError { what, why: error.to_string() })
}

/// Checks everything by making a ledger of it, and only then writes it down.
fn begin(
    folder: &Folder,
    org: OrgId,
    signer: &NoteSigner,
    records: &[Record],
) -> Result<Enrolled, EnrollError> {
    let mut ledger = Ledger::default();
    for record in records {
        ledger.apply(record).map_err(|error| EnrollError::Shown { org, error })?;
    }
    let enrolled = ledger.enrolled().cloned().ok_or(EnrollError::Lacks("an enrollment"))?;
    let expected = DeviceId::of_key(signer.verifier().raw());
    if enrolled.device != expected {
        return Err(EnrollError::OtherDevice { expected, found: enrolled.device });
    }
    folder.begin_ledger(records)?;
    Ok(enrolled)
}
