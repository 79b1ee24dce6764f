//! Enrollment tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_trust::ids::Sha256;
use countersign_trust::sshwire::Writer;
use countersign_wire::token::Token;

/// A token has one print, around which a person may have copied spaces. The bytes are taken for a token, and for what is
/// in one.
pub fn token(data: &[u8]) {
    one_print(str::from_utf8(data).unwrap_or_default());
    let checked = Writer::new().raw(data).raw(&Sha256::of(data).0[..4]).take();
    one_print(&format!("cst1_{}", URL_SAFE_NO_PAD.encode(checked)));
}

fn one_print(text: &str) {
    match text.parse::<Token>() {
        Ok(token) => assert_eq!(token.to_string(), text.trim(), "two texts for one token"),
        Err(error) => assert!(error.to_string().len() < 200),
    }
}
