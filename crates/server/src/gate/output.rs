//! Output of steps as it comes: kept up to the policy's limit, and told to whoever watches.

use std::collections::HashMap;
use std::sync::Arc;

use countersign_trust::ids::Sha256;
use countersign_trust::statement::job::MAX_STEPS;
use countersign_wire::message::StepOutput;

use super::connection::Connection;
use super::hear::hash_of;
use crate::app::{App, Org};
use crate::facts::{self, Fact, Kind};
use crate::receipts::{self, Piece, Report, Stopping};
use crate::store::output::{self, OutputRow};
use crate::store::{StoreError, counted, stored};

/// The most bytes in one piece.
const MOST_IN_A_PIECE: usize = 32 * 1024;
/// How many jobs' counts a connection remembers.
const MOST_JOBS: usize = 64;
/// How many pieces of a step are kept whatever their size. Each costs some hundred bytes beside its own.
const FREE_PIECES: u64 = 4_096;
/// How large pieces beyond those have to be on average, in bytes.
const LEAST_IN_A_PIECE: u64 = 16;

/// How much of each step's output came, and is kept or about to be.
#[derive(Debug, Default)]
pub struct Outputs(HashMap<Place, Count>);

/// A step of an occurrence of a job.
type Place = (Sha256, u64, u64);

/// How much came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    bytes: u64,
    pieces: u64,
    /// Something was beyond the limit, and that has been noted.
    beyond: bool,
}

impl Count {
    /// With one piece more; none if that is more than is kept of a step when `most` bytes are.
    fn with(self, piece: u64, most: u64) -> Option<Self> {
        let (bytes, pieces) = (self.bytes.saturating_add(piece), self.pieces.saturating_add(1));
        let most_pieces = FREE_PIECES.saturating_add(most / LEAST_IN_A_PIECE);
        (bytes <= most && pieces <= most_pieces).then_some(Self { bytes, pieces, ..self })
    }
}

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
        let place = (job, piece.occurrence, piece.step);
        let Some(kept) = self.kept(app, org, connection, place).await? else { return Ok(()) };
        let most = { org.chain().policy().body.limits.output };
        if piece.offset < kept.bytes || piece.bytes.is_empty() {
            // An agent sends a run's output again on a new connection; this much has been kept.
            return Ok(());
        }
        let Some(after) = kept.with(u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX), most) else {
            if !kept.beyond {
                self.0.insert(place, Count { beyond: true, ..kept });
                let words =
                    format!("it brings more output of job {job} than is kept; what is beyond is passed over");
                facts::note(app, org, &Fact::new(connection.device, Kind::Output, words)).await;
            }
            return Ok(());
        };
        let row = OutputRow {
            occurrence: stored(piece.occurrence),
            step: stored(piece.step),
            place: stored(piece.offset),
            stream: i64::from(piece.stream),
            bytes: piece.bytes,
        };
        self.0.insert(place, after);
        Ok(receipts::keep(app, org, Report::Output(Piece { device: connection.device, job, row })).await?)
    }

    /// How much of this step is kept; none if a later occurrence has taken its place.
    async fn kept(
        &mut self,
        app: &App,
        org: &Org,
        connection: &Connection,
        place: Place,
    ) -> Result<Option<Count>, OutputError> {
        let (job, occurrence, step) = place;
        if let Some(kept) = self.0.get(&place) {
            return Ok(Some(*kept));
        }
        let kept = if connection.was_new(&job) {
            output::Kept::default()
        } else {
            let (id, device) = (org.id.to_string(), connection.device.to_string());
            let at = (stored(occurrence), stored(step));
            let kept = output::kept(&app.db, &id, &job.to_string(), &device, at).await?;
            kept.ok_or(OutputError::NotGiven(job))?
        };
        let output::Kept { newest, bytes, pieces } = kept;
        if counted(newest) > occurrence {
            return Ok(None);
        }
        if self.0.len() >= MOST_JOBS * MAX_STEPS {
            self.0.clear();
        }
        let kept = Count { bytes: counted(bytes), pieces: counted(pieces), beyond: false };
        self.0.insert(place, kept);
        Ok(Some(kept))
    }
}

fn check(piece: &StepOutput) -> Result<Sha256, OutputError> {
    let steps = u64::try_from(MAX_STEPS).unwrap_or(u64::MAX);
    let shape = if piece.bytes.len() > MOST_IN_A_PIECE {
        "a piece is too large"
    } else if i64::try_from(piece.offset.max(piece.occurrence)).is_err() || piece.step >= steps {
        "there is no such step"
    } else if !matches!(piece.stream, 1 | 2) {
        "there is no such stream"
    } else {
        return hash_of(&piece.job).ok_or(OutputError::Shape("a job's hash has 32 bytes"));
    };
    Err(OutputError::Shape(shape))
}
