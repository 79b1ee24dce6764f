//! The real program, killed at any moment: nothing runs twice, and nothing runs without a receipt.

use std::time::Duration;

use countersign_trust::receipt::{Receipt, Verdict};
use tokio::time::sleep;

use crate::world::{World, until};

#[tokio::test]
async fn an_agent_killed_at_any_moment_after_a_delivery_never_runs_the_job_twice() {
    let world = World::new().await;
    for round in 0..12 {
        let program = world.start_program();
        let mut server = world.server.accept().await;
        let marker = world.path(&format!("ran-{round}"));
        let job = world.job(&[&format!("echo once >> {}", marker.display()), "sleep 600"]);
        let delivery = world.delivery(&job, server.challenge().await);
        server.deliver(&delivery).await;
        // Each round a moment later: before the acceptance is on disk, between that and the start, and after it.
        sleep(Duration::from_millis(round)).await;
        drop(program);

        let program = world.start_program();
        let mut server = world.server.accept().await;
        let was_accepted = world.ledger().step(&step(&delivery)).is_some();
        let challenge = server.challenge().await;
        server.deliver(&world.delivery(&job, challenge)).await;
        let last = loop {
            let receipt = server.receipt().await;
            if receipt.job == Some(delivery.job.signed.hash()) && receipt.verdict != Verdict::Interrupted {
                let repeated = was_accepted && receipt.verdict == Verdict::Accepted;
                // The one from before the kill is sent again; a second one would bear another number.
                if !repeated || Some(receipt.number) > accepted_number(&world, &delivery) {
                    break receipt;
                }
            }
        };
        match was_accepted {
            true => assert_eq!(last.verdict, Verdict::Refused, "round {round}: {}", last.because),
            false => {
                assert_eq!(last.verdict, Verdict::Accepted, "round {round}: {}", last.because);
                until("it runs", || marker.exists().then_some(())).await;
            }
        }
        let ran = std::fs::read_to_string(&marker).unwrap_or_default().lines().count();
        assert!(ran <= 1, "round {round}: ran {ran} times");
        drop(program);
    }
}

#[tokio::test]
async fn an_agent_told_to_stop_writes_down_how_everything_ended() {
    let world = World::new().await;
    let mut program = world.start_program();
    let mut server = world.server.accept().await;
    let marker = world.path("runs");
    let job = world.job(&[&format!("touch {}", marker.display()), "sleep 600"]);
    let challenge = server.challenge().await;
    server.deliver(&world.delivery(&job, challenge)).await;
    until("the script runs", || marker.exists().then_some(())).await;
    let id = program.0.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    let status = until("the program ends", || program.0.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
    let ledger = world.ledger();
    let last: Receipt = ledger.spool().last().unwrap().text().parse().unwrap();
    assert_eq!((last.verdict, last.because.as_str()), (Verdict::Ended, "the agent was stopped"));
}

fn step(delivery: &countersign_trust::delivery::Delivery) -> countersign_trust::ledger::StepKey {
    countersign_trust::ledger::StepKey { job: delivery.job.signed.hash(), occurrence: 0, step: 0 }
}

/// The number of the first receipt that says that the job was accepted.
fn accepted_number(world: &World, delivery: &countersign_trust::delivery::Delivery) -> Option<u64> {
    let receipts = world.ledger();
    let receipts = receipts.spool().map(|note| note.text().parse::<Receipt>().unwrap());
    let mut accepted = receipts.filter(|receipt| {
        receipt.verdict == Verdict::Accepted && receipt.job == Some(delivery.job.signed.hash())
    });
    accepted.next().map(|receipt| receipt.number)
}
