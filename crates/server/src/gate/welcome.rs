//! The first words on a connection: a device joins, or says who it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_trust::ids::{DeviceId, OrgId, Sha256};
use countersign_wire::message::{Hello, from_agent, from_server};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::connection::{Connection, Outgoing, frame};
use super::incoming::{Incoming, IncomingError};
use super::join::{self, JoinError};
use crate::app::{App, Org};
use crate::store::{StoreError, device, stored};

/// How long the first words may take.
const FIRST_WORDS: Duration = Duration::from_secs(10);
/// How often a connection may ask to join.
const MOST_JOINS: usize = 3;
/// How many resumes and halts an agent may say it holds.
const MOST_HOLDS: usize = 4_096;
/// The longest text about itself that an agent's word is kept of, in characters.
const MOST_WORDS: usize = 100;

/// A device that said who it is, and is enrolled.
#[derive(Debug)]
pub struct Welcome {
    /// Its organization.
    pub org: Arc<Org>,
    /// Its connection.
    pub connection: Arc<Connection>,
    /// What is to be written to it.
    pub outgoing: Outgoing,
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
    device_key: [u8; 32],
) -> Result<Welcome, WelcomeError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    for _ in 0..=MOST_JOINS {
        match incoming.next(FIRST_WORDS).await?.ok_or(WelcomeError::Ended)? {
            from_agent::What::Hello(hello) => return hello_of(app, hello, device_key).await,
            from_agent::What::Join(wish) => {
                let joined = join::join(app, device_key, wish.note).await?;
                write
                    .write_all(&frame(from_server::What::Joined(joined)))
                    .await
                    .map_err(IncomingError::Io)?;
                write.flush().await.map_err(IncomingError::Io)?;
            }
            _ => return Err(WelcomeError::First),
        }
    }
    Err(WelcomeError::Joins)
}

async fn hello_of(app: &Arc<App>, hello: Hello, device_key: [u8; 32]) -> Result<Welcome, WelcomeError> {
    let id = hello.org.parse().ok();
    let org = id.and_then(|id| app.orgs.get(&id)).ok_or(WelcomeError::Organization(shown(&hello.org)))?;
    let (id, device) = (org.id, DeviceId::of_key(&device_key));
    let row = device::get(&app.db, &id.to_string(), &device.to_string()).await?;
    match row {
        None => return Err(WelcomeError::NotEnrolled { device, org: id }),
        Some(row) if row.retired => return Err(WelcomeError::Retired { device, org: id }),
        Some(_) => {}
    }
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
    device::said(&app.db, &id.to_string(), &device.to_string(), &said, stored((app.now_ms)())).await?;
    let (connection, outgoing) = Connection::new(id, device_key, hello.policy_number, holds);
    Ok(Welcome { org, connection, outgoing })
}

/// An agent's word about itself, cut to what a page can show.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MOST_WORDS).collect()
}
