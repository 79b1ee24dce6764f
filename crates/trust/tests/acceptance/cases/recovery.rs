//! The day the keys are lost: a policy by the recovery set, which waits for the word of enough beacons.

use std::collections::BTreeSet;

use countersign_trust::chain::{ChainError, Recovered};
use countersign_trust::delivery::News;
use countersign_trust::envelope::Logged;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::policy::{Policy, Recovery};
use countersign_trust::statement::resume::Lifts;
use countersign_trust::verify::Refusal;

use crate::organization::{
    BEACONS, CHALLENGE, Organization, everything, note_key, person, sign, ssh_key, word,
};
use crate::scene::{Case, Scene, accepted, nothing, refused};

/// Two of three keys in a safe.
const SAFE: [&str; 3] = ["safe 1", "safe 2", "safe 3"];
/// Beacons that no policy but the safe's names.
const OTHERS: [&str; 4] = ["beacon-5", "beacon-6", "beacon-7", "beacon-8"];
/// Two of the new people.
const NEW: [&str; 2] = ["anna new", "bo new"];

fn with_recovery(policy: &mut Policy) {
    let keys: BTreeSet<_> = SAFE.iter().map(|name| ssh_key(name).public_key().clone()).collect();
    policy.recovery = Recovery { need: 2, keys };
}

/// Everybody has new keys; the new people's quorum signs too, and so do these.
fn new_keys(org: &mut Organization, by: &[&str]) -> Logged {
    new_keys_with(org, by, |_| ())
}

fn new_keys_with(org: &mut Organization, by: &[&str], edit: impl FnOnce(&mut Policy)) -> Logged {
    let mut next = org.next_policy();
    next.people = ["anna", "bo", "cia"].map(|name| (word(name), person(&[&format!("{name} new")]))).into();
    edit(&mut next);
    org.log(sign(&next, &[&NEW, by].concat()))
}

/// What these beacons sign once the policy has waited its time, in one note.
fn waited(org: &Organization, policy: Sha256, by: &[&str]) -> News {
    waited_after(org, policy, org.chain.policy().hash, by)
}

fn waited_after(org: &Organization, policy: Sha256, after: Sha256, by: &[&str]) -> News {
    let text = Recovered { org: org.org, policy, after }.to_string();
    let lines = by.iter().map(|beacon| note_key(beacon).note(text.clone()).unwrap());
    let joined = lines.reduce(|mut note, other| {
        note.add(other.signatures()[0].clone()).unwrap();
        note
    });
    News::Recovered(joined.unwrap())
}

/// The organization goes on under the safe's policy, which three of the old beacons have let wait; the new people ask.
fn recovered(scene: &mut Scene, edit: impl FnOnce(&mut Policy)) {
    scene.found(with_recovery);
    recover(scene, edit);
}

/// The same, where the organization has decided something before.
fn recover(scene: &mut Scene, edit: impl FnOnce(&mut Policy)) {
    let policy = new_keys_with(&mut scene.org, &SAFE[..2], edit);
    let hash = policy.signed.hash();
    let words: Vec<News> = BEACONS[..3].iter().map(|beacon| waited(&scene.org, hash, &[*beacon])).collect();
    scene.org.take(News::Policy(policy));
    words.into_iter().for_each(|word| {
        scene.org.take(word);
    });
    scene.job.policy = hash;
    scene.keys = NEW.to_vec();
}

/// A resume by these that follows another one than is held.
fn begins_anew(scene: &mut Scene, previous: &str, by: &[&str]) -> Logged {
    let mut resume = scene.org.next_resume(Lifts::Halts(BTreeSet::new()), nothing());
    resume.previous = [Sha256::of(previous.as_bytes())].into();
    scene.org.log(sign(&resume, by))
}

/// The organization goes on as it was, and the device is brought these besides.
fn brought(scene: &mut Scene, news: &[News]) -> crate::bundle::Bundle {
    let mut bundle = scene.bundle();
    bundle.chain.extend(news.iter().map(ToString::to_string));
    bundle
}

/// The safe's policy, and words for it.
fn safes(scene: &mut Scene, words: &[&[&str]]) -> Vec<News> {
    scene.found(with_recovery);
    let policy = new_keys(&mut scene.org, &SAFE[..2]);
    let hash = policy.signed.hash();
    let words = words.iter().map(|by| waited(&scene.org, hash, by));
    std::iter::once(News::Policy(policy)).chain(words).collect()
}

pub fn cases() -> Vec<Case> {
    [in_force(), waiting(), refusals()].into_iter().flatten().collect()
}

fn in_force() -> Vec<Case> {
    vec![
        Case {
            name: "recovery-in-force",
            says: "two of the safe's keys, the new people, and three beacons with whom it has waited 72 hours",
            bend: |scene| {
                recovered(scene, |_| ());
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-in-force-by-one-note",
            says: "the three beacons' lines in one note, among others'",
            bend: |scene| {
                recovered(scene, |_| ());
                let (policy, genesis) = (scene.org.chain.policy().hash, scene.org.genesis.signed.hash());
                let all = [&OTHERS[..1], &BEACONS[1..]].concat();
                let word = waited_after(&scene.org, policy, genesis, &all);
                let mut bundle = scene.bundle();
                bundle.chain.truncate(2);
                bundle.chain.push(word.to_string());
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-with-other-beacons",
            says: "it names none of the old beacons: they put it in force, and the new ones say that nobody has called a halt",
            bend: |scene| {
                let keys = OTHERS.iter().map(|name| note_key(name).verifier().clone()).collect();
                recovered(scene, |policy| policy.beacons.keys = keys);
                let mut bundle = scene.bundle();
                bundle.clears = scene.org.clears(CHALLENGE, &OTHERS[..3]);
                bundle
            },
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-long-ago",
            says: "the device has missed it, and the policy after it, and takes both",
            bend: |scene| {
                recovered(scene, |_| ());
                let mut next = scene.org.next_policy();
                next.limits.life = 3 * 86_400;
                let next = News::Policy(scene.org.log(sign(&next, &NEW)));
                scene.org.take(next);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-then-a-halt-and-a-resume",
            says: "the new people have called a halt and lifted it, which nobody under the old policy can judge",
            bend: |scene| {
                recovered(scene, |_| ());
                let halt = scene.org.halt(everything(), "bo new").hash();
                let resume = scene.org.next_resume(Lifts::Halts([halt].into()), nothing());
                let resume = News::Resume(scene.org.log(sign(&resume, &NEW)));
                scene.org.take(resume);
                scene.job.resume = scene.org.chain.resume();
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-then-what-the-old-people-resumed-is-over",
            says: "while it waited the old people lifted a halt, in the log after it: once it is in force that counts for nothing, and the halt again",
            bend: |scene| {
                let news = safes(scene, &[&BEACONS[..3]]);
                let halt = scene.halt(everything(), "cia");
                scene.lift([halt], nothing());
                let (waits, word) = (news[0].clone(), news[1].clone());
                let decided = std::mem::take(&mut scene.org.news);
                scene.org.news = std::iter::once(waits).chain(decided).chain([word.clone()]).collect();
                for news in [&news[0], &word] {
                    news.offer(&mut scene.org.chain).unwrap();
                }
                scene.job.policy = scene.org.chain.policy().hash;
                scene.keys = vec!["anna new", "bo new"];
                scene.bundle()
            },
            expected: |scene| {
                let halt = scene.org.news[1].hash();
                let (scope, by) = ("the whole organization".to_owned(), "cia".to_owned());
                refused(Refusal::Halted { halt, scope, by, reason: "Something is wrong.".to_owned() })
            },
        },
        Case {
            name: "recovery-then-a-resume-that-names-one-never-seen",
            says: "the first resume of the new people names another before it: who was not shown that one does not know what it cut",
            bend: |scene| {
                recovered(scene, |_| ());
                let resume = News::Resume(begins_anew(scene, "a resume that only others hold", &NEW));
                brought(scene, &[resume])
            },
            expected: |_| {
                let found = vec![Sha256::of(b"a resume that only others hold")];
                accepted().without(5, ChainError::NotNext { expected: "none".to_owned(), found })
            },
        },
        Case {
            name: "recovery-after-a-resume-then-one-after-another-never-seen",
            says: "a resume of the old people stays that stood in the log before the policy: the first of the new people follows it, or is not taken",
            bend: |scene| {
                scene.found(with_recovery);
                scene.org.resume(Lifts::Halts(BTreeSet::new()), nothing(), |_| ());
                recover(scene, |_| ());
                let first = begins_anew(scene, "a resume that only others hold", &NEW);
                brought(scene, &[News::Resume(first)])
            },
            expected: |scene| {
                let expected = scene.org.chain.resume().map(|hash| hash.to_string()).unwrap();
                let found = vec![Sha256::of(b"a resume that only others hold")];
                accepted().without(6, ChainError::NotNext { expected, found })
            },
        },
        Case {
            name: "recovery-and-one-word-more",
            says: "the fourth beacon gives its word when three have put the policy in force",
            bend: |scene| {
                recovered(scene, |_| ());
                let (policy, genesis) = (scene.org.chain.policy().hash, scene.org.genesis.signed.hash());
                let late = waited_after(&scene.org, policy, genesis, &BEACONS[3..]);
                brought(scene, &[late])
            },
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-that-the-quorum-signs-too",
            says: "it waits, and then comes again with the quorum's signatures: then it need not wait",
            bend: |scene| {
                scene.found(with_recovery);
                let waiting = new_keys(&mut scene.org, &SAFE[..2]);
                let decided = new_keys(&mut scene.org, &["anna", "bo"]);
                scene.org.take(News::Policy(waiting));
                scene.org.take(News::Policy(decided));
                scene.job.policy = scene.org.chain.policy().hash;
                scene.keys = NEW.to_vec();
                scene.bundle()
            },
            expected: |_| accepted(),
        },
    ]
}

fn waiting() -> Vec<Case> {
    vec![
        Case {
            name: "recovery-waits",
            says: "no beacon has given its word yet: the old keys still count, the new ones do not",
            bend: |scene| {
                let news = safes(scene, &[]);
                brought(scene, &news)
            },
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-waits-and-new-keys-count-for-nothing",
            says: "no beacon has given its word yet",
            bend: |scene| {
                let news = safes(scene, &[]);
                scene.keys = NEW.to_vec();
                brought(scene, &news)
            },
            expected: |_| refused(Refusal::UnknownSigners),
        },
        Case {
            name: "recovery-with-one-word-too-few",
            says: "two of three: the old policy is in force",
            bend: |scene| {
                let news = safes(scene, &[&BEACONS[..1], &BEACONS[1..2]]);
                brought(scene, &news)
            },
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-with-one-beacons-word-twice",
            says: "one beacon's word counts once, alone or beside another's",
            bend: |scene| {
                let news = safes(scene, &[&BEACONS[..1], &BEACONS[..2], &BEACONS[1..2]]);
                brought(scene, &news)
            },
            expected: |_| accepted(),
        },
        Case {
            name: "recovery-overtaken",
            says: "the thief of the safe was seen: within 72 hours the quorum signed another policy, which counts at once",
            bend: |scene| {
                scene.found(with_recovery);
                let waiting = new_keys(&mut scene.org, &SAFE[..2]);
                let words = waited(&scene.org, waiting.signed.hash(), &BEACONS[..2]);
                scene.org.decide(|policy| policy.recovery = Recovery { need: 0, keys: BTreeSet::new() });
                scene.job.policy = scene.org.chain.policy().hash;
                let mut bundle = scene.bundle();
                bundle.chain.splice(1..1, [waiting.to_string(), words.to_string()]);
                bundle
            },
            expected: |_| accepted(),
        },
    ]
}

fn refusals() -> Vec<Case> {
    vec![
        Case {
            name: "recovery-by-too-few-keys",
            says: "one of the two keys it takes",
            bend: |scene| {
                scene.found(with_recovery);
                let policy = new_keys(&mut scene.org, &SAFE[..1]);
                brought(scene, &[News::Policy(policy)])
            },
            expected: |_| {
                let error = ChainError::Quorum { got: 0, need: 2, role: word("owner"), policy: 1 };
                accepted().without(1, error)
            },
        },
        Case {
            name: "recovery-without-the-new-people",
            says: "the safe's keys alone, without those who are to decide from now on",
            bend: |scene| {
                scene.found(with_recovery);
                let mut next = scene.org.next_policy();
                next.people.insert(word("anna"), person(&["anna new"]));
                let policy = scene.org.log(sign(&next, &SAFE[..2]));
                brought(scene, &[News::Policy(policy)])
            },
            expected: |_| {
                let error = ChainError::Quorum { got: 0, need: 2, role: word("owner"), policy: 2 };
                accepted().without(1, error)
            },
        },
        Case {
            name: "recovery-where-there-is-none",
            says: "the policy in force names no recovery set",
            bend: |scene| {
                let policy = new_keys(&mut scene.org, &SAFE[..2]);
                brought(scene, &[News::Policy(policy)])
            },
            expected: |_| accepted().without(1, ChainError::UnknownSigners),
        },
        Case {
            name: "recovery-then-a-resume-of-the-old-people",
            says: "it was logged before, and the policy of the recovery set does not name it",
            bend: |scene| {
                scene.found(with_recovery);
                let late = begins_anew(scene, "a resume that only others hold", &["anna", "bo"]);
                recover(scene, |_| ());
                brought(scene, &[News::Resume(late)])
            },
            expected: |_| accepted().without(5, ChainError::NotNamed { policy: 2 }),
        },
        Case {
            name: "recovery-after-another-policy",
            says: "the quorum signed a policy, and then comes the safe's, which follows the one before, and words for it",
            bend: |scene| {
                scene.found(with_recovery);
                let late = new_keys(&mut scene.org, &SAFE[..2]);
                let words = waited(&scene.org, late.signed.hash(), &BEACONS[..3]);
                scene.org.decide(|policy| policy.limits.life = 3 * 86_400);
                brought(scene, &[News::Policy(late), words])
            },
            expected: |scene| {
                let (before, now) = (scene.org.chain.policies()[0].hash, scene.org.chain.policy().hash);
                let late = ChainError::NotNext { expected: now.to_string(), found: vec![before] };
                accepted().without(2, late).without(3, ChainError::NotWaiting(hash_of_safes(scene)))
            },
        },
        Case {
            name: "recovery-by-the-new-beacons-word",
            says: "those whom only the waiting policy names give their word for it",
            bend: |scene| {
                scene.found(with_recovery);
                let keys = OTHERS.iter().map(|name| note_key(name).verifier().clone()).collect();
                let policy = new_keys_with(&mut scene.org, &SAFE[..2], |policy| policy.beacons.keys = keys);
                let words = waited(&scene.org, policy.signed.hash(), &OTHERS);
                brought(scene, &[News::Policy(policy), words])
            },
            expected: |_| accepted().without(2, ChainError::UnknownSigners),
        },
        Case {
            name: "recovery-by-words-for-another-place",
            says: "the beacons took it in the place of a policy that follows another one",
            bend: |scene| {
                let mut news = safes(scene, &[]);
                let words = waited_after(&scene.org, news[0].hash(), Sha256::of(b"another"), &BEACONS);
                news.push(words);
                brought(scene, &news)
            },
            expected: |scene| {
                let expected = scene.org.chain.policy().hash.to_string();
                let found = vec![Sha256::of(b"another")];
                accepted().without(2, ChainError::NotNext { expected, found })
            },
        },
        Case {
            name: "recovery-by-words-of-another-organization",
            says: "the note speaks of another organization",
            bend: |scene| {
                let mut news = safes(scene, &[]);
                news.push(bent(&waited(&scene.org, news[0].hash(), &BEACONS[..1]), |said| {
                    said.org.0[0] ^= 1
                }));
                brought(scene, &news)
            },
            expected: |scene| {
                let mut other = scene.org.org;
                other.0[0] ^= 1;
                let expected = scene.org.org;
                accepted().without(2, ChainError::Organization { expected, found: other.to_string() })
            },
        },
        Case {
            name: "recovery-and-the-policy-after-it-too-soon",
            says: "the policy that follows the waiting one counts for nothing before it is in force",
            bend: |scene| {
                let mut news = safes(scene, &[&BEACONS[..2]]);
                let mut next = scene.org.next_policy();
                next.number += 1;
                next.previous = [news[0].hash()].into();
                let next = scene.org.log(sign(&next, &["anna", "bo", "anna new", "bo new"]));
                news.push(News::Policy(next));
                brought(scene, &news)
            },
            expected: |scene| {
                let (now, news) = (scene.org.chain.policy().hash, hash_of_safes(scene));
                accepted().without(3, ChainError::NotNext { expected: now.to_string(), found: vec![news] })
            },
        },
    ]
}

fn bent(news: &News, bend: impl FnOnce(&mut Recovered)) -> News {
    let News::Recovered(note) = news else { panic!("no word of a beacon") };
    let mut said: Recovered = note.text().parse().unwrap();
    bend(&mut said);
    let by = note_key(note.signatures()[0].name());
    News::Recovered(by.note(said.to_string()).unwrap())
}

/// The hash of the safe's policy, where it follows the genesis policy.
fn hash_of_safes(scene: &Scene) -> Sha256 {
    let mut next = scene.org.chain.policies()[0].body.clone();
    next.org = Some(scene.org.org);
    next.number = 2;
    next.previous = [scene.org.genesis.signed.hash()].into();
    next.people = ["anna", "bo", "cia"].map(|name| (word(name), person(&[&format!("{name} new")]))).into();
    sign(&next, &["anna new"]).hash()
}
