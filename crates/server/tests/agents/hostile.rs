//! Devices and clients that mean harm: each is refused, cut off or slowed, which is noted against it, and an honest neighbour
//! is served all the while.

mod clones;
mod doors;
mod enrollments;
mod floods;
mod frames;
mod memory;
mod requests;

use countersign_trust::ids::DeviceId;
use countersign_wire::http::{DeviceFact, DeviceView, Page};

use crate::agent::Agent;
use crate::world::{World, until};

/// What the server says of a device.
async fn view(world: &World, device: &DeviceId) -> DeviceView {
    let page: Page<DeviceView> = world.get("devices").await;
    page.items.into_iter().find(|view| view.device == device.to_string()).unwrap()
}

/// What is noted against a device of one kind.
async fn fact(world: &World, device: &DeviceId, kind: &str) -> Option<DeviceFact> {
    view(world, device).await.facts.into_iter().find(|fact| fact.kind == kind)
}

/// An honest device gets a job, and its receipts are acknowledged.
async fn served(world: &World, till: &Agent) {
    let ids = [till.id()];
    let job = world.order(&world.job(&ids), &ids).await;
    until("the honest device ended its job", async || world.on(&job, &till.id()).await.verdict == "ended")
        .await;
    until("its receipts are acknowledged", async || till.mind().spooled() == 0).await;
}
