//! `countersign inbox`: what waits for signatures.

use countersign_trust::signers::signers;
use countersign_trust::statement::job::Job;
use countersign_trust::statement::{self, Kind};
use countersign_wire::http::{StatementView, paths};
use serde_json::{Value, json};

use crate::checked::vendor::FromVendor;
use crate::cmd::job::signed_part;
use crate::context::{Context, Session};
use crate::output::{short, table, time};
use crate::prose::brief;

/// Runs it.
pub fn run(context: &Context) -> anyhow::Result<()> {
    let session = context.open_to_mend()?;
    let path = format!("{}?state=waiting", session.path(paths::STATEMENTS, &[]));
    let all: Vec<StatementView> = session.server.pages(&path, usize::MAX)?;
    let waiting: Vec<Waiting> = all
        .iter()
        .filter(|view| view.state == "waiting")
        .filter_map(|view| Waiting::of(&session, view))
        .collect();
    let vendor = FromVendor::ask(&session);
    vendor.iter().for_each(|vendor| vendor.warn(&context.ui));
    let answer: Vec<Value> = waiting.iter().map(Waiting::json).collect();
    context.ui.answer(&json!({"waiting": answer, "vendor": vendor.as_ref().map(FromVendor::json)}), || {
        if waiting.is_empty() {
            return "Nothing waits for signatures.".to_owned();
        }
        let rows: Vec<Vec<String>> = waiting.iter().map(Waiting::cells).collect();
        table(&["HASH", "KIND", "RECEIVED", "SIGNED BY (verified)", "YOU", "WHY"], &rows)
    });
    if !waiting.is_empty() {
        context.ui.note("Look at one, and sign it: countersign approve HASH");
    }
    Ok(())
}

/// A statement that waits, and is signed by somebody known.
struct Waiting {
    hash: String,
    kind: Kind,
    received: u64,
    by: Vec<String>,
    mine: bool,
    why: String,
    missing: String,
}

impl Waiting {
    /// None if nobody of the newest policy signed it: then it is noise.
    fn of(session: &Session, view: &StatementView) -> Option<Self> {
        let signed = signed_part(&view.envelope).ok()?;
        let kind = signed.kind().ok()?;
        let by = signers(&session.checked.chain.policy().body, kind, &signed);
        if by.is_empty() {
            return None;
        }
        let why = match kind {
            Kind::Job => statement::read::<Job>(signed.statement())
                .ok()
                .map(|job| job.why.to_string())
                .unwrap_or_default(),
            _ => String::new(),
        };
        Some(Self {
            hash: signed.hash().to_string(),
            kind,
            received: view.received,
            by: by.people().map(ToString::to_string).collect(),
            mine: by.contains(&session.profile.me),
            why,
            missing: view.missing.clone(),
        })
    }

    fn json(&self) -> Value {
        json!({
            "hash": self.hash, "kind": self.kind.to_string(), "received": self.received, "signed_by": self.by,
            "signed_by_me": self.mine, "why": self.why, "the_server_says_missing": self.missing,
        })
    }

    fn cells(&self) -> Vec<String> {
        let mine = if self.mine { "signed" } else { "not yet" };
        vec![
            short(&self.hash),
            self.kind.to_string(),
            time(self.received),
            self.by.join(", "),
            mine.to_owned(),
            if self.why.is_empty() { String::new() } else { brief(&self.why) },
        ]
    }
}
