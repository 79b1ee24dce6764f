//! A service by its init script, where no systemd is.
//!
//! Source: Linux Standard Base, "Init Script Actions".

use std::path::Path;
use std::process::Stdio;

use countersign_trust::statement::service::{Action, Unit};
use tokio::process::Command;

use crate::os::{ServiceError, ServiceState};

/// What an init script's `status` ends with, if the service is well.
const RUNS: i32 = 0;
/// Dead, and left a process number or a lock behind.
const DEAD: [i32; 2] = [1, 2];
/// Stopped.
const STOPPED: i32 = 3;

pub(super) async fn state(script: &Path, unit: &str) -> Result<ServiceState, ServiceError> {
    let active = match run(script, "status").await? {
        Some(RUNS) => "active",
        Some(STOPPED) => "inactive",
        Some(code) if DEAD.contains(&code) => "failed",
        _ => "unknown",
    };
    let names = [unit.to_owned()].into();
    let (id, load, active) = (unit.to_owned(), "loaded".to_owned(), active.to_owned());
    Ok(ServiceState { id, names, load, active, ..ServiceState::default() })
}

pub(super) async fn act(script: &Path, action: Action, unit: &Unit) -> Result<(), ServiceError> {
    match action {
        Action::Status => return Ok(()),
        Action::Enable | Action::Disable => {
            return Err(ServiceError::Unknown { action, unit: unit.to_string() });
        }
        Action::Start | Action::Stop | Action::Restart | Action::Reload => {}
    }
    let result = match run(script, &action.to_string()).await? {
        Some(0) => return Ok(()),
        Some(code) => format!("exit {code}"),
        None => "killed".to_owned(),
    };
    Err(ServiceError::Result { action, unit: unit.to_string(), result })
}

/// Its exit code, if it ended by itself. What it starts keeps its output, so nobody waits for the end of that.
async fn run(script: &Path, action: &str) -> Result<Option<i32>, ServiceError> {
    let mut command = Command::new(script);
    command.arg(action).env_clear().env("LC_ALL", "C").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .kill_on_drop(true);
    let failed = |source| ServiceError::Program { program: script.to_owned(), source };
    Ok(command.status().await.map_err(failed)?.code())
}
