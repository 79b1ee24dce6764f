//! What lies on the server on that Friday, signed and unsigned, when the thief comes.

use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::statement::job::{ALL, Job, Wave, Who};

use super::stores::{Field, first_county};
use super::story::Story;
use crate::organization::sign;
use crate::world::Nonce;

/// Half past four in the afternoon, UTC, of the second of July 2021.
pub const HALF_PAST_FOUR: u64 = 1_625_243_400;
/// Minutes after that.
pub const fn after(minutes: u64) -> u64 {
    HALF_PAST_FOUR + minutes * 60
}

/// A job that two people signed and that waits for its time.
pub struct Order {
    /// With both signatures.
    pub signed: Signed,
    /// For whom.
    pub devices: Vec<DeviceId>,
    /// What it writes on registers with a whole agent.
    pub mark: Nonce,
}

/// What the thief finds.
pub struct Lying {
    /// Tuesday's job.
    pub done: Sha256,
    /// Anna asked for it, and Bo has not approved it.
    pub waits: Signed,
    /// What it would write.
    pub waits_mark: Nonce,
    /// What the thief's own would write.
    pub evil: Nonce,
    /// For all registers, in waves: one county, and two days later the others.
    pub waves: Order,
    /// For half of those outside markets, in two steps: a wait, and then the work.
    pub delay: Order,
    /// For all outside markets, good at once.
    pub good: Order,
}

/// Registers on which `delay` goes: about half, and all whole agents outside markets.
fn half(field: &Field) -> Vec<DeviceId> {
    field.those(|register| !register.store.is_market() && (register.real || register.id.0[0] % 2 == 0))
}

/// People write and sign them on Friday afternoon.
pub fn prepare(field: &Field, done: Sha256, story: &mut Story) -> Lying {
    let all = field.those(|_| true);
    let [waits_mark, evil, wave_mark, delay_mark, good_mark] = std::array::from_fn(|_| field.world.nonce());
    let asked = field.job(&all, after(0), &[&[&waits_mark.line()]]);
    field.world.post(&sign(&asked, &["anna"]), &all).unwrap();

    let mut waves = field.job(&all, after(10), &[&[&wave_mark.line()]]);
    waves.not_after = countersign_trust::time::Time(after(5 * 24 * 60));
    waves.waves = vec![
        Wave { who: Who::Labels(first_county()), soak: 0 },
        Wave { who: Who::Share(ALL), soak: 2 * 86_400 },
    ];
    let delayed = half(field);
    let delay = field.job(&delayed, after(20), &[&["sleep 600"], &[&delay_mark.line()]]);
    let open = field.those(|register| !register.store.is_market());
    let good = field.job(&open, after(20), &[&[&good_mark.line()]]);
    let order = |job: Job, devices: Vec<DeviceId>, mark| {
        let signed = sign(&job, &["anna", "bo"]);
        field.order(&signed, &devices);
        Order { signed, devices, mark }
    };
    let lying = Lying {
        done,
        waits: sign(&asked, &["anna"]),
        waits_mark,
        evil,
        waves: order(waves, all, wave_mark),
        delay: order(delay, delayed, delay_mark),
        good: order(good, open, good_mark),
    };
    story.here("On the server lie: a job of Anna's that Bo has not approved; and three that two people signed, logged, whose time has not come: one in waves, one in two steps, one plain.");
    lying
}
