//! A halt on its way: to every beacon of every policy held and to the server, all at once.

use std::thread;
use std::time::Duration;

use countersign_trust::chain::Chain;
use countersign_trust::clear::Acknowledgement;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::note::{Note, VerifierKey};
use countersign_wire::http::{PostStatement, StatementView, paths};

use crate::client::{Client, filled};
use crate::home::Profile;
use crate::output::{Paint, Ui, plain};

/// What everybody answered: a beacon with the policy it holds, or why its answer does not count.
pub struct Told {
    /// Every beacon of every policy held.
    pub beacons: Vec<(VerifierKey, Result<Sha256, String>)>,
    /// What the server says.
    pub server: Result<StatementView, String>,
}

const LIMIT: Duration = Duration::from_secs(10);

/// Hands the halt to every beacon of every policy held, and to the server, all at once.
pub fn tell(profile: &Profile, chain: &Chain, signed: &Signed) -> Told {
    let mut places: Vec<(VerifierKey, String)> = Vec::new();
    for held in chain.policies().iter().rev() {
        for key in &held.body.beacons.keys {
            let url = held.body.addresses.beacons.iter().find(|(name, _)| name.as_str() == key.name());
            let known = places.iter().any(|(other, _)| other == key);
            if let (false, Some((_, url))) = (known, url) {
                places.push((key.clone(), url.to_string()));
            }
        }
    }
    thread::scope(|scope| {
        let server = scope.spawn(|| tell_server(profile, signed));
        let calls: Vec<_> = places
            .into_iter()
            .map(|(key, url)| {
                let call_key = key.clone();
                (key, scope.spawn(move || tell_beacon(chain, &call_key, &url, signed)))
            })
            .collect();
        let broken = || Err("the call broke off".to_owned());
        let beacons =
            calls.into_iter().map(|(key, call)| (key, call.join().unwrap_or_else(|_| broken()))).collect();
        Told { beacons, server: server.join().unwrap_or_else(|_| Err("the call broke off".to_owned())) }
    })
}

fn tell_beacon(chain: &Chain, key: &VerifierKey, url: &str, signed: &Signed) -> Result<Sha256, String> {
    let client = Client::new(url, None, None).map_err(|error| error.to_string())?.within(LIMIT);
    let path = format!("/v1/orgs/{}/halts", chain.org());
    let answer = client.post_text(&path, signed.to_string()).map_err(|error| error.to_string())?;
    let note: Note = answer.parse().map_err(|error| format!("no acknowledgement: {error}"))?;
    if !note.signed_by(key) {
        return Err("its acknowledgement is not signed by its key".to_owned());
    }
    let said: Acknowledgement =
        note.text().parse().map_err(|error| format!("no acknowledgement: {error}"))?;
    if said.org != chain.org() || said.halt != signed.hash() {
        return Err("it acknowledges another halt".to_owned());
    }
    Ok(said.policy)
}

fn tell_server(profile: &Profile, signed: &Signed) -> Result<StatementView, String> {
    let client = profile.client().map_err(|error| error.to_string())?.within(LIMIT);
    let path = filled(paths::STATEMENTS, &[("org", &profile.org.to_string())]);
    let body = PostStatement { signed: signed.to_string(), targets: Vec::new() };
    client.post(&path, &body).map_err(|error| error.to_string())
}

impl Told {
    /// Says it, a line each.
    pub fn show(&self, ui: &Ui) {
        for (key, said) in &self.beacons {
            let word = match said {
                Ok(_) => format!("has it ({})", ui.paint(Paint::Good, "verified")),
                Err(why) => format!("HAS NOT: {}", plain(why)),
            };
            ui.note(&format!("  beacon {}: {word}", plain(key.name())));
        }
        match &self.server {
            Ok(view) => ui.note(&format!("  the server says: {}", plain(&view.state))),
            Err(why) => ui.note(&format!("  server: HAS NOT: {}", plain(why))),
        }
    }
}
