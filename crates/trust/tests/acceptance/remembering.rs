//! The ledger: what its records give, whole or rewritten, in any past.

use countersign_trust::chain::Taken;
use countersign_trust::delivery::News;
use countersign_trust::device::Input;
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::{LedgerError, Record};
use countersign_trust::statement::resume::{Cuts, Lifts};
use countersign_trust::text::Nothing;

use crate::life::{Life, replay, state};
use crate::organization::{Organization, TILLS, everything, names, sign, ssh_key, word};

/// The disk and the rewritten disk both give what the device holds.
fn replays(life: &Life) {
    assert_eq!(state(&replay(&life.disk)), life.state());
    let rewritten: Vec<Vec<u8>> = life.device.ledger().rewritten().iter().map(Record::encode).collect();
    assert_eq!(state(&replay(&rewritten)), life.state());
}

fn drop_cia(policy: &mut countersign_trust::statement::policy::Policy) {
    policy.people.remove(&word("cia"));
    policy.roles.values_mut().for_each(|people| *people = names(&["anna", "bo"]));
}

#[test]
fn a_whole_life_replays() {
    let mut life = Life::new();
    let key = life.run(|_| ());
    let halt = life.org.halt(everything(), "cia");
    life.tell(halt);
    life.end(key, false);
    let keys = Lifts::Keys([ssh_key("cia").public_key().clone()].into());
    let resume = life.org.resume(keys, Cuts::All(Nothing), |_| ());
    life.tell(resume);
    let policy = life.org.decide(drop_cia);
    life.tell(policy);
    life.run(|_| ());
    life.acknowledge_all();
    life.run(|_| ());
    replays(&life);
    life.restart();
    replays(&life);
}

#[test]
fn a_halt_that_names_a_policy_before_it_is_held_does_not_brick_the_device() {
    // Cia is about to be dropped, and halts under the very policy that drops her.
    let mut life = Life::new();
    let mut halt = life.org.halt_of(everything());
    let policy = life.org.decide(drop_cia);
    halt.policy = Some(policy.hash());
    life.tell(News::Halt(sign(&halt, &["cia"])));
    assert_eq!(life.device.ledger().chain().unwrap().active_halts().count(), 1);
    life.tell(policy);
    assert_eq!(life.device.ledger().chain().unwrap().policy().body.number, 2);
    replays(&life);
    life.rewrite();
    life.restart();
    assert_eq!(life.device.ledger().chain().unwrap().active_halts().count(), 1);
}

#[test]
fn an_enrollment_is_over_when_a_policy_is_shown_by_which_it_does_not_hold() {
    // The server kept a policy back that stands in the log before the enrollment: who reads the log does not count the device.
    let mut org = Organization::found();
    let policy = org.decide(drop_cia);
    org.news.clear();
    let enroll = countersign_trust::statement::enroll::Enroll {
        org: org.org,
        id: org.id(),
        what: countersign_trust::statement::enroll::What::Batch(
            countersign_trust::statement::enroll::Batch {
                token: crate::organization::note_key("token").verifier().clone(),
                site: word("Smygehamn 12"),
                labels: Default::default(),
                count: 1,
                until: countersign_trust::time::Time(crate::organization::NOON),
            },
        ),
    };
    let enroll = org.log(sign(&enroll, &["anna", "cia"]));
    let enrolled = org.join(enroll, TILLS[0]);
    let mut life = Life::of(org, enrolled);
    assert!(life.device.ledger().enrolled().is_some());
    life.tell(policy);
    replays(&life);
    life.rewrite();
    life.restart();
    assert_eq!(life.device.ledger().enrolled(), None);
    let job = life.org.job();
    life.bring(&job);
    assert_eq!(life.ran, [], "and signs no receipt either: it is nobody's");
}

#[test]
fn a_step_that_started_is_not_forgotten_before_its_end_is_told() {
    let mut life = Life::new();
    life.run(|_| ());
    life.now.boot_ms += 3 * 86_400_000;
    life.now.wall_ms += 3 * 86_400_000;
    life.org.time = life.org.time.plus(3 * 86_400);
    life.hear(Input::Tick);
    let clears = life.clears();
    life.hear(Input::Clears(clears));
    life.rewrite();
    life.restart();
    assert_eq!(life.last().0, countersign_trust::receipt::Verdict::Interrupted);
}

#[test]
fn what_is_known_already_is_written_down_once() {
    let mut life = Life::new();
    let halt = life.org.halt(everything(), "cia");
    life.tell(halt.clone());
    let length = life.disk.len();
    life.hear(Input::News(vec![halt.clone(), halt]));
    assert_eq!(life.disk.len(), length);
}

#[test]
fn records_before_the_beginning_are_refused() {
    let life = Life::new();
    let mut ledger = countersign_trust::ledger::Ledger::default();
    let enrolled = Record::decode(life.disk.last().unwrap()).unwrap();
    assert!(matches!(ledger.apply(&enrolled), Err(LedgerError::NoBeginning)));
}

#[test]
fn a_record_cut_off_or_with_a_byte_more_is_refused() {
    let mut life = Life::new();
    let key = life.run(|_| ());
    life.end(key, true);
    life.acknowledge_all();
    life.rewrite();
    for bytes in &life.disk {
        assert!(Record::decode(bytes).is_ok());
        assert!(Record::decode(&bytes[..bytes.len() - 1]).is_err());
        assert!(Record::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }
    assert!(matches!(Record::decode(&[200]), Err(LedgerError::Form(200))));
}

#[test]
fn a_chain_shown_to_others_in_order_gives_them_the_same() {
    let mut org = Organization::found();
    let halt = org.halt(everything(), "cia");
    org.resume(Lifts::Halts([halt.hash()].into()), Cuts::None(Nothing), |_| ());
    org.decide(drop_cia);
    org.halt(everything(), "server");
    let mut other = countersign_trust::chain::Chain::begin(
        org.org,
        &org.genesis.signed,
        countersign_trust::chain::Inclusion::Proved(&org.genesis.proof),
    )
    .unwrap();
    for news in News::since(&org.chain, 1) {
        let text = news.to_string();
        // What is lifted already is of no use to somebody new.
        let expected = if news.hash() == halt.hash() { Taken::Lifted } else { Taken::New };
        assert_eq!(News::from_text(&text).unwrap().offer(&mut other), Ok(expected));
    }
    let active = |chain: &countersign_trust::chain::Chain| -> Vec<Sha256> {
        chain.active_halts().map(|halt| halt.hash).collect()
    };
    assert_eq!(active(&other), active(&org.chain));
    assert_eq!((other.policy().hash, other.resume()), (org.chain.policy().hash, org.chain.resume()));
}

#[test]
fn a_stolen_halt_key_fills_no_disk() {
    use countersign_trust::chain::{ChainError, MAX_KNOWN_HALTS_OF_A_KEY};
    use countersign_trust::statement::halt::Scope;
    let mut life = Life::new();
    let call = |life: &mut Life, scope| {
        let halt = life.org.halt_of(scope);
        let id = Sha256::of(&life.now.boot_ms.to_be_bytes()).0;
        let mut halt = halt;
        halt.id = countersign_trust::ids::StatementId(id[..16].try_into().unwrap());
        life.now.boot_ms += 1;
        life.tell(News::Halt(sign(&halt, &["server"])));
    };
    for _ in 0..200 {
        call(&mut life, Scope::Job(Sha256([1; 32])));
    }
    let kept = |life: &Life| life.device.ledger().chain().unwrap().halts().count();
    assert_eq!(kept(&life), MAX_KNOWN_HALTS_OF_A_KEY);
    let other = life.org.halt_of(Scope::Job(Sha256([2; 32])));
    let refused = life.device.ledger().chain().unwrap().clone().take_halt(&sign(&other, &["server"]));
    let (kept_then, most) = (MAX_KNOWN_HALTS_OF_A_KEY, MAX_KNOWN_HALTS_OF_A_KEY);
    assert_eq!(refused, Err(ChainError::TooManyHalts { kept: kept_then, most }));
    call(&mut life, everything());
    assert_eq!(kept(&life), MAX_KNOWN_HALTS_OF_A_KEY + 1, "one of the whole organization is still taken");
    let active = life
        .device
        .ledger()
        .chain()
        .unwrap()
        .active_halts()
        .filter(|halt| matches!(halt.body.scope, Scope::Organization(_)));
    assert_eq!(active.count(), 1);
    // A quorum lifts all of that key's, seen or not; what it called and sends again is not kept.
    let keys = Lifts::Keys([ssh_key("server").public_key().clone()].into());
    let resume = life.org.resume(keys, Cuts::All(Nothing), |_| ());
    life.tell(resume);
    let disk = life.disk.len();
    for _ in 0..50 {
        call(&mut life, everything());
    }
    assert_eq!(life.disk.len(), disk);
    life.run(|_| ());
    replays(&life);
}

#[test]
fn a_halt_that_is_lifted_need_not_be_told() {
    let mut org = Organization::found();
    let [first, second] = ["cia", "server"].map(|key| org.halt(everything(), key).hash());
    assert!(!org.chain.has_lifted(&first));
    org.resume(Lifts::Halts([first].into()), Cuts::None(Nothing), |_| ());
    assert!(org.chain.has_lifted(&first) && !org.chain.has_lifted(&second));
    assert!(!org.chain.has_lifted(&Sha256([9; 32])), "nobody knows of it");
}
