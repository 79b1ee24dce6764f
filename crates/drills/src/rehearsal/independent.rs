//! Beacons and witnesses: the real ones, each on a folder in memory, asked with the time it is for them.

use std::fs;
use std::path::{Path, PathBuf};

use countersign_beacon::beacon::Beacon as RealBeacon;
use countersign_beacon::clock::confirm;
use countersign_beacon::config::{Config as BeaconConfig, KEY_FILE, Organizations as Served};
use countersign_beacon::disk::Folder;
use countersign_trust::clear::{AnsweredClear, Clear};
use countersign_trust::delivery::write_sequence;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{OrgId, Sha256};
use countersign_trust::merkle::leaf_hash;
use countersign_trust::note::{Note, Signature, VerifierKey};
use countersign_trust::time::Time;
use countersign_witness::config::{Config as WitnessConfig, Organizations as Watched};
use countersign_witness::witness::Witness as RealWitness;

use crate::organization::{WITNESSES, note_key};

/// A beacon.
pub struct Beacon {
    /// The name of its key.
    pub name: String,
    /// Whether it answers.
    pub up: bool,
    /// How far its clock is ahead, in seconds.
    pub skew_s: i64,
    /// Why it last signed nothing.
    pub silence: String,
    config: BeaconConfig,
    real: Option<RealBeacon>,
}

/// A witness.
pub struct Witness {
    /// The name of its key.
    pub name: String,
    /// Whether it answers.
    pub up: bool,
    /// How far its clock is ahead, in seconds.
    pub skew_s: i64,
    /// What it last refused to cosign, and why.
    pub refusal: String,
    real: RealWitness,
}

/// Where folders need no disk, if the system has such a place.
pub fn memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() { shared } else { std::env::temp_dir() }
}

fn folder(of: &Path, name: &str) -> PathBuf {
    let folder = of.join(name);
    fs::create_dir(&folder).unwrap();
    // The seed by which `organization` makes the key of this name.
    fs::write(folder.join(KEY_FILE), format!("{}\n", Sha256::of(name.as_bytes()))).unwrap();
    folder
}

fn nowhere() -> std::net::SocketAddr {
    std::net::SocketAddr::from(([127, 0, 0, 1], 0))
}

fn clock(now_ms: u64, skew_s: i64) -> Time {
    Time((now_ms / 1_000).saturating_add_signed(skew_s))
}

/// Four witnesses who know nobody yet.
pub fn witnesses(of: &Path) -> Vec<Witness> {
    let witness = |name: &&str| {
        let config = WitnessConfig {
            data: folder(of, name),
            listen: nowhere(),
            name: (*name).to_owned(),
            organizations: Watched::Any,
        };
        let real = RealWitness::open(&config).unwrap();
        Witness { name: (*name).to_owned(), up: true, skew_s: 0, refusal: String::new(), real }
    };
    WITNESSES.iter().map(witness).collect()
}

/// So many beacons. Those that the genesis policy names know it.
pub fn beacons(of: &Path, count: usize, org: OrgId, genesis: &Logged, now_ms: u64) -> Vec<Beacon> {
    let beacon = |number: usize| {
        let name = format!("beacon-{number}");
        let config = BeaconConfig {
            data: folder(of, &name),
            listen: nowhere(),
            name: name.clone(),
            organizations: Served::Any,
            vendor: None,
        };
        let real = Some(RealBeacon::open(&config).unwrap());
        let beacon = Beacon { name, up: true, skew_s: 0, silence: String::new(), config, real };
        beacon.take(org, &write_sequence(&[genesis]), now_ms);
        beacon
    };
    (1..=count).map(beacon).collect()
}

impl Beacon {
    fn real(&self) -> &RealBeacon {
        self.real.as_ref().unwrap()
    }

    /// Its key.
    pub fn key(&self) -> &VerifierKey {
        self.real().key()
    }

    /// Its Clear for a root, if it signs one.
    pub fn clear(&mut self, org: OrgId, root: &Sha256, now_ms: u64) -> Option<Note> {
        if !self.up {
            return None;
        }
        let answer = self.real().clear(org, &format!("{root}\n"), clock(now_ms, self.skew_s));
        answer.map_err(|error| self.silence = error.to_string()).ok()
    }

    /// Hands it policies, resumes and halts.
    pub fn take(&self, org: OrgId, sequence: &str, now_ms: u64) {
        if self.up {
            // One that no policy names refuses: it is asked again once it is named.
            let _ = self.real().take_news(org, sequence, clock(now_ms, self.skew_s));
        }
    }

    /// Hands it a halt; its acknowledgement.
    pub fn halt(&mut self, org: OrgId, text: &str) -> Option<Note> {
        if !self.up {
            return None;
        }
        let answer = self.real().halt(org, text);
        answer.map_err(|error| self.silence = error.to_string()).ok()
    }

    /// What one lacks who holds the policies up to number `after`.
    pub fn news(&self, org: OrgId, after: u64, now_ms: u64) -> String {
        self.real().news(org, after, clock(now_ms, self.skew_s)).unwrap_or_default()
    }

    /// The number of the newest policy it holds; 0 if it does not know the organization.
    pub fn policy_number(&self, org: OrgId) -> u64 {
        self.real().state(org).ok().and_then(|state| state["policy"]["number"].as_u64()).unwrap_or_default()
    }

    /// What it tells another beacon.
    pub fn for_handover(&self, org: OrgId, now_ms: u64) -> Option<Note> {
        self.real().for_handover(org, clock(now_ms, self.skew_s)).ok()
    }

    /// Counts what another beacon told.
    pub fn hand_over(&self, org: OrgId, note: &Note) -> Result<String, String> {
        self.real().hand_over(org, &note.to_string()).map_err(|error| error.to_string())
    }

    /// Its power goes and comes back: it knows what its folder gives.
    pub fn restart(&mut self) {
        self.real = None;
        self.real = Some(RealBeacon::open(&self.config).unwrap());
    }

    /// Its operator stops it, says that its clock is right, and starts it again.
    pub fn confirm_clock(&mut self, now_ms: u64) {
        self.real = None;
        let folder = Folder::open(&self.config.data, &[]).unwrap();
        confirm(&folder, clock(now_ms, self.skew_s)).unwrap();
        drop(folder);
        self.real = Some(RealBeacon::open(&self.config).unwrap());
    }

    /// A copy of its folder, for a day when somebody puts it back.
    pub fn back_up(&self, to: &Path) {
        copy(&self.config.data, to);
    }

    /// Its folder is what `from` was.
    pub fn restore(&mut self, from: &Path) {
        self.real = None;
        fs::remove_dir_all(&self.config.data).unwrap();
        copy(from, &self.config.data);
        self.real = Some(RealBeacon::open(&self.config).unwrap());
    }
}

impl Witness {
    /// Shows it policies.
    pub fn take_policies(&mut self, org: OrgId, policies: &[&Signed]) {
        if self.up
            && let Err(error) = self.real.take_policies(org, &write_sequence(policies))
        {
            self.refusal = error.to_string();
        }
    }

    /// Its cosignature for a request, if it gives one.
    pub fn cosign(&mut self, body: &str, now_ms: u64) -> Option<Signature> {
        if !self.up {
            return None;
        }
        let answer = self.real.add_checkpoint(body, clock(now_ms, self.skew_s));
        answer.map_err(|error| self.refusal = error.to_string()).ok()
    }
}

/// What somebody who holds a beacon's key says in its name.
pub fn lie(beacon: &str, clear: &Clear) -> Note {
    note_key(beacon).note(clear.to_string()).unwrap()
}

/// A Clear that answers a tree of one challenge.
pub fn alone(clear: Note) -> AnsweredClear {
    AnsweredClear { clear, index: 0, size: 1, path: Vec::new() }
}

/// The root of a tree of one challenge.
pub fn root_of(challenge: &[u8; 32]) -> Sha256 {
    leaf_hash(challenge)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
