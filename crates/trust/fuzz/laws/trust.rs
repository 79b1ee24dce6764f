//! What holds for whatever bytes the parsers of `trust` are given. Each law stops the program if it is broken.
//!
//! The fuzzer looks for bytes that break one; the crate's own tests replay those that it kept.

#[path = "ledgers.rs"]
mod ledgers;
#[path = "machines.rs"]
mod machines;
#[path = "merkle.rs"]
mod merkle;
#[path = "../../tests/acceptance/organization.rs"]
mod organization;
#[path = "people.rs"]
mod people;
#[path = "statements.rs"]
mod statements;
#[path = "thief.rs"]
mod thief;

/// A law: its name, which is that of its corpus, and what it holds about any bytes.
pub type Law = (&'static str, fn(&[u8]));

/// The laws of `trust`.
pub const LAWS: [Law; 28] = [
    ("policy", statements::policy),
    ("job", statements::job),
    ("halt", statements::halt),
    ("resume", statements::resume),
    ("enroll", statements::enroll),
    ("advance", statements::advance),
    ("key", people::key),
    ("armor", people::armor),
    ("signature", people::signature),
    ("signed", people::signed),
    ("logged", people::logged),
    ("sequence", people::sequence),
    ("verifier-key", machines::verifier_key),
    ("note", machines::note),
    ("checkpoint", machines::checkpoint),
    ("proof", machines::proof),
    ("add-checkpoint", machines::add_checkpoint),
    ("clear", machines::clear),
    ("acknowledgement", machines::acknowledgement),
    ("join", machines::join),
    ("receipt", machines::receipt),
    ("merkle", merkle::proofs),
    ("record", ledgers::record),
    ("ledger", ledgers::ledger),
    ("bent-signature", thief::signature),
    ("bent-envelope", thief::envelope),
    ("bent-note", thief::note),
    ("bent-delivery", thief::delivery),
];

/// The longest sentence a parser says of what it refuses: whatever came, a log line stays a line.
const MOST_SENTENCE: usize = 8 * 1024;

fn text(data: &[u8]) -> &str {
    str::from_utf8(data).unwrap_or_default()
}

/// A refusal can be printed, and is no flood.
fn says_little(error: &impl std::fmt::Display) {
    let sentence = error.to_string();
    assert!(!sentence.is_empty() && sentence.len() <= MOST_SENTENCE, "{} bytes: {sentence}", sentence.len());
}

/// Whatever reads as a `T` is the one print of it. Returns it.
fn one_print<T: std::str::FromStr<Err: std::fmt::Display> + std::fmt::Display>(text: &str) -> Option<T> {
    match text.parse::<T>() {
        Ok(value) => {
            assert_eq!(value.to_string(), text, "two texts for one value");
            Some(value)
        }
        Err(error) => {
            says_little(&error);
            None
        }
    }
}
