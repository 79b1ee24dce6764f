//! The chain that this server holds: written down in the order in which it was offered what it is made of.
//!
//! Of rivals the first is taken, and of one key's halts the first sixteen stop something. So only the same order makes the same
//! chain again after a start.

use countersign_trust::chain::{Chain, ChainError, Inclusion, Taken};
use countersign_trust::delivery::News;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::statement::Kind;

use crate::app::Org;
use crate::orgs::LoadError;
use crate::store::statement::StatementRow;
use crate::store::{Db, StoreError, offered, recovered, statement};

/// Offers something to the chain, once it is written down that it comes next; of a halt also what it says. Policies and resumes
/// stand in the records already, by their proof. What is refused there has its place too: it is never offered again.
///
/// # Errors
/// It cannot be written down, and was not taken. Inside: the chain refuses it.
pub async fn offer(
    db: &Db,
    org: &Org,
    news: &News,
    halt: Option<&StatementRow>,
) -> Result<Result<Taken, ChainError>, StoreError> {
    let _one_at_a_time = org.offering.lock().await;
    let mut chain = org.chain_now();
    let taken = news.offer(&mut chain);
    let nothing_to_keep = match news {
        News::Recovered(_) => taken != Ok(Taken::New),
        News::Policy(_) | News::Resume(_) | News::Halt(_) | News::Enroll(_) => {
            taken.is_err() && halt.is_some()
        }
    };
    if nothing_to_keep {
        return Ok(taken);
    }
    let id = org.id.to_string();
    let mut tx = db.begin().await?;
    if let Some(row) = halt
        && statement::put(&mut tx, &id, row).await? == 0
    {
        statement::called_again(&mut tx, &id, &row.hash, &row.envelope).await?;
    }
    if let News::Recovered(word) = news {
        recovered::put(&mut tx, &id, &news.hash().to_string(), &word.to_string()).await?;
    }
    offered::append(&mut tx, &id, &news.hash().to_string()).await?;
    tx.commit().await?;
    org.hold(chain);
    Ok(taken)
}

/// Puts the chain together anew: its genesis policy has its proof.
///
/// # Errors
/// The records cannot be read, or do not hold.
pub async fn again(db: &Db, org: &Org) -> Result<(), LoadError> {
    let _one_at_a_time = org.offering.lock().await;
    org.hold(load(db, org.id).await?);
    Ok(())
}

/// Puts the chain together from the records, in the order in which it was offered them.
///
/// # Errors
/// The records cannot be read, or do not hold.
pub async fn load(db: &Db, id: OrgId) -> Result<Chain, LoadError> {
    let org = id.to_string();
    let mut chain = begin(db, id).await?;
    let mut pieces = Pieces::load(db, id).await?;
    for (hash,) in offered::all(db, &org).await? {
        let news = pieces.remove(&hash).ok_or_else(|| damaged(id, format!("{hash} is not there")))?;
        offer_again(id, &mut chain, &news);
    }
    let mut tx = db.begin().await?;
    for hash in pieces.offer_to(id, &mut chain) {
        offered::append(&mut tx, &org, &hash.to_string()).await?;
    }
    tx.commit().await?;
    Ok(chain)
}

async fn begin(db: &Db, id: OrgId) -> Result<Chain, LoadError> {
    let genesis = statement::get(db, &id.to_string(), &Sha256(id.0).to_string()).await?;
    let genesis = genesis.ok_or_else(|| damaged(id, "its genesis policy is not there"))?;
    let signed = Signed::from_text(&genesis.envelope).map_err(|error| damaged(id, error))?;
    let proof = genesis.proof.as_ref().map(|proof| proof.parse().map_err(|error| damaged(id, error)));
    let proof = proof.transpose()?;
    let inclusion = proof.as_ref().map_or(Inclusion::WaivedForWitness, Inclusion::Proved);
    Chain::begin(id, &signed, inclusion).map_err(|error| damaged(id, error))
}

/// What a chain is made of besides its genesis policy: logged policies and resumes in the log's order, halts as they came, and
/// beacons' words.
struct Pieces {
    policies: Vec<News>,
    resumes: Vec<News>,
    halts: Vec<News>,
    words: Vec<News>,
}

impl Pieces {
    async fn load(db: &Db, id: OrgId) -> Result<Self, LoadError> {
        let org = id.to_string();
        let logged = async |kind: Kind| {
            let rows = statement::standing(db, &org, &kind.to_string()).await?;
            read(id, rows.iter().filter_map(StatementRow::logged))
        };
        let (mut policies, resumes) = (logged(Kind::Policy).await?, logged(Kind::Resume).await?);
        policies.retain(|policy| policy.hash().0 != id.0);
        let halts = statement::of_kind(db, &org, &Kind::Halt.to_string()).await?;
        let words = recovered::all(db, &org).await?;
        Ok(Self {
            policies,
            resumes,
            halts: read(id, halts.into_iter().map(|row| row.envelope))?,
            words: read(id, words.into_iter().map(|(text,)| text))?,
        })
    }

    fn remove(&mut self, hash: &str) -> Option<News> {
        let Self { policies, resumes, halts, words } = self;
        [policies, resumes, halts, words].into_iter().find_map(|pieces| {
            let at = pieces.iter().position(|news| news.hash().to_string() == hash)?;
            Some(pieces.remove(at))
        })
    }

    /// Offers what the chain was never offered: it was logged just before the program ended, or before the order was written down.
    /// Returns what was taken, in the order in which it was.
    fn offer_to(&self, id: OrgId, chain: &mut Chain) -> Vec<Sha256> {
        let mut taken = Vec::new();
        let mut take = |news: &News, outcome: Option<Taken>| {
            if outcome.is_some_and(|outcome| outcome != Taken::Known) {
                taken.push(news.hash());
            }
        };
        for policy in &self.policies {
            let outcome = offer_again(id, chain, policy);
            take(policy, outcome);
            if outcome == Some(Taken::Waits) {
                // What was resumed while it waited is judged again once it is in force. Most words speak of another policy.
                for news in self.resumes.iter().chain(&self.words) {
                    take(news, news.offer(chain).ok());
                }
            }
        }
        for news in self.resumes.iter().chain(&self.halts) {
            take(news, offer_again(id, chain, news));
        }
        taken
    }
}

fn offer_again(id: OrgId, chain: &mut Chain, news: &News) -> Option<Taken> {
    let outcome = news.offer(chain);
    if let Err(why) = &outcome {
        // A rival that was logged second: it stands in the log and binds nobody.
        tracing::warn!(org.id = %id, statement.hash = %news.hash(), %why, "logged statement not in force");
    }
    outcome.ok()
}

fn read(id: OrgId, texts: impl Iterator<Item = String>) -> Result<Vec<News>, LoadError> {
    texts.map(|text| News::from_text(&text).map_err(|error| damaged(id, error))).collect()
}

fn damaged(id: OrgId, what: impl ToString) -> LoadError {
    LoadError::Damaged { org: id.to_string(), what: what.to_string() }
}
