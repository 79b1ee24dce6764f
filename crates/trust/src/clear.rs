//! Freshness: a device's challenges, the Clears that answer them, and what time it is.
//!
//! A Clear says: as of this time I know this policy, this resume and these halts, and no others. An agent that holds
//! enough of them, answering a challenge it drew itself a short while ago, knows that nobody has called a halt
//! that it was not told of, whatever its server does and whatever its own wall clock says.
//!
//! Source: docs/spec/5-clear.md.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::chain::Chain;
use crate::ids::{OrgId, Sha256};
use crate::lines::{LineReader, LinesError, or_none};
use crate::merkle::{leaf_hash, verify_inclusion};
use crate::note::Note;
use crate::time::{Reading, Time, Window};

/// How many halts a Clear can name; a beacon that knows more signs nothing.
pub const MAX_HALTS: usize = 64;
/// How far apart the times of beacons may lie, in seconds.
pub const MAX_SPREAD_S: u64 = 60;
/// How many challenges a device keeps open at a time.
const MAX_CHALLENGES: usize = 8;

/// What one beacon says about one organization at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clear {
    /// The organization.
    pub org: OrgId,
    /// The beacon's time.
    pub time: Time,
    /// Root of the tree of challenges it answers.
    pub root: Sha256,
    /// The newest policy it holds.
    pub policy: Sha256,
    /// The newest resume it holds.
    pub resume: Option<Sha256>,
    /// Every active halt it holds.
    pub halts: BTreeSet<Sha256>,
}

const CLEAR: &str = "countersign-clear/v1";

impl fmt::Display for Clear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org, time, root, policy, resume, halts } = self;
        writeln!(f, "{CLEAR}\n{org}\ntime {time}\nroot {root}\npolicy {policy}")?;
        writeln!(f, "resume {}", or_none(resume))?;
        halts.iter().try_for_each(|halt| writeln!(f, "halt {halt}"))
    }
}

impl FromStr for Clear {
    type Err = LinesError;
    fn from_str(text: &str) -> Result<Self, LinesError> {
        let mut lines = LineReader::new(text);
        lines.exactly(CLEAR)?;
        let org = lines.word("an organization")?;
        let time = Time(lines.value("time")?);
        let (root, policy, resume) =
            (lines.value("root")?, lines.value("policy")?, lines.optional("resume")?);
        let mut halts = BTreeSet::new();
        while lines.has("halt") && halts.len() < MAX_HALTS {
            halts.insert(lines.value_above("halt", halts.last().copied())?);
        }
        lines.finish()?;
        Ok(Self { org, time, root, policy, resume, halts })
    }
}

/// A beacon's word that a halt is on its disk and that no Clear without it will leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The organization.
    pub org: OrgId,
    /// The halt.
    pub halt: Sha256,
    /// The newest policy the beacon holds: whose beacons must acknowledge.
    pub policy: Sha256,
}

const ACKNOWLEDGEMENT: &str = "countersign-acknowledgement/v1";

impl fmt::Display for Acknowledgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { org, halt, policy } = self;
        writeln!(f, "{ACKNOWLEDGEMENT}\n{org}\nhalt {halt}\npolicy {policy}")
    }
}

impl FromStr for Acknowledgement {
    type Err = LinesError;
    fn from_str(text: &str) -> Result<Self, LinesError> {
        let mut lines = LineReader::new(text);
        lines.exactly(ACKNOWLEDGEMENT)?;
        let org = lines.word("an organization")?;
        let (halt, policy) = (lines.value("halt")?, lines.value("policy")?);
        lines.finish()?;
        Ok(Self { org, halt, policy })
    }
}

/// A Clear on its way to one device: with the place of that device's challenge in the tree it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredClear {
    /// The beacon's note.
    pub clear: Note,
    /// Which leaf of the tree is the challenge.
    pub index: u64,
    /// How many leaves the tree has.
    pub size: u64,
    /// From the leaf's sibling upwards.
    pub path: Vec<Sha256>,
}

/// The challenges a device has drawn since it started and may still accept answers to.
#[derive(Clone, Debug, Default)]
pub struct Challenges(VecDeque<([u8; 32], Reading)>);

impl Challenges {
    /// Keeps `random`, drawn at `now`, as the newest challenge; the oldest of too many is forgotten.
    pub fn draw(&mut self, random: [u8; 32], now: Reading) {
        if self.0.len() == MAX_CHALLENGES {
            self.0.pop_front();
        }
        self.0.push_back((random, now));
    }

    /// The newest challenge and when it was drawn.
    pub fn newest(&self) -> Option<([u8; 32], Reading)> {
        self.0.back().copied()
    }

    /// The challenge that a Clear answers, and when it was drawn.
    pub fn of(&self, answer: &AnsweredClear) -> Option<([u8; 32], Reading)> {
        let clear: Clear = answer.clear.text().parse().ok()?;
        self.shown(answer, &clear.root)
    }

    /// When the challenge was drawn whose place in the tree `answer` shows.
    fn answered(&self, answer: &AnsweredClear, root: &Sha256) -> Option<Reading> {
        self.shown(answer, root).map(|(_, drawn)| drawn)
    }

    fn shown(&self, answer: &AnsweredClear, root: &Sha256) -> Option<([u8; 32], Reading)> {
        let shows = |challenge: &[u8; 32]| {
            verify_inclusion(leaf_hash(challenge), answer.index, answer.size, &answer.path, *root).is_ok()
        };
        self.0.iter().rev().find(|(challenge, _)| shows(challenge)).copied()
    }
}

/// What is wrong with one Clear.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClearFault {
    /// Signed by no beacon of my policy.
    #[error("signed by no beacon of the policy")]
    UnknownBeacon,
    /// A second one by the same beacon.
    #[error("the beacon has spoken already")]
    SameBeacon,
    /// Not a Clear.
    #[error(transparent)]
    Text(#[from] LinesError),
    /// Another organization's.
    #[error("of organization {0}")]
    Organization(OrgId),
    /// It answers no challenge that I drew since I started and still accept.
    #[error("it answers none of my challenges")]
    NotMyChallenge,
    /// The challenge is too old.
    #[error("the challenge is {age_ms} ms old, it is good for {lifetime_ms} ms")]
    Stale {
        /// Its age by the faster clock.
        age_ms: u64,
        /// The policy's lifetime.
        lifetime_ms: u64,
    },
    /// The beacon holds another policy.
    #[error("it names policy {named}, I hold {held}")]
    Policy {
        /// The beacon's.
        named: Sha256,
        /// Mine.
        held: Sha256,
    },
    /// The beacon holds another resume.
    #[error("it names resume {named}, I hold {held}")]
    Resume {
        /// The beacon's, or `none`.
        named: String,
        /// Mine, or `none`.
        held: String,
    },
    /// A halt whose text I have not got, or that is lifted here and not there: somebody else has called it too.
    #[error("it names the halt {0}, whose text I do not hold")]
    UnknownHalt(Sha256),
    /// Its time lies too far from the others'.
    #[error("its time {0} lies more than 60 s from the others'")]
    Time(Time),
    /// All that count say that it is much later than all that is known.
    #[error(
        "it would be {said}, and by all that is known here it is {known}: believed if that is still said in {wait_s} s"
    )]
    Leap {
        /// What they say.
        said: Time,
        /// The latest it can be otherwise.
        known: Time,
        /// For how long they must go on saying so, in seconds.
        wait_s: u64,
    },
}

/// Too few Clears.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} of {need} Clears{}", first_fault(faults))]
pub struct NotFresh {
    /// How many count.
    pub got: usize,
    /// How many the policy asks for.
    pub need: usize,
    /// Why others do not: the signature line's name and the fault.
    pub faults: Vec<(String, ClearFault)>,
}

fn first_fault(faults: &[(String, ClearFault)]) -> String {
    faults.first().map(|(name, fault)| alloc::format!("; {name}: {fault}")).unwrap_or_default()
}

/// Enough Clears: what they say of the time, and which halts they name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    drawn: Reading,
    arrived: Reading,
    lowest: Time,
    highest: Time,
    policy: Sha256,
    resume: Option<Sha256>,
    halts: BTreeSet<Sha256>,
}

impl Freshness {
    /// Between which times it is at `now`; `floor` is the latest time ever known to have passed.
    pub fn window(&self, now: Reading, floor: Time) -> Window {
        let since_arrival = now.since(self.arrived).least_ms / 1_000;
        let since_challenge = now.since(self.drawn).most_ms.div_ceil(1_000);
        let lo = self.lowest.plus(since_arrival).max(floor);
        Window { lo, hi: self.highest.plus(since_challenge).max(lo) }
    }

    /// How old the oldest challenge is that these Clears answer, in milliseconds by the faster clock.
    pub fn age_ms(&self, now: Reading) -> u64 {
        now.since(self.drawn).most_ms
    }

    /// The lowest time that they say.
    pub fn lowest(&self) -> Time {
        self.lowest
    }

    /// The latest it can be at `now` if the boot clock is right, whatever became of the wall clock since.
    pub fn latest(&self, now: Reading) -> Time {
        self.highest.plus(now.boot_ms.saturating_sub(self.drawn.boot_ms).div_ceil(1_000))
    }

    /// The halts that the beacons named.
    pub fn halts(&self) -> &BTreeSet<Sha256> {
        &self.halts
    }

    /// Refuses if the challenge has aged too much, or if what I hold has moved on since.
    pub fn still_good(&self, chain: &Chain, now: Reading) -> Result<(), ClearFault> {
        let (age_ms, lifetime_ms) = (self.age_ms(now), lifetime_ms(chain));
        if age_ms >= lifetime_ms {
            return Err(ClearFault::Stale { age_ms, lifetime_ms });
        }
        names_what_i_hold(chain, self.policy, self.resume)
    }
}

/// How long a challenge is good, in milliseconds.
pub fn lifetime_ms(chain: &Chain) -> u64 {
    chain.policy().body.beacons.lifetime.saturating_mul(1_000)
}

/// Whether a Clear names the policy and the resume that I hold.
fn names_what_i_hold(chain: &Chain, named: Sha256, resume: Option<Sha256>) -> Result<(), ClearFault> {
    let held = chain.policy().hash;
    if named != held {
        return Err(ClearFault::Policy { named, held });
    }
    if resume != chain.resume() {
        return Err(ClearFault::Resume { named: or_none(&resume), held: or_none(&chain.resume()) });
    }
    Ok(())
}

/// A Clear that counts, and when its challenge was drawn.
struct Counted {
    clear: Clear,
    drawn: Reading,
    name: String,
}

/// Counts `answers` that arrived at `now`: enough distinct beacons, answering fresh challenges, naming what I hold, at
/// times that lie together.
pub fn check_clears(
    chain: &Chain,
    challenges: &Challenges,
    answers: &[AnsweredClear],
    now: Reading,
) -> Result<Freshness, NotFresh> {
    let need = usize::from(chain.policy().body.beacons.need.get());
    let (mut counted, mut faults, mut spoken) = (Vec::new(), Vec::new(), BTreeSet::new());
    for answer in answers {
        match check_clear(chain, challenges, answer, now, &mut spoken) {
            Ok(clear) => counted.push(clear),
            Err(fault) => faults.push((signer_name(&answer.clear), fault)),
        }
    }
    let halts = counted.iter().flat_map(|counted| counted.clear.halts.iter().copied()).collect();
    counted.sort_by_key(|counted| counted.clear.time);
    let together = widest_window(&counted);
    let outside = counted.iter().filter(|counted| !together.iter().any(|other| other.name == counted.name));
    faults.extend(outside.map(|counted| (counted.name.clone(), ClearFault::Time(counted.clear.time))));
    let (Some(first), Some(last)) = (together.first(), together.last()) else {
        return Err(NotFresh { got: 0, need, faults });
    };
    if together.len() < need {
        return Err(NotFresh { got: together.len(), need, faults });
    }
    // Of several challenges the oldest counts: it is the one that ages out first.
    let oldest = together.iter().map(|counted| counted.drawn).max_by_key(|drawn| now.since(*drawn).most_ms);
    Ok(Freshness {
        drawn: oldest.unwrap_or(now),
        arrived: now,
        lowest: first.clear.time,
        highest: last.clear.time,
        policy: chain.policy().hash,
        resume: chain.resume(),
        halts,
    })
}

/// The most Clears whose times lie within [`MAX_SPREAD_S`]; of equally many the earliest.
fn widest_window(by_time: &[Counted]) -> &[Counted] {
    let mut best: &[Counted] = &[];
    let mut rest = by_time;
    while let Some((first, others)) = rest.split_first() {
        let limit = first.clear.time.plus(MAX_SPREAD_S);
        let count = rest.iter().take_while(|counted| counted.clear.time <= limit).count();
        if count > best.len() {
            best = rest.get(..count).unwrap_or_default();
        }
        rest = others;
    }
    best
}

fn check_clear(
    chain: &Chain,
    challenges: &Challenges,
    answer: &AnsweredClear,
    now: Reading,
    spoken: &mut BTreeSet<[u8; 32]>,
) -> Result<Counted, ClearFault> {
    let beacons = &chain.policy().body.beacons.keys;
    let beacon = beacons.iter().find(|key| answer.clear.signed_by(key));
    let beacon = beacon.ok_or(ClearFault::UnknownBeacon)?;
    let clear: Clear = answer.clear.text().parse()?;
    if clear.org != chain.org() {
        return Err(ClearFault::Organization(clear.org));
    }
    let drawn = challenges.answered(answer, &clear.root).ok_or(ClearFault::NotMyChallenge)?;
    let (age_ms, lifetime_ms) = (now.since(drawn).most_ms, lifetime_ms(chain));
    if age_ms >= lifetime_ms {
        return Err(ClearFault::Stale { age_ms, lifetime_ms });
    }
    names_what_i_hold(chain, clear.policy, clear.resume)?;
    // Who names the same resume and a halt that is lifted here knows of somebody else who called it, or lies.
    let unknown = |halt: &&Sha256| chain.halt(halt).is_none() || chain.has_lifted(halt);
    if let Some(unknown) = clear.halts.iter().find(unknown) {
        return Err(ClearFault::UnknownHalt(*unknown));
    }
    if !spoken.insert(*beacon.raw()) {
        return Err(ClearFault::SameBeacon);
    }
    Ok(Counted { clear, drawn, name: beacon.name().to_string() })
}

fn signer_name(note: &Note) -> String {
    note.signatures().first().map(|line| line.name().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::note::{KeyKind, NoteSigner};
    use alloc::format;

    #[test]
    fn a_clear_names_sixty_four_halts_and_no_more() {
        let halts = |count: u8| (1..=count).map(|number| Sha256([number; 32])).collect();
        let clear = |count| Clear {
            org: OrgId([1; 32]),
            time: Time(1),
            root: Sha256::of(b"root"),
            policy: Sha256::of(b"policy"),
            resume: None,
            halts: halts(count),
        };
        assert_eq!(clear(64).to_string().parse(), Ok(clear(64)));
        assert!(clear(65).to_string().parse::<Clear>().is_err());
    }

    #[test]
    fn of_equally_many_times_that_lie_together_the_earliest_count() {
        let [policy, root] = [b"policy".as_slice(), b"root"].map(Sha256::of);
        let counted = |time| {
            let (org, halts) = (OrgId([1; 32]), BTreeSet::new());
            let clear = Clear { org, time: Time(time), root, policy, resume: None, halts };
            Counted { clear, drawn: Reading { boot_ms: 1, wall_ms: 1 }, name: "beacon".to_string() }
        };
        let times = |all: &[u64]| {
            let all: Vec<Counted> = all.iter().copied().map(counted).collect();
            widest_window(&all).iter().map(|counted| counted.clear.time.0).collect::<Vec<_>>()
        };
        assert_eq!(times(&[0, 60, 121, 180]), [0, 60]);
        assert_eq!(times(&[0, 61, 121]), [61, 121]);
    }

    #[test]
    fn an_acknowledgement_has_one_print() {
        let [halt, policy] = [b"halt".as_slice(), b"policy"].map(Sha256::of);
        let acknowledgement = Acknowledgement { org: OrgId([1; 32]), halt, policy };
        let text = acknowledgement.to_string();
        assert_eq!(text.parse(), Ok(acknowledgement));
        assert!(
            text.starts_with("countersign-acknowledgement/v1\n") && text.ends_with(&format!("{policy}\n"))
        );
        assert!((text + "\n").parse::<Acknowledgement>().is_err());
    }

    #[test]
    fn a_device_keeps_its_eight_newest_challenges_open() {
        let signer = NoteSigner::new("beacon", KeyKind::Ed25519, &[1; 32]).unwrap();
        let now = Reading { boot_ms: 1, wall_ms: 1 };
        let mut challenges = Challenges::default();
        (1..=9).for_each(|number| challenges.draw([number; 32], now));
        let is_open = |number| {
            // A tree of one leaf; what stands in the note is not looked at here.
            let clear = signer.note("anything\n".to_string()).unwrap();
            let answer = AnsweredClear { clear, index: 0, size: 1, path: Vec::new() };
            challenges.answered(&answer, &leaf_hash(&[number; 32])).is_some()
        };
        assert_eq!((1..=9).filter(|number| is_open(*number)).count(), 8);
        assert!(!is_open(1) && challenges.newest().is_some_and(|(random, _)| random == [9; 32]));
    }
}
