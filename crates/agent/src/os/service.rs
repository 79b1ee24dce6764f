//! What a service manager says of a service, on any system.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

use countersign_trust::statement::service::Action;

/// A service as its manager sees it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceState {
    /// Its own name, which may be another than it was asked for by.
    pub id: String,
    /// All of its names, [`ServiceState::id`] among them.
    pub names: BTreeSet<String>,
    /// `loaded`, or why not, such as `not-found` or `masked`.
    pub load: String,
    /// Such as `active`, `inactive` or `failed`.
    pub active: String,
    /// The same more exactly, such as `running` or `exited`; may be empty.
    pub sub: String,
    /// Whether it is started at boot: such as `enabled` or `static`; may be empty.
    pub file: String,
    /// How its last run ended, such as `success` or `exit-code`; may be empty.
    pub result: String,
    /// Its main process; 0 means none.
    pub pid: u32,
    /// Units that are stopped when this one is.
    pub stopped_with_it: BTreeSet<String>,
    /// Units that are stopped when this one is started.
    pub stopped_for_it: BTreeSet<String>,
}

impl ServiceState {
    /// Whether the machine has such a service.
    pub fn exists(&self) -> bool {
        self.load != "not-found"
    }

    /// Whether it does its work.
    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    /// Whether it will be started at boot.
    pub fn is_enabled(&self) -> bool {
        matches!(self.file.as_str(), "enabled" | "indirect" | "alias")
    }
}

/// `active (running), enabled, main process 4711`.
impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.load != "loaded" {
            write!(f, "{}, ", self.load)?;
        }
        f.write_str(&self.active)?;
        if !self.sub.is_empty() {
            write!(f, " ({})", self.sub)?;
        }
        if !self.result.is_empty() && self.result != "success" {
            write!(f, ", result {}", self.result)?;
        }
        if !self.file.is_empty() {
            write!(f, ", {}", self.file)?;
        }
        if self.pid != 0 {
            write!(f, ", main process {}", self.pid)?;
        }
        Ok(())
    }
}

/// Why nothing, or not all, was done. Each is a sentence for the receipt.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Nobody here manages services of this name.
    #[error("{unit}: this machine was not booted with systemd, and there is no init script {}", script.display())]
    NoManager {
        /// Asked for.
        unit: String,
        /// Looked for.
        script: PathBuf,
    },
    /// The service manager could not be asked.
    #[error("{manager} cannot be asked about {unit}: {said}")]
    Ask {
        /// Who was asked.
        manager: &'static str,
        /// About what.
        unit: String,
        /// What came of it.
        said: String,
    },
    /// The service manager did not take the order.
    #[error("{action} of {unit}: {said}")]
    Refused {
        /// What.
        action: Action,
        /// Of what.
        unit: String,
        /// What the service manager said.
        said: String,
    },
    /// The service manager took the order, and it did not end well.
    #[error("{action} of {unit} ended as `{result}`")]
    Result {
        /// What.
        action: Action,
        /// Of what.
        unit: String,
        /// In the service manager's word.
        result: String,
    },
    /// Init scripts have no such order.
    #[error("{action} of {unit}: init scripts know status, start, stop, restart and reload only")]
    Unknown {
        /// What.
        action: Action,
        /// Of what.
        unit: String,
    },
    /// A program could not be run.
    #[error("`{}` cannot be run: {source}", program.display())]
    Program {
        /// Which.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
}
