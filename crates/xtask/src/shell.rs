//! Running other programs: what is started, in which environment, and what is said when it fails.

use anyhow::{Context as _, bail};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// A `cargo` command in the workspace, in the environment a person at a prompt would have.
///
/// `cargo run` tells its child which package it runs (`CARGO_MANIFEST_DIR`, `CARGO_PKG_…`). Build scripts of
/// dependencies watch those variables, so passing them on would compile `ring` again at each change of command.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        if names_the_running_package(&name) {
            command.env_remove(name);
        }
    }
    command
}

fn names_the_running_package(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name.starts_with("CARGO_PKG_")
        || ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_BIN_NAME", "CARGO_CRATE_NAME"]
            .contains(&&*name)
}

/// Runs a command with our own output and input, and fails with its name and exit code.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| format!("`{line}` could not be started"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Runs a command and returns what it printed; its errors go to ours.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let line = line(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("`{line}` could not be started"))?;
    if !output.status.success() {
        bail!("`{line}` failed: {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed something that is not UTF-8"))
}

/// Runs a command and hands over each line it prints as it comes; its errors go to ours.
pub fn line_by_line(command: &mut Command, mut each: impl FnMut(&str)) -> anyhow::Result<()> {
    let line = line(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("`{line}` could not be started"))?;
    if let Some(printed) = child.stdout.take() {
        for text in BufReader::new(printed).lines() {
            each(&text.with_context(|| format!("what `{line}` printed could not be read"))?);
        }
    }
    let status = child.wait().with_context(|| format!("`{line}` could not be waited for"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Whether a command runs and succeeds, silently.
pub fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Does one named piece of work and prints its name before and its time after.
pub fn step(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    println!("== {name}");
    let start = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "ok" } else { "failed" };
    println!("== {name}: {verdict} in {:.1} s", start.elapsed().as_secs_f64());
    result
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_exit_code() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` failed: exit status: 3");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let error = output(&mut Command::new("no-such-program")).unwrap_err();
        assert_eq!(error.to_string(), "`no-such-program` could not be started");
    }

    #[test]
    fn only_what_names_the_running_package_is_kept_from_cargo() {
        let kept = ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_NET_OFFLINE", "CARGO_TERM_COLOR", "PATH"];
        assert!(kept.iter().all(|name| !names_the_running_package(OsStr::new(name))));
        assert!(names_the_running_package(OsStr::new("CARGO_PKG_VERSION")));
        assert!(names_the_running_package(OsStr::new("CARGO_MANIFEST_DIR")));
    }
}
