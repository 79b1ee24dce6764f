//! Signatures that count for nothing, put under what waits by somebody without a key: they keep nobody else's from counting.

use countersign_trust::envelope::Signed;
use countersign_trust::ids::Sha256;
use countersign_trust::statement::policy::Policy;
use countersign_wire::http::PostStatement;

use crate::organization::sign;
use crate::world::World;

/// Mallory has a token and no key that counts: a signature that Bo once put under something else is put under what Anna proposes.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_bos_key_keeps_bos_approval_from_counting() {
    let world = World::new().await;
    let (older, job) = (world.job(&[]), world.job(&[]));
    let bos_older = sign(&older, &["bo"]).signatures().first().unwrap().clone();
    let annas = sign(&job, &["anna"]);
    assert_ne!(world.post(&annas, &[]).await.missing, "", "it waits for Bo");
    let false_one = Signed::new(annas.statement().to_owned(), [bos_older]).unwrap();
    let _ = post_raw(&world, &annas.join(&false_one).unwrap()).await;
    let bos = sign(&job, &["bo"]);
    assert_eq!(post_raw(&world, &bos).await.1, "", "Anna and Bo have signed");
}

/// The same with a policy, which may be the one that removes Mallory.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_bos_key_keeps_bo_from_signing_a_policy() {
    let world = World::new().await;
    let bos_older = sign(&policy(&world, 170), &["bo"]).signatures().first().unwrap().clone();
    let next = policy(&world, 240);
    let annas = sign(&next, &["anna"]);
    assert_ne!(world.post(&annas, &[]).await.missing, "", "it waits for Bo");
    let false_one = Signed::new(annas.statement().to_owned(), [bos_older]).unwrap();
    let _ = post_raw(&world, &annas.join(&false_one).unwrap()).await;
    assert_eq!(post_raw(&world, &sign(&next, &["bo"])).await.1, "", "Anna and Bo have signed");
}

/// Mallory draws thirty-one keys that nobody knows.
#[tokio::test(flavor = "multi_thread")]
async fn signatures_of_strangers_take_no_room_from_those_that_count() {
    let world = World::new().await;
    let job = world.job(&[]);
    let annas = sign(&job, &["anna"]);
    assert_ne!(world.post(&annas, &[]).await.missing, "", "it waits for Bo");
    let names: Vec<String> = (0..31).map(|number| format!("stranger {number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let _ = post_raw(&world, &annas.join(&sign(&job, &names)).unwrap()).await;
    let (status, missing) = post_raw(&world, &sign(&job, &["bo"])).await;
    assert_eq!((status, missing.as_str()), (200, ""), "Anna and Bo have signed");
}

fn policy(world: &World, lifetime: u64) -> Policy {
    let mut next = world.policy.clone();
    next.org = Some(world.org);
    next.number = 2;
    next.previous = [Sha256(world.org.0)].into();
    next.beacons.lifetime = lifetime;
    next
}

/// Posts it; the status, and what is missing or why it is refused.
async fn post_raw(world: &World, signed: &Signed) -> (u16, String) {
    let body = PostStatement { signed: signed.to_string(), targets: Vec::new() };
    let path = format!("/v1/orgs/{}/statements", world.org);
    let (status, _, body) = world.http.raw("POST", &path, &serde_json::to_string(&body).unwrap()).await;
    let said: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let word = said.get("missing").or(said.get("detail")).unwrap().as_str().unwrap().to_owned();
    println!("{status} {word}");
    (status, word)
}
