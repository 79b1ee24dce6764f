//! The two questions asked of an ssh-agent: which keys it holds, and to sign.
//!
//! Source: draft-ietf-sshm-ssh-agent, "Requesting a list of keys" and "Private key operations".

use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::key::{Algorithm, PublicKey};
use countersign_trust::sshsig::{SshSig, signed_bytes};
use countersign_trust::sshwire::{Reader, Writer};

use crate::os;

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// For RSA: sign with SHA-512.
const RSA_SHA2_512: u32 = 4;
/// OpenSSH's own bound on a message.
const MOST_BYTES: u32 = 256 * 1024;

/// The keys the agent holds that can sign here; others, such as certificates, are passed over.
pub fn keys(socket: &Path) -> anyhow::Result<Vec<PublicKey>> {
    let answer = ask(socket, &[REQUEST_IDENTITIES], IDENTITIES_ANSWER)?;
    let mut from = Reader::new(&answer);
    let mut keys = Vec::new();
    for _ in 0..from.u32()? {
        let (blob, _comment) = (from.string()?, from.string()?);
        let Ok(name) = Reader::new(blob).text() else { continue };
        let line = format!("{name} {}", STANDARD.encode(blob));
        keys.extend(PublicKey::from_openssh(&line).ok().map(|(key, _)| key));
    }
    Ok(keys)
}

/// Lets the agent sign `message` for `namespace`.
pub fn sign(socket: &Path, key: &PublicKey, namespace: &str, message: &[u8]) -> anyhow::Result<SshSig> {
    let flags = if key.algorithm() == Algorithm::Rsa { RSA_SHA2_512 } else { 0 };
    let mut request = Writer::new();
    request.byte(SIGN_REQUEST).string(key.blob()).string(&signed_bytes(namespace, message)).u32(flags);
    let answer = ask(socket, &request.take(), SIGN_RESPONSE)
        .with_context(|| format!("the ssh-agent did not sign with {}", key.fingerprint()))?;
    let mut from = Reader::new(&answer);
    let signature = from.string()?;
    from.finish()?;
    Ok(SshSig::from_signature(key, namespace, signature)?)
}

fn ask(socket: &Path, request: &[u8], expected: u8) -> anyhow::Result<Vec<u8>> {
    let mut stream = os::connect_agent(socket)
        .with_context(|| format!("no ssh-agent answers at {} (SSH_AUTH_SOCK)", socket.display()))?;
    let mut framed = Writer::new();
    stream.write_all(&framed.string(request).take())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length == 0 || length > MOST_BYTES {
        bail!("the ssh-agent sent a message of {length} bytes, at most {MOST_BYTES} are read");
    }
    let mut answer = vec![0; usize::try_from(length)?];
    stream.read_exact(&mut answer)?;
    match answer.split_first() {
        Some((kind, body)) if *kind == expected => Ok(body.to_vec()),
        Some((kind, _)) => bail!("the ssh-agent answered {kind}, expected {expected}: it refused"),
        None => bail!("the ssh-agent answered nothing"),
    }
}
