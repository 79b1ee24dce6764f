//! Output of steps as it comes: kept up to the policy's limit, and told to whoever watches.

use std::collections::HashMap;
use std::sync::Arc;

use countersign_trust::ids::Sha256;
use countersign_trust::statement::job::MAX_STEPS;
use countersign_wire::message::StepOutput;

use super::connection::Connection;
use super::hear::hash_of;
use crate::app::{App, Org};
use crate::receipts::{self, Letter, Piece, Stopping};
use crate::store::output::{self, OutputRow};
use crate::store::{StoreError, counted, job_device, stored};

/// The most bytes in one piece.
const MOST_IN_A_PIECE: usize = 32 * 1024;
/// How many jobs' counts a connection remembers.
const MOST_JOBS: usize = 64;

/// How much of each step's output came, and is kept or about to be.
#[derive(Debug, Default)]
pub struct Outputs(HashMap<(Sha256, u64), u64>);

/// Why output is not taken.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// Not of any step there can be.
    #[error("output of no step: {0}")]
    Shape(&'static str),
    /// The device was never given this job.
    #[error("output of job {0}, which this device was not given")]
    NotGiven(Sha256),
    /// The records cannot be reached.
    #[error("the server cannot reach its records; try again later")]
    Store(#[from] StoreError),
    /// It cannot be kept.
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

impl Outputs {
    /// Takes a piece to be kept and told. What is beyond the limit is passed over.
    pub async fn take(
        &mut self,
        app: &Arc<App>,
        org: &Arc<Org>,
        connection: &Connection,
        piece: StepOutput,
    ) -> Result<(), OutputError> {
        let job = check(&piece)?;
        let (id, device) = (org.id.to_string(), connection.device.to_string());
        let kept = self.kept(app, &id, &device, job, piece.step).await?;
        let most = { org.chain().policy().body.limits.output };
        if piece.offset < kept {
            // An agent sends a run's output again on a new connection; this much has been kept.
            return Ok(());
        }
        let after = kept.saturating_add(u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX));
        if after > most || piece.bytes.is_empty() {
            return Ok(());
        }
        let row = OutputRow {
            step: stored(piece.step),
            place: stored(piece.offset),
            stream: i64::from(piece.stream),
            bytes: piece.bytes,
        };
        self.0.insert((job, piece.step), after);
        Ok(receipts::keep(app, org, Letter::Output(Piece { device: connection.device, job, row })).await?)
    }

    /// How many bytes of this step are kept.
    async fn kept(
        &mut self,
        app: &App,
        org: &str,
        device: &str,
        job: Sha256,
        step: u64,
    ) -> Result<u64, OutputError> {
        if let Some(kept) = self.0.get(&(job, step)) {
            return Ok(*kept);
        }
        if !job_device::is_given(&app.db, org, &job.to_string(), device).await? {
            return Err(OutputError::NotGiven(job));
        }
        if self.0.len() >= MOST_JOBS * MAX_STEPS {
            self.0.clear();
        }
        let kept = output::kept(&app.db, org, &job.to_string(), device, stored(step)).await?;
        let kept = counted(kept);
        self.0.insert((job, step), kept);
        Ok(kept)
    }
}

fn check(piece: &StepOutput) -> Result<Sha256, OutputError> {
    let steps = u64::try_from(MAX_STEPS).unwrap_or(u64::MAX);
    let shape = if piece.bytes.len() > MOST_IN_A_PIECE {
        "a piece is too large"
    } else if i64::try_from(piece.offset).is_err() || piece.step >= steps || piece.occurrence != 0 {
        "there is no such step"
    } else if !matches!(piece.stream, 1 | 2) {
        "there is no such stream"
    } else {
        return hash_of(&piece.job).ok_or(OutputError::Shape("a job's hash has 32 bytes"));
    };
    Err(OutputError::Shape(shape))
}
