//! How much memory a server in the wrong hands can make an agent take.

use countersign_trust::delivery::{Delivery, News};
use countersign_trust::envelope::Logged;
use countersign_wire::frame::{MOST_FROM_SERVER, encode};
use countersign_wire::message::{FromServer, from_server};

use crate::organization::{TILLS, word};
use crate::server::Connection;
use crate::world::{Program, World};

/// The most memory that the agent may ever have had, in MiB: a frame, what waits for the loop, what waits for Clears, and itself.
const MOST_MIB: u64 = 48;
/// Sixteen, and some of them again. Beyond 30 refusals a minute no receipt would tell that all were heard.
const DELIVERIES: u64 = 28;

#[tokio::test]
async fn the_largest_deliveries_that_wait_for_clears_take_little_memory() {
    let world = World::with(|policy| {
        policy.addresses.beacons.values_mut().for_each(|address| *address = word("https://127.0.0.1:1"));
    })
    .await;
    let agent = world.start_program();
    let mut server = world.server.accept().await;
    for number in 0..DELIVERIES {
        let (delivery, policy) = world.organization(|org| {
            let mut job = org.job();
            job.not_after = job.not_after.plus(number % 16);
            let mut delivery = org.deliver(&job, &["anna", "bo"], TILLS[0]);
            delivery.news.clear();
            (delivery, org.genesis.clone())
        });
        server.send(largest(delivery, &policy)).await;
    }
    until_all_is_heard(&world, &mut server).await;
    let most = most_mib(&agent);
    assert!(most <= MOST_MIB, "{most} MiB");
    println!("{DELIVERIES} deliveries of {} MiB: the agent had {most} MiB at most", MOST_FROM_SERVER >> 20);
}

/// As long as a frame may be: half of it advances that are none, half of it news that are known.
fn largest(mut delivery: Delivery, filling: &Logged) -> from_server::What {
    let message = |delivery: &Delivery| from_server::What::Delivery(delivery.into());
    let bytes = |delivery: &Delivery| encode(&FromServer { what: Some(message(delivery)) }).len();
    let each = filling.to_string().len() + 8;
    let count = (MOST_FROM_SERVER - bytes(&delivery)) / each;
    for number in 0..count {
        match number % 2 {
            0 => delivery.advances.push(filling.clone()),
            _ => delivery.news.push(News::Policy(filling.clone())),
        }
    }
    let bytes = bytes(&delivery);
    assert!((MOST_FROM_SERVER - 2 * each..=MOST_FROM_SERVER).contains(&bytes), "{bytes}");
    message(&delivery)
}

/// What nobody known has signed is refused at once, and so behind all that came before it.
async fn until_all_is_heard(world: &World, server: &mut Connection) {
    let job = world.job(&["true"]);
    let last = world.organization(|org| org.deliver(&job, &["mallory"], TILLS[0]));
    server.deliver(&last).await;
    while server.receipt().await.job != Some(last.job.signed.hash()) {}
}

/// `VmHWM`, see proc(5).
fn most_mib(agent: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}
