//! Vectors judged again, for attacks that are about bytes.

use std::path::PathBuf;

use crate::bundle::Refused;
use crate::folder;

/// What came of a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The folder's name.
    pub name: String,
    /// What is bent, in words.
    pub about: String,
    /// What the vector says must come of it.
    pub expected: String,
    /// What came of it.
    pub outcome: String,
}

/// The folder of all vectors.
pub fn place() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../trust/vectors")
}

/// Judges the vector of this name.
///
/// # Panics
/// There is none, or it cannot be read.
pub fn judge(name: &str) -> Judged {
    let files = folder::read(&place().join(name));
    let text =
        |file: &str| files.get(file).unwrap_or_else(|| panic!("vector {name} has no file {file}")).clone();
    let outcome = match folder::from_files(&files).judge().job {
        Ok(()) => "accepted\n".to_owned(),
        Err(refused) => format!("refused\n{}\n{}\n", Refused::sentence(&refused), refused.code()),
    };
    let about = text("about").trim_end().to_owned();
    Judged { name: name.to_owned(), about, expected: text("expected"), outcome }
}
