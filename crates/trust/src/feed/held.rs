//! What a follower holds of a feed: of each key the newest index, and the halts these name.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Feed, FeedError, read_halt};
use crate::delivery::{read_sequence, write_sequence};
use crate::envelope::Signed;
use crate::ids::Sha256;
use crate::key::PublicKey;

/// How an index that was just read stands to the one held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the one held.
    Same,
    /// It is the first of its key, or follows the one held.
    Newer,
}

/// What is held. An index once taken is never left for an earlier one, and no halt is ever taken back: a chain that has it keeps it
/// until a resume.
#[derive(Clone, Debug, Default)]
pub struct Held {
    feeds: BTreeMap<PublicKey, Feed>,
    halts: BTreeMap<Sha256, Signed>,
}

impl Held {
    /// Takes an index, if it goes on from the one of the same key that is held.
    pub fn take(&mut self, feed: Feed) -> Result<Step, FeedError> {
        let (found, found_hash) = (feed.index.sequence, feed.hash);
        if let Some(held) = self.feeds.get(&feed.key) {
            let (held, held_hash) = (held.index.sequence, held.hash);
            if found < held {
                return Err(FeedError::RolledBack { found, held });
            }
            if found == held && found_hash == held_hash {
                return Ok(Step::Same);
            }
            if found == held || (found == held + 1 && feed.index.previous != Some(held_hash)) {
                return Err(FeedError::Forked { found, found_hash, held, held_hash });
            }
        }
        self.feeds.insert(feed.key.clone(), feed);
        let named = self.named();
        self.halts.retain(|hash, _| named.contains(hash));
        Ok(Step::Newer)
    }

    /// Takes a halt that an index held names.
    pub fn take_halt(&mut self, text: &str, hash: &Sha256) -> Result<(), FeedError> {
        let signed = read_halt(text, hash)?;
        if self.named().contains(hash) {
            self.halts.insert(*hash, signed);
        }
        Ok(())
    }

    /// Halts that are named and not held.
    pub fn missing(&self) -> Vec<Sha256> {
        self.named().into_iter().filter(|hash| !self.halts.contains_key(hash)).collect()
    }

    /// The halts that are named and held.
    pub fn halts(&self) -> impl Iterator<Item = &Signed> {
        self.halts.values()
    }

    /// The newest index of each key.
    pub fn feeds(&self) -> impl Iterator<Item = &Feed> {
        self.feeds.values()
    }

    fn named(&self) -> BTreeSet<Sha256> {
        self.feeds.values().flat_map(|feed| feed.index.halts.iter().copied()).collect()
    }

    /// All of it as one text, to be kept.
    pub fn to_text(&self) -> String {
        let feeds = self.feeds.values().map(ToString::to_string);
        write_sequence(&feeds.chain(self.halts.values().map(ToString::to_string)).collect::<Vec<_>>())
    }

    /// What [`Held::to_text`] gave. Of a key that is not followed any more nothing is taken.
    pub fn from_text(text: &str, keys: &BTreeSet<PublicKey>) -> Result<Self, FeedError> {
        let (mut held, mut halts) = (Self::default(), Vec::new());
        for item in read_sequence(text).ok_or(FeedError::Kept)? {
            match Feed::read(item, keys) {
                Ok(feed) => drop(held.feeds.insert(feed.key.clone(), feed)),
                Err(FeedError::Stranger(_)) => {}
                Err(_) => halts.push(Signed::from_text(item).map_err(|_| FeedError::Kept)?),
            }
        }
        let named = held.named();
        let halts = halts.into_iter().map(|halt| (halt.hash(), halt));
        held.halts = halts.filter(|(hash, _)| named.contains(hash)).collect();
        Ok(held)
    }
}
