//! The agent: judges what it is brought, runs what it has accepted, within limits, and says what came of it.

pub mod beacons;
pub mod canary;
pub mod config;
pub mod disk;
pub mod drive;
pub mod enroll;
pub mod evidence;
pub mod link;
pub mod os;
pub mod run;
pub mod tls;

use std::sync::Arc;
use std::time::Duration;

use config::Config;
use countersign_trust::time::Reading;
use disk::Folder;
use drive::{Clock, DriveError, live};
use tokio::time::sleep;

/// How long after a failure of the disk life begins anew.
const BEGIN_ANEW: Duration = Duration::from_secs(5);

/// Runs the agent until `shutdown`. Needs a tokio runtime with time and network.
///
/// # Errors
/// It could not begin. Once it has, a failing disk only makes it begin again and again.
pub async fn run(config: &Config, shutdown: impl Future<Output = ()>) -> Result<(), DriveError> {
    let clock = || {
        let os::BootReading { boot_ms, wall_ms } = os::boot_reading();
        Reading { boot_ms, wall_ms }
    };
    run_by(config, Arc::new(clock), shutdown).await
}

/// The same by other clocks than the machine's.
///
/// # Errors
/// As [`run`].
pub async fn run_by(
    config: &Config,
    clock: Clock,
    shutdown: impl Future<Output = ()>,
) -> Result<(), DriveError> {
    let folder = Folder::open(&config.data)?;
    let mut shutdown = std::pin::pin!(shutdown);
    // What keeps it from beginning is for whoever started it.
    folder.open_ledger()?;
    loop {
        match live(&folder, clock.clone(), shutdown.as_mut()).await {
            Err(error) if error.may_pass() => {
                tracing::error!(%error, "stopped everything that ran; begins anew from the disk");
            }
            ended => return ended,
        }
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            () = sleep(BEGIN_ANEW) => {}
        }
    }
}
