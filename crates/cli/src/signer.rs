//! Signing with a person's own key: in the ssh-agent, or in a file through `ssh-keygen`.
//!
//! The private key is never read here. What comes back is checked as an agent on a machine will check it, before
//! it is used.

mod agent;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use countersign_trust::key::PublicKey;
use countersign_trust::sshsig::{PasskeyRules, SshSig};
use countersign_trust::statement::Kind;

use crate::output::{Stop, plain};

/// A key that can sign.
#[derive(Debug)]
pub struct Signer {
    key: PublicKey,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Agent(PathBuf),
    File(PathBuf),
}

impl Signer {
    /// Finds the key that `wish` names: `id_*.pub`, the private file beside it, or a fingerprint `SHA256:…` of a key in
    /// the ssh-agent at `socket`. A key that the agent holds is used there; else `ssh-keygen` asks for the passphrase or touch.
    pub fn find(wish: &str, socket: Option<PathBuf>) -> anyhow::Result<Self> {
        let held = |key: &PublicKey| -> Option<PathBuf> {
            let socket = socket.clone()?;
            agent::keys(&socket).ok()?.contains(key).then_some(socket)
        };
        if wish.starts_with("SHA256:") {
            let socket = socket
                .clone()
                .context("a fingerprint names a key in the ssh-agent, and SSH_AUTH_SOCK is not set")?;
            let key = agent::keys(&socket)?.into_iter().find(|key| key.fingerprint() == wish);
            let key =
                key.with_context(|| format!("the ssh-agent does not hold {wish}; `ssh-add` your key first"))?;
            return Ok(Self { key, place: Place::Agent(socket) });
        }
        let key = public_key(wish)?;
        if let Some(socket) = held(&key) {
            return Ok(Self { key, place: Place::Agent(socket) });
        }
        let private = PathBuf::from(wish.strip_suffix(".pub").unwrap_or(wish));
        if !private.is_file() {
            let what = format!(
                "{} is neither in the ssh-agent nor in a file {}; `ssh-add` it first",
                key.fingerprint(),
                private.display()
            );
            return Err(Stop::Failed(what).into());
        }
        Ok(Self { key, place: Place::File(private) })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// Signs a statement of `kind`.
    pub fn sign(&self, kind: Kind, statement: &str) -> anyhow::Result<SshSig> {
        self.sign_in(&kind.namespace(), statement)
    }

    /// Signs a text in a namespace of its own.
    pub fn sign_in(&self, namespace: &str, text: &str) -> anyhow::Result<SshSig> {
        let signature = match &self.place {
            Place::Agent(socket) => agent::sign(socket, &self.key, namespace, text.as_bytes())?,
            Place::File(path) => sign_with_keygen(path, namespace, text)?,
        };
        signature
            .verify(&self.key, namespace, text.as_bytes(), &PasskeyRules::NONE)
            .with_context(|| format!("the signature by {} does not hold", self.key.fingerprint()))?;
        Ok(signature)
    }
}

fn sign_with_keygen(path: &Path, namespace: &str, statement: &str) -> anyhow::Result<SshSig> {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-q", "-n", namespace, "-f"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("`ssh-keygen` cannot be started; install OpenSSH, or put the key into the ssh-agent")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A key that cannot be opened ends ssh-keygen before it has read; its status tells.
        let _early = stdin.write_all(statement.as_bytes());
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("`ssh-keygen -Y sign -f {}` ended with {}", path.display(), output.status);
    }
    let armor = String::from_utf8(output.stdout).context("`ssh-keygen` printed no text")?;
    SshSig::from_armor(&armor)
        .context("`ssh-keygen` printed a signature of another form; OpenSSH 8.9 or newer is needed")
}

/// The same wish, to be kept: a file keeps its place when the program is called from another folder.
pub fn kept(wish: &str) -> String {
    if wish.starts_with("SHA256:") {
        return wish.to_owned();
    }
    std::path::absolute(wish).map_or_else(|_| wish.to_owned(), |path| path.display().to_string())
}

/// The public key that `wish` names: a file `id_*.pub` or the private file beside it.
pub fn public_key(wish: &str) -> anyhow::Result<PublicKey> {
    let path = if wish.ends_with(".pub") { wish.to_owned() } else { format!("{wish}.pub") };
    let line = std::fs::read_to_string(&path).with_context(|| {
        format!("no public key at {path}; give `--key` an id_*.pub, or a fingerprint SHA256:…")
    })?;
    key_line(line.trim_end()).with_context(|| format!("{path} holds no key that can sign here"))
}

/// The key in a line of `id_*.pub`, or in the file of this name.
pub fn key_or_file(wish: &str) -> anyhow::Result<PublicKey> {
    if wish.contains(' ') { key_line(wish) } else { public_key(wish) }
}

fn key_line(line: &str) -> anyhow::Result<PublicKey> {
    let (key, _comment) = PublicKey::from_openssh(line).with_context(|| format!("`{}`", plain(line)))?;
    Ok(key)
}

#[cfg(test)]
mod tests;
