//! Sites that fall silent: the only thing that is counted without anybody's word, and so the easiest to be wrong about.
//!
//! A server sees its own troubles as everybody's silence. So a loss counts only if this program saw it, had been up for the whole
//! span before it, and has not been held up itself; if the devices have had time to come back; and if enough beacons, which stand
//! elsewhere, answer at that moment. Else all that was lost until then is forgotten.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use countersign_trust::ids::{DeviceId, Sha256};

use super::counting::{Counted, how_many, site_of, some};
use crate::app::{App, Org};
use crate::store::{StoreError, device, stored};

/// How long a site has time to come back before it counts as silent: longer than agents wait between two tries. Where a tripwire
/// looks at less than that, so long.
const COME_BACK_MS: u64 = 90_000;
/// Between two looks there is about a second. Whoever was held up for longer than this has not seen who left when.
const HELD_UP_MS: u64 = 30_000;

/// Which sites have somebody connected, and which have lost the last.
#[derive(Debug)]
pub struct Presence {
    up_since_ms: u64,
    looked_ms: u64,
    there: HashSet<DeviceId>,
    sites: HashMap<DeviceId, String>,
    lost: BTreeMap<String, Lost>,
}

/// A site without anybody connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lost {
    /// Since when.
    at_ms: u64,
    /// How many devices went with the last.
    devices: usize,
}

/// A device that came or went, and its site; none if it was retired.
type Moved = (DeviceId, Option<String>);

impl Presence {
    /// Nobody was there yet.
    pub fn begin(now_ms: u64) -> Self {
        Self {
            up_since_ms: now_ms,
            looked_ms: now_ms,
            there: HashSet::new(),
            sites: HashMap::new(),
            lost: BTreeMap::new(),
        }
    }

    /// All losses until now may be the server's own.
    pub fn forget(&mut self) {
        self.lost.clear();
    }

    /// Who came and who went since the last look.
    fn differs(&self, connected: &HashSet<DeviceId>) -> Vec<DeviceId> {
        self.there.symmetric_difference(connected).copied().collect()
    }

    /// Takes a look: these are connected, and of those that came or went it is known where they belong.
    fn see(&mut self, connected: HashSet<DeviceId>, moved: Vec<Moved>, now_ms: u64) {
        let held_up = now_ms < self.looked_ms || now_ms - self.looked_ms > HELD_UP_MS;
        self.looked_ms = now_ms;
        if held_up {
            self.up_since_ms = now_ms;
            self.forget();
        }
        let mut gone: BTreeMap<String, usize> = BTreeMap::new();
        for (device, site) in moved {
            match site {
                Some(site) if connected.contains(&device) => {
                    self.lost.remove(&site);
                    self.sites.insert(device, site);
                }
                // It counts for the site where it was.
                Some(_) => {
                    if let Some(site) = self.sites.remove(&device) {
                        *gone.entry(site).or_default() += 1;
                    }
                }
                None => drop(self.sites.remove(&device)),
            }
        }
        self.there = connected;
        if held_up || gone.is_empty() {
            return;
        }
        let there: HashSet<&String> = self.sites.values().collect();
        let empty = gone.into_iter().filter(|(site, _)| !there.contains(site));
        let empty: Vec<_> = empty.map(|(site, devices)| (site, Lost { at_ms: now_ms, devices })).collect();
        self.lost.extend(empty);
    }

    /// Sites that fell silent after `after_ms` and have not come back: each once it has had time to.
    pub fn silent(&self, after_ms: i64, within: u64, now_ms: u64) -> Counted {
        let counts = |lost: &Lost| {
            lost.at_ms.saturating_add(come_back_ms(within)) <= now_ms
                && stored(lost.at_ms) > after_ms
                && self.up_since_ms.saturating_add(within.saturating_mul(1_000)) <= lost.at_ms
        };
        let silent: Vec<(&String, &Lost)> = self.lost.iter().filter(|(_, lost)| counts(lost)).collect();
        let names = silent
            .iter()
            .map(|(site, lost)| format!("{site}, {}", how_many(lost.devices, "device", "devices")));
        Counted {
            count: u64::try_from(silent.len()).unwrap_or(u64::MAX),
            words: format!("fell silent: {}", some(how_many(silent.len(), "site", "sites"), names)),
            evidence: Vec::new(),
        }
    }
}

/// How long a site has time to come back, where a tripwire looks at so many seconds.
pub fn come_back_ms(within: u64) -> u64 {
    COME_BACK_MS.min(within.saturating_mul(1_000))
}

/// Takes a look at who is connected.
pub async fn look(app: &Arc<App>, org: &Arc<Org>, presence: &mut Presence) -> Result<(), StoreError> {
    let connected = app.gate.who_is_connected(&org.id);
    let ids: Vec<String> = presence.differs(&connected).iter().map(DeviceId::to_string).collect();
    let rows = device::labels_of(&app.db, &org.id.to_string(), &ids).await?;
    let moved = rows.into_iter().filter_map(|(id, labels, retired)| {
        let site = (!retired).then(|| site_of(&labels)).flatten();
        Some((id.parse().ok()?, site))
    });
    presence.see(connected, moved.collect(), (app.now_ms)());
    Ok(())
}

/// Whether as many beacons answer as devices need: if not, it may be this server that is cut off.
pub async fn beacons_answer(app: &Arc<App>, org: &Arc<Org>) -> bool {
    let chain = org.chain_now();
    let mut root = [0; 32];
    if getrandom::fill(&mut root).is_err() {
        return false;
    }
    app.peers.clears(&chain, &Sha256(root)).await.len() >= usize::from(chain.policy().body.beacons.need.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: u64 = 300;
    const MINUTE: u64 = 60_000;

    /// A server that has been up for ten minutes, and three sites with two devices each.
    struct Shop {
        presence: Presence,
        connected: HashSet<DeviceId>,
        now_ms: u64,
    }

    fn site(device: &DeviceId) -> String {
        format!("site-{}", device.0[0] / 2)
    }

    impl Shop {
        fn open() -> Self {
            let mut shop = Self { presence: Presence::begin(0), connected: HashSet::new(), now_ms: 0 };
            shop.come(0..6);
            shop.pass(10 * MINUTE);
            shop
        }

        fn come(&mut self, devices: std::ops::Range<u8>) {
            self.connected.extend(devices.map(|number| DeviceId([number; 32])));
            self.look();
        }

        fn go(&mut self, devices: std::ops::Range<u8>) {
            self.connected.retain(|device| !devices.contains(&device.0[0]));
            self.look();
        }

        fn look(&mut self) {
            let moved = self.presence.differs(&self.connected);
            let moved = moved.into_iter().map(|device| (device, Some(site(&device))));
            self.presence.see(self.connected.clone(), moved.collect(), self.now_ms);
        }

        fn pass(&mut self, ms: u64) {
            let until = self.now_ms + ms;
            while self.now_ms < until {
                self.now_ms += 1_000;
                self.look();
            }
        }

        fn silent(&self) -> u64 {
            let after_ms = self.now_ms.saturating_sub(WITHIN * 1_000 + come_back_ms(WITHIN));
            self.presence.silent(stored(after_ms), WITHIN, self.now_ms).count
        }
    }

    #[test]
    fn a_site_is_silent_when_its_last_device_is_gone_and_had_time_to_come_back() {
        let mut shop = Shop::open();
        shop.go(0..1);
        shop.pass(2 * MINUTE);
        assert_eq!(shop.silent(), 0, "another device of the site is there");
        shop.go(1..2);
        shop.pass(MINUTE);
        assert_eq!(shop.silent(), 0, "it may come back");
        shop.pass(MINUTE);
        assert_eq!(shop.silent(), 1);
        shop.go(2..6);
        shop.pass(2 * MINUTE);
        assert_eq!(shop.silent(), 3);
        shop.come(0..1);
        assert_eq!(shop.silent(), 2, "one device back is enough");
        shop.pass(10 * MINUTE);
        assert_eq!(shop.silent(), 0, "together is within the span");
    }

    #[test]
    fn what_a_server_loses_after_its_start_or_a_standstill_does_not_count() {
        let mut shop = Shop { presence: Presence::begin(0), connected: HashSet::new(), now_ms: 0 };
        shop.come(0..6);
        shop.pass(4 * MINUTE);
        shop.go(0..6);
        shop.pass(2 * MINUTE);
        assert_eq!(shop.silent(), 0, "it has not been up for the whole span");

        let mut shop = Shop::open();
        shop.now_ms += MINUTE;
        shop.go(0..6);
        shop.pass(2 * MINUTE);
        assert_eq!(shop.silent(), 0, "it stood still, and everybody was gone after it");
        shop.come(0..6);
        shop.pass(6 * MINUTE);
        shop.go(0..6);
        shop.pass(2 * MINUTE);
        assert_eq!(shop.silent(), 3, "and from then on it counts again");
    }

    #[test]
    fn who_was_retired_is_not_silent_and_what_was_forgotten_is_over() {
        let mut shop = Shop::open();
        let gone = DeviceId([0; 32]);
        shop.go(1..2);
        shop.connected.remove(&gone);
        shop.presence.see(shop.connected.clone(), vec![(gone, None)], shop.now_ms);
        shop.pass(2 * MINUTE);
        assert_eq!(shop.silent(), 0);
        shop.go(2..6);
        shop.pass(2 * MINUTE);
        assert_eq!(shop.silent(), 2);
        shop.presence.forget();
        assert_eq!(shop.silent(), 0);
        shop.pass(MINUTE);
        assert_eq!(shop.silent(), 0);
    }
}
