//! A token in the wrong hands.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::served;
use crate::agent::{Agent, ask_to_join, wish};
use crate::world::{World, now};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_enrollments_with_one_token_are_as_many_as_it_says_and_no_more_leaves() {
    let world = World::new().await;
    let [honest] = world.tills(["honest"]).await;
    let batch = world.batch(3, now().plus(3_600)).await;
    let (server, org, size) = (world.server.address, world.org, world.view().await.log_size);
    let next = std::sync::Arc::new(AtomicUsize::new(0));
    let crowd = (0..16).map(|_| {
        let next = next.clone();
        tokio::spawn(async move {
            let (mut joined, mut refused) = (0, 0);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= 1_000 {
                    return (joined, refused);
                }
                let name = format!("crowd-{number}");
                match ask_to_join(server, &name, &wish(org, batch, &name)).await {
                    Ok(_) => joined += 1,
                    Err(why) => {
                        assert!(why.starts_with("3 devices have joined with this token"), "{why}");
                        refused += 1;
                    }
                }
            }
        })
    });
    let crowd: Vec<_> = crowd.collect();
    served(&world, &honest).await;
    let (mut joined, mut refused) = (0, 0);
    for one in crowd {
        let (one_joined, one_refused) = one.await.unwrap();
        (joined, refused) = (joined + one_joined, refused + one_refused);
    }
    assert_eq!((joined, refused), (3, 997));
    let view = world.view().await;
    assert_eq!(view.devices, 4);
    // The three, and the job with its receipts: what was refused left no leaf.
    assert!(view.log_size <= size + 3 + 3, "{} leaves became {}", size, view.log_size);
    drop(Agent::join(server, org, world.batch(1, now().plus(60)).await, "late").await);
}
