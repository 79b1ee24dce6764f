//! Beacons are brought what they lack, and new ones the words of those before them.
//!
//! Source: docs/spec/8-interfaces.md, "Who tells beacons".

use std::future::Future;

use countersign_trust::chain::Chain;
use countersign_trust::clear::Clear;
use countersign_trust::ids::Sha256;
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::told::{Holds, brought};
use countersign_wire::beacon::State;
use tokio::task::JoinSet;

use super::{PeerError, Peers, beacons, refused};

/// What one beacon said in the end.
struct Visit {
    key: VerifierKey,
    url: String,
    said: Result<(Note, Clear), PeerError>,
}

impl Peers {
    /// Brings every beacon of the newest policy and of the one before what it lacks of `chain`, and new ones what hands over to them.
    /// Answers those that have not shown by a Clear that they hold what is newest, with why.
    pub async fn bring(&self, chain: &Chain) -> Vec<(VerifierKey, String)> {
        let mut places = beacons(&chain.policy().body);
        if let Some(before) = chain.policies().iter().rev().nth(1) {
            let known = places.clone();
            let others = beacons(&before.body).into_iter();
            places.extend(others.filter(|(key, _)| known.iter().all(|(other, _)| other != key)));
        }
        let mut visits = self.visit_all(chain, places).await;
        self.hand_over(chain, &mut visits).await;
        visits.into_iter().filter_map(|visit| Some((visit.key, lack(chain, visit.said)?))).collect()
    }

    async fn visit_all(&self, chain: &Chain, places: Vec<(VerifierKey, String)>) -> Vec<Visit> {
        let mut asked = JoinSet::new();
        for (key, url) in places {
            asked.spawn(self.visit(chain.clone(), key, url));
        }
        asked.join_all().await
    }

    /// Brings one beacon what it lacks.
    fn visit(&self, chain: Chain, key: VerifierKey, url: String) -> impl Future<Output = Visit> + use<> {
        let peers = self.clone();
        async move {
            let said = match peers.bring_one(&chain, &key, &url).await {
                Ok(()) => peers.held(&chain, &key, &url).await,
                Err(error) => Err(error),
            };
            Visit { key, url, said }
        }
    }

    /// Brings one beacon what it lacks, without asking what it holds then.
    pub(super) async fn bring_one(
        &self,
        chain: &Chain,
        key: &VerifierKey,
        url: &str,
    ) -> Result<(), PeerError> {
        let holds = match self.held(chain, key, url).await {
            Ok((_, clear)) => Holds::by(chain, &clear),
            Err(PeerError::Answer { status: 404, .. }) => Holds::default(),
            Err(PeerError::Answer { .. }) => self.state(chain, url).await.unwrap_or_default(),
            Err(error) => return Err(error),
        };
        for piece in brought(chain, &holds, key) {
            self.post_well(format!("{url}/v1/orgs/{}/news", chain.org()), piece).await?;
        }
        Ok(())
    }

    /// A Clear that answers nothing, which says what a beacon holds.
    async fn held(&self, chain: &Chain, key: &VerifierKey, url: &str) -> Result<(Note, Clear), PeerError> {
        let url = format!("{url}/v1/orgs/{}/handover", chain.org());
        let answer = self.get(&url).await?;
        if answer.status != 200 {
            return Err(refused(url, &answer));
        }
        let read = || {
            let note: Note = answer.text.parse().ok()?;
            let clear: Clear = note.text().parse().ok()?;
            (note.signed_by(key) && clear.org == chain.org()).then_some((note, clear))
        };
        read().ok_or_else(|| refused(url, &answer))
    }

    /// What a beacon says that signs nothing yet: good enough to choose what to bring.
    async fn state(&self, chain: &Chain, url: &str) -> Option<Holds> {
        let answer = self.get(&format!("{url}/v1/orgs/{}/state", chain.org())).await.ok()?;
        serde_json::from_str::<State>(&answer.text).ok()?.holds(chain)
    }

    /// A beacon that a policy names anew answers nobody until so many of those before it have said what they know.
    async fn hand_over(&self, chain: &Chain, visits: &mut Vec<Visit>) {
        let named = &chain.policy().body.beacons.keys;
        let is_new = |visit: &&Visit| {
            matches!(visit.said, Err(PeerError::Answer { .. })) && named.contains(&visit.key)
        };
        let new: Vec<_> = visits.iter().filter(is_new).map(|v| (v.key.clone(), v.url.clone())).collect();
        for (key, url) in new {
            let Some(tenure) = chain.tenure(&key) else { continue };
            let Some(before) = tenure.before else { continue };
            let unasked = beacons(&before.body).into_iter();
            let unasked =
                unasked.filter(|(other, _)| visits.iter().all(|visit| visit.key != *other)).collect();
            let more = self.visit_all(chain, unasked).await;
            visits.extend(more);
            let said = visits.iter().filter_map(|visit| Some((&visit.key, visit.said.as_ref().ok()?)));
            let counts = said.filter(|(key, (_, clear))| chain.hands_over(&tenure, key, clear));
            let notes: Vec<String> = counts.map(|(_, (note, _))| note.to_string()).collect();
            for note in notes {
                let handed = self.post_well(format!("{url}/v1/orgs/{}/handover", chain.org()), note).await;
                if let Err(error) = handed {
                    tracing::warn!(beacon.name = key.name(), why = %error, "handover not taken");
                }
            }
            let said = self.held(chain, &key, &url).await;
            visits.iter_mut().filter(|visit| visit.key == key).for_each(|visit| visit.said = said.clone());
        }
    }
}

/// Why a beacon is not known to hold what is newest here; none if it is.
fn lack(chain: &Chain, said: Result<(Note, Clear), PeerError>) -> Option<String> {
    match said {
        Err(error) => Some(error.to_string()),
        Ok((_, clear)) if clear.policy == chain.policy().hash && clear.resume == chain.resume() => {
            unnamed(chain, &clear).map(|halt| format!("it does not name the halt {halt}"))
        }
        Ok((_, Clear { policy, resume, .. })) => {
            let resume = countersign_trust::lines::or_none(&resume);
            Some(format!("it names the policy {policy} and the resume {resume}"))
        }
    }
}

/// An active halt that a Clear does not name.
pub(super) fn unnamed(chain: &Chain, clear: &Clear) -> Option<Sha256> {
    chain.active_halts().map(|halt| halt.hash).find(|halt| !clear.halts.contains(halt))
}
