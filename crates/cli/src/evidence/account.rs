//! What follows from a folder of evidence: the timeline, what is missing, and the list of all files.

use countersign_trust::ids::Sha256;

use super::Folder;
use super::folder::TIMELINE;
use super::missing::missing;
use super::read::Evidence;
use super::timeline::timeline;

/// What was found.
#[derive(Clone, Debug)]
pub struct Account {
    /// A line for each event.
    pub events: usize,
    /// What is missing.
    pub missing: Vec<String>,
    /// The hash of the list of all files: whoever has it knows that nothing was changed since.
    pub manifest: Sha256,
}

/// Reads the folder, and writes what follows from it.
///
/// # Errors
/// Something in it does not hold, or it cannot be written.
pub fn account(folder: &Folder) -> anyhow::Result<Account> {
    let evidence = Evidence::read(folder)?;
    let page = timeline(&evidence);
    folder.put(TIMELINE, page.as_bytes())?;
    let missing = missing(&evidence);
    let mut comments =
        vec!["countersign-evidence/v1; check the files with: sha256sum --check MANIFEST".to_owned()];
    comments.extend(missing.iter().map(|line| format!("missing {line}")));
    let manifest = folder.seal(&comments)?;
    // The page begins with two lines for people and an empty one.
    Ok(Account { events: page.lines().count().saturating_sub(3), missing, manifest })
}
