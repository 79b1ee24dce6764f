//! A step that runs a script or a program.
//!
//! Source: docs/spec/3-statements.md, "job".

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::{Name, Sha256};
use crate::text::{alternative, record};
use crate::words::{AbsolutePath, Line, Variable};

record! {
    /// A script or a program, and everything it gets.
    pub struct Script {
        /// What to execute.
        run: Run,
        /// As whom: a user name of the device.
        user: Name,
        /// In which folder.
        folder: AbsolutePath,
        /// The whole environment: nothing else is inherited.
        environment: BTreeMap<Variable, Line>,
        /// Seconds after which it is killed, at least 1.
        timeout: u64,
        /// Bytes of output that are kept.
        output: u64,
        /// Memory in MiB; 0 means no limit.
        memory: u64,
        /// Processes at a time; 0 means no limit.
        processes: u64,
        /// Processor share in percent of one processor; 0 means no limit.
        processor: u64,
    }
}

alternative! {
    /// What to execute.
    pub enum Run {
        /// A program with its arguments; no shell.
        Program(Program) = "program",
        /// Lines for an interpreter.
        Lines(Lines) = "lines",
    }
}

record! {
    /// A program with its arguments.
    pub struct Program {
        /// The program.
        path: AbsolutePath,
        /// Its arguments.
        arguments: Vec<Line>,
    }
}

record! {
    /// Lines for an interpreter, which gets its arguments and then the script as a file.
    pub struct Lines {
        /// The interpreter.
        interpreter: AbsolutePath,
        /// Its arguments.
        arguments: Vec<Line>,
        /// The script.
        lines: Vec<Line>,
    }
}

impl Lines {
    /// The script's hash, by which a halt can name it: SHA-256 of each line and a line feed.
    pub fn hash(&self) -> Sha256 {
        let mut parts: Vec<&[u8]> = Vec::new();
        for line in &self.lines {
            parts.push(line.as_str().as_bytes());
            parts.push(b"\n");
        }
        Sha256::of_parts(&parts)
    }
}
