//! One beacon, asked and told.

use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::clear::Clear;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::told::{Holds, brought};
use countersign_wire::beacon::State;

use crate::client::{Client, ClientError};
use crate::output::plain;

/// How long a beacon is waited for that is only asked; most have answered by then.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may take to write down what it is brought.
const WRITING: Duration = Duration::from_secs(20);

/// Why a beacon gave no Clear.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Silent {
    /// Nobody there, or not the one whose key it is.
    #[error("{0}")]
    Away(String),
    /// It has never heard of the organization.
    #[error("it has never heard of this organization: {0}")]
    Stranger(String),
    /// It is there and signs nothing.
    #[error("it answers no challenge: {0}")]
    Mute(String),
}

/// What is asked of one beacon.
pub struct Call {
    org: OrgId,
    key: VerifierKey,
    url: String,
    root: Sha256,
}

impl Call {
    /// Clears shall answer `root`.
    pub fn new(org: OrgId, key: &VerifierKey, url: &str, root: Sha256) -> Self {
        Self { org, key: key.clone(), url: url.to_owned(), root }
    }

    fn client(&self, limit: Duration) -> Result<Client, String> {
        Client::new(&self.url, None, None)
            .map(|client| client.within(limit))
            .map_err(|error| plain(&error.to_string()))
    }

    fn path(&self, what: &str) -> String {
        format!("/v1/orgs/{}/{what}", self.org)
    }

    /// What it holds, signed by its key just now.
    pub fn clear(&self) -> Result<(Note, Clear), Silent> {
        let client = self.client(PATIENCE).map_err(Silent::Away)?;
        let answer = client.post_text(&self.path("clear"), format!("{}\n", self.root));
        let text = answer.map_err(|error| match error {
            ClientError::Status { status, detail, .. } if status.as_u16() == 404 => Silent::Stranger(detail),
            ClientError::Status { detail, .. } => Silent::Mute(detail),
            other => Silent::Away(plain(&other.to_string())),
        })?;
        let none =
            |why: &str| Silent::Away(format!("what answers at {} is not this beacon: {why}", self.url));
        let note: Note = text.parse().map_err(|_| none("no note"))?;
        let clear: Clear = note.text().parse().map_err(|_| none("no Clear"))?;
        match note.signed_by(&self.key) && clear.org == self.org && clear.root == self.root {
            true => Ok((note, clear)),
            false => Err(none(
                "its Clear is not signed by the key that the policy names, or answers another question",
            )),
        }
    }

    /// What it says without a signature of what it holds: good enough to choose what to bring.
    pub fn state(&self, chain: &Chain) -> Option<Holds> {
        let state: State = self.client(PATIENCE).ok()?.get(&self.path("state")).ok()?;
        state.holds(chain)
    }

    /// Brings it what it lacks; none if it lacks nothing, else what it would not take, if there was something.
    pub fn tell(&self, chain: &Chain, holds: &Holds) -> Result<Option<Option<String>>, String> {
        let pieces = brought(chain, holds, &self.key);
        if pieces.is_empty() {
            return Ok(None);
        }
        let client = self.client(WRITING)?;
        let mut refused = None;
        for piece in pieces {
            let said = client.post_text(&self.path("news"), piece);
            let said = said.map_err(|error| plain(&error.to_string()))?;
            let no = said.lines().find_map(|line| line.strip_prefix("refused "));
            refused = refused.or(no.map(plain));
        }
        Ok(Some(refused))
    }

    /// Brings it another beacon's word.
    pub fn hand_over(&self, note: &Note) -> Result<(), String> {
        let said = self.client(WRITING)?.post_text(&self.path("handover"), note.to_string());
        said.map(|_| ()).map_err(|error| plain(&error.to_string()))
    }
}
