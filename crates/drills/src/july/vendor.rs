//! The vendor says stop: one signed halt, for every organization whose policy lets the vendor halt.

use countersign_trust::envelope::Signed;
use countersign_trust::statement::halt::{Component, Halt, Scope};
use countersign_trust::time::Time;

use super::facts;
use super::halt::{Handed, hand_over};
use super::hostile::Hostile;
use super::lying::after;
use super::stores::Field;
use super::story::Story;
use crate::organization::{sign, word};
use crate::part::now;

/// The vendor's halt of every agent below a version that does not exist yet.
fn of_the_agent(field: &Field) -> Signed {
    let component = Component { name: word("countersign-agent"), below: word("99.0.0") };
    let halt = Halt {
        org: None,
        id: field.world.id(),
        policy: None,
        scope: Scope::Component(component),
        made: Time(now().0),
        reason: word("Servers are being taken over: stop until you know that yours is not among them."),
        advisory: word("EXAMPLE-2021-0001"),
    };
    sign(&halt, &["vendor"])
}

/// The vendor's halt reaches the co-operative's beacons; returns it.
pub fn halt(field: &mut Field, thief: &Hostile<'_>, story: &mut Story) -> (Signed, Handed) {
    story.begin("The vendor says stop");
    story.in_2021(facts::VENDOR);
    thief.pass_to(field, after(90));
    let signed = of_the_agent(field);
    let handed =
        hand_over(field, &signed, "The vendor's one signed halt, brought to the beacons by hand", story);
    story.here("The co-operative's policy says `vendor.halts: auto`, so the beacons take it by the vendor's signature alone. It is the second halt in force; what it stops is seen at the restart.");
    by_feed(story);
    story.in_2021(facts::PHONED);
    (signed, handed)
}

/// The vendor's own road: the halt is published once, and the servers of others follow.
///
/// SEAM: to be filled in with what follows a feed: publish `of_the_agent`, forty followers, how long until the last of them has
/// stopped by a held connection, and by polling. Until then the story says that it was not played.
fn by_feed(story: &mut Story) {
    story.not_played("the vendor's feed, by which forty servers of others would stop by themselves. Here somebody carries the halt to each beacon.");
}
