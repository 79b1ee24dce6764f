//! How long the log was, by the checkpoints that witnesses cosigned last.

use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::checkpoint::signed_checkpoint;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;

use crate::client::Client;
use crate::output::{Ui, plain};

/// How long one is waited for.
pub const LIMIT: Duration = Duration::from_secs(5);

/// The newest checkpoint of each witness of the newest policy that answers.
pub fn ask(ui: &Ui, chain: &Chain) -> Vec<Note> {
    let policy = &chain.policy().body;
    let path = format!("/{}/checkpoint", Sha256::of(policy.log.key.name().as_bytes()));
    let mut notes = Vec::new();
    for (name, url) in &policy.addresses.witnesses {
        let said = Client::new(url.as_str(), None, None)
            .and_then(|client| Ok(client.within(LIMIT).get_text(&path)?))
            .and_then(|text| Ok(text.parse::<Note>()?));
        match said {
            Ok(note) => notes.push(note),
            Err(error) => ui.warn(&plain(&format!("the witness {name} shows nothing: {error:#}"))),
        }
    }
    notes
}

/// The longest log that the log's key signed, with the cosignatures of all who saw just that.
pub fn longest(chain: &Chain, notes: &[Note]) -> Option<(u64, Note)> {
    let key = &chain.policy().body.log.key;
    let sized = |note: &Note| signed_checkpoint(note, key).ok().map(|checkpoint| checkpoint.size);
    let size = notes.iter().filter_map(sized).max()?;
    let mut same = notes.iter().filter(|note| sized(note) == Some(size));
    let mut longest = same.next()?.clone();
    let text = longest.text().to_owned();
    for other in same.filter(|other| other.text() == text) {
        for signature in other.signatures() {
            // One that stands there already, or one too many, says nothing new.
            let _ = longest.add(signature.clone());
        }
    }
    Some((size, longest))
}
