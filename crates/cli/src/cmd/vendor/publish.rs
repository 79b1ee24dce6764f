//! `countersign vendor publish`: signs the index of what lies in the folder, one number higher.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use countersign_trust::chain::MAX_HALTS_OF_A_KEY;
use countersign_trust::feed::{Feed, FeedError, Index, NAMESPACE};
use countersign_trust::ids::Sha256;
use countersign_trust::key::PublicKey;
use serde_json::json;

use super::folder::Folder;
use super::signer;
use crate::context::Context;
use crate::os::write_private;
use crate::output::{Stop, count, short};

/// Sign the index of a feed's folder, so that followers take what lies in it.
///
/// Serve the folder by any web server, or by `[vendor] serve` in the configuration of a countersign-server, which holds connections
/// and tells followers at once.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// The folder of the feed.
    folder: PathBuf,
}

/// What was published last by a key, as this machine remembers it: a folder that was set back would fork the feed.
struct Last {
    sequence: u64,
    hash: Option<Sha256>,
}

/// Runs it.
pub fn run(context: &Context, args: &PublishArgs) -> anyhow::Result<()> {
    let signer = signer(context)?;
    let folder = Folder::open(&args.folder)?;
    let (halts, advisories) = (folder.halts()?, folder.advisories()?);
    let there = published(&folder, signer.public_key())?;
    let last = last(context, signer.public_key(), there.as_ref())?;
    let halts: BTreeSet<Sha256> = halts.into_keys().collect();
    if let Some(there) = &there
        && (there.index.halts == halts && there.index.advisories == advisories)
        && there.index.sequence == last.sequence
    {
        let answer = json!({"sequence": last.sequence, "changed": false});
        context.ui.answer(&answer, || format!("Nothing has changed since index {}.", last.sequence));
        return Ok(());
    }
    say(context, there.as_ref(), &halts);
    let sequence = last.sequence + 1;
    let index = Index { sequence, previous: last.hash, made: context.now, halts, advisories };
    index.check().map_err(|error| Stop::Usage(error.to_string()))?;
    if !context.ui.confirm(&format!("Publish index {sequence}?"))? {
        return Err(Stop::Refused("nothing was published".to_owned()).into());
    }
    let text = index.text();
    let armor = signer.sign_in(NAMESPACE, &text)?.to_armor();
    // Remembered first: a number that was never published is passed over, one that was used twice would be a fork.
    remember(context, signer.public_key(), sequence, Sha256::of(text.as_bytes()))?;
    folder.put_index(&(text + &armor))?;
    let (halts, advisories) = (index.halts.len(), index.advisories.len());
    let answer = json!({"sequence": sequence, "changed": true, "halts": halts, "advisories": advisories});
    context.ui.answer(&answer, || {
        format!(
            "Published index {sequence}: {}, {}. Followers with a held connection have it within a second, others at their next look.",
            count(halts, "halt", "halts"),
            count(advisories, "advisory", "advisories")
        )
    });
    Ok(())
}

/// The index in the folder, if this key signed it. Another key begins anew.
fn published(folder: &Folder, key: &PublicKey) -> anyhow::Result<Option<Feed>> {
    let Some(text) = folder.index()? else { return Ok(None) };
    match Feed::read(&text, &[key.clone()].into()) {
        Ok(feed) => Ok(Some(feed)),
        Err(FeedError::Stranger(_)) => Ok(None),
        Err(error) => Err(Stop::Alarm(format!("the index in the folder: {error}")).into()),
    }
}

fn place(context: &Context, key: &PublicKey) -> PathBuf {
    context.home.folder().join("vendor").join(Sha256::of(key.blob()).to_string())
}

fn last(context: &Context, key: &PublicKey, there: Option<&Feed>) -> anyhow::Result<Last> {
    let path = place(context, key);
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let kept = kept.trim_end().split_once(' ').and_then(|(sequence, hash)| {
        Some(Last { sequence: sequence.parse().ok()?, hash: Some(hash.parse().ok()?) })
    });
    let there = there.map(|feed| Last { sequence: feed.index.sequence, hash: Some(feed.hash) });
    Ok(match (kept, there) {
        (Some(kept), there) if there.as_ref().is_none_or(|there| kept.sequence > there.sequence) => {
            context.ui.warn(&format!(
                "the folder was set back: index {} was signed last, as {} remembers; the next one follows that",
                kept.sequence,
                path.display()
            ));
            kept
        }
        (Some(kept), Some(there)) if kept.sequence == there.sequence && kept.hash != there.hash => {
            let what = format!("index {} in the folder is another than the one signed here", there.sequence);
            return Err(Stop::Alarm(what).into());
        }
        (_, Some(there)) => there,
        (_, None) => Last { sequence: 0, hash: None },
    })
}

fn remember(context: &Context, key: &PublicKey, sequence: u64, hash: Sha256) -> anyhow::Result<()> {
    let path = place(context, key);
    write_private(&path, format!("{sequence} {hash}\n").as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// What changes, and what that does not do.
fn say(context: &Context, there: Option<&Feed>, halts: &BTreeSet<Sha256>) {
    let before = there.map(|feed| feed.index.halts.clone()).unwrap_or_default();
    for halt in halts.difference(&before) {
        context.ui.note(&format!("New: halt {}", short(halt)));
    }
    for halt in before.difference(halts) {
        context.ui.warn(&format!(
            "halt {} is not in the folder any more: whoever has it keeps it until a resume; only who has not heard of it will not",
            short(halt)
        ));
    }
    if halts.len() > MAX_HALTS_OF_A_KEY {
        context.ui.warn(&format!(
            "{} halts: of one key no more than {MAX_HALTS_OF_A_KEY} stop anything; take out those that nobody needs any more",
            halts.len()
        ));
    }
}
