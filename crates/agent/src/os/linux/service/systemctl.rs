//! systemd by its program `systemctl`, which reaches it where there is no system bus.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};

use countersign_trust::statement::service::{Action, Unit};
use tokio::process::Command;

use super::show;
use crate::os::{ServiceError, ServiceState};

/// How much of what it complains about is told.
const MOST_SAID: usize = 300;

pub(super) async fn state(program: &Path, unit: &str) -> Result<ServiceState, ServiceError> {
    let wanted: Vec<&str> = show::UNIT.into_iter().chain(show::SERVICE).collect();
    let said = run(program, &["show", "--property", &wanted.join(","), "--", unit]).await?;
    if !said.status.success() {
        return Err(ServiceError::Ask {
            manager: "systemctl",
            unit: unit.to_owned(),
            said: complaint(&said),
        });
    }
    let text = String::from_utf8_lossy(&said.stdout);
    let properties: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Ok(show::state(&properties))
}

/// The links that disabling `unit` would remove, with those of whatever its file names in `Also=`: each on a line of its own, indented.
pub(super) async fn links(program: &Path, unit: &str) -> Result<Vec<String>, ServiceError> {
    let said = run(program, &["is-enabled", "--full", "--", unit]).await?;
    let text = String::from_utf8_lossy(&said.stdout);
    let links: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned).collect();
    if links.is_empty() && text.lines().next() == Some("enabled") {
        let said = "it is enabled, and this version does not show what disabling it takes along".to_owned();
        return Err(ServiceError::Ask { manager: "systemctl", unit: unit.to_owned(), said });
    }
    Ok(links)
}

pub(super) async fn act(program: &Path, action: Action, unit: &Unit) -> Result<(), ServiceError> {
    if action == Action::Status {
        return Ok(());
    }
    let order = action.to_string();
    let said = run(program, &["--no-ask-password", &order, "--", unit.as_str()]).await?;
    if said.status.success() {
        return Ok(());
    }
    Err(ServiceError::Refused { action, unit: unit.to_string(), said: complaint(&said) })
}

/// Runs it to its end; dropped before, it is killed, and what systemd has begun goes on.
async fn run(program: &Path, arguments: &[&str]) -> Result<Output, ServiceError> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("LC_ALL", "C").env("SYSTEMD_COLORS", "0");
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null()).kill_on_drop(true);
    let failed = |source| ServiceError::Program { program: program.to_owned(), source };
    command.output().await.map_err(failed)
}

/// Its own words in one line, or how it ended where it has none.
fn complaint(said: &Output) -> String {
    let words = String::from_utf8_lossy(&said.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { said.status.to_string() } else { words.chars().take(MOST_SAID).collect() }
}
