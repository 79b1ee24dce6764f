//! Everything at once on the eve of a holiday, and a delay before the strike.

use std::time::Instant;

use countersign_trust::receipt::Verdict;

use super::facts;
use super::hostile::{Hostile, Ware};
use super::lying::{Lying, Order, after};
use super::stores::{FIRST_COUNTY, Field};
use super::story::{Story, thousands};

/// Something to bring to whoever it is for.
pub fn ware(order: &Order) -> Ware {
    Ware { signed: order.signed.clone(), listed: order.devices.clone() }
}

fn number(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

/// A job in waves, brought to everybody at once.
pub fn all_at_once(field: &mut Field, thief: &mut Hostile<'_>, lying: &Lying, story: &mut Story) {
    story.begin("All machines at once, on a Friday evening");
    story.in_2021(facts::EVE);
    thief.pass_to(field, after(11));
    let all = field.those(|_| true);
    let first = field.those(|one| one.store.county == FIRST_COUNTY && !one.store.is_market());
    let markets = field.those(|one| one.store.is_market());
    let others = all.len() - first.len() - markets.len();
    assert!(!first.is_empty() && !markets.is_empty() && others > 0);
    let real = field.those(|one| one.real && one.store.county == FIRST_COUNTY && !one.store.is_market());
    let (ran, hash) = (field.ran(), lying.waves.signed.hash());
    let ware = thief.log(field, ware(&lying.waves));
    let answers = thief.ask_beacons(field, &all);
    let began = Instant::now();
    thief.bring(&ware, &all, &answers);
    let took = thief.until_said(&[hash], all.len() + first.len(), began);
    let said = thief.said(field, &hash);
    let of =
        |verdict: &str, code: &str| said.get(&(verdict.to_owned(), code.to_owned())).copied().unwrap_or(0);
    assert_eq!(of("ended", ""), number(first.len()), "{said:?}");
    assert_eq!(of("accepted", ""), number(first.len()), "{said:?}");
    assert_eq!(of("refused", "outside_hours"), number(markets.len()), "{said:?}");
    assert_eq!(of("refused", "wave_not_yet"), number(others), "{said:?}");
    assert_eq!(said.values().sum::<u64>(), number(all.len() + first.len()));
    assert_eq!(field.ran() - ran, number(first.len() - real.len()));
    assert_eq!(lying.waves.mark.lines().len(), real.len());
    story.here(format!("A job that Anna and Bo signed for all registers, {FIRST_COUNTY} now and all others two days later, the thief brings to all {} at once.", thousands(number(all.len()))));
    story.holds(format!(
        "{} run it: those of {FIRST_COUNTY}, whose turn it is. {} refuse because their wave has not come (code wave_not_yet), by the clocks of witnesses and beacons, which the thief has not.",
        thousands(number(first.len())),
        thousands(number(others))
    ));
    story.holds(format!(
        "{} registers in markets, which the policy opens for work on Tuesdays from 00:00 to 05:00 only, refuse whatever their wave (code outside_hours).",
        thousands(number(markets.len()))
    ));
    story.measured("from the first delivery to the last receipt", took);
}

/// The first step of two runs: a delay, so that all strike together.
pub fn delay(field: &mut Field, thief: &mut Hostile<'_>, lying: &Lying, story: &mut Story) {
    story.begin("A delay, and then all strike together");
    story.in_2021(facts::DELAY);
    thief.pass_to(field, after(25));
    let devices = &lying.delay.devices;
    let (ran, hash) = (field.ran(), lying.delay.signed.hash());
    let ware = thief.log(field, ware(&lying.delay));
    let answers = thief.ask_beacons(field, devices);
    thief.bring(&ware, devices, &answers);
    thief.until_said(&[hash], devices.len(), Instant::now());
    let said = thief.said(field, &hash);
    assert_eq!(said, [((Verdict::Accepted.to_string(), String::new()), number(devices.len()))].into());
    let simulated = devices.iter().filter(|id| !field.registers[id].real).count();
    assert_eq!(field.ran() - ran, number(simulated));
    story.here(format!(
        "A job of two steps that two people were talked into: {} registers have accepted its first step, a wait of ten minutes. The second would strike on all of them at once.",
        thousands(number(devices.len()))
    ));
}
