//! A beacon or a witness: the program that people install, set up by its own command.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use countersign_drills::http::Http;
use countersign_drills::part::programs;
use countersign_trust::note::VerifierKey;
use tokio::runtime::{Builder, Runtime};

/// A program that runs; killed, as by `kill -9`, when it is dropped.
pub struct Program {
    child: Child,
    http: Http,
    runtime: Runtime,
}

/// Its configuration, which lies elsewhere than its data.
pub struct Setup {
    /// `countersign-beacon` or `countersign-witness`.
    pub binary: &'static str,
    /// The file.
    pub config: PathBuf,
}

impl Setup {
    /// The key it has drawn and printed; none if it did not get so far.
    pub fn init(&self, data: &Path) -> Option<VerifierKey> {
        let mut command = self.command();
        command.args(["init", "--name", "forgetful.example", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        let said = command.output().unwrap();
        said.status.success().then(|| String::from_utf8(said.stdout).unwrap().trim().parse().unwrap())
    }

    /// Starts it; none if it ends before it listens.
    pub fn start(&self) -> Option<Program> {
        let mut command = self.command();
        let mut child = command.arg("run").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("listening on ") else {
            child.wait().unwrap();
            return None;
        };
        let http = Http { address: address.parse().unwrap(), token: String::new() };
        Some(Program { child, http, runtime: Builder::new_current_thread().enable_all().build().unwrap() })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(programs().join(self.binary));
        command.arg("--config").arg(&self.config).stdin(Stdio::null());
        command
    }
}

impl Program {
    /// Its answer; none if it goes away.
    pub fn ask(&self, method: &str, path: &str, body: String) -> Option<(u16, String)> {
        self.runtime.block_on(self.http.try_ask(method, path, body)).ok()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        self.child.wait().unwrap();
    }
}
