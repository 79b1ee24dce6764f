//! What a policy changes about what was taken before it, and what counts whichever policies were held when it came.

use countersign_trust::chain::ChainError;
use countersign_trust::delivery::News;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::halt::{Component, Scope};
use countersign_trust::statement::policy::{Log as LogEntry, Policy, VendorHalts};
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;
use countersign_trust::verify::Refusal;

use crate::bundle::Bundle;
use crate::organization::{LOG, everything, names, person, sign, ssh_key, word};
use crate::scene::{Case, Expected, Scene, accepted, nothing, refused};

/// Cia and Dan decide and ask from here on; logged, and signed by all.
fn replaced(scene: &mut Scene, resumes: &[&Signed]) -> Signed {
    let mut next = scene.org.next_policy();
    next.resumes = resumes.iter().map(|resume| resume.hash()).collect();
    next.people = ["cia", "dan"].map(|name| (word(name), person(&[name]))).into();
    next.roles = ["operator", "owner"].map(|role| (word(role), names(&["cia", "dan"]))).into();
    (scene.job.requester, scene.keys) = (word("cia"), vec!["cia", "dan"]);
    sign(&next, &["anna", "bo", "cia", "dan"])
}

/// A resume of Anna and Bo that cuts all, and is logged when it is.
fn cutting(scene: &Scene) -> Signed {
    let lifts = Lifts::Halts([Sha256([9; 32])].into());
    sign(&scene.org.next_resume(lifts, Cuts::All(Nothing)), &["anna", "bo"])
}

/// The device is brought these, in this order, and honest beacons hold what holds.
fn brought(scene: &mut Scene, news: Vec<News>) -> Bundle {
    for _ in 0..2 {
        news.iter().for_each(|news| drop(news.offer(&mut scene.org.chain)));
    }
    scene.org.news = news;
    scene.job.policy = scene.org.chain.policy().hash;
    scene.job.resume = scene.org.chain.resume();
    scene.bundle()
}

fn halt(scene: &mut Scene, policy: Sha256, key: &str) -> News {
    let mut halt = scene.org.halt_of(everything());
    halt.policy = Some(policy);
    News::Halt(sign(&halt, &[key]))
}

/// The vendor halts this agent.
fn vendors(scene: &mut Scene) -> News {
    let below = Component { name: word("countersign-agent"), below: word("9") };
    let mut halt = scene.org.halt_of(Scope::Component(below));
    (halt.org, halt.policy) = (None, None);
    News::Halt(sign(&halt, &["vendor"]))
}

fn halted(halt: Sha256, scope: &str, by: &str) -> Expected {
    let (scope, by, reason) = (scope.to_owned(), by.to_owned(), "Something is wrong.".to_owned());
    refused(Refusal::Halted { halt, scope, by, reason })
}

fn decided(scene: &mut Scene, edit: impl FnOnce(&mut Policy)) -> News {
    let mut next = scene.org.next_policy();
    edit(&mut next);
    News::Policy(scene.org.log(sign(&next, &["anna", "bo"])))
}

pub fn cases() -> Vec<Case> {
    [resumes(), halts(), logs()].into_iter().flatten().collect()
}

fn resumes() -> Vec<Case> {
    vec![
        Case {
            name: "again-a-resume-of-people-who-are-gone",
            says: "brought before the policy that ends them, and logged after it: it is over when that policy comes",
            bend: |scene| {
                let (theirs, policy) = (cutting(scene), replaced(scene, &[]));
                let policy = News::Policy(scene.org.log(policy));
                let theirs = News::Resume(scene.org.log(theirs));
                brought(scene, vec![theirs, policy])
            },
            expected: |_| accepted(),
        },
        Case {
            name: "again-a-resume-that-the-policy-after-it-names",
            says: "by people whom that policy ends: it stays, and what it cut is refused",
            bend: |scene| named(scene, |theirs, policy| vec![theirs, policy]),
            expected: |scene| refused(Refusal::Cut(scene.org.chain.resume().unwrap())),
        },
        Case {
            name: "again-a-resume-brought-after-the-policy-that-names-it",
            says: "by people whom that policy ends: it is taken as before it, and what it cut is refused",
            bend: |scene| named(scene, |theirs, policy| vec![policy, theirs]),
            expected: |scene| refused(Refusal::Cut(scene.org.chain.resume().unwrap())),
        },
        Case {
            name: "again-a-resume-that-the-policy-after-it-does-not-name",
            says: "logged before it, by people who were there: it is over with the policy all the same",
            bend: |scene| {
                let theirs = cutting(scene);
                let policy = replaced(scene, &[]);
                let theirs = News::Resume(scene.org.log(theirs));
                let policy = News::Policy(scene.org.log(policy));
                brought(scene, vec![theirs, policy])
            },
            expected: |_| accepted(),
        },
        Case {
            name: "again-a-policy-shown-at-two-leaves",
            says: "the resume of those whom it ends stands between: it is refused by whoever was shown either leaf",
            bend: |scene| {
                let (theirs, policy) = (cutting(scene), replaced(scene, &[]));
                let early = News::Policy(scene.org.log(policy.clone()));
                let theirs = News::Resume(scene.org.log(theirs));
                let late = News::Policy(scene.org.log(policy));
                brought(scene, vec![late, theirs.clone(), early, theirs])
            },
            expected: |_| {
                let over = || ChainError::NotNamed { policy: 2 };
                accepted().without(2, over()).without(4, over())
            },
        },
        Case {
            name: "again-a-resume-that-heals-rivals",
            says: "it names two, of which this device holds the one that cut nothing: what is older than both is cut",
            bend: |scene| {
                let rivals = [cutting(scene), lifting(scene)];
                let [_, kept] = rivals.clone();
                let mut heals = scene.org.next_resume(Lifts::Halts([Sha256([8; 32])].into()), nothing());
                heals.previous = rivals.iter().map(Signed::hash).collect();
                let news =
                    [kept, sign(&heals, &["anna", "bo"])].map(|signed| News::Resume(scene.org.log(signed)));
                let bundle = brought(scene, news.into());
                scene.job.resume = None;
                let signed = sign(&scene.job, &scene.keys);
                scene.with_job(bundle, signed)
            },
            expected: |scene| refused(Refusal::Cut(scene.org.chain.resume().unwrap())),
        },
    ]
}

/// A resume that policy 2 names, brought in some order; the job is older than it.
fn named(scene: &mut Scene, order: fn(News, News) -> Vec<News>) -> Bundle {
    let theirs = cutting(scene);
    let policy = replaced(scene, &[&theirs]);
    let theirs = News::Resume(scene.org.log(theirs));
    let policy = News::Policy(scene.org.log(policy));
    let bundle = brought(scene, order(theirs, policy));
    scene.job.resume = None;
    let signed = sign(&scene.job, &scene.keys);
    scene.with_job(bundle, signed)
}

/// A resume of Anna and Bo that cuts nothing.
fn lifting(scene: &Scene) -> Signed {
    let lifts = Lifts::Halts([Sha256([7; 32])].into());
    sign(&scene.org.next_resume(lifts, nothing()), &["anna", "bo"])
}

fn halts() -> Vec<Case> {
    vec![
        Case {
            name: "again-a-halt-under-no-policy-held-by-a-key-dropped-since",
            says: "the policy it names is not held, and the newest does not know its key: it counts under the oldest that does",
            bend: |scene| {
                let theirs = halt(scene, Sha256([9; 32]), "server");
                let policy = decided(scene, |policy| policy.halt.machines.clear());
                brought(scene, vec![policy, theirs])
            },
            expected: |scene| halted(scene.newest(), "the whole organization", "the machine server"),
        },
        Case {
            name: "again-a-halt-under-the-policy-that-drops-its-key",
            says: "it names a policy that does not know its key: who heard of it before that policy took it, so everybody does",
            bend: |scene| {
                let policy = decided(scene, |policy| policy.halt.machines.clear());
                let theirs = halt(scene, policy.hash(), "server");
                brought(scene, vec![policy, theirs])
            },
            expected: |scene| halted(scene.newest(), "the whole organization", "the machine server"),
        },
        Case {
            name: "again-a-halt-that-a-resume-lifted-before-a-later-policy",
            says: "under an invented policy, lifted by its key, and brought to one who holds a later policy: it counts as made under the first",
            bend: |scene| {
                let theirs = halt(scene, Sha256([9; 32]), "server");
                let keys = Lifts::Keys([ssh_key("server").public_key().clone()].into());
                let resume = sign(&scene.org.next_resume(keys, nothing()), &["anna", "bo"]);
                let named = resume.hash();
                let resume = News::Resume(scene.org.log(resume));
                let policy = decided(scene, |policy| {
                    policy.limits.life = 3 * 86_400;
                    policy.resumes = [named].into();
                });
                brought(scene, vec![policy, resume, theirs])
            },
            expected: |_| accepted(),
        },
        Case {
            name: "again-a-vendors-halt-and-a-policy-without-that-vendor",
            says: "a vendor's halt names no policy: it is over with the policy that no longer knows its key",
            bend: |scene| {
                let theirs = vendors(scene);
                let policy = decided(scene, |policy| {
                    policy.vendor.keys = [ssh_key("other vendor").public_key().clone()].into();
                });
                brought(scene, vec![theirs, policy])
            },
            expected: |_| accepted(),
        },
        Case {
            name: "again-a-vendors-halt-and-a-policy-that-asks",
            says: "a vendor's halt is over with the policy that has it obeyed no more",
            bend: |scene| {
                let theirs = vendors(scene);
                let policy = decided(scene, |policy| policy.vendor.halts = VendorHalts::Ask);
                brought(scene, vec![theirs, policy])
            },
            expected: |_| accepted(),
        },
        Case {
            name: "again-a-halt-of-a-vendor-who-is-gone",
            says: "the newest policy does not know the vendor who halts",
            bend: |scene| {
                let theirs = vendors(scene);
                let policy = decided(scene, |policy| {
                    policy.vendor.keys = [ssh_key("other vendor").public_key().clone()].into();
                });
                brought(scene, vec![policy, theirs])
            },
            expected: |_| accepted().without(2, ChainError::NotAHalter),
        },
        Case {
            name: "again-a-vendors-halt-and-a-resume-by-key",
            says: "a resume that names the vendor's key: a vendor's halt is lifted by its hash only",
            bend: |scene| {
                let theirs = vendors(scene);
                let keys = Lifts::Keys([ssh_key("vendor").public_key().clone()].into());
                let resume = sign(&scene.org.next_resume(keys, nothing()), &["anna", "bo"]);
                let resume = News::Resume(scene.org.log(resume));
                brought(scene, vec![theirs, resume])
            },
            expected: |scene| halted(scene.org.news[0].hash(), "countersign-agent below 9", "the vendor"),
        },
    ]
}

fn logs() -> Vec<Case> {
    vec![
        Case {
            name: "again-a-log-that-was-left",
            says: "a policy goes back to the name of a log that an earlier one left: what stands there would count anew",
            bend: |scene| {
                let first = scene.org.log.signer.verifier().clone();
                scene.org.move_log("log.example/new");
                let size = scene.org.log.tree.size();
                let root = Some(scene.org.log.tree.root());
                let mut next = scene.org.next_policy();
                next.log = LogEntry { key: first, old_size: size, old_root: root };
                let signed = sign(&next, &["anna", "bo"]);
                let new = std::mem::replace(&mut scene.org.log, crate::organization::Log::new(LOG));
                let back = scene.org.log(signed);
                scene.org.log = new;
                scene.job.policy = scene.org.chain.policy().hash;
                let mut bundle = scene.bundle();
                bundle.chain.push(back.to_string());
                bundle
            },
            expected: |_| accepted().without(2, ChainError::UsedLog(LOG.to_owned())),
        },
        Case {
            name: "again-a-log-under-another-key",
            says: "the same name, and another key: a log that replaces another has a name of its own",
            bend: |scene| {
                let mut next = scene.org.next_policy();
                let key = countersign_trust::note::NoteSigner::new(
                    LOG,
                    countersign_trust::note::KeyKind::Ed25519,
                    &[5; 32],
                );
                next.log.key = key.as_ref().unwrap().verifier().clone();
                let signed = sign(&next, &["anna", "bo"]);
                let theirs = std::mem::replace(&mut scene.org.log.signer, key.unwrap());
                let logged = scene.org.log(signed);
                scene.org.log.signer = theirs;
                let mut bundle = scene.bundle();
                bundle.chain.push(logged.to_string());
                bundle
            },
            expected: |_| accepted().without(1, ChainError::UsedLog(LOG.to_owned())),
        },
    ]
}
