//! What a thief can bend: good things, edited, are refused, or say what they said before.
//!
//! The bytes are a list of edits of something good, so that the fuzzer need not invent signatures to come close to one.

use std::collections::BTreeSet;
use std::num::NonZeroU8;
use std::sync::LazyLock;

use countersign_trust::chain::{Taken, log_keys};
use countersign_trust::checkpoint::{Proof, verify_checkpoint, verify_logged};
use countersign_trust::clear::{AnsweredClear, Challenges, check_clears};
use countersign_trust::delivery::{Delivery, News};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::key::PublicKey;
use countersign_trust::ledger::Ledger;
use countersign_trust::note::{Note, VerifierKey};
use countersign_trust::signers::signers;
use countersign_trust::sshsig::{PasskeyRules, SshSig};
use countersign_trust::sshwire::Reader;
use countersign_trust::statement::job::Job;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::statement::{Kind, read};
use countersign_trust::text::Nothing;
use countersign_trust::time::Time;
use countersign_trust::verify::{Facts, Local, judge};
use countersign_trust::words::Address;

use super::organization::{
    CHALLENGE, NOON, Organization, TILLS, VERSION, WITNESSES, at, device_signer, everything, ledger,
    note_key, word,
};

/// Applies edits to `good`: each is a kind, a place of two bytes and a value.
fn edited(good: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for &[kind, high, low, value] in edits.as_chunks::<4>().0 {
        let at = usize::from(u16::from_be_bytes([high, low])) % (bytes.len() + 1);
        let end = (at + 1 + usize::from(value)).min(bytes.len());
        match kind % 4 {
            0 if at < bytes.len() => bytes[at] ^= value,
            1 => bytes.insert(at, value),
            2 => drop(bytes.drain(at.min(end)..end)),
            3 if bytes.len() < 2 * good.len() => bytes.extend_from_within(at.min(end)..end),
            _ => {}
        }
    }
    bytes
}

fn edited_text(good: &str, edits: &[u8]) -> Option<String> {
    String::from_utf8(edited(good.as_bytes(), edits)).ok()
}

/// What all good signatures of `good/` are for, and over.
const NAMESPACE: &str = "job.v1@countersign";
const MESSAGE: &[u8] = b"{\n  \"why\": \"restart the tills\"\n}\n";

/// A signature of every kind of key: the key's line, then the armor.
const SIGNATURES: [&str; 6] = [
    include_str!("../good/ed25519"),
    include_str!("../good/ecdsa"),
    include_str!("../good/rsa"),
    include_str!("../good/sk-ed25519"),
    include_str!("../good/sk-ecdsa"),
    include_str!("../good/passkey"),
];

/// No edit of a signature or of the message leaves a signature that verifies. (The twin `r, n-s` of an ECDSA signature
/// does, and is no work of an edit.)
pub fn signature(data: &[u8]) {
    let Some((which, edits)) = data.split_first() else { return };
    let (line, armor) = SIGNATURES[usize::from(*which) % SIGNATURES.len()].split_once('\n').unwrap();
    let (key, good) = (line.parse::<PublicKey>().unwrap(), SshSig::from_armor(armor).unwrap());
    let origins: BTreeSet<Address> = [word("https://console.example")].into();
    let rules = PasskeyRules { rp_id: "console.example", origins: &origins };
    assert!(good.verify(&key, NAMESPACE, MESSAGE, &rules).is_ok(), "{line}");
    let bent = edited(good.blob(), edits);
    if let Ok(signature) = SshSig::from_blob(&bent) {
        match signature.verify(&key, NAMESPACE, MESSAGE, &rules) {
            Ok(_) => assert!(bent == good.blob(), "a bent signature of {line}"),
            Err(error) => super::says_little(&error),
        }
    }
    let bent = edited(MESSAGE, edits);
    if let Err(error) = good.verify(&key, NAMESPACE, &bent, &rules) {
        super::says_little(&error);
    } else {
        assert!(bent == MESSAGE, "a bent message under {line}");
    }
}

/// An organization with a device, a job for it, and news that the device does not have.
struct Good {
    policy: Logged,
    ledger: Ledger,
    delivery: Delivery,
    job: Job,
    news: Vec<News>,
    join: Note,
    checkpoint: Note,
    keys: Vec<VerifierKey>,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let mut org = Organization::found();
    let enrolled = org.enroll(TILLS[0]);
    let job = org.job();
    let mut delivery = org.deliver(&job, &["anna", "bo"], TILLS[0]);
    delivery.clears = org.three_clears(CHALLENGE);
    let ledger = ledger(&org.records(&enrolled));
    let checkpoint = org.log.checkpoint(&WITNESSES);
    let halt = org.halt(everything(), "cia");
    let resume = org.resume(Lifts::Halts([halt.hash()].into()), Cuts::None(Nothing), |_| ());
    let policy = org.decide(|policy| policy.limits.life += 1);
    let mut keys: Vec<VerifierKey> = ["token", "beacon-1", "log.example/tills"]
        .iter()
        .map(|name| note_key(name).verifier().clone())
        .chain([device_signer(TILLS[0]).verifier().clone()])
        .collect();
    keys.extend(org.policy().witnesses.keys.iter().cloned());
    let news = vec![halt, resume, policy];
    Good { policy: org.genesis, ledger, delivery, job, news, join: enrolled.join, checkpoint, keys }
});

/// An edited envelope counts for nobody, unless its statement is what they signed; and a chain takes only what was decided.
pub fn envelope(data: &[u8]) {
    let (Some((which, edits)), good) = (data.split_first(), &*GOOD) else { return };
    let logged = [&good.policy, &good.delivery.job].map(ToString::to_string);
    let all: Vec<String> = logged.into_iter().chain(good.news.iter().map(ToString::to_string)).collect();
    let text = &all[usize::from(*which) % all.len()];
    let Some(bent) = edited_text(text, edits) else { return };
    let chain = good.ledger.chain().unwrap();
    let as_it_was = |signed: &Signed| text.starts_with(signed.statement());
    let signed = Logged::from_text(&bent).map(|logged| logged.signed).or_else(|_| Signed::from_text(&bent));
    if let Ok(signed) = signed {
        for kind in [Kind::Policy, Kind::Job, Kind::Halt, Kind::Resume, Kind::Enroll] {
            let counted = signers(&chain.policy().body, kind, &signed);
            assert!(counted.is_empty() || as_it_was(&signed) && signed.kind() == Ok(kind), "{bent}");
        }
    }
    let Ok(news) = News::from_text(&bent) else { return };
    let mut chain = chain.clone();
    match news.offer(&mut chain) {
        Ok(Taken::New | Taken::Waits | Taken::Lifted | Taken::Moved) => {
            assert!(good.news.iter().any(|decided| decided.hash() == news.hash()), "{bent}")
        }
        Ok(Taken::Known) => assert_eq!(news.hash(), good.policy.signed.hash()),
        Err(error) => super::says_little(&error),
    }
}

/// An edited note is signed by nobody, unless its text is what they signed.
pub fn note(data: &[u8]) {
    let (Some((which, edits)), good) = (data.split_first(), &*GOOD) else { return };
    let notes = [&good.join, &good.delivery.clears[0].clear, &good.checkpoint];
    let original = notes[usize::from(*which) % notes.len()];
    let Some(bent) = edited_text(&original.to_string(), edits) else { return };
    let Ok(bent) = bent.parse::<Note>() else { return };
    for key in &good.keys {
        let says_it = (bent.signed_by(key), bent.cosigned_at(key));
        let said_it = (original.signed_by(key), original.cosigned_at(key));
        let as_it_was = bent.text() == original.text() && says_it == said_it;
        assert!(as_it_was || says_it == (false, None), "{bent}");
    }
    let policy = &good.ledger.chain().unwrap().policy().body;
    if let Ok((_, time)) = verify_checkpoint(&bent, log_keys(policy, &policy.witnesses)) {
        assert!(bent.text() == good.checkpoint.text(), "{bent}");
        assert!((Time(NOON - 600)..=Time(NOON - 597)).contains(&time), "{time}");
    }
}

/// An edited delivery is refused, or runs the job that was signed, logged and cleared, on the device it was for.
pub fn delivery(data: &[u8]) {
    let (Some((which, edits)), good) = (data.split_first(), &*GOOD) else { return };
    let Some(bent) = bend(&good.delivery, *which, edits) else { return };
    let chain = good.ledger.chain().unwrap();
    let mut challenges = Challenges::default();
    challenges.draw(CHALLENGE, at(0));
    let freshness = check_clears(chain, &challenges, &bent.clears, at(2_000));
    let me = good.ledger.enrolled();
    let local = Local { version: VERSION, running: 0, disk_full: false };
    let facts = Facts { ledger: &good.ledger, me, freshness: freshness.as_ref(), now: at(3_000), local };
    match judge(&facts, &bent) {
        Ok(verified) => {
            assert_eq!(verified.job(), &good.job);
            assert_eq!(verified.key().job, good.delivery.job.signed.hash());
            let signed = &bent.job.signed;
            assert!(signed == &good.delivery.job.signed, "another leaf than that which is logged");
            let policy = &chain.policy().body;
            let leaf = signed.leaf(&chain.org()).unwrap();
            assert!(
                verify_logged(&bent.job.proof, leaf.as_bytes(), log_keys(policy, &policy.witnesses)).is_ok()
            );
            // All three are needed, so each says what its beacon said.
            assert_eq!(policy.beacons.need, NonZeroU8::new(3).unwrap());
            for (one, other) in bent.clears.iter().zip(&good.delivery.clears) {
                assert!((one.clear.text(), one.index) == (other.clear.text(), other.index));
                assert!(one.path == other.path);
            }
            assert!(bent.target == good.delivery.target);
            assert_eq!(read::<Job>(signed.statement()).as_ref(), Ok(&good.job));
        }
        Err(refusal) => super::says_little(&refusal),
    }
}

/// Edits one part of a delivery; none if that part can no longer be read.
fn bend(good: &Delivery, which: u8, edits: &[u8]) -> Option<Delivery> {
    let mut bent = good.clone();
    match which % 6 {
        0 => bent.job = Logged::from_text(&edited_text(&good.job.to_string(), edits)?).ok()?,
        1 => bent.job.proof = edited_text(&good.job.proof.to_string(), edits)?.parse::<Proof>().ok()?,
        2 => {
            bent.target = bent.target.and_then(|mut target| {
                (target.index, target.path) = bent_place(target.index, &target.path, edits)?;
                Some(target)
            })
        }
        which => {
            let answer: &mut AnsweredClear = bent.clears.get_mut(usize::from(which) - 3)?;
            match edits.split_first()? {
                (0..128, edits) => {
                    answer.clear = edited_text(&answer.clear.to_string(), edits)?.parse().ok()?;
                }
                (_, edits) => {
                    (answer.index, answer.path) = bent_place(answer.index, &answer.path, edits)?;
                }
            }
        }
    }
    Some(bent)
}

fn bent_place(index: u64, path: &[Sha256], edits: &[u8]) -> Option<(u64, Vec<Sha256>)> {
    let mut bytes = index.to_be_bytes().to_vec();
    path.iter().for_each(|hash| bytes.extend_from_slice(&hash.0));
    let bytes = edited(&bytes, edits);
    let mut reader = Reader::new(&bytes);
    let index = reader.u64().ok()?;
    let (hashes, _) = reader.rest().as_chunks::<32>();
    Some((index, hashes.iter().map(|bytes| Sha256(*bytes)).collect()))
}
