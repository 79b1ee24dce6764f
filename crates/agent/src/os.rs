//! The border to the operating system: the only `cfg(target_os)` and the only `unsafe`.
//!
//! Every system offers, under these names: [`OsConfig`] (how runs are confined here), [`launch`] (start a
//! program and hold its whole tree), [`Tree`] (wait for it, kill it), [`sweep`] (kill what a dead agent left),
//! [`Services`] (ask the service manager, found at [`ServicePlaces`]),
//! and the facts [`boot_reading`], [`boot_id`], [`hostname`], [`os_facts`]; of disks [`free_bytes`] and
//! [`hold_room`], of connections [`notice_death`], of places [`find`].

use std::collections::BTreeMap;
use std::io;

mod service;

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "system calls that the standard library does not offer")]
pub mod linux;
#[cfg(target_os = "linux")]
pub use linux::{
    OsConfig, ServicePlaces, Services, Tree, boot_id, boot_reading, find, free_bytes, hold_room, hostname,
    launch, notice_death, os_facts, sweep,
};
pub use service::{ServiceError, ServiceState};

#[cfg(not(target_os = "linux"))]
compile_error!("the agent does not know this operating system yet");

/// The variable by which a run's programs are known, with the value `<realm>/<run id>`.
pub const RUN_MARK: &str = "COUNTERSIGN_RUN";

/// What a run may use; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory of the whole tree in MiB. Where the system cannot bound a tree: address space of each process.
    pub memory_mib: u64,
    /// Processes and threads of the whole tree, the first one included.
    pub processes: u64,
    /// Share of one core in percent: 200 is two cores. Where the system cannot bound it: lowest priority.
    pub cpu_percent: u64,
}

/// A program to start, already checked against nothing: [`launch`] checks what it needs.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    /// Names the run for ever, see [`launch`]: 1 to 128 of `[A-Za-z0-9_-]`.
    pub run_id: &'a str,
    /// Absolute path.
    pub program: &'a str,
    /// What follows the program.
    pub arguments: &'a [String],
    /// A text to be read by the program through a path that nobody can swap, given as its last argument.
    pub text: Option<&'a [u8]>,
    /// An account of this machine.
    pub user: &'a str,
    /// Absolute path of the working directory.
    pub folder: &'a str,
    /// The environment, to which what the account implies is added where missing.
    pub environment: &'a BTreeMap<String, String>,
    /// What the tree may use.
    pub limits: Limits,
}

/// How a program came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It ended by itself with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// Two clocks read at nearly the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootReading {
    /// Milliseconds since this machine started, sleep included; nobody can set it.
    pub boot_ms: u64,
    /// Milliseconds since 1970-01-01 00:00 UTC, as this machine believes.
    pub wall_ms: u64,
}

/// What is at a path.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Absent,
    /// A plain file, open to be read.
    File {
        /// Its bytes.
        size: u64,
        /// It.
        file: std::fs::File,
    },
    /// A link, or something to which only a link leads.
    Link,
    /// A folder.
    Folder,
    /// A pipe, a device, a socket.
    Other,
    /// Something that this program may not look at.
    Unreadable,
}

/// What kind of machine this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsFacts {
    /// The system's name for people, such as `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor family, such as `x86_64`.
    pub arch: String,
}

/// Why a program was not started. Each is a sentence for the receipt.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The caller's name for the run cannot be a folder's.
    #[error("`{run_id}` is no run id: use 1 to 128 of A-Z, a-z, 0-9, `_` and `-`")]
    RunId {
        /// The name.
        run_id: String,
    },
    /// A path depends on where the agent stands.
    #[error("the {what} `{path}` is not absolute: write it from the root of the file system")]
    Relative {
        /// `program` or `folder`.
        what: &'static str,
        /// The path.
        path: String,
    },
    /// The program is missing or cannot be looked at.
    #[error("the program `{path}` cannot be run: {source}")]
    Program {
        /// The path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program is a folder, a device or not executable.
    #[error("the program `{path}` cannot be run: it is not an executable file")]
    NotExecutable {
        /// The path.
        path: String,
    },
    /// The folder is missing or is a file.
    #[error("the folder `{path}` cannot be used: {source}")]
    Folder {
        /// The path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// No such account.
    #[error("the user `{user}` is not known on this machine")]
    UnknownUser {
        /// The name asked for.
        user: String,
    },
    /// The agent may not become that user.
    #[error(
        "the agent runs as user {own} and cannot run anything as `{user}` (user {uid}): it needs root for that"
    )]
    OtherUser {
        /// The name asked for.
        user: String,
        /// Its number.
        uid: u32,
        /// The agent's own number.
        own: u32,
    },
    /// The system gave no place for the script's text.
    #[error("the script's text cannot be held: {0}")]
    Text(io::Error),
    /// The system gave no place to confine the run.
    #[error("the run `{run_id}` cannot be confined: {source}")]
    Confine {
        /// The run.
        run_id: String,
        /// What the system said.
        source: io::Error,
    },
    /// The last step failed.
    #[error("`{program}` cannot be started as `{user}` in `{folder}`: {source}")]
    Start {
        /// The program.
        program: String,
        /// The user.
        user: String,
        /// The working directory.
        folder: String,
        /// What the system said.
        source: io::Error,
    },
}
