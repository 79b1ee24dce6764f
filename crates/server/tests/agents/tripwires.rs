//! What the server watches for: failing jobs, refusals, canaries, sites that fall silent. Each says what was seen and by which
//! evidence, halts once by the server's own key where it is to, and is not touched by what a halt or the server's own troubles make.

mod canaries;
mod failing;
mod refusals;
mod silence;

use countersign_trust::chain::Halter;
use countersign_trust::delivery::News;
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::Sha256;
use countersign_trust::statement::halt::{Halt, Scope};
use countersign_trust::statement::policy::{Then, Tripwire, Watched};
use countersign_trust::statement::read;
use countersign_trust::statement::resume::{Cuts, Lifts, Resume};
use countersign_trust::text::Nothing;
use countersign_wire::http::{Page, StatementView, TouchView};

use crate::agent::Agent;
use crate::organization::{sign, word};
use crate::world::{World, until};

fn tripwire(what: Watched, count: u64, within: u64, then: Then) -> Tripwire {
    Tripwire { what, count, within, then }
}

/// What is and was touched, newest first.
async fn touches(world: &World) -> Vec<TouchView> {
    world.get::<Page<TouchView>>("tripwires").await.items
}

/// Waits until so many touches are known that are not over, and returns the newest.
async fn touched(world: &World, open: usize) -> TouchView {
    until("a tripwire is touched", async || {
        touches(world).await.iter().filter(|touch| touch.over.is_none()).count() == open
    })
    .await;
    touches(world).await.remove(0)
}

/// The halt that came of a touch, as the server shows it; it must be in force.
async fn halt_of(world: &World, touch: &TouchView) -> Halt {
    let hash = touch.halt.as_ref().unwrap_or_else(|| panic!("not halted: {touch:?}"));
    assert!(world.view().await.halts.contains(hash), "{hash} is not active");
    let view: StatementView = world.get(&format!("statements/{hash}")).await;
    // It is in force before it is logged.
    let logged = Logged::from_text(&view.envelope).map(|logged| logged.signed);
    let signed = logged.or_else(|_| Signed::from_text(&view.envelope)).unwrap();
    read(signed.statement()).unwrap()
}

/// Whether a device holds a halt of the server's own of this scope, active.
fn obeys(agent: &Agent, scope: &Scope) -> bool {
    let mind = agent.mind();
    let chain = mind.device.ledger().chain().unwrap();
    let by_server = Halter::Machine(word("server"));
    chain.active_halts().any(|halt| halt.body.scope == *scope && halt.by.iter().any(|by| *by == by_server))
}

/// Anna and Bo lift these halts, and it is logged.
async fn resume(world: &World, halts: &[Sha256]) {
    let resume = Resume {
        org: world.org,
        policy: Sha256(world.org.0),
        previous: [].into(),
        lifts: Lifts::Halts(halts.iter().copied().collect()),
        cuts: Cuts::None(Nothing),
        keeps: [].into(),
        why: word("It was a false alarm."),
    };
    world.log(&sign(&resume, &["anna", "bo"]), &[]).await;
}

/// Whether any halt reached a device.
fn knows_a_halt(agent: &Agent) -> bool {
    agent.mind().news.iter().any(|news| matches!(news, News::Halt(_)))
}
