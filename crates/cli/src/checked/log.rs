//! The organization's log, read leaf by leaf: it must continue what was seen before and match a witnessed checkpoint.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_trust::chain::{Chain, Place, log_keys};
use countersign_trust::checkpoint::{Checkpoint, verify_checkpoint};
use countersign_trust::envelope::leaf;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::merkle::{EMPTY_ROOT, entries_path, leaf_hash, node_hash};
use countersign_trust::note::Note;
use countersign_trust::time::Time;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::home::Profile;
use crate::output::{Stop, plain};

const LOG: &str = "log.json";
/// How many leaves that are none of the organization's are kept by place.
const MOST_STRANGE: usize = 100;
/// Entries in a full bundle.
pub const BUNDLE: u64 = 256;

/// A log as far as it was read: enough to go on from there, and every leaf but those of receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenLog {
    /// The log's name; empty before the first look.
    pub origin: String,
    /// Which of the organization's logs it is; 0 for the first.
    #[serde(default)]
    pub nth: usize,
    /// The logs that it and others replaced, the first one first, each read to the size at which it ended.
    #[serde(default)]
    pub before: Vec<SeenLog>,
    /// How many leaves were read.
    pub size: u64,
    /// The roots of the complete subtrees, the largest first, in base64.
    peaks: Vec<String>,
    /// The leaves that are not of receipts.
    pub leaves: Vec<Leaf>,
    /// When it was seen how long, by the witnesses' time, the earliest first.
    #[serde(default)]
    marks: Vec<Mark>,
    /// The number of the newest policy whose witnesses have vouched for it.
    #[serde(default)]
    vouched: u64,
    /// Places of leaves that are none of this organization's: the first of them.
    #[serde(default)]
    pub strange: Vec<u64>,
    /// How many there are.
    #[serde(default)]
    pub strangers: u64,
    /// The leaves of receipts that were read this time; they are not kept.
    #[serde(skip)]
    pub batches: Vec<Leaf>,
}

/// How long a log was when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    size: u64,
    /// Seconds since 1970.
    time: u64,
}

/// What a leaf says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// In which of the organization's logs it stands; 0 for the first.
    #[serde(default)]
    pub nth: usize,
    /// Its place, counted from 0.
    pub index: u64,
    /// The kind of statement, or `join` or `receipts`.
    pub kind: String,
    /// The hash of the statement, in hexadecimal.
    pub statement: String,
    /// The hash of the signatures.
    pub signatures: String,
}

impl Leaf {
    /// Reads a leaf of `org` at this place.
    pub fn read(org: &OrgId, Place { log: nth, index }: Place, entry: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(entry).ok()?;
        let mut lines = text.lines().skip(2);
        let (kind, statement, signatures) = (lines.next()?, lines.next()?, lines.next()?);
        let printed = leaf(org, kind, &statement.parse().ok()?, &signatures.parse().ok()?);
        let (kind, statement, signatures) = (kind.to_owned(), statement.to_owned(), signatures.to_owned());
        (printed == text).then_some(Self { nth, index, kind, statement, signatures })
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        Place { log: self.nth, index: self.index }
    }

    /// The same in words: of a later log than the first, which.
    pub fn named(&self) -> String {
        named(self.place())
    }

    /// The bytes that stand in the log.
    pub fn print(&self, org: &OrgId) -> Option<String> {
        Some(leaf(org, &self.kind, &self.statement.parse().ok()?, &self.signatures.parse().ok()?))
    }
}

/// A leaf in words.
pub fn named(Place { log, index }: Place) -> String {
    match log.checked_add(1) {
        Some(number) if log > 0 => format!("leaf {index} of log {number}"),
        _ => format!("leaf {index}"),
    }
}

/// A log that another replaced.
struct Ended<'a> {
    nth: usize,
    origin: &'a str,
    size: u64,
    root: Option<Sha256>,
    /// The number of the policy that says so.
    policy: u64,
}

/// The logs of `chain` that were replaced, the first one first.
fn ended(chain: &Chain) -> impl Iterator<Item = Ended<'_>> {
    chain.replaced_logs().map(|(last, next)| Ended {
        nth: last.place.log,
        origin: last.body.log.key.name(),
        size: next.body.log.old_size,
        root: next.body.log.old_root,
        policy: next.body.number,
    })
}

/// The right edge of a tree: all that is needed to add leaves and to know the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    peaks: Vec<Sha256>,
}

impl Edge {
    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Sha256) {
        let mut node = leaf;
        // Two complete subtrees of one size become one of twice the size: as carrying in a sum.
        for _ in 0..self.size.trailing_ones() {
            node = self.peaks.pop().map_or(node, |left| node_hash(&left, &node));
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root of the tree of all leaves added.
    pub fn root(&self) -> Sha256 {
        let joined = self.peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or(EMPTY_ROOT)
    }
}

impl SeenLog {
    /// What was seen last, or nothing yet.
    pub fn kept(profile: &Profile) -> anyhow::Result<Self> {
        match profile.kept(LOG) {
            Some(text) => serde_json::from_str(&text).context("what was kept of the log is damaged"),
            None => Ok(Self::default()),
        }
    }

    /// Keeps it for the next time.
    pub fn keep(&self, profile: &Profile) -> anyhow::Result<()> {
        profile.keep(LOG, serde_json::to_string(self)?.as_bytes())
    }

    /// The first leaf of each statement, by kind and hash: its place. A leaf that comes again changes nothing.
    pub fn firsts(&self) -> BTreeMap<(&str, &str), &Leaf> {
        let mut firsts = BTreeMap::new();
        for leaf in self.all_leaves() {
            firsts.entry((leaf.kind.as_str(), leaf.statement.as_str())).or_insert(leaf);
        }
        firsts
    }

    /// Those before it, and this one.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        self.before.iter().chain([self])
    }

    /// The leaves of all logs that are not of receipts.
    pub fn all_leaves(&self) -> impl Iterator<Item = &Leaf> {
        self.all().flat_map(|log| &log.leaves)
    }

    /// The leaves of receipts, of all logs that were read from their beginning this time.
    pub fn all_batches(&self) -> Vec<Leaf> {
        self.all().flat_map(|log| &log.batches).cloned().collect()
    }

    /// The root of the tree as far as it was read.
    pub fn root(&self) -> Option<Sha256> {
        self.edge().ok().map(|edge| edge.root())
    }

    /// Whether the leaf at this place was seen here while it was still before `until`: whoever shows it as later lies.
    pub fn stood_before(&self, Place { log, index }: Place, until: Time) -> bool {
        let mut marks = self.all().filter(|seen| seen.nth == log).flat_map(|seen| &seen.marks);
        marks.any(|mark| mark.size > index && mark.time < until.0)
    }

    /// Whether this is `earlier` read on, as far as their leaves tell.
    pub fn continues(&self, earlier: &Self) -> bool {
        self.origin == earlier.origin
            && self.size >= earlier.size
            && (self.size > earlier.size || self.peaks == earlier.peaks)
            && self.leaves.starts_with(&earlier.leaves)
            && self.before.iter().map(|log| &log.peaks).eq(earlier.before.iter().map(|log| &log.peaks))
    }

    /// Reads on to the newest checkpoint, which must be witnessed and must continue what was seen; and of each log that was replaced
    /// what still counts, which must be what the policy that replaced it says. `path` is that of the log on the server, with
    /// `{*path}` in it.
    pub fn advance(&self, chain: &Chain, server: &Client, path: &str) -> anyhow::Result<Self> {
        let mut before = Vec::new();
        for ended in ended(chain) {
            let named = path.replace("/log/", &format!("/logs/{}/", Sha256::of(ended.origin.as_bytes())));
            before.push(self.of(ended.origin).ended(&ended, &chain.org(), server, &named)?);
        }
        let note: Note = server
            .get_text(&path.replace("{*path}", "checkpoint"))?
            .parse()
            .context("the server's checkpoint")?;
        let (Checkpoint { origin, size, root }, time, vouched) = witnessed(chain, &note, self.vouched)?;
        let mut seen = self.of(&origin);
        seen.nth = chain.policy().place.log;
        let earlier = seen.size;
        if size < earlier {
            let what =
                format!("the log had {earlier} leaves before, the server shows a checkpoint of {size}");
            return Err(Stop::Alarm(what).into());
        }
        let found = seen.read_to(size, &chain.org(), server, path)?;
        if found != root {
            let what = format!(
                "the log's {size} leaves, continued from the {earlier} seen before, have root {found}; the witnessed checkpoint says {root}: the server shows two histories"
            );
            return Err(Stop::Alarm(what).into());
        }
        if seen.marks.last().is_none_or(|mark| mark.size < size) {
            seen.marks.push(Mark { size, time: time.0 });
        }
        Ok(Self { before, vouched, ..seen })
    }

    /// What was seen of the log with this origin, without those before it.
    fn of(&self, origin: &str) -> Self {
        let seen = self.all().find(|log| log.origin == origin);
        match seen {
            Some(seen) => Self { before: Vec::new(), ..seen.clone() },
            None => Self { origin: origin.to_owned(), ..Self::default() },
        }
    }

    /// The log as far as it counts since another replaced it: the people who signed that say what its root is. What was seen of it
    /// above that is forgotten: it counts for nothing.
    fn ended(self, ended: &Ended<'_>, org: &OrgId, server: &Client, path: &str) -> anyhow::Result<Self> {
        let mut seen = if self.size > ended.size {
            let marks = self.marks.into_iter().filter(|mark| mark.size <= ended.size).collect();
            Self { origin: self.origin, marks, ..Self::default() }
        } else {
            self
        };
        seen.nth = ended.nth;
        let found = seen.read_to(ended.size, org, server, path)?;
        match ended.root {
            Some(root) if root != found => {
                let (size, policy) = (ended.size, ended.policy);
                let what = format!(
                    "the first {size} leaves of the log that policy {policy} replaced have root {found}, the policy says {root}: the server shows two histories"
                );
                Err(Stop::Alarm(what).into())
            }
            _ => Ok(seen),
        }
    }

    /// Reads on until it has `size` leaves, and answers their root.
    fn read_to(&mut self, size: u64, org: &OrgId, server: &Client, path: &str) -> anyhow::Result<Sha256> {
        let mut edge = self.edge()?;
        while edge.size < size {
            let bundle = edge.size / BUNDLE;
            let end = size.min((bundle + 1) * BUNDLE);
            let width = u16::try_from(end - bundle * BUNDLE)?;
            let bytes = server.get_bytes(&path.replace("{*path}", &entries_path(bundle, width)))?;
            let entries =
                split_bundle(&bytes).ok_or_else(|| anyhow!("bundle {bundle} of the log is malformed"))?;
            let fresh = entries.iter().skip(usize::try_from(edge.size - bundle * BUNDLE)?);
            let before = edge.size;
            for entry in fresh.take(usize::try_from(end - before)?) {
                self.add(org, edge.size, entry);
                edge.push(leaf_hash(entry));
            }
            if edge.size != end {
                let what =
                    format!("bundle {bundle} of the log ends at leaf {}, {size} were to be read", edge.size);
                return Err(Stop::Alarm(what).into());
            }
        }
        let root = edge.root();
        self.size = edge.size;
        self.peaks = edge.peaks.iter().map(|peak| STANDARD.encode(peak.0)).collect();
        Ok(root)
    }

    /// Reads the log once more from its beginning until it has `size` leaves: it and its root there. It must be the log that was seen
    /// before, as far as that was.
    pub fn read_again(
        &self,
        size: u64,
        org: &OrgId,
        server: &Client,
        path: &str,
    ) -> anyhow::Result<(Self, Sha256)> {
        let mut again = Self { origin: self.origin.clone(), nth: self.nth, ..Self::default() };
        let (both, mut root) = (self.size.min(size), again.root().unwrap_or(EMPTY_ROOT));
        for upto in [both, size] {
            root = again.read_to(upto, org, server, path)?;
            let seen = self.leaves.iter().filter(|leaf| leaf.index < upto);
            let other = upto == both && !seen.eq(again.leaves.iter().filter(|leaf| leaf.index < upto));
            if other || (upto == self.size && self.peaks != again.peaks) {
                let what = format!(
                    "the first {upto} leaves of the log are not those that were read before: the server shows two histories"
                );
                return Err(Stop::Alarm(what).into());
            }
        }
        Ok((again, root))
    }

    fn add(&mut self, org: &OrgId, index: u64, entry: &[u8]) {
        match Leaf::read(org, Place { log: self.nth, index }, entry) {
            Some(leaf) if leaf.kind == "receipts" => self.batches.push(leaf),
            Some(leaf) => self.leaves.push(leaf),
            // Whoever holds the log's key can log anything; it counts for nothing, and it is said.
            None => {
                self.strangers += 1;
                if self.strange.len() < MOST_STRANGE {
                    self.strange.push(index);
                }
            }
        }
    }

    fn edge(&self) -> anyhow::Result<Edge> {
        let read = |peak: &String| STANDARD.decode(peak).ok()?.try_into().ok().map(Sha256);
        let peaks: Option<Vec<Sha256>> = self.peaks.iter().map(read).collect();
        let peaks = peaks.filter(|peaks| u32::try_from(peaks.len()) == Ok(self.size.count_ones()));
        Ok(Edge { size: self.size, peaks: peaks.context("what was kept of the log is damaged")? })
    }
}

/// A checkpoint of the newest policy's log, cosigned by its witnesses, when, and by whose policy's. Right after a change of witnesses
/// those of the policy before still count, until those of the newest have vouched here once: whoever was removed as a witness may
/// be in wrong hands.
fn witnessed(chain: &Chain, note: &Note, vouched: u64) -> anyhow::Result<(Checkpoint, Time, u64)> {
    let newest = &chain.policy().body;
    let mut last = None;
    let may =
        |number: u64| number == newest.number || (number + 1 == newest.number && vouched < newest.number);
    let policies = chain.policies().iter().rev().map(|held| &held.body);
    for policy in policies.filter(|policy| policy.log.key == newest.log.key && may(policy.number)) {
        match verify_checkpoint(note, log_keys(policy, &policy.witnesses)) {
            Ok((checkpoint, time)) => return Ok((checkpoint, time, policy.number)),
            Err(error) => last = last.or(Some(error)),
        }
    }
    let why = last.map(|error| error.to_string()).unwrap_or_default();
    Err(Stop::Alarm(format!("the server's checkpoint does not hold: {}", plain(&why))).into())
}

/// The entries of a bundle, each after its length in two bytes.
///
/// Source: c2sp.org/tlog-tiles, "Log entries".
pub fn split_bundle(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (entry, tail) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bytes = tail;
    }
    Some(entries)
}

#[cfg(test)]
#[path = "../../../trust/tests/acceptance/organization.rs"]
mod organization;

#[cfg(test)]
mod tests {
    use super::organization::{self, Organization, WITNESSES, witness_key};
    use super::*;
    use countersign_trust::merkle::Tree;

    #[test]
    fn an_edge_has_the_root_of_the_whole_tree_at_every_size() {
        let (mut edge, mut tree) = (Edge::default(), Tree::default());
        for number in 0..600_u32 {
            assert_eq!(edge.root(), tree.root(), "at {number}");
            let leaf = leaf_hash(&number.to_be_bytes());
            edge.push(leaf);
            tree.push(leaf);
        }
    }

    #[test]
    fn a_leaf_is_read_only_in_its_one_form() {
        let (org, place) = (OrgId([1; 32]), Place { log: 1, index: 7 });
        let text = leaf(&org, "join", &Sha256([2; 32]), &Sha256::of(b""));
        let read = Leaf::read(&org, place, text.as_bytes()).unwrap();
        assert_eq!((read.place(), read.kind.as_str(), read.print(&org)), (place, "join", Some(text.clone())));
        assert_eq!(
            (read.named().as_str(), named(Place { log: 0, index: 3 }).as_str()),
            ("leaf 7 of log 2", "leaf 3")
        );
        assert!(Leaf::read(&OrgId([9; 32]), place, text.as_bytes()).is_none());
        assert!(Leaf::read(&org, place, format!("{text}\n").as_bytes()).is_none());
    }

    #[test]
    fn a_bundle_is_split_by_its_lengths_and_refused_when_cut() {
        assert_eq!(split_bundle(b"\x00\x01a\x00\x02bc"), Some(vec![&b"a"[..], &b"bc"[..]]));
        assert_eq!(split_bundle(b"\x00\x03a"), None);
    }

    const OTHERS: [&str; 4] = ["new-1", "new-2", "new-3", "new-4"];

    /// An organization whose second policy names other witnesses for the same log.
    fn with_other_witnesses() -> Organization {
        let mut org = Organization::found();
        org.decide(|policy| {
            policy.witnesses.keys = OTHERS.iter().map(|name| witness_key(name).verifier().clone()).collect();
        });
        org.log.append("a leaf");
        org
    }

    #[test]
    fn witnesses_that_a_policy_removed_vouch_until_the_new_ones_have_once() {
        let org = with_other_witnesses();
        let of_old = |vouched| witnessed(&org.chain, &org.log.checkpoint(&WITNESSES), vouched);
        assert_eq!(of_old(1).unwrap().2, 1);
        assert_eq!(witnessed(&org.chain, &org.log.checkpoint(&OTHERS), 1).unwrap().2, 2);
        assert!(of_old(2).is_err(), "removed witnesses vouch although the new ones have");
    }

    #[test]
    fn witnesses_that_the_policy_before_the_last_removed_vouch_for_nothing() {
        let mut org = with_other_witnesses();
        let mut next = org.next_policy();
        next.limits.life = 3 * 86_400;
        let signed = organization::sign(&next, &["anna", "bo"]);
        let index = org.log.append(&signed.leaf(&org.org).unwrap());
        let proof = org.log.proof(index, &OTHERS);
        let logged = countersign_trust::envelope::Logged { signed, proof };
        org.take(countersign_trust::delivery::News::Policy(logged));
        assert!(witnessed(&org.chain, &org.log.checkpoint(&OTHERS), 1).is_ok());
        let old = witnessed(&org.chain, &org.log.checkpoint(&WITNESSES), 1);
        assert!(old.is_err(), "two policies later the removed witnesses still vouch: {old:?}");
    }
}
