//! What holds for whatever bytes come over a connection. Each law stops the program if it is broken.

#[path = "frames.rs"]
mod frames;
#[path = "tokens.rs"]
mod tokens;

/// A law: its name, which is that of its corpus, and what it holds about any bytes.
pub type Law = (&'static str, fn(&[u8]));

/// The laws of `wire`.
pub const LAWS: [Law; 4] = [
    ("frame", frames::stream),
    ("from-agent", frames::from_agent),
    ("from-server", frames::from_server),
    ("token", tokens::token),
];
