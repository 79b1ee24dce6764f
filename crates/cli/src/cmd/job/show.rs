//! `countersign job show`.

use countersign_trust::chain::Place;
use countersign_trust::envelope::Logged;
use countersign_trust::ids::DeviceId;
use countersign_trust::receipt::Receipt;
use countersign_trust::statement::policy::Policy;
use countersign_trust::verify::Code;
use countersign_wire::http::JobDevice;
use serde_json::{Value, json};

use super::ReadJob;
use crate::approval::{approval, signed_by};
use crate::checked::Device;
use crate::cmd::run::{describe, site};
use crate::context::{Context, Session};
use crate::output::{Paint, count, indent, plain, short, table};
use crate::receipts::{Outcome, outcome, verified};

/// One job: its text, who signed, and what each device says.
pub fn show(context: &Context, wish: &str) -> anyhow::Result<()> {
    let session = context.open()?;
    let (read, said) = ReadJob::fetch_with_devices(&session, wish)?;
    let rows: Vec<Row> = read.targets.iter().map(|id| Row::of(&session, &read, id, &said)).collect();
    let devices = read.enrolled(&session);
    let unknown = read.unknown(&session);
    let chain = &session.checked.chain;
    let people = signed_by(chain, &read.signed);
    let standing = approval(chain, &read.job, &people, &devices);
    let signed: Vec<&str> = people.people().map(|name| name.as_str()).collect();
    let logged = read.governing(&session).map(|(_, place)| place.index);
    let answer = json!({
        "job": read.hash.to_string(), "text": read.signed.statement(), "signed_by": signed, "missing": standing.missing,
        "logged": logged, "the_server_says": read.view.state, "not_enrolled": unknown,
        "devices": rows.iter().map(Row::json).collect::<Vec<_>>(),
    });
    context.ui.answer(&answer, || {
        let mut text = describe(&session, &read.job, &read.hash, &devices, &people);
        if !unknown.is_empty() {
            let targets = count(unknown.len(), "target is", "targets are");
            let which = unknown.join(", ");
            text.push_str(&indent(&format!(
                "\n{targets} not enrolled by anything that was verified here: {which}"
            )));
        }
        text.push_str(&format!("\nSigned by {} (verified)\n", signed.join(", ")));
        text.push_str(&indent(
            &standing.missing.iter().map(|what| format!("missing: {what}")).collect::<Vec<_>>().join("\n"),
        ));
        text.push_str(&match &logged {
            Some(place) => format!("Stands in the log as leaf {place} (verified)\n"),
            None => format!(
                "Not in the log; the server says: {} {}\n",
                plain(&read.view.state),
                plain(&read.view.missing)
            ),
        });
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.cells(context, &session)).collect();
        text.push_str(&table(&["DEVICE", "SITE", "VERDICT", "", "BECAUSE"], &rows));
        text
    });
    Ok(())
}

impl ReadJob {
    /// The policy in force where it stands in the log, and that place, if the proof of its leaf holds.
    pub fn governing<'a>(&self, session: &'a Session) -> Option<(&'a Policy, Place)> {
        let chain = &session.checked.chain;
        let logged = Logged::from_text(&self.view.envelope).ok()?;
        let leaf = logged.signed.leaf(&chain.org()).ok()?;
        chain.governing(&leaf, &logged.proof).ok().map(|(policy, place, _)| (&policy.body, place))
    }

    /// Those of its targets that a verified enrollment explains.
    pub fn enrolled<'a>(&self, session: &'a Session) -> Vec<&'a Device> {
        self.targets.iter().filter_map(|id| session.checked.devices.enrolled.get(id)).collect()
    }

    /// The others: they were let go, or nothing verified here speaks of them.
    fn unknown(&self, session: &Session) -> Vec<String> {
        let enrolled = &session.checked.devices.enrolled;
        self.targets.iter().filter(|id| !enrolled.contains_key(id)).map(ToString::to_string).collect()
    }
}

/// What became of a job on one device.
struct Row {
    device: DeviceId,
    told: Result<Receipt, String>,
    steps: usize,
}

impl Row {
    fn of(session: &Session, read: &ReadJob, id: &DeviceId, shown: &[JobDevice]) -> Self {
        let told = shown.iter().find(|told| told.device == id.to_string());
        let told = match told {
            None => Err("the server says nothing".to_owned()),
            Some(JobDevice { receipt: Some(note), .. }) => verified(&session.checked, id, &read.hash, note)
                .map_err(|fault| format!("A RECEIPT THAT DOES NOT HOLD: {fault}")),
            Some(told) => Err(format!("the server says: {} {}", told.verdict, told.because)),
        };
        Self { device: *id, told, steps: read.job.steps.len() }
    }

    fn json(&self) -> Value {
        match &self.told {
            Ok(receipt) => json!({
                "device": self.device.to_string(), "verified": true, "verdict": receipt.verdict.to_string(), "step": receipt.step,
                "code": receipt.code.as_ref().map(Code::as_str), "because": receipt.because.as_str(), "number": receipt.number, "time": receipt.time.0,
                "output": receipt.output.map(|hash| hash.to_string()),
            }),
            Err(what) => json!({"device": self.device.to_string(), "verified": false, "what": what}),
        }
    }

    fn cells(&self, context: &Context, session: &Session) -> Vec<String> {
        let place = session.checked.devices.enrolled.get(&self.device).map(site).unwrap_or_default();
        match &self.told {
            Ok(receipt) => {
                let because = because(receipt);
                vec![
                    short(&self.device),
                    place,
                    verdict(context, receipt, self.steps),
                    "verified".to_owned(),
                    because,
                ]
            }
            Err(what) => vec![short(&self.device), place, String::new(), String::new(), plain(what)],
        }
    }
}

/// Why, in the receipt's words; for refusals with the rule that they come from.
pub fn because(receipt: &Receipt) -> String {
    let because = plain(receipt.because.as_str());
    match receipt.count {
        0 | 1 => because,
        more => format!("{because} ({more} times)"),
    }
}

/// The verdict, painted by how it went.
pub fn verdict(context: &Context, receipt: &Receipt, steps: usize) -> String {
    let how = match outcome(receipt, steps) {
        Outcome::Well => Paint::Good,
        Outcome::Open => Paint::Dim,
        Outcome::Later | Outcome::Refused | Outcome::Failed => Paint::Bad,
    };
    context.ui.paint(how, &receipt.verdict.to_string())
}
