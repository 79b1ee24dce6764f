//! The beacon itself: what it remembers, in memory and on disk, and in which order.
//!
//! Each organization has one lock, under which its Clears are signed and its halts written down. A Clear is signed only
//! when all that was taken is on disk; so what a Clear leaves out was not taken before it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use countersign_trust::chain::{ChainError, RECOVERY_WAIT_S, Taken};
use countersign_trust::delivery::{News, read_sequence, write_sequence};
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::lines::or_none;
use countersign_trust::note::{Note, NoteError, NoteSigner, VerifierKey};
use countersign_trust::statement::Kind;
use countersign_trust::time::Time;

use crate::answer::{HandoverError, Organization, Silence, TakeError};
use crate::clock::{ClockError, SignedTime};
use crate::config::{Config, ConfigError, Organizations};
use crate::disk::{DiskError, Folder};

const ORGANIZATIONS: &str = "organizations";
/// Beside the numbered files of an organization.
const HANDOVER_FILE: &str = "handover";
/// Likewise: a line for each policy of the recovery set that waits, its hash and since when.
const WAITING_FILE: &str = "waiting";
/// How the file begins that says which policy of the recovery set came into force by this beacon's own clock.
const RECOVERED: &str = "recovered ";

/// How many organizations are taken on where anybody may be served. Those that a configuration lists are taken on in any case.
const MOST_ORGANIZATIONS: usize = 1_024;

/// Why a beacon does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration or the key.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The time signed last.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A file that says something else than was written.
    #[error(
        "{file} in the data folder is damaged: {reason}; nothing here mends it: \
         keep the folder for the investigation and begin again under a new key"
    )]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

/// Why a request is not granted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Too many bytes.
    #[error("the body may have {0} bytes")]
    TooLarge(usize),
    /// Not UTF-8.
    #[error("the body must be UTF-8 text")]
    NotText,
    /// The organization is not known.
    #[error("{0} is not known here: send its policies to /v1/orgs/<org>/news, the genesis policy first")]
    Unknown(OrgId),
    /// The configuration does not admit the organization.
    #[error("this beacon does not serve {0}: ask its operator to add it to `organizations`")]
    NotServed(OrgId),
    /// An organization that does not begin with its genesis policy.
    #[error("{org} begins with its genesis policy, signed and logged: {reason}")]
    Genesis {
        /// The organization.
        org: OrgId,
        /// What came first, or why it is refused.
        reason: String,
    },
    /// Anybody may be served, and too many are.
    #[error(
        "this beacon serves {MOST_ORGANIZATIONS} organizations, which is all it can: ask its operator to list whom it serves in `organizations`"
    )]
    TooMany,
    /// An organization that has nothing to do with this beacon.
    #[error("no policy of this request names this beacon's key {0}: nothing was taken")]
    NeverNamed(VerifierKey),
    /// It is not a sequence.
    #[error(
        "no sequence of envelopes: write `envelope <length in bytes>` before each, and send at least one"
    )]
    Sequence,
    /// It is not a root.
    #[error("the body must be a root: 64 lowercase hexadecimal digits and a line feed")]
    Root,
    /// It is not a halt.
    #[error("the body must be the envelope of a halt: {0}")]
    NotAHalt(String),
    /// It is not a note.
    #[error("the body must be a Clear, as a signed note: {0}")]
    NotANote(NoteError),
    /// It signs nothing.
    #[error(transparent)]
    Silent(#[from] Silence),
    /// It has no time to sign.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A halt is not acknowledged.
    #[error("not acknowledged: {0}")]
    Halt(#[from] TakeError),
    /// A handover does not count.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// The disk.
    #[error("nothing of this is acknowledged, and nothing signed until it can be written; try again: {0}")]
    Disk(#[from] DiskError),
    /// It cannot be signed.
    #[error("it cannot be signed: {0}")]
    Note(#[from] NoteError),
}

/// An organization with what of it is on disk.
struct Kept {
    organization: Organization,
    /// How many numbered files there are.
    written: u64,
    /// Since when what waits was held, as it stands on disk.
    noted: BTreeMap<Sha256, Time>,
    /// Taken, and not on disk yet: only while the disk refuses.
    unwritten: VecDeque<String>,
}

/// A running beacon.
pub struct Beacon {
    signer: NoteSigner,
    served: Organizations,
    folder: Folder,
    time: Mutex<SignedTime>,
    organizations: RwLock<BTreeMap<OrgId, Arc<Mutex<Kept>>>>,
}

impl Beacon {
    /// Takes hold of the data folder and checks again all that lies in it.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        let signer = config.signer()?;
        let folder = Folder::open(&config.data, &[ORGANIZATIONS])?;
        let time = SignedTime::load(&folder)?;
        let mut organizations = BTreeMap::new();
        for name in folder.names(ORGANIZATIONS)? {
            if let Some(mut kept) = load(&folder, &name, signer.verifier())? {
                if !time.has_signed() {
                    // Noted by a clock that nobody has checked: it begins to wait when it is noted again.
                    kept.organization.forget_waiting();
                }
                organizations.insert(kept.organization.chain().org(), Arc::new(Mutex::new(kept)));
            }
        }
        let organizations = RwLock::new(organizations);
        Ok(Self {
            served: config.organizations.clone(),
            signer,
            folder,
            time: Mutex::new(time),
            organizations,
        })
    }

    /// The key that signs.
    pub fn key(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// Goes with the clock while nobody asks.
    ///
    /// # Errors
    /// The clock is behind or far ahead of what was signed last, or the disk takes nothing.
    pub fn keep_time(&self, now: Time) -> Result<(), ClockError> {
        locked(&self.time).keep(now, &self.folder)
    }

    /// The data folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// A Clear that answers the root in `body`.
    pub fn clear(&self, org: OrgId, body: &str, now: Time) -> Result<Note, Refusal> {
        let root = body.strip_suffix('\n').and_then(|root| root.parse().ok()).ok_or(Refusal::Root)?;
        let kept = self.find(org)?;
        let mut kept = locked(&kept);
        self.ripen(&mut kept, now)?;
        kept.organization.may_clear()?;
        self.sign_clear(&kept.organization, root, now)
    }

    /// A Clear for other beacons: it answers no challenge, and says what this beacon has to hand over.
    pub fn for_handover(&self, org: OrgId, now: Time) -> Result<Note, Refusal> {
        let kept = self.find(org)?;
        let mut kept = locked(&kept);
        self.ripen(&mut kept, now)?;
        kept.organization.may_clear()?;
        self.sign_clear(&kept.organization, Sha256([0; 32]), now)
    }

    fn sign_clear(&self, organization: &Organization, root: Sha256, now: Time) -> Result<Note, Refusal> {
        let time = locked(&self.time).next(now, &self.folder)?;
        Ok(self.signer.note(organization.clear(root, time).to_string())?)
    }

    /// Takes a halt and acknowledges it.
    pub fn halt(&self, org: OrgId, body: &str) -> Result<Note, Refusal> {
        let kept = self.find(org)?;
        let signed = Signed::from_text(body).map_err(|error| Refusal::NotAHalt(error.to_string()))?;
        match signed.kind() {
            Ok(Kind::Halt) => {}
            Ok(other) => return Err(Refusal::NotAHalt(format!("this is a {other}"))),
            Err(error) => return Err(Refusal::NotAHalt(error.to_string())),
        }
        // By a copy first: nobody who asks for a Clear waits while strangers' signatures are looked at.
        let mut copy = locked(&kept).organization.clone();
        copy.take_halt(&signed)?;
        drop(copy);
        let mut kept = locked(&kept);
        if kept.organization.take_halt(&signed)? == Taken::New {
            kept.unwritten.push_back(signed.to_string());
        }
        self.write_down(&mut kept)?;
        Ok(self.signer.note(kept.organization.acknowledgement(signed.hash()).to_string())?)
    }

    /// Offers a halt to every organization that lists its key and has not got it; says of each what became of it.
    pub fn offer_halt(&self, halt: &Signed) -> Vec<(OrgId, Result<(), String>)> {
        let organizations = self.organizations.read().unwrap_or_else(PoisonError::into_inner);
        let orgs: Vec<_> = organizations.iter().map(|(org, kept)| (*org, kept.clone())).collect();
        drop(organizations);
        let mut outcomes = Vec::new();
        for (org, kept) in orgs {
            let offered = {
                let kept = locked(&kept);
                let chain = kept.organization.chain();
                chain.halt(&halt.hash()).is_none() && chain.is_by_a_halter(halt)
            };
            if offered {
                let outcome = self.halt(org, &halt.to_string());
                outcomes.push((org, outcome.map(|_| ()).map_err(|refusal| refusal.to_string())));
            }
        }
        outcomes
    }

    /// Whether the organization is known, if it is served.
    pub fn knows(&self, org: OrgId) -> Result<bool, Refusal> {
        if self.served.admits(&org) { Ok(self.find(org).is_ok()) } else { Err(Refusal::NotServed(org)) }
    }

    /// Takes policies, resumes and halts; returns a line for each.
    pub fn take_news(&self, org: OrgId, body: &str, now: Time) -> Result<String, Refusal> {
        self.knows(org)?;
        let items = read_sequence(body).filter(|items| !items.is_empty()).ok_or(Refusal::Sequence)?;
        let kept = match self.find(org) {
            Ok(kept) => kept,
            Err(_) => return self.begin(org, &items, now),
        };
        // By a copy first, for the same reason; only what is taken there is judged again where others wait.
        let mut copy = locked(&kept).organization.clone();
        let judged: Vec<_> = items.iter().map(|item| take(&mut copy, item)).collect();
        drop(copy);
        let mut kept = locked(&kept);
        let mut lines = String::new();
        for (item, (line, taken)) in items.iter().zip(judged) {
            lines += &if taken.is_some() { kept.take(item) } else { line };
        }
        self.ripen(&mut kept, now)?;
        Ok(lines)
    }

    /// Takes an organization on.
    fn begin(&self, org: OrgId, items: &[&str], now: Time) -> Result<String, Refusal> {
        let (mut kept, mut lines) = begin(org, items.first().unwrap_or(&""), self.key().clone())?;
        for item in items.iter().skip(1) {
            lines += &kept.take(item);
        }
        if !kept.organization.was_ever_named() {
            return Err(Refusal::NeverNamed(self.key().clone()));
        }
        let mut organizations = self.organizations.write().unwrap_or_else(PoisonError::into_inner);
        if organizations.contains_key(&org) {
            // Another request came first: what this one brings is news then.
            drop(organizations);
            return self.take_news(org, &write_sequence(items), now);
        }
        if matches!(self.served, Organizations::Any) && organizations.len() >= MOST_ORGANIZATIONS {
            return Err(Refusal::TooMany);
        }
        let kept = organizations.entry(org).or_insert(Arc::new(Mutex::new(kept)));
        let kept = Arc::clone(kept);
        drop(organizations);
        self.ripen(&mut locked(&kept), now)?;
        Ok(lines)
    }

    /// Counts what another beacon hands over; returns how far the handover is.
    pub fn hand_over(&self, org: OrgId, body: &str) -> Result<String, Refusal> {
        let note: Note = body.parse().map_err(Refusal::NotANote)?;
        let kept = self.find(org)?;
        let mut kept = locked(&kept);
        self.write_down(&mut kept)?;
        kept.organization.hand_over(note)?;
        let notes: Vec<_> = kept.organization.handed_over().collect();
        self.folder.write(&file(org, HANDOVER_FILE), &write_sequence(&notes))?;
        Ok(match kept.organization.may_clear() {
            Err(silence) => format!("counted: {silence}\n"),
            Ok(()) => "counted: this beacon answers challenges\n".to_owned(),
        })
    }

    /// All that somebody lacks who holds the policies up to number `after`.
    pub fn news(&self, org: OrgId, after: u64, now: Time) -> Result<String, Refusal> {
        let kept = self.find(org)?;
        let mut kept = locked(&kept);
        self.ripen(&mut kept, now)?;
        let copy = kept.organization.clone();
        drop(kept);
        Ok(write_sequence(&News::since(copy.chain(), after)))
    }

    /// What is known of an organization, for people to read.
    pub fn state(&self, org: OrgId) -> Result<serde_json::Value, Refusal> {
        let kept = self.find(org)?;
        let kept = locked(&kept);
        let chain = kept.organization.chain();
        let halt = |halt: &countersign_trust::chain::HeldHalt| {
            serde_json::json!({
                "hash": halt.hash.to_string(),
                "by": halt.by.to_string(),
                "reason": halt.body.reason.as_str(),
            })
        };
        let waiting = |(policy, since): (&Sha256, &Time)| {
            serde_json::json!({
                "policy": policy.to_string(),
                "since": since.0,
                "in_force_from": since.plus(RECOVERY_WAIT_S).0,
            })
        };
        Ok(serde_json::json!({
            "organization": org.to_string(),
            "name": chain.policy().body.name.as_str(),
            "policy": { "number": chain.policy().body.number, "hash": chain.policy().hash.to_string() },
            "resume": or_none(&chain.resume()),
            "active_halts": chain.active_halts().map(halt).collect::<Vec<_>>(),
            "waiting": kept.organization.waits_since().iter().map(waiting).collect::<Vec<_>>(),
            "dismissed": kept.organization.is_dismissed(),
            "silent": kept.organization.may_clear().err().map(|silence| silence.to_string()),
        }))
    }

    fn find(&self, org: OrgId) -> Result<Arc<Mutex<Kept>>, Refusal> {
        let organizations = self.organizations.read().unwrap_or_else(PoisonError::into_inner);
        organizations.get(&org).cloned().ok_or(Refusal::Unknown(org))
    }

    /// Puts a policy of the recovery set in force once it has waited its time, gives this beacon's word for it, and writes down all
    /// that is not on disk yet.
    fn ripen(&self, kept: &mut Kept, now: Time) -> Result<(), Refusal> {
        // By a clock that may be wrong nothing begins to wait, and nothing has waited long enough. Where something waits, the time it
        // is noted at counts as signed: a beacon that has signed nothing had nothing to check its clock against from then on.
        let mut time = locked(&self.time);
        let waits = !kept.organization.chain().waiting().is_empty();
        let good = if waits { time.next(now, &self.folder).is_ok() } else { time.check(now).is_ok() };
        drop(time);
        if good {
            kept.organization.note_waiting(now);
            if let Some(policy) = kept.organization.ripe(now)
                && kept.organization.recover(&policy).is_ok()
            {
                kept.unwritten.push_back(format!("{RECOVERED}{policy}\n"));
                kept.organization.note_waiting(now);
            }
        }
        for owed in kept.organization.owed() {
            let word = News::Recovered(self.signer.note(owed.to_string())?);
            if kept.organization.take(&word).is_ok() {
                kept.unwritten.push_back(word.to_string());
            }
        }
        self.write_down(kept)?;
        self.write_waiting(kept)?;
        Ok(())
    }

    /// Writes since when what waits was held, unless the disk says so already.
    fn write_waiting(&self, kept: &mut Kept) -> Result<(), DiskError> {
        let (waits, org) = (kept.organization.waits_since(), kept.organization.chain().org());
        if *waits != kept.noted {
            let lines = waits.iter().map(|(policy, since)| format!("{policy} {since}\n"));
            self.folder.write(&file(org, WAITING_FILE), &lines.collect::<String>())?;
            kept.noted = waits.clone();
        }
        Ok(())
    }

    /// Writes what is taken and not on disk yet, a file each, in the order in which it was taken.
    fn write_down(&self, kept: &mut Kept) -> Result<(), DiskError> {
        let org = kept.organization.chain().org();
        while let Some(text) = kept.unwritten.front() {
            if kept.written == 0 {
                self.folder.make(&format!("{ORGANIZATIONS}/{org}"))?;
            }
            self.folder.write(&file(org, &format!("{:08}", kept.written + 1)), text)?;
            kept.written += 1;
            kept.unwritten.pop_front();
        }
        Ok(())
    }
}

/// Begins an organization with the envelope `text`; nothing is written yet.
fn begin(org: OrgId, text: &str, me: VerifierKey) -> Result<(Kept, String), Refusal> {
    let refused = |reason: String| Refusal::Genesis { org, reason };
    let genesis = match News::from_text(text) {
        Ok(News::Policy(logged)) => logged,
        Ok(_) => return Err(refused("the first envelope holds no policy".to_owned())),
        Err(error) => return Err(refused(error.to_string())),
    };
    let organization = Organization::begin(org, &genesis, me);
    let organization = organization.map_err(|error: ChainError| refused(error.to_string()))?;
    let unwritten = VecDeque::from([genesis.to_string()]);
    Ok((
        Kept { organization, written: 0, noted: BTreeMap::new(), unwritten },
        format!("taken {}\n", genesis.signed.hash()),
    ))
}

impl Kept {
    /// Takes one envelope and says what became of it, in one line.
    fn take(&mut self, text: &str) -> String {
        let (line, taken) = take(&mut self.organization, text);
        self.unwritten.extend(taken);
        line
    }
}

/// Likewise, with the text that is to be kept if it was taken.
fn take(organization: &mut Organization, text: &str) -> (String, Option<String>) {
    let news = match News::from_text(text) {
        Ok(news) => news,
        Err(error) => return (refused(None, &error), None),
    };
    let hash = news.hash();
    let (word, taken) = match organization.take(&news) {
        Ok(Taken::Known) => ("known", false),
        Ok(Taken::Lifted) => ("lifted", false),
        Ok(Taken::Waits) => ("waits", true),
        Ok(Taken::New | Taken::Moved) => ("taken", true),
        Err(error) => return (refused(Some(hash), &error), None),
    };
    (format!("{word} {hash}\n"), taken.then(|| news.to_string()))
}

/// A sentence may quote what was sent; it stays on its line.
fn refused(hash: Option<Sha256>, error: &dyn std::error::Error) -> String {
    let sentence = error.to_string().replace(char::is_control, " ");
    format!("refused {} {sentence}\n", or_none(&hash))
}

/// Lets every policy of the recovery set begin to wait anew: the clock by which it has waited was wrong.
pub(crate) fn wait_anew(folder: &Folder) -> Result<(), DiskError> {
    for name in folder.names(ORGANIZATIONS)? {
        let file = format!("{ORGANIZATIONS}/{name}/{WAITING_FILE}");
        if folder.read(&file)?.is_some_and(|text| !text.is_empty()) {
            folder.write(&file, "")?;
        }
    }
    Ok(())
}

fn file(org: OrgId, name: &str) -> String {
    format!("{ORGANIZATIONS}/{org}/{name}")
}

/// Reads an organization's files again, and judges each as when it came. None if the first never came to be.
fn load(folder: &Folder, name: &str, me: &VerifierKey) -> Result<Option<Kept>, OpenError> {
    let damaged = |file: String, reason: String| OpenError::Damaged { file, reason };
    let org = name.parse().map_err(|error| damaged(format!("{ORGANIZATIONS}/{name}"), format!("{error}")))?;
    let names = folder.names(&format!("{ORGANIZATIONS}/{name}"))?;
    let mut kept: Option<Kept> = None;
    let numbered = names.into_iter().filter(|name| name != HANDOVER_FILE && name != WAITING_FILE);
    for (number, name) in (1..).zip(numbered) {
        let file = file(org, &name);
        if name != format!("{number:08}") {
            return Err(damaged(file, format!("expected number {number:08}")));
        }
        let text = folder.read(&file)?.unwrap_or_default();
        let judged = match &mut kept {
            Some(kept) => replay(kept, &text),
            None => {
                begin(org, &text, me.clone()).map(|(begun, _)| kept = Some(begun)).map_err(|e| e.to_string())
            }
        };
        judged.map_err(|reason| damaged(file, reason))?;
        if let Some(kept) = &mut kept {
            kept.written = number;
            kept.unwritten.clear();
        }
    }
    if let Some(kept) = &mut kept {
        load_handover(folder, kept).map_err(|reason| damaged(file(org, HANDOVER_FILE), reason))?;
        load_waiting(folder, kept).map_err(|reason| damaged(file(org, WAITING_FILE), reason))?;
    }
    Ok(kept)
}

fn replay(kept: &mut Kept, text: &str) -> Result<(), String> {
    if let Some(policy) = text.strip_prefix(RECOVERED) {
        let policy = policy.trim_end().parse().map_err(|error| format!("{error}"))?;
        return kept.organization.recover(&policy).map(|_| ()).map_err(|error| error.to_string());
    }
    let news = News::from_text(text).map_err(|error| error.to_string())?;
    kept.organization.take(&news).map(|_| ()).map_err(|error| error.to_string())
}

fn load_handover(folder: &Folder, kept: &mut Kept) -> Result<(), String> {
    let file = file(kept.organization.chain().org(), HANDOVER_FILE);
    let text = folder.read(&file).map_err(|error| error.to_string())?.unwrap_or_default();
    for note in read_sequence(&text).ok_or("no sequence")? {
        let note = note.parse().map_err(|error: NoteError| error.to_string())?;
        // One for an earlier tenure no longer counts, and does no harm.
        let _ = kept.organization.hand_over(note);
    }
    Ok(())
}

/// Without the file, what waits has waited since the program came up: that errs on the side of those who object.
fn load_waiting(folder: &Folder, kept: &mut Kept) -> Result<(), String> {
    let file = file(kept.organization.chain().org(), WAITING_FILE);
    let text = folder.read(&file).map_err(|error| error.to_string())?.unwrap_or_default();
    for line in text.lines() {
        let (policy, since) = line.split_once(' ').ok_or("a line that is not `<hash> <time>`")?;
        let policy = policy.parse().map_err(|error| format!("{error}"))?;
        let since = since.parse().map_err(|error| format!("{error}"))?;
        kept.organization.remember_waiting(policy, Time(since));
        kept.noted.insert(policy, Time(since));
    }
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
