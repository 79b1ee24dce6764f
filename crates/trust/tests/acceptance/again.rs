//! What a party takes is judged by all policies that it holds, whichever of them it was shown first.

use countersign_trust::chain::{Chain, Inclusion};
use countersign_trust::delivery::News;
use countersign_trust::device::Input;
use countersign_trust::envelope::{EnvelopeError, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::Record;
use countersign_trust::sshsig::SshSig;
use countersign_trust::statement::enroll::{Device as DeviceBody, Enroll, Retire, What};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;

use crate::life::Life;
use crate::organization::{
    Organization, TILLS, device_id, device_signer, everything, labels, names, person, sign, ssh_key, word,
};

/// Anna and Bo are gone: Cia and Dan decide now.
fn without_anna_and_bo(policy: &mut Policy) {
    policy.people = ["cia", "dan"].map(|name| (word(name), person(&[name]))).into();
    policy.roles = ["operator", "owner"].map(|role| (word(role), names(&["cia", "dan"]))).into();
}

/// A policy that ends Anna and Bo, logged and held by everybody but the device in question.
fn decide_without_them(org: &mut Organization) -> News {
    let mut next = org.next_policy();
    without_anna_and_bo(&mut next);
    let logged = org.log(sign(&next, &["anna", "bo", "cia", "dan"]));
    org.take(News::Policy(logged))
}

#[test]
fn a_resume_of_people_who_are_gone_does_not_cut_a_device_off_for_ever() {
    let mut life = Life::new();
    let old = life.org.next_resume(Lifts::Halts([Sha256([9; 32])].into()), Cuts::All(Nothing));
    let decided = decide_without_them(&mut life.org);
    // The thief of the server logs it after the policy that ends them, and brings it to the device before that policy.
    let theirs = News::Resume(life.org.log(sign(&old, &["anna", "bo"])));
    assert!(
        theirs.clone().offer(&mut life.org.chain.clone()).is_err(),
        "who holds the policy does not take it"
    );
    life.hear(Input::News(vec![theirs.clone()]));
    life.hear(Input::News(vec![decided]));
    let held = life.device.ledger().chain().unwrap();
    assert_eq!(held.policy().hash, life.org.chain.policy().hash);
    // Whatever the new people's next resume names: one that beacons take must do for the device too, or it never counts a Clear again.
    let halt = life.org.halt(everything(), "cia");
    let mends = [vec![], vec![theirs.hash()]].into_iter().any(|previous| {
        let mut next = life.org.next_resume(Lifts::Halts([halt.hash()].into()), Cuts::None(Nothing));
        next.previous = previous.into_iter().collect();
        let next = News::Resume(life.org.log(sign(&next, &["cia", "dan"])));
        let (mut beacon, mut device) = (life.org.chain.clone(), held.clone());
        next.offer(&mut beacon).is_ok() && next.offer(&mut device).is_ok()
    });
    assert!(held.resume() == life.org.chain.resume() || mends, "no resume mends the device");
}

fn enrollment_by(life: &mut Life, what: What, keys: &[&str]) -> News {
    let enroll = Enroll { org: life.org.org, id: life.org.id(), what };
    let signed: Signed = sign(&enroll, keys);
    News::Enroll(life.org.log(signed))
}

#[test]
fn people_who_are_gone_retire_no_device() {
    let mut life = Life::new();
    let decided = decide_without_them(&mut life.org);
    let what = What::Retire(Retire { device: device_id(TILLS[0]) });
    let theirs = enrollment_by(&mut life, what, &["anna", "bo"]);
    life.hear(Input::News(vec![theirs]));
    life.hear(Input::News(vec![decided]));
    assert_eq!(life.device.ledger().retired(), None);
}

#[test]
fn people_who_are_gone_move_no_device() {
    let mut life = Life::new();
    let before = life.device.ledger().enrolled().cloned().unwrap();
    let decided = decide_without_them(&mut life.org);
    let what = What::Device(DeviceBody {
        key: device_signer(TILLS[0]).verifier().clone(),
        host_key: word(""),
        site: word("Laboratory"),
        labels: labels(&[("class", "laboratory")]),
        seq: 1,
        previous: Some(before.enroll),
    });
    let theirs = enrollment_by(&mut life, what, &["anna", "bo"]);
    life.hear(Input::News(vec![theirs]));
    life.hear(Input::News(vec![decided]));
    assert_eq!(life.device.ledger().enrolled().map(|held| &held.labels), Some(&before.labels));
}

/// What everybody who keeps a chain as a sequence does: the command line at each start, a machine that joins.
fn told_anew(org: &Organization) -> Result<Chain, countersign_trust::chain::ChainError> {
    let genesis = &org.genesis;
    let mut chain = Chain::begin(org.org, &genesis.signed, Inclusion::Proved(&genesis.proof)).unwrap();
    for news in News::since(&org.chain, 1) {
        news.offer(&mut chain)?;
    }
    Ok(chain)
}

#[test]
fn a_chain_that_is_told_anew_is_taken_whole() {
    let mut org = Organization::found();
    // The stolen server's own key, under a policy that nobody has.
    let mut halt = org.halt_of(everything());
    halt.policy = Some(Sha256([9; 32]));
    org.take(News::Halt(sign(&halt, &["server"])));
    org.decide(|policy| policy.halt.machines.clear());
    assert!(told_anew(&org).is_ok(), "{:?}", told_anew(&org).err());
}

#[test]
fn what_a_resume_lifted_is_lifted_for_who_hears_of_it_later() {
    let mut org = Organization::found();
    let mut halt = org.halt_of(everything());
    halt.policy = Some(Sha256([9; 32]));
    org.take(News::Halt(sign(&halt, &["server"])));
    org.resume(Lifts::Keys([ssh_key("server").public_key().clone()].into()), Cuts::None(Nothing), |_| ());
    org.decide(|policy| policy.limits.life = 3 * 86_400);
    assert_eq!(org.chain.active_halts().count(), 0);
    assert_eq!(told_anew(&org).unwrap().active_halts().count(), 0);
}

/// A halt with so many signatures beside the good one, of a key that nobody has.
fn with_junk(org: &mut Organization, count: u8, bytes: usize) -> Result<Signed, EnvelopeError> {
    let string = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let good = sign(&org.halt_of(everything()), &["server"]);
    let junk = (0..count).map(|number| {
        let (key, inside) = ([number; 40], vec![7; bytes]);
        let parts: [&[u8]; 5] = [&key, b"halt.v1@countersign", b"", b"sha512", &inside];
        let rest: Vec<u8> = parts.iter().flat_map(|part| string(part)).collect();
        SshSig::from_blob(&[&b"SSHSIG\0\0\0\x01"[..], &rest].concat()).unwrap()
    });
    Signed::new(good.statement().to_owned(), good.signatures().iter().cloned().chain(junk))
}

#[test]
fn a_halt_carries_no_more_signatures_than_anybody_needs() {
    let mut org = Organization::found();
    assert_eq!(with_junk(&mut org, 31, 8_000), Err(EnvelopeError::HaltSignatures(251_134)));
    // What is within the bound is not kept either, but for the signature that counts.
    let halt = with_junk(&mut org, 20, 100).unwrap();
    org.take(News::Halt(halt.clone()));
    assert_eq!(
        (halt.signatures().len(), org.chain.halt(&halt.hash()).unwrap().signed.signatures().len()),
        (21, 1)
    );
    let mut life = Life::new();
    let halt = with_junk(&mut life.org, 20, 100).unwrap();
    life.tell(News::Halt(halt.clone()));
    let kept =
        |record: &Record| matches!(record, Record::News(News::Halt(halt)) if halt.signatures().len() == 1);
    assert!(life.device.ledger().rewritten().iter().any(kept));
    life.restart();
    assert_eq!(life.device.ledger().chain().unwrap().active_halts().count(), 1);
}
