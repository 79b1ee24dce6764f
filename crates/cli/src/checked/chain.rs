//! Policies, resumes and halts: what is held here, renewed from the server and from beacons.

mod recovery;

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use countersign_trust::chain::{Chain, Inclusion, Taken};
use countersign_trust::delivery::{News, read_sequence, write_sequence};
use countersign_trust::ids::OrgId;
use countersign_wire::http::paths;

use crate::client::{Client, ClientError, filled};
use crate::home::Profile;
use crate::output::{Stop, count, plain, short};

const CHAIN: &str = "chain";
/// How long beacons are waited for; the others have usually answered by then.
const BEACONS: Duration = Duration::from_secs(2);

/// The chain as it was checked and kept last, checked again; none if nothing was kept yet.
pub fn known(profile: &Profile) -> anyhow::Result<Option<Chain>> {
    let Some(text) = profile.kept(CHAIN) else { return Ok(None) };
    let items = read_sequence(&text).ok_or_else(|| anyhow!("what was kept of the chain is damaged"))?;
    let mut chain = None;
    for item in items {
        take(profile.org, &mut chain, item).context("what was kept of the chain does not hold")?;
    }
    Ok(chain)
}

/// Keeps a chain for the next time.
pub fn keep(profile: &Profile, chain: &Chain) -> anyhow::Result<()> {
    profile.keep(CHAIN, write_sequence(&News::since(chain, 0)).as_bytes())
}

/// Adds what the server shows and what beacons show. Returns also what a person should know of the differences.
pub fn renew(
    profile: &Profile,
    server: &Client,
    known: Option<Chain>,
) -> anyhow::Result<(Chain, Vec<String>)> {
    let mut warnings = Vec::new();
    let before = known.as_ref().map(|chain| chain.policies().len());
    let mut chain = known;
    let text = server.get_text(&filled(paths::NEWS, &[("org", &profile.org.to_string())]))?;
    let from_server = take_all(profile.org, &mut chain, &text);
    warnings.extend(
        from_server
            .faults
            .into_iter()
            .map(|fault| format!("the server sent something that does not hold: {fault}")),
    );
    let mut chain =
        chain.ok_or_else(|| Stop::Alarm(format!("the server shows no genesis policy of {}", profile.org)))?;
    let hidden = hidden_by_server(&chain, &text);
    warnings.extend(
        hidden
            .into_iter()
            .map(|what| format!("THE SERVER DOES NOT SHOW {what}, which was checked here before")),
    );
    warnings.extend(ask_beacons(profile.org, &mut chain, "THE SERVER DOES NOT SHOW"));
    warnings.extend(recovery::in_force(&chain, before));
    warnings.extend(recovery::waiting(&chain));
    Ok((chain, warnings))
}

/// The same where the server says nothing: adds what beacons show.
pub fn renew_by_beacons(profile: &Profile, mut known: Chain) -> (Chain, Vec<String>) {
    let before = known.policies().len();
    let mut warnings = ask_beacons(profile.org, &mut known, "NOT KNOWN HERE BEFORE:");
    warnings.extend(recovery::in_force(&known, Some(before)));
    warnings.extend(recovery::waiting(&known));
    (known, warnings)
}

/// What became of a sequence that was offered.
struct Offered {
    new: Vec<String>,
    faults: Vec<String>,
}

fn take_all(org: OrgId, chain: &mut Option<Chain>, text: &str) -> Offered {
    let mut offered = Offered { new: Vec::new(), faults: Vec::new() };
    let Some(items) = read_sequence(text) else {
        offered.faults.push("no sequence of envelopes".to_owned());
        return offered;
    };
    for item in items {
        match take(org, chain, item) {
            Ok(Some(what)) => offered.new.push(what),
            Ok(None) => {}
            Err(error) => offered.faults.push(plain(&format!("{error:#}"))),
        }
    }
    offered
}

/// Offers one envelope to the chain, or begins it. Says what it was if it was new.
pub fn take(org: OrgId, chain: &mut Option<Chain>, item: &str) -> anyhow::Result<Option<String>> {
    let news = News::from_text(item)?;
    let what = match &news {
        News::Policy(logged) => format!("the policy {}", short(&logged.signed.hash())),
        News::Resume(logged) => format!("the resume {}", short(&logged.signed.hash())),
        News::Halt(signed) => format!("the halt {}", short(&signed.hash())),
        News::Enroll(logged) => format!("the enrollment {}", short(&logged.signed.hash())),
        News::Recovered(_) => "a beacon's word for a policy of the recovery set".to_owned(),
    };
    match (chain.as_mut(), &news) {
        (Some(chain), news) => match news.offer(chain).with_context(|| what.clone())? {
            // Each beacon gives its own word, which a server need not have asked for yet.
            Taken::New if matches!(news, News::Recovered(_)) => Ok(None),
            Taken::New | Taken::Waits => Ok(Some(what)),
            Taken::Known | Taken::Lifted | Taken::Moved => Ok(None),
        },
        (None, News::Policy(genesis)) => {
            *chain = Some(
                Chain::begin(org, &genesis.signed, Inclusion::Proved(&genesis.proof))
                    .with_context(|| what.clone())?,
            );
            Ok(Some(what))
        }
        (None, _) => Err(anyhow!("{what} comes before any policy")),
    }
}

/// What is held here and not in what the server shows.
fn hidden_by_server(chain: &Chain, text: &str) -> Vec<String> {
    let shown: Vec<_> = read_sequence(text).unwrap_or_default();
    let shown: Vec<_> =
        shown.into_iter().filter_map(|item| Some(News::from_text(item).ok()?.hash())).collect();
    let mut hidden = Vec::new();
    let newest = chain.policy();
    if !shown.contains(&newest.hash) {
        hidden.push(format!("policy {} ({})", newest.body.number, short(&newest.hash)));
    }
    let resumes = chain.resumes().iter().filter(|resume| !shown.contains(&resume.hash));
    hidden.extend(resumes.map(|resume| format!("the resume {}", short(&resume.hash))));
    let halts = chain.active_halts().filter(|halt| !shown.contains(&halt.hash));
    hidden.extend(halts.map(|halt| format!("the halt {} by {}", short(&halt.hash), halt.by)));
    hidden
}

/// Asks every beacon of the newest policy at once, and takes what they know; `new` says what it means that it was new.
fn ask_beacons(org: OrgId, chain: &mut Chain, new: &str) -> Vec<String> {
    let after = chain.policy().body.number.saturating_sub(1);
    let path = format!("/v1/orgs/{org}/news?after={after}");
    let addresses = chain.policy().body.addresses.beacons.clone();
    let answers: Vec<(String, Result<String, ClientError>)> = thread::scope(|scope| {
        let ask = |url: &str| match Client::new(url, None, None) {
            Ok(client) => client.within(BEACONS).get_text(&path),
            Err(error) => Err(ClientError::Unreachable { url: url.to_owned(), reason: error.to_string() }),
        };
        let asked: Vec<_> =
            addresses.iter().map(|(name, url)| (name, scope.spawn(move || ask(url.as_str())))).collect();
        let lost =
            || Err(ClientError::Unreachable { url: String::new(), reason: "the call broke off".to_owned() });
        asked
            .into_iter()
            .map(|(name, call)| (name.to_string(), call.join().unwrap_or_else(|_| lost())))
            .collect()
    });
    compare(org, chain, answers, new)
}

fn compare(
    org: OrgId,
    chain: &mut Chain,
    answers: Vec<(String, Result<String, ClientError>)>,
    word: &str,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let asked = answers.len();
    let mut heard = 0;
    for (beacon, answer) in answers {
        match answer {
            Ok(text) => {
                heard += 1;
                let mut held = Some(chain.clone());
                let offered = take_all(org, &mut held, &text);
                if let Some(held) = held {
                    *chain = held;
                }
                let new = offered
                    .new
                    .into_iter()
                    .map(|what| format!("{word} {what}, the beacon {beacon} shows it"));
                warnings.extend(new);
                warnings.extend(
                    offered.faults.into_iter().map(|fault| {
                        format!("the beacon {beacon} sent something that does not hold: {fault}")
                    }),
                );
            }
            Err(error) => {
                warnings.push(format!("the beacon {beacon} did not answer: {}", plain(&error.to_string())))
            }
        }
    }
    if heard == 0 {
        let asked = count(asked, "beacon", "beacons");
        warnings.push(format!(
            "none of {asked} answered: what the server says of policies and halts was compared with nobody"
        ));
    }
    warnings
}
