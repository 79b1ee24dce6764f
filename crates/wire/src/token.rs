//! The enrollment token: one line that a machine needs to join.
//!
//! It carries the pins: the organization (the hash of its genesis policy), where the server is and which key its certificate
//! has, the batch, and the batch's one-time signing key. Whoever holds it can join a machine until the batch is used up.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::sshwire::{Reader, WireError, Writer};

/// What a machine needs to join.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The organization.
    pub org: OrgId,
    /// The server, `host:port`.
    pub server: String,
    /// SHA-256 of the public key (SubjectPublicKeyInfo) of the server's certificate.
    pub pin: Option<Sha256>,
    /// The batch's enrollment statement.
    pub batch: Sha256,
    /// The seed of the batch's one-time signing key. Secret.
    pub seed: [u8; 32],
}

/// The name of the one-time key of every token.
pub const TOKEN_KEY_NAME: &str = "countersign-token";

const PREFIX: &str = "cst1_";

/// Why a text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not even the beginning of one.
    #[error("an enrollment token begins with `cst1_`; make one with `countersign enroll token`")]
    Prefix,
    /// Damaged on the way.
    #[error("the token is damaged or cut off; copy the whole line again")]
    Damaged,
}

impl From<WireError> for TokenError {
    fn from(_: WireError) -> Self {
        Self::Damaged
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut to = Writer::new();
        to.raw(&self.org.0).string(self.server.as_bytes());
        match &self.pin {
            Some(pin) => to.byte(1).raw(&pin.0),
            None => to.byte(0),
        };
        let body = to.raw(&self.batch.0).raw(&self.seed).take();
        let check = Sha256::of(&body).0;
        let mut whole = body;
        whole.extend_from_slice(check.get(..4).unwrap_or_default());
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(whole))
    }
}

impl FromStr for Token {
    type Err = TokenError;
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        let whole = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Damaged)?;
        let (body, check) = whole.split_last_chunk::<4>().ok_or(TokenError::Damaged)?;
        if !Sha256::of(body).0.starts_with(check) {
            return Err(TokenError::Damaged);
        }
        let mut from = Reader::new(body);
        let (org, server) = (OrgId(from.array()?), from.text()?.to_owned());
        let pin = match from.byte()? {
            0 => None,
            1 => Some(Sha256(from.array()?)),
            _ => return Err(TokenError::Damaged),
        };
        let token = Self { org, server, pin, batch: Sha256(from.array()?), seed: from.array()? };
        from.finish()?;
        Ok(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("org", &self.org).field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        let (org, batch) = (OrgId([1; 32]), Sha256([2; 32]));
        Token { org, server: "127.0.0.1:8443".to_owned(), pin: Some(Sha256([3; 32])), batch, seed: [4; 32] }
    }

    #[test]
    fn a_token_reads_back_and_is_one_word() {
        let text = token().to_string();
        assert_eq!(text.parse(), Ok(token()));
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'));
    }

    #[test]
    fn a_damaged_token_is_told_from_something_else() {
        let text = token().to_string();
        assert_eq!(text[..text.len() - 2].parse::<Token>(), Err(TokenError::Damaged));
        assert_eq!(text.replacen('A', "B", 1).parse::<Token>(), Err(TokenError::Damaged));
        assert_eq!("hello".parse::<Token>(), Err(TokenError::Prefix));
    }

    #[test]
    fn debug_output_does_not_hold_the_seed() {
        assert!(!format!("{:?}", token()).contains("4, 4, 4"));
    }
}
