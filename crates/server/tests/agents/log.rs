//! The log: what is shown of it, what waits for its witnesses, and what is left after a start.

use countersign_server::log;
use countersign_trust::chain::log_keys;
use countersign_trust::checkpoint::{Checkpoint, verify_checkpoint, verify_logged};
use countersign_trust::ids::Sha256;
use countersign_trust::merkle::{Tree, entries_path, leaf_hash, tile_path};
use countersign_trust::note::Note;
use countersign_trust::statement::enroll::{Enroll, Retire, What};
use countersign_wire::http::StatementView;

use crate::organization::{device_id, sign};
use crate::world::{World, now, until};

/// Entries like no other.
fn entries(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{name} {number}\n")).collect()
}

async fn append(world: &World, entries: Vec<String>) -> Vec<countersign_trust::checkpoint::Proof> {
    let org = world.server.app.orgs.get(&world.org).unwrap();
    log::append(&world.server.app, &org, entries).await.unwrap()
}

async fn part(world: &World, path: &str) -> Option<Vec<u8>> {
    let (status, _, body) = world.http.raw("GET", &format!("/v1/orgs/{}/log/{path}", world.org), "").await;
    assert!(status == 200 || status == 404, "{path}: {status}");
    (status == 200).then_some(body)
}

async fn checkpoint(world: &World) -> Checkpoint {
    let note = String::from_utf8(part(world, "checkpoint").await.unwrap()).unwrap();
    let note: Note = note.parse().unwrap();
    verify_checkpoint(&note, log_keys(&world.policy, &world.policy.witnesses)).unwrap().0
}

fn hashes(tile: &[u8]) -> Vec<Sha256> {
    let (hashes, []) = tile.as_chunks::<32>() else { panic!("{} bytes", tile.len()) };
    hashes.iter().map(|hash| Sha256(*hash)).collect()
}

/// Entries as a bundle holds them: each after its length in two bytes.
fn bundled(mut bundle: &[u8]) -> Vec<Sha256> {
    let mut leaves = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(u16::from_be_bytes(*length).into());
        leaves.push(leaf_hash(entry));
        bundle = rest;
    }
    leaves
}

#[tokio::test(flavor = "multi_thread")]
async fn tiles_and_entries_make_the_root_that_witnesses_cosigned() {
    let world = World::new().await;
    append(&world, entries("first", 300)).await;
    append(&world, entries("second", 300)).await;
    let Checkpoint { size, root, .. } = checkpoint(&world).await;
    assert_eq!(size, 601, "the genesis policy and 600 entries");

    let (mut leaves, mut read) = (Vec::new(), Vec::new());
    for (index, width) in [(0, 256), (1, 256), (2, 89)] {
        leaves.extend(hashes(&part(&world, &tile_path(0, index, width)).await.unwrap()));
        read.extend(bundled(&part(&world, &entries_path(index, width)).await.unwrap()));
    }
    assert_eq!(read, leaves);
    assert_eq!(leaves.iter().copied().collect::<Tree>().root(), root);

    let above = hashes(&part(&world, &tile_path(1, 0, 2)).await.unwrap());
    let roots: Vec<_> =
        leaves.chunks_exact(256).map(|tile| tile.iter().copied().collect::<Tree>().root()).collect();
    assert_eq!(above, roots);

    let earlier = part(&world, &tile_path(0, 2, 7)).await.unwrap();
    assert_eq!(hashes(&earlier), leaves[512..519], "a tile as it was when the log was smaller");
    for (path, why) in [
        (tile_path(0, 2, 256), "not full"),
        (tile_path(0, 3, 1), "not begun"),
        (entries_path(2, 90), "one more"),
        ("tile/0/2".to_owned(), "no path of a log"),
    ] {
        assert_eq!(part(&world, &path).await, None, "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_come_together_share_checkpoints_and_each_is_proved() {
    let world = World::new().await;
    let tasks: Vec<_> = entries("entry", 100)
        .into_iter()
        .map(|entry| {
            let (app, org) = (world.server.app.clone(), world.server.app.orgs.get(&world.org).unwrap());
            tokio::spawn(async move {
                (log::append(&app, &org, vec![entry.clone()]).await.unwrap().remove(0), entry)
            })
        })
        .collect();
    let (mut places, mut sizes) = (Vec::new(), Vec::new());
    for task in tasks {
        let (proof, entry) = task.await.unwrap();
        let keys = log_keys(&world.policy, &world.policy.witnesses);
        let witnessed = verify_logged(&proof, entry.as_bytes(), keys).unwrap();
        places.push(witnessed.index());
        sizes.push(witnessed.size());
    }
    places.sort_unstable();
    assert_eq!(places, (1..=100).collect::<Vec<u64>>());
    sizes.sort_unstable();
    sizes.dedup();
    assert!(sizes.len() < 50, "{} checkpoints for 100 entries", sizes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_stands_in_the_log_once() {
    let world = World::new().await;
    let first = append(&world, entries("entry", 3)).await;
    let both = [entries("entry", 3), entries("other", 1), entries("other", 1)].concat();
    let again = append(&world, both).await;
    let places = |proofs: &[countersign_trust::checkpoint::Proof]| {
        proofs.iter().map(|proof| proof.index).collect::<Vec<_>>()
    };
    assert_eq!(places(&first), [1, 2, 3]);
    assert_eq!(places(&again), [1, 2, 3, 4, 4]);
    assert_eq!(checkpoint(&world).await.size, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_witness_that_is_gone_delays_nothing_and_is_caught_up_when_it_is_back() {
    let mut world = World::new().await;
    world.stop_witnesses(1).await;
    append(&world, entries("while one is gone", 3)).await;
    world.revive_witness(1).await;
    append(&world, entries("when it is back", 3)).await;
    let name = "witness-1.example";
    let url =
        world.policy.addresses.witnesses.iter().find(|(key, _)| key.as_str() == name).unwrap().1.clone();
    let origin = Sha256::of(world.policy.log.key.name().as_bytes());
    let seen = format!("{url}/{origin}/checkpoint");
    until("it has seen the newest", async || {
        let answer = world.server.app.peers.get(&seen).await;
        answer.is_ok_and(|answer| answer.text.lines().nth(1) == Some("7"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_too_few_witnesses_see_waits_for_them_even_through_a_start() {
    let mut world = World::new().await;
    world.stop_witnesses(2).await;
    let wish = Enroll {
        org: world.org,
        id: countersign_trust::ids::StatementId([200; 16]),
        what: What::Batch(countersign_trust::statement::enroll::Batch {
            token: crate::organization::note_key("token").verifier().clone(),
            site: crate::organization::word("Smygehamn 12"),
            labels: crate::organization::labels(&[]),
            count: 1,
            until: now().plus(60),
        }),
    };
    let signed = sign(&wish, &["anna", "bo"]);
    let view = world.post(&signed, &[]).await;
    assert_eq!(
        (view.state.as_str(), view.missing.contains("witnesses")),
        ("waiting", true),
        "{}",
        view.missing
    );

    let mut world = world.restart().await;
    let path = format!("statements/{}", signed.hash());
    assert_eq!(world.get::<StatementView>(&path).await.state, "waiting");
    world.revive_witness(1).await;
    until("it is logged", async || world.get::<StatementView>(&path).await.state == "logged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_again_goes_on_with_its_log() {
    let world = World::new().await;
    append(&world, entries("before", 300)).await;
    let before = checkpoint(&world).await;
    let world = world.restart().await;
    assert_eq!(checkpoint(&world).await, before);
    let after = append(&world, entries("after", 1)).await;
    let keys = log_keys(&world.policy, &world.policy.witnesses);
    let witnessed = verify_logged(&after[0], entries("after", 1)[0].as_bytes(), keys).unwrap();
    assert_eq!((witnessed.index(), witnessed.size()), (301, 302));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_enrolled_cannot_be_retired() {
    let world = World::new().await;
    let what = What::Retire(Retire { device: device_id("nobody") });
    let wish = Enroll { org: world.org, id: countersign_trust::ids::StatementId([201; 16]), what };
    let body = countersign_wire::http::PostStatement {
        signed: sign(&wish, &["anna", "bo"]).to_string(),
        targets: Vec::new(),
    };
    let path = format!("/v1/orgs/{}/statements", world.org);
    let problem = world.http.refused("POST", &path, &serde_json::to_string(&body).unwrap()).await;
    assert_eq!((problem.status, problem.code.as_str()), (422, "unfit"));
    assert!(problem.detail.contains("is not enrolled"), "{}", problem.detail);
}
