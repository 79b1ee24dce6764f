//! The state of one halt: since when, by whom, why, what it stops now, and who has it.

use countersign_trust::chain::{Chain, HeldHalt};
use countersign_trust::statement::halt::Scope;
use countersign_wire::http::HaltView;
use serde_json::{Value, json};

use super::set::{Reach, reach};
use crate::checked::reach::Reached;
use crate::cmd::job::ReadJob;
use crate::output::{Paint, Ui, count, indent, plain, short, time};
use crate::prose::{brief, prose};

/// What was found out about one halt.
pub struct State<'a> {
    /// What it says: its signature was checked.
    pub halt: &'a HeldHalt,
    /// Each beacon that was asked: whether its signed word names the halt, or why it gave none.
    pub beacons: Vec<(String, Result<bool, String>)>,
    /// How far it came with the beacons of the newest policy.
    pub reach: Option<Reach>,
    /// What the server says of it, or why it says nothing.
    pub server: Result<HaltView, String>,
    /// The open jobs that it stops, or why nobody can say.
    pub jobs: Result<Vec<&'a ReadJob>, String>,
}

impl<'a> State<'a> {
    /// How a halt stands with beacons, and as the server says.
    pub fn of(
        chain: &Chain,
        reached: &Reached,
        halt: &'a HeldHalt,
        server: Result<HaltView, String>,
    ) -> Self {
        let said = reached.names(&halt.hash);
        let have: Vec<_> =
            said.iter().filter(|(_, said)| *said == Ok(true)).map(|(key, _)| (*key).clone()).collect();
        let beacons = said.into_iter().map(|(key, said)| (plain(key.name()), said)).collect();
        let jobs = Err("the server shows no jobs".to_owned());
        Self { halt, beacons, reach: reach(chain, &have).pop(), server, jobs }
    }

    /// In words.
    pub fn words(&self, ui: &Ui) -> String {
        let halt = self.halt;
        let mut text = format!("HALTED: {}\n", halt.body.scope);
        let mut row = |name: &str, said: &str| text.push_str(&format!("  {name:9} {said}\n"));
        row("halt", &halt.hash.to_string());
        row("since", &format!("{}, by its author's clock", time(halt.body.made.0)));
        row("by", &format!("{}, key {}; one signature is enough", halt.by, halt.by.keys()));
        row("because", indented(&prose(halt.body.reason.as_str(), "all of it: --json")).trim_start());
        row("stops", indented(&self.stops()).trim_start());
        row("beacons", &self.reach.as_ref().map_or_else(|| "none is known".to_owned(), set_or_not));
        for (name, said) in &self.beacons {
            let word = match said {
                Ok(true) => format!("has it ({})", ui.paint(Paint::Good, "verified")),
                Ok(false) => "HAS NOT: its signed word does not name it".to_owned(),
                Err(why) => format!("gave no signed word: {why}"),
            };
            row("", &format!("{name}: {word}"));
        }
        match &self.server {
            Ok(view) => {
                row("server", &format!("says that it has it since {}", time(view.received)));
                row("devices", &format!("the server says: {}", devices(view)));
            }
            Err(why) => row("server", &format!("says nothing of it: {}", plain(why))),
        }
        text
    }

    /// What it stops now.
    fn stops(&self) -> String {
        let scope = match &self.halt.body.scope {
            Scope::Organization(_) => {
                "every step of every job, but occurrences of checks and probes".to_owned()
            }
            scope => scope.to_string(),
        };
        let jobs = match &self.jobs {
            Err(why) => return format!("{scope}\nwhich open jobs that are was not seen: {}", plain(why)),
            Ok(jobs) if jobs.is_empty() => return format!("{scope}\nno job that is open now"),
            Ok(jobs) => jobs,
        };
        let number = count(jobs.len(), "open job", "open jobs");
        let rows: Vec<String> = jobs
            .iter()
            .map(|read| {
                let job = &read.job;
                format!("  {} asked by {}: {}", short(&read.hash), job.requester, brief(job.why.as_str()))
            })
            .collect();
        format!("{scope}\n{number}:\n{}", rows.join("\n"))
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let halt = self.halt;
        let beacon = |(name, said): &(String, Result<bool, String>)| json!({"beacon": name, "has": said.as_ref().ok(), "silent": said.as_ref().err()});
        let jobs = |jobs: &Vec<&ReadJob>| jobs.iter().map(|read| read.hash.to_string()).collect::<Vec<_>>();
        json!({
            "halt": halt.hash.to_string(), "since": halt.body.made.0, "by": halt.by.to_string(), "key": halt.by.keys(),
            "scope": halt.body.scope.to_string(), "reason": halt.body.reason.to_string(), "signatures": halt.signed.signatures().len(),
            "open_jobs": self.jobs.as_ref().ok().map(jobs), "set": self.reach.as_ref().map(Reach::enough),
            "beacons": self.beacons.iter().map(beacon).collect::<Vec<_>>(), "the_server_says": self.server.as_ref().ok().map(says),
        })
    }
}

fn set_or_not(reach: &Reach) -> String {
    format!("{}: {}", if reach.enough() { "SET" } else { "NOT SET" }, reach.words())
}

/// Lines below the first stand where the first does.
fn indented(text: &str) -> String {
    text.lines().map(|line| indent(&indent(&indent(&indent(&indent(&indent(line)))))).to_owned()).collect()
}

/// Which devices have it, as the server says.
pub fn devices(view: &HaltView) -> String {
    let connected = view.have.saturating_add(view.lack);
    let away = view.devices.saturating_sub(connected);
    let have = match view.lack {
        0 => format!("all {connected} that are connected have it on disk"),
        lack => format!("{} of {connected} that are connected have it on disk, {lack} NOT YET", view.have),
    };
    match away {
        0 => have,
        away => format!("{have}; {away} not connected: without fresh Clears they start nothing either"),
    }
}

/// For programs.
pub fn says(view: &HaltView) -> Value {
    let connected = view.have.saturating_add(view.lack);
    json!({
        "received": view.received, "devices": view.devices, "have": view.have, "lack": view.lack,
        "not_connected": view.devices.saturating_sub(connected),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(devices: u64, have: u64, lack: u64) -> HaltView {
        let text = String::new;
        HaltView {
            halt: text(),
            since: 0,
            by: text(),
            key: text(),
            covers: text(),
            reason: text(),
            envelope: text(),
            received: 0,
            devices,
            have,
            lack,
        }
    }

    #[test]
    fn who_lacks_a_halt_is_said_aloud_and_who_is_away_is_not_counted_as_having_it() {
        assert_eq!(devices(&view(3, 3, 0)), "all 3 that are connected have it on disk");
        assert_eq!(devices(&view(3, 2, 1)), "2 of 3 that are connected have it on disk, 1 NOT YET");
        let away = devices(&view(5, 3, 0));
        assert!(away.starts_with("all 3 that are connected have it on disk; 2 not connected"), "{away}");
        assert_eq!(says(&view(5, 2, 1))["not_connected"], 2);
    }
}
