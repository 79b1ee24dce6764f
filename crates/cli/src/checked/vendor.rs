//! What the server follows of a vendor's feed. That a halt is the vendor's, and what it comes to, is found here from its own text: the
//! server can only keep it back.

use countersign_trust::chain::{Chain, VendorHalt};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::statement;
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_wire::http::{VendorView, paths};
use serde_json::{Value, json};

use crate::cmd::halt::words;
use crate::context::Session;
use crate::output::{Ui, indent, plain, short};
use crate::prose::prose;

/// What there is to know of a vendor's feed.
pub struct FromVendor {
    view: VendorView,
    asks: Vec<(Sha256, Halt)>,
    /// What the policy says a vendor's halt is worth; none if it names no vendor.
    halts: Option<String>,
}

impl FromVendor {
    /// Asks the server; none of one that knows of no feeds.
    pub fn ask(session: &Session) -> Option<Self> {
        let chain = &session.checked.chain;
        let view: VendorView = session.server.get(&session.path(paths::VENDOR, &[])).ok()?;
        let envelopes = view.halts.iter().filter_map(|halt| Signed::from_text(&halt.envelope).ok());
        let asks = envelopes
            .filter(|signed| chain.of_vendor(signed) == VendorHalt::Asks)
            .filter_map(|signed| Some((signed.hash(), statement::read::<Halt>(signed.statement()).ok()?)))
            .filter(|(_, halt)| !is_answered(chain, halt))
            .collect();
        let vendor = &chain.policy().body.vendor;
        let halts = (!vendor.keys.is_empty()).then(|| vendor.halts.to_string());
        Some(Self { view, asks, halts })
    }

    /// Says what waits for a person's answer, and what is wrong.
    pub fn warn(&self, ui: &Ui) {
        for (hash, halt) in &self.asks {
            ui.warn(&format!(
                "THE VENDOR ASKS YOU TO HALT {} ({}, verified)",
                words(&halt.scope),
                short(hash)
            ));
            let said = prose(halt.reason.as_str(), "all of it: countersign status --json");
            ui.note(&format!(
                "{}  advisory: {}\n  Nobody obeys it by itself: the policy says `ask`. If you mean it, somebody of the halt role types:\n    {}",
                indent(&said),
                if halt.advisory.as_str().is_empty() { "none".to_owned() } else { plain(halt.advisory.as_str()) },
                command(halt)
            ));
        }
        for feed in self.view.feeds.iter().filter(|feed| !feed.trouble.is_empty()) {
            ui.warn(&format!(
                "the server says of the vendor's feed {}: {}",
                plain(&feed.url),
                plain(&feed.trouble)
            ));
        }
        if let Some(halt) = &self.view.server_stopped_by {
            ui.warn(&format!(
                "the server says: it is version {} and brings no job to any device, because of the halt {}",
                plain(&self.view.server_version),
                plain(halt)
            ));
        }
    }

    /// A line for people.
    pub fn line(&self) -> Option<String> {
        let halts = self.halts.as_ref()?;
        let feeds = match self.view.feeds.as_slice() {
            [] => "no feed".to_owned(),
            feeds => feeds
                .iter()
                .map(|feed| format!("{} (index {})", plain(&feed.url), feed.sequence))
                .collect::<Vec<_>>()
                .join(", "),
        };
        Some(format!("  the vendor's halts: {halts}; the server says it follows {feeds}\n"))
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let asks = self.asks.iter().map(|(hash, halt)| {
            json!({
                "halt": hash.to_string(), "scope": words(&halt.scope), "reason": halt.reason.to_string(),
                "advisory": halt.advisory.to_string(), "command": command(halt),
            })
        });
        let feeds = self.view.feeds.iter();
        let feeds = feeds.map(|feed| {
            json!({"url": feed.url, "sequence": feed.sequence, "heard": feed.heard, "trouble": feed.trouble})
        });
        json!({
            "halts": self.halts, "asks": asks.collect::<Vec<_>>(),
            "the_server_says": {"feeds": feeds.collect::<Vec<_>>(), "version": self.view.server_version, "stopped_by": self.view.server_stopped_by},
        })
    }
}

/// Whether somebody of the organization has called a halt of the same, lifted by now or not.
fn is_answered(chain: &Chain, asked: &Halt) -> bool {
    chain.halts().any(|halt| !halt.by.are_vendors() && halt.body.scope == asked.scope)
}

/// What a person types to halt it: the reason is theirs to write.
fn command(halt: &Halt) -> String {
    let Scope::Component(component) = &halt.scope else {
        return "countersign halt --reason '…'".to_owned();
    };
    let advisory: String =
        halt.advisory.as_str().chars().filter(|c| c.is_ascii_alphanumeric() || "-._:".contains(*c)).collect();
    let advisory = if advisory.is_empty() { String::new() } else { format!(" --advisory {advisory}") };
    format!("countersign halt --component {}={}{advisory} --reason '…'", component.name, component.below)
}
