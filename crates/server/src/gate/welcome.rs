//! The first words on a connection: a device joins, or says who it is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_wire::frame::{FrameError, MOST_FROM_AGENT};
use countersign_wire::message::{Hello, Joined, from_agent, from_server};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::STOPPED;
use super::connection::{Connection, Frame, Outgoing, frame, frames_before};
use super::incoming::{Incoming, IncomingError};
use super::join::{self, JoinError};
use super::records;
use super::threads::{Shows, Spoken};
use crate::app::{App, Org};
use crate::facts::{self, Fact};
use crate::statements::anew;
use crate::store::{StoreError, device, stored};

/// The largest first frame of a key that no organization knows, in bytes: a join fits.
const MOST_FROM_STRANGER: usize = 16 * 1024;
/// How long the first words may take.
const FIRST_WORDS: Duration = Duration::from_secs(10);
/// How often a connection may ask to join.
const MOST_JOINS: usize = 3;
/// How many resumes and halts an agent may say it holds.
const MOST_HOLDS: usize = 4_096;
/// The longest text about itself that an agent's word is kept of, in characters.
const MOST_WORDS: usize = 100;

/// Who knocks.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// The key it holds.
    pub key: [u8; 32],
    /// From where.
    pub from: IpAddr,
    /// Which connection this is, counted as they were made.
    pub connection: u64,
}

/// A device that said who it is, and is enrolled.
#[derive(Debug)]
pub struct Welcome {
    /// Its organization.
    pub org: Arc<Org>,
    /// Its connection.
    pub connection: Arc<Connection>,
    /// What is to be written to it.
    pub outgoing: Outgoing,
    /// The enrollment that it says it holds.
    pub enroll: Option<Sha256>,
}

/// Why a connection is turned away.
#[derive(Debug, thiserror::Error)]
pub enum WelcomeError {
    /// Nothing readable came.
    #[error(transparent)]
    Incoming(#[from] IncomingError),
    /// The agent went without a word.
    #[error("the connection ended before the first message")]
    Ended,
    /// A key that no organization knows says more than a join.
    #[error(
        "a first frame of {found} bytes, at most {MOST_FROM_STRANGER} are read of a key that is not enrolled"
    )]
    Stranger {
        /// How many it announced.
        found: usize,
    },
    /// Something else came first.
    #[error("the first message must be a Hello or a Join")]
    First,
    /// It asks to join again and again.
    #[error("more than {MOST_JOINS} joins on one connection")]
    Joins,
    /// It may not join.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// An organization this server does not serve.
    #[error("this server does not serve the organization `{0}`")]
    Organization(String),
    /// A device nobody enrolled.
    #[error("{device} is not enrolled in {org}; join with a token, or have it enrolled")]
    NotEnrolled {
        /// The device.
        device: DeviceId,
        /// The organization.
        org: OrgId,
    },
    /// A device that has left.
    #[error("{device} has been retired from {org}")]
    Retired {
        /// The device.
        device: DeviceId,
        /// The organization.
        org: OrgId,
    },
    /// A clone.
    #[error("{STOPPED}")]
    Stopped,
    /// Somebody with its key has connected since.
    #[error("this device has connected again elsewhere")]
    Late,
    /// It starts again and again.
    #[error("this device's agent starts too often; wait a minute")]
    TooOften,
    /// It says to hold more than there can be.
    #[error("a Hello names {found} resumes and halts, at most {MOST_HOLDS} are read")]
    Holds {
        /// How many it names.
        found: usize,
    },
    /// The records cannot be reached.
    #[error("the server cannot reach its records; try again later")]
    Store(#[from] StoreError),
}

/// Hears the first words of the device with this key.
pub async fn welcome<R, W>(
    app: &Arc<App>,
    incoming: &mut Incoming<R>,
    write: &mut W,
    visitor: Visitor,
) -> Result<Welcome, WelcomeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    incoming.allow(MOST_FROM_STRANGER);
    for _ in 0..=MOST_JOINS {
        match first_words(app, incoming, &visitor).await?.ok_or(WelcomeError::Ended)? {
            from_agent::What::Hello(hello) => {
                incoming.allow(MOST_FROM_AGENT);
                let policy_number = hello.policy_number;
                let welcome = hello_of(app, hello, visitor).await;
                if let Err(WelcomeError::Retired { device, org }) = &welcome
                    && let Some(org) = app.orgs.get(org)
                {
                    anew::farewell(app, &org, device, policy_number, write).await;
                }
                return welcome;
            }
            from_agent::What::Join(wish) => {
                let joined = join::join(app, visitor.key, wish.note).await?;
                for frame in answer(joined) {
                    write.write_all(&frame).await.map_err(IncomingError::Io)?;
                }
                write.flush().await.map_err(IncomingError::Io)?;
            }
            _ => return Err(WelcomeError::First),
        }
    }
    Err(WelcomeError::Joins)
}

/// The frames of an answer to a join: a history that is too long for one goes before it, and the answer has its beginning only.
fn answer(mut joined: Joined) -> Vec<Frame> {
    let mut frames = frames_before(&mut joined.chain, 1);
    frames.push(frame(from_server::What::Joined(joined)));
    frames
}

/// A first message. One that is larger than a stranger's is read only if the key is known.
async fn first_words<R: AsyncRead + Unpin>(
    app: &App,
    incoming: &mut Incoming<R>,
    visitor: &Visitor,
) -> Result<Option<from_agent::What>, WelcomeError> {
    match incoming.next(FIRST_WORDS).await {
        Err(IncomingError::Frame(FrameError::TooLarge { bytes, .. })) if bytes <= MOST_FROM_AGENT => {
            if !device::is_known(&app.db, &DeviceId::of_key(&visitor.key).to_string()).await? {
                return Err(WelcomeError::Stranger { found: bytes });
            }
            incoming.allow(MOST_FROM_AGENT);
            Ok(incoming.next(FIRST_WORDS).await?)
        }
        heard => Ok(heard?),
    }
}

async fn hello_of(app: &Arc<App>, hello: Hello, visitor: Visitor) -> Result<Welcome, WelcomeError> {
    let id = hello.org.parse().ok();
    let org = id.and_then(|id| app.orgs.get(&id)).ok_or(WelcomeError::Organization(shown(&hello.org)))?;
    let (id, device) = (org.id, DeviceId::of_key(&visitor.key));
    match device::retired(&app.db, &id.to_string(), &device.to_string()).await? {
        None => return Err(WelcomeError::NotEnrolled { device, org: id }),
        Some(true) => return Err(WelcomeError::Retired { device, org: id }),
        Some(false) => {}
    }
    thread_of(app, &org, &device, &hello, visitor).await?;
    if hello.holds.len() > MOST_HOLDS {
        return Err(WelcomeError::Holds { found: hello.holds.len() });
    }
    let holds: BTreeSet<Sha256> = hello.holds.iter().filter_map(|hash| hash.parse().ok()).collect();
    let said = device::Said {
        version: shown(&hello.version),
        hostname: shown(&hello.hostname),
        system: shown(&hello.system),
        policy_number: stored(hello.policy_number),
    };
    records::write(app, &org, records::Row::Said(device, Box::new(said))).await;
    let (connection, outgoing) = Connection::new(id, visitor.key, hello.policy_number, holds);
    let enroll = hello.enroll.parse().ok();
    Ok(Welcome { org, connection, outgoing, enroll })
}

/// Hears whose thread the Hello goes on with.
async fn thread_of(
    app: &Arc<App>,
    org: &Arc<Org>,
    device: &DeviceId,
    hello: &Hello,
    visitor: Visitor,
) -> Result<(), WelcomeError> {
    let Visitor { from, connection, .. } = visitor;
    let said = Spoken { name: hello.name, before: hello.before, from, connection };
    match app.gate.hear(&org.id, device, said) {
        _ if app.gate.is_stopped(&org.id, device) => {}
        Shows::One => return Ok(()),
        Shows::Late => return Err(WelcomeError::Late),
        Shows::TooOften => return Err(WelcomeError::TooOften),
        Shows::Two { places } => {
            facts::note(app, org, &Fact::clone_at(*device, &places)).await;
            for place in places {
                app.gate.stopped_at(&org.id, device, place);
            }
            return Err(WelcomeError::Stopped);
        }
    }
    if let Some(places) = app.gate.stopped_at(&org.id, device, from) {
        facts::note(app, org, &Fact::stopped_at(*device, &places)).await;
    }
    Err(WelcomeError::Stopped)
}

/// An agent's word about itself, cut to what a page can show.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect()
}
