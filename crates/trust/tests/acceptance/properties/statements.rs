//! Every statement has one print, and no flip of a byte makes a job acceptable.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::num::NonZeroU8;
use std::str::FromStr;

use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, Name, OrgId, Sha256, StatementId};
use countersign_trust::key::PublicKey;
use countersign_trust::note::VerifierKey;
use countersign_trust::statement::enroll::{Batch, Device, Enroll, Retire, What};
use countersign_trust::statement::halt::{Component, Halt, Scope};
use countersign_trust::statement::job::{
    Job, Lines, OnHalt, Program, Run, Script, Step, TargetLabels, TargetList, Targets, Wave, Who,
};
use countersign_trust::statement::policy::{
    Addresses, Beacons, Canary, Halters, Hours, Limits, Log, Passkeys, Person, PersonKey, Policy, Property,
    Quorum, Quorums, Recovery, Rule, Then, Tripwire, Vendor, VendorHalts, Watched, Witnesses,
};
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::statement::service::Service;
use countersign_trust::statement::{Statement, read, write};
use countersign_trust::text::{MAX_INTEGER, Nothing};
use countersign_trust::time::Time;
use countersign_trust::words::{AbsolutePath, Address, Line, Prose, Variable};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use crate::bundle::{Bundle, Refused};
use crate::organization::{note_key, ssh_key, witness_key};
use crate::scene::Scene;

fn words<T: FromStr<Err: Display> + std::fmt::Debug + 'static>(
    pattern: &'static str,
) -> impl Strategy<Value = T> {
    pattern.prop_map(|text: String| text.parse().unwrap_or_else(|error| panic!("`{text}`: {error}")))
}

fn name() -> impl Strategy<Value = Name> {
    words("[!#-\\[\\]-~]([ !#-\\[\\]-~]{0,20}[!#-\\[\\]-~])?")
}

fn line() -> impl Strategy<Value = Line> {
    words("[ -~\t¡-¬Ā-ʁа-я“”€→一-龥]{0,30}")
}

fn prose() -> impl Strategy<Value = Prose> {
    words("[ -~\n¡-¬Ā-ʁа-я“”€→一-龥]{0,60}")
}

fn path() -> impl Strategy<Value = AbsolutePath> {
    words("(/[a-z\"\\\\ ]{1,9}){1,3}")
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(MAX_INTEGER), 0..=MAX_INTEGER]
}

fn time() -> impl Strategy<Value = Time> {
    number().prop_map(Time)
}

fn hash() -> impl Strategy<Value = Sha256> {
    any::<[u8; 32]>().prop_map(Sha256)
}

fn org() -> impl Strategy<Value = OrgId> {
    any::<[u8; 32]>().prop_map(OrgId)
}

fn id() -> impl Strategy<Value = StatementId> {
    any::<[u8; 16]>().prop_map(StatementId)
}

fn few<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    vec(of, 0..4)
}

fn set<T: Ord + std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = BTreeSet<T>> {
    btree_set(of, 0..4)
}

fn labels() -> impl Strategy<Value = BTreeMap<Name, Name>> {
    btree_map(name(), name(), 0..4)
}

fn key() -> impl Strategy<Value = PublicKey> {
    "[a-z]{1,4}".prop_map(|name| ssh_key(&name).public_key().clone())
}

fn note() -> impl Strategy<Value = VerifierKey> {
    ("[a-z]{1,4}", any::<bool>()).prop_map(|(name, witness)| {
        if witness { witness_key(&name).verifier().clone() } else { note_key(&name).verifier().clone() }
    })
}

fn need() -> impl Strategy<Value = NonZeroU8> {
    any::<NonZeroU8>()
}

fn script() -> impl Strategy<Value = Step> {
    let program =
        (path(), few(line())).prop_map(|(path, arguments)| Run::Program(Program { path, arguments }));
    let lines = (path(), few(line()), few(line()))
        .prop_map(|(interpreter, arguments, lines)| Run::Lines(Lines { interpreter, arguments, lines }));
    let environment = btree_map(words::<Variable>("[A-Z_][A-Z0-9_]{0,8}"), line(), 0..4);
    let numbers = (number(), number(), number(), number(), number());
    (prop_oneof![program, lines], name(), path(), environment, numbers).prop_map(
        |(run, user, folder, environment, (timeout, output, memory, processes, processor))| {
            Step::Script(Script {
                run,
                user,
                folder,
                environment,
                timeout,
                output,
                memory,
                processes,
                processor,
            })
        },
    )
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![number().prop_map(Who::Share), labels().prop_map(Who::Labels)]
}

fn service() -> impl Strategy<Value = Step> {
    const ACTIONS: &[&str] = &["status", "start", "stop", "restart", "reload", "enable", "disable"];
    let unit = words("[a-zA-Z0-9][a-zA-Z0-9:_.-]{0,20}(@[a-z0-9]{0,3})?[.](service|socket|timer)");
    (unit, prop::sample::select(ACTIONS), number()).prop_map(|(unit, action, timeout)| {
        Step::Service(Service { unit, action: action.parse().unwrap(), timeout })
    })
}

prop_compose! {
    fn job()(
        (org, id, requester, policy, resume) in (org(), id(), name(), hash(), prop::option::of(hash())),
        (not_before, not_after, why, steps) in (time(), time(), prose(), few(prop_oneof![script(), service()])),
        targets in prop_oneof![
            (number(), hash()).prop_map(|(count, root)| Targets::List(TargetList { count, root })),
            (labels(), number(), any::<bool>())
                .prop_map(|(labels, as_of, joins)| Targets::Labels(TargetLabels { labels, as_of, joins })),
        ],
        waves in few((who(), number()).prop_map(|(who, soak)| Wave { who, soak })),
        kill in any::<bool>(),
        (repeat, halt_above) in (number(), number()),
    ) -> Job {
        let on_halt = if kill { OnHalt::Kill } else { OnHalt::Finish };
        Job {
            org, id, requester, policy, resume, not_before, not_after, why, steps, targets, waves, on_halt, repeat,
            halt_above,
        }
    }
}

prop_compose! {
    fn halt()(
        (org, id, policy) in (prop::option::of(org()), id(), prop::option::of(hash())),
        scope in prop_oneof![
            Just(Scope::Organization(Nothing)),
            hash().prop_map(Scope::Job),
            hash().prop_map(Scope::Script),
            name().prop_map(Scope::Person),
            (name(), name()).prop_map(|(name, below)| Scope::Component(Component { name, below })),
        ],
        (made, reason, advisory) in (time(), prose(), line()),
    ) -> Halt {
        Halt { org, id, policy, scope, made, reason, advisory }
    }
}

prop_compose! {
    fn resume()(
        (org, policy, previous) in (org(), hash(), set(hash())),
        lifts in prop_oneof![set(hash()).prop_map(Lifts::Halts), set(key()).prop_map(Lifts::Keys)],
        cuts in prop_oneof![
            Just(Cuts::None(Nothing)),
            set(name()).prop_map(Cuts::People),
            Just(Cuts::All(Nothing)),
        ],
        (keeps, why) in (set(hash()), prose()),
    ) -> Resume {
        Resume { org, policy, previous, lifts, cuts, keeps, why }
    }
}

prop_compose! {
    fn enroll()(
        (org, id) in (org(), id()),
        what in prop_oneof![
            (note(), line(), name(), labels(), number(), prop::option::of(hash())).prop_map(
                |(key, host_key, site, labels, seq, previous)|
                    What::Device(Device { key, host_key, site, labels, seq, previous })),
            (note(), name(), labels(), number(), time()).prop_map(
                |(token, site, labels, count, until)| What::Batch(Batch { token, site, labels, count, until })),
            any::<[u8; 32]>().prop_map(|device| What::Retire(Retire { device: DeviceId(device) })),
        ],
    ) -> Enroll {
        Enroll { org, id, what }
    }
}

prop_compose! {
    fn rule()(
        (kinds, labels, requesters, approvers) in (set(name()), labels(), set(name()), set(name())),
        approvals in any::<u8>(),
        properties in set(prop_oneof![Just(Property::Presence), Just(Property::Verification)]),
        hours in few((number(), number()).prop_map(|(from, until)| Hours { from, until })),
        waves in number(),
    ) -> Rule {
        Rule { kinds, labels, requesters, approvers, approvals, properties, hours, waves }
    }
}

fn quorum() -> impl Strategy<Value = Quorum> {
    (name(), need()).prop_map(|(role, need)| Quorum { role, need })
}

fn addresses() -> impl Strategy<Value = Addresses> {
    let address = || words::<Address>("[!-~]{1,20}");
    let named = || btree_map(words::<Line>("[!-~]{1,9}"), address(), 0..3);
    let servers = btree_map(address(), prop::option::of(hash()), 0..3);
    (servers, named(), named()).prop_map(|(servers, beacons, witnesses)| Addresses {
        servers,
        beacons,
        witnesses,
    })
}

fn people() -> impl Strategy<Value = BTreeMap<Name, Person>> {
    let held = (key(), any::<bool>()).prop_map(|(key, same_origin)| PersonKey { key, same_origin });
    btree_map(name(), few(held).prop_map(|keys| Person { keys }), 0..4)
}

fn vendor_halts() -> impl Strategy<Value = VendorHalts> {
    prop_oneof![Just(VendorHalts::Auto), Just(VendorHalts::Ask), Just(VendorHalts::Off)]
}

fn tripwire() -> impl Strategy<Value = Tripwire> {
    let canary = set(path()).prop_map(|paths| Watched::Canary(Canary { paths }));
    let what = prop_oneof![canary, Just(Watched::Refusals(Nothing {})), Just(Watched::Silence(Nothing {}))];
    let then = prop_oneof![Just(Then::Tell), Just(Then::Halt)];
    (what, number(), number(), then).prop_map(|(what, count, within, then)| Tripwire {
        what,
        count,
        within,
        then,
    })
}

prop_compose! {
    fn policy()(
        (org, number, previous, resumes, name_of) in (prop::option::of(org()), number(), set(hash()), set(hash()), line()),
        (people, roles, rules) in (people(), btree_map(name(), set(name()), 0..3), few(rule())),
        (policy, enroll, resume, promote) in (quorum(), quorum(), quorum(), quorum()),
        halt in (set(name()), btree_map(name(), key(), 0..3))
            .prop_map(|(roles, machines)| Halters { roles, machines }),
        log in (note(), number(), prop::option::of(hash()))
            .prop_map(|(key, old_size, old_root)| Log { key, old_size, old_root }),
        witnesses in (need(), set(note())).prop_map(|(need, keys)| Witnesses { need, keys }),
        beacons in (need(), number(), set(note()))
            .prop_map(|(need, lifetime, keys)| Beacons { need, lifetime, keys }),
        vendor in (any::<u8>(), set(key()), vendor_halts()).prop_map(|(need, keys, halts)| Vendor { need, keys, halts }),
        passkeys in (prop::option::of(words::<Address>("[!-~]{1,9}")), set(words::<Address>("[!-~]{1,9}")))
            .prop_map(|(rp_id, origins)| Passkeys { rp_id, origins }),
        limits in (number(), need(), number(), number()).prop_map(
            |(life, concurrent, output, auto_waves_max)| Limits { life, concurrent, output, auto_waves_max }),
        (tripwires, guarded, addresses) in (few(tripwire()), set(name()), addresses()),
        recovery in (any::<u8>(), set(key())).prop_map(|(need, keys)| Recovery { need, keys }),
    ) -> Policy {
        let quorums = Quorums { policy, enroll, resume, promote };
        let name = name_of;
        Policy {
            org, number, previous, resumes, name, people, roles, rules, quorums, halt, log, witnesses, beacons, vendor,
            passkeys, limits, tripwires, guarded, addresses, recovery,
        }
    }
}

/// What is printed reads as what it was, and nothing near it reads at all unless it prints as itself.
fn one_print<S: Statement + PartialEq + std::fmt::Debug>(statement: &S, at: usize, by: u8) {
    let (text, _) = write(statement);
    if text.len() <= S::KIND.most_bytes() {
        assert_eq!(read::<S>(&text).as_ref(), Ok(statement), "{text}");
    }
    let mut bytes = text.into_bytes();
    let at = at % bytes.len();
    bytes[at] ^= by;
    let Ok(bent) = String::from_utf8(bytes) else { return };
    if let Ok(other) = read::<S>(&bent) {
        assert_eq!(write(&other).0, bent, "two texts for one value");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_job_has_one_print(statement in job(), at: usize, by: u8) {
        one_print(&statement, at, by);
    }

    #[test]
    fn a_halt_has_one_print(statement in halt(), at: usize, by: u8) {
        one_print(&statement, at, by);
    }

    #[test]
    fn a_resume_has_one_print(statement in resume(), at: usize, by: u8) {
        one_print(&statement, at, by);
    }

    #[test]
    fn an_enrollment_has_one_print(statement in enroll(), at: usize, by: u8) {
        one_print(&statement, at, by);
    }

    #[test]
    fn a_policy_has_one_print(statement in policy(), at: usize, by: u8) {
        one_print(&statement, at, by);
    }

    #[test]
    fn a_policy_that_can_be_read_can_be_checked(statement in policy()) {
        let _usable_or_not = statement.check();
    }

    #[test]
    fn no_flip_of_a_byte_of_an_envelope_is_accepted(at: usize, by in 1..=255_u8) {
        let good = Scene::good().bundle();
        let mut bytes = good.job.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= by;
        if let Ok(job) = String::from_utf8(bytes) {
            let outcome = Bundle { job, ..good }.judge();
            // The log has one more line than it needs: the fourth witness's.
            prop_assert!(outcome.job.is_err() || at > last_needed(&Scene::good().bundle().job), "byte {at} ^ {by}");
        }
    }

    #[test]
    fn no_flip_of_a_byte_of_a_signed_job_is_accepted_though_it_is_logged(at: usize, by in 1..=255_u8) {
        let mut scene = Scene::good();
        let good = scene.bundle();
        let signed = Logged::from_text(&good.job).unwrap().signed;
        let mut bytes = signed.statement().as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= by;
        let Ok(text) = String::from_utf8(bytes) else { return Ok(()) };
        let bent = Signed::new(text, signed.signatures().to_vec()).unwrap();
        let outcome = scene.with_job(good, bent).judge();
        // A flip may end the statement early, so that the envelope cannot be read at all.
        let refused = matches!(&outcome.job, Err(Refused::Because(refusal))
            if refusal.to_string() == "no signature by a key of a policy this device holds");
        prop_assert!(refused || matches!(outcome.job, Err(Refused::Unreadable(_))), "{:?}", outcome.job);
    }

    #[test]
    fn no_text_makes_the_envelope_panic(text in "\\PC{0,200}", tail in "[ -~\n]{0,200}") {
        let _refused = Logged::from_text(&format!("{{\n{text}\n}}\n{tail}"));
        let _refused = Logged::from_text(&text);
    }
}

/// Where the lines of the witnesses begin: of four, any one may be worthless.
fn last_needed(envelope: &str) -> usize {
    envelope.find("— witness-1").unwrap()
}
