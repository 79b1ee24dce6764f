//! Devices that are moved by people, or leave, while they run or while they are away.

use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::statement::enroll::{Device, Enroll, Retire, What};
use countersign_trust::statement::job::{Job, TargetLabels, Targets};
use countersign_wire::http::{DeviceView, EnrollmentEvidence, JobView, Page, PostStatement};

use crate::agent::{Agent, ask_to_join, wish};
use crate::organization::{device_signer, labels, names, sign, word};
use crate::world::{World, now, until};

/// The next enrollment of a till: a kiosk from here on.
fn kiosk(world: &World, till: &str, seq: u64, previous: Sha256) -> Enroll {
    let device = Device {
        key: device_signer(till).verifier().clone(),
        host_key: word(""),
        site: word("Smygehamn 12"),
        labels: labels(&[("class", "kiosk")]),
        seq,
        previous: Some(previous),
    };
    Enroll { org: world.org, id: world.id(), what: What::Device(device) }
}

/// What a device holds.
fn held(till: &Agent) -> (Sha256, String) {
    let mind = till.mind();
    let held = mind.device.ledger().enrolled().unwrap();
    (held.enroll, held.labels[&word("class")].to_string())
}

async fn until_it_holds(till: &Agent, enroll: Sha256) {
    until("the device holds its new enrollment", async || held(till).0 == enroll).await;
}

/// A job for whatever carries this class.
async fn job_for(world: &World, class: &str) -> Job {
    let as_of = world.view().await.log_size;
    let wanted = TargetLabels { labels: labels(&[("class", class)]), as_of, joins: false };
    Job { targets: Targets::Labels(wanted), ..world.job(&[]) }
}

async fn verdict(world: &World, job: &Sha256, device: &DeviceId) -> String {
    world.on(job, device).await.verdict
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_runs_takes_its_new_label_and_the_jobs_for_it() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    let before = job_for(&world, "till").await;
    let moved = world.log(&sign(&kiosk(&world, "till-1", 1, held(&till).0), &["anna", "bo"]), &[]).await;
    until_it_holds(&till, moved).await;
    assert_eq!(held(&till).1, "kiosk");
    let job = world.log(&sign(&job_for(&world, "kiosk").await, &["anna", "bo"]), &[]).await;
    until("the kiosk's job ended", async || verdict(&world, &job, &till.id()).await == "ended").await;
    let old = world.log(&sign(&before, &["anna", "bo"]), &[]).await;
    let view: JobView = world.get(&format!("jobs/{old}")).await;
    assert_eq!(view.devices, [], "it is no till any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_away_hears_of_its_moves_in_order_before_what_waited_for_it() {
    let world = World::new().await;
    let [mut till] = world.tills(["till-1"]).await;
    let batch = held(&till).0;
    till.disconnect().await;
    let waits = world.log(&sign(&job_for(&world, "till").await, &["anna", "bo"]), &[]).await;
    let first = world.log(&sign(&kiosk(&world, "till-1", 1, batch), &["anna", "bo"]), &[]).await;
    let second = world.log(&sign(&kiosk(&world, "till-1", 5, first), &["anna", "bo"]), &[]).await;
    till.connect().await;
    until_it_holds(&till, second).await;
    until("it refused the till's job", async || verdict(&world, &waits, &till.id()).await == "refused").await;
    assert!(world.on(&waits, &till.id()).await.because.contains("does not carry the label"));
    // Who holds the newest is told nothing when it comes again.
    till.disconnect().await;
    let told = till.mind().news.len();
    till.connect().await;
    world.until_connected(1).await;
    assert_eq!(till.mind().news.len(), told);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_join_of_a_device_that_moved_stays_in_the_evidence_and_its_place_stays_taken() {
    let world = World::new().await;
    let batch = world.batch(1, now().plus(3_600)).await;
    let till = Agent::join(world.server.address, world.org, batch, "till-1").await;
    let shown = async || -> Vec<EnrollmentEvidence> {
        let page: Page<EnrollmentEvidence> = world.get("enrollments?after=dev-").await;
        page.items
    };
    let before = shown().await;
    assert_eq!(before.len(), 1);
    let moved = world.log(&sign(&kiosk(&world, "till-1", 1, batch), &["anna", "bo"]), &[]).await;
    until_it_holds(&till, moved).await;
    assert_eq!(shown().await, before, "the batch and the join by which it came");
    let second = ask_to_join(world.server.address, "till-2", &wish(world.org, batch, "till-2")).await;
    assert!(second.unwrap_err().starts_with("1 devices have joined with this token"));
    let same = ask_to_join(world.server.address, "till-1", &wish(world.org, batch, "till-1")).await;
    assert!(same.is_ok(), "{same:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_a_rule_has_to_agree_to_waits_for_those_who_may_run_under_it() {
    // Anna and Bo may enroll; under the kiosks' rule only Cia may approve.
    let world = World::with(|policy| {
        policy.roles.insert(word("kiosks"), names(&["cia"]));
        let mut rule = policy.rules[0].clone();
        rule.labels = labels(&[("class", "kiosk")]);
        rule.approvers = names(&["kiosks"]);
        policy.rules.push(rule);
    })
    .await;
    let [till] = world.tills(["till-1"]).await;
    let batch = held(&till).0;
    let wish = kiosk(&world, "till-1", 1, batch);
    let view = world.post(&sign(&wish, &["anna", "bo"]), &[]).await;
    assert_eq!(view.state, "waiting");
    assert!(view.missing.contains("it changes the label class, which rule 2 of policy 1 reads"), "{view:?}");
    assert_eq!(held(&till), (batch, "till".to_owned()));
    let moved = world.log(&sign(&wish, &["cia"]), &[]).await;
    until_it_holds(&till, moved).await;
}

async fn refused(world: &World, signed: &Signed) -> String {
    let body = PostStatement { signed: signed.to_string(), targets: Vec::new() };
    let path = format!("/v1/orgs/{}/statements", world.org);
    world.http.refused("POST", &path, &serde_json::to_string(&body).unwrap()).await.detail
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrollment_that_follows_nothing_is_refused() {
    let world = World::new().await;
    let [till] = world.tills(["till-1"]).await;
    let batch = held(&till).0;
    let cases = [
        ("an equal number", kiosk(&world, "till-1", 0, batch), "enrollment 0 follows"),
        ("another before it", kiosk(&world, "till-1", 1, Sha256([7; 32])), "enrollment 1 follows 0707"),
        ("of a device nobody enrolled", kiosk(&world, "stranger", 1, batch), "it replaces the enrollment"),
    ];
    for (name, enroll, expected) in cases {
        let why = refused(&world, &sign(&enroll, &["anna", "bo"])).await;
        assert!(why.contains(expected), "{name}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_hears_of_its_end_at_once_or_when_it_comes_again_and_does_not_come_back() {
    let world = World::new().await;
    let [there, mut away] = world.tills(["there", "away"]).await;
    let batch = held(&there).0;
    away.disconnect().await;
    for till in [&there, &away] {
        let what = What::Retire(Retire { device: till.id() });
        world.log(&sign(&Enroll { org: world.org, id: world.id(), what }, &["anna", "bo"]), &[]).await;
    }
    away.connect().await;
    for till in [&there, &away] {
        until("it knows its end", async || till.mind().device.ledger().retired().is_some()).await;
        until("it is dismissed", async || {
            till.mind().sorry.as_ref().is_some_and(|why| why.contains("retired"))
        })
        .await;
    }
    let back = sign(&kiosk(&world, "there", 1, batch), &["anna", "bo"]);
    assert!(refused(&world, &back).await.contains("was retired, which is for ever"));
    let page: Page<DeviceView> = world.get("devices").await;
    assert_eq!(page.items.len(), 0);
}
