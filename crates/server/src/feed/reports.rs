//! What followers report to the vendor whose feed this server serves: the newest of each follower on the vendor's own list.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use countersign_trust::ids::{Name, Sha256};
use countersign_wire::http::{FollowerReport, FollowerView};

use crate::disk::{DiskError, Folder};

/// Reports, kept in the data folder.
#[derive(Debug)]
pub struct Reports {
    folder: Folder,
    /// The vendor's list: whose token has which hash.
    listed: BTreeMap<Name, Sha256>,
    newest: Mutex<BTreeMap<String, FollowerView>>,
}

impl Reports {
    /// Those of the followers that are listed.
    ///
    /// # Errors
    /// The disk.
    pub fn load(folder: &Folder, listed: &BTreeMap<Name, Sha256>) -> Result<Self, DiskError> {
        let kept: Vec<FollowerView> = match folder.reports()?.map(|text| serde_json::from_str(&text)) {
            Some(Ok(kept)) => kept,
            Some(Err(error)) => {
                tracing::error!(%error, "what followers reported is not read; they report again");
                Vec::new()
            }
            None => Vec::new(),
        };
        let newest = kept.into_iter().map(|view| (view.name.clone(), view)).collect();
        Ok(Self { folder: folder.clone(), listed: listed.clone(), newest: Mutex::new(newest) })
    }

    /// Whose token has this hash.
    pub fn follower(&self, token: &Sha256) -> Option<&Name> {
        self.listed.iter().find(|(_, hash)| *hash == token).map(|(name, _)| name)
    }

    /// Keeps a report.
    ///
    /// # Errors
    /// The disk.
    pub fn keep(&self, name: &Name, report: FollowerReport, now: u64) -> Result<(), DiskError> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let view = FollowerView { name: name.to_string(), heard: now, report: Some(report) };
        newest.insert(view.name.clone(), view);
        let all: Vec<&FollowerView> = newest.values().collect();
        // Strings and numbers always print.
        self.folder.keep_reports(&serde_json::to_string(&all).unwrap_or_default())
    }

    /// All that are listed, with what they reported last; those that never did are silent since ever.
    pub fn all(&self) -> Vec<FollowerView> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = |name: &Name| FollowerView { name: name.to_string(), heard: 0, report: None };
        self.listed
            .keys()
            .map(|name| newest.get(name.as_str()).cloned().unwrap_or_else(|| silent(name)))
            .collect()
    }
}
