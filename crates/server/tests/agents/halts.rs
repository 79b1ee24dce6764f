//! What is stopped, and which devices say that they know: the server shows it as they said it, and forgets it with the connection.

use countersign_trust::ids::Sha256;
use countersign_trust::statement::halt::Scope;
use countersign_trust::text::Nothing;
use countersign_wire::http::{HaltDevice, HaltView, Page};
use countersign_wire::message::{Halted, from_agent};

use crate::agent::frame;
use crate::organization::sign;
use crate::world::{World, now, until};

async fn view(world: &World) -> HaltView {
    let page: Page<HaltView> = world.get("halts").await;
    assert_eq!((page.items.len(), page.next), (1, None));
    page.items.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_shows_who_called_a_halt_what_it_covers_and_which_devices_have_it() {
    let world = World::new().await;
    let [one, mut other] = world.tills(["till-1", "till-2"]).await;
    world.until_connected(2).await;
    let none: Page<HaltView> = world.get("halts").await;
    assert_eq!(none.items, []);
    let halt = world.halt(Scope::Organization(Nothing)).await;
    until("the halt is there", async || world.get::<Page<HaltView>>("halts").await.items.len() == 1).await;
    let shown = view(&world).await;
    assert_eq!(
        (&*shown.by, &*shown.covers, &*shown.reason),
        ("anna", "the whole organization", "Something is wrong.")
    );
    assert!(
        shown.key.starts_with("SHA256:")
            && shown.since.abs_diff(now().0) < 60
            && shown.received >= shown.since
    );
    assert_eq!((shown.devices, shown.have, shown.lack), (2, 0, 2));

    one.send(frame(from_agent::What::Halted(Halted::by([halt, Sha256([9; 32])]))));
    until("one has said so", async || view(&world).await.have == 1).await;
    assert_eq!(view(&world).await.lack, 1);
    other.disconnect().await;
    until("the other is away", async || view(&world).await.lack == 0).await;
    let devices: Page<HaltDevice> = world.get(&format!("halts/{halt}/devices")).await;
    let of = |id: &str| devices.items.iter().find(|device| device.device == id).unwrap().clone();
    let (one_has, other_has) = (of(&one.id().to_string()), of(&other.id().to_string()));
    assert_eq!((one_has.connected, one_has.has), (true, true));
    assert_eq!((other_has.connected, other_has.has), (false, false));
    assert!(other_has.last_seen.abs_diff(now().0) < 60);

    // Whoever says that nothing stops it any more has it no more; and a name that is no active halt is not found.
    one.send(frame(from_agent::What::Halted(Halted::default())));
    until("it says otherwise", async || view(&world).await.have == 0).await;
    let unknown = format!("/v1/orgs/{}/halts/{}/devices", world.org, Sha256([9; 32]));
    assert_eq!(world.http.refused("GET", &unknown, "").await.code, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_called_a_halt_is_known_after_a_start_too_whoever_came_last() {
    let world = World::new().await;
    let halt = world.halt_of(Scope::Organization(Nothing));
    for key in ["cia", "bo"] {
        world.log(&sign(&halt, &[key]), &[]).await;
    }
    let before = view(&world).await.by;
    assert!(before.contains("bo") && before.contains("cia"), "{before}");
    let world = world.restart().await;
    assert_eq!(view(&world).await.by, before);
}
