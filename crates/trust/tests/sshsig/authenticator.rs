//! The program in `crates/trust/authenticator`, built when it is first asked: a passkey of the `passkey` crate.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What it printed for one case, or what `chromium.py` did: bytes in base64url, by name.
#[derive(Clone, Debug)]
pub struct Given(BTreeMap<String, String>);

impl Given {
    /// Reads all cases.
    pub fn read(text: &str) -> Vec<Self> {
        let cases = text.split("\n\n").map(str::trim).filter(|case| case.starts_with("case "));
        let words = |line: &str| {
            line.split_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()
        };
        cases.map(|case| Self(case.lines().map(words).collect())).collect()
    }

    pub fn text(&self, name: &str) -> &str {
        &self.0[name]
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(&self.0[name]).unwrap()
    }
}

/// A program that has made a credential and waits for its challenge.
pub struct Authenticator {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Authenticator {
    /// Starts it; its credential's point.
    pub fn start() -> (Self, [u8; 65]) {
        let place = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(env!("CARGO"));
        command.args(["run", "--quiet", "--locked", "--manifest-path"]);
        command.arg(place.join("authenticator/Cargo.toml"));
        command.arg("--target-dir").arg(place.join("../../target/authenticator"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        let point =
            line.trim_end().strip_prefix("credential ").expect("the authenticator was built and runs");
        let point = URL_SAFE_NO_PAD.decode(point).unwrap().try_into().unwrap();
        (Self { child, said }, point)
    }

    /// Everything it signs for this challenge.
    pub fn sign(mut self, challenge: &[u8]) -> String {
        let mut stdin = self.child.stdin.take().unwrap();
        writeln!(stdin, "{}", URL_SAFE_NO_PAD.encode(challenge)).unwrap();
        let mut text = String::new();
        self.said.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success());
        text
    }
}
