//! Room that strangers share: so much in all, so much for one address, and the less for one the fuller it is. So whoever has a few
//! addresses leaves some to those who come from elsewhere.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One address has at most one part in so many of what all others leave.
const PARTS: usize = 5;

/// Room for connections, or for bytes.
#[derive(Clone, Debug)]
pub struct Room(Arc<Walls>);

#[derive(Debug)]
struct Walls {
    what: &'static str,
    most: usize,
    most_of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
    /// Whether somebody was turned away since half of it was free.
    full: bool,
}

/// What somebody has of it; free again once this is dropped.
#[derive(Debug)]
pub struct Share {
    room: Room,
    network: IpAddr,
    amount: usize,
}

impl Room {
    /// Room for `most` of `what`, for `most_of_one` from one address.
    pub fn new(what: &'static str, most: usize, most_of_one: usize) -> Self {
        Self(Arc::new(Walls { what, most, most_of_one, taken: Mutex::default() }))
    }

    /// A share for who comes from `address`: nothing yet.
    pub fn share(&self, address: IpAddr) -> Share {
        Share { room: self.clone(), network: network(address), amount: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Takes `more`, if there is room.
    pub fn grow(&mut self, more: usize) -> bool {
        let walls = &self.room.0;
        let mut taken = self.room.taken();
        let mine = taken.by_address.get(&self.network).copied().unwrap_or(0);
        let left = walls.most.saturating_sub(taken.all.saturating_sub(mine));
        if mine.saturating_add(more) > walls.most_of_one.min(left.div_ceil(PARTS)) {
            // Told once, and again only after there was room: who fills it must not fill the journal.
            if !std::mem::replace(&mut taken.full, true) {
                tracing::warn!(room.of = walls.what, address = %self.network, room.from_one = mine, room.all = taken.all, "no room for more from there");
            }
            return false;
        }
        taken.all += more;
        taken.by_address.insert(self.network, mine + more);
        self.amount += more;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        taken.all = taken.all.saturating_sub(self.amount);
        let mine = taken.by_address.remove(&self.network).unwrap_or(0);
        if mine > self.amount {
            taken.by_address.insert(self.network, mine - self.amount);
        }
        if taken.all <= self.room.0.most / 2 {
            taken.full = false;
        }
    }
}

/// What one party has: an IPv4 address, or the upper half of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn one_address_has_so_much_and_gives_it_back() {
        let room = Room::new("bytes", 100, 20);
        let (mut one, mut two) = (room.share(address(1)), room.share(address(1)));
        assert!(one.grow(15) && two.grow(5));
        assert!(!two.grow(1));
        drop(one);
        assert!(two.grow(15) && !two.grow(1));
        drop(two);
        assert!(room.taken().by_address.is_empty());
        assert_eq!(room.taken().all, 0);
    }

    #[test]
    fn ten_greedy_addresses_leave_room_for_another() {
        let room = Room::new("connections", 1_000, 400);
        let mut greedy: Vec<Share> = (1..=10).map(|number| room.share(address(number))).collect();
        let mut all = 0;
        while greedy.iter_mut().any(|share| share.grow(1)) {
            all += 1;
            assert!(all < 1_000);
        }
        assert!(room.share(address(11)).grow(10));
    }

    #[test]
    fn one_party_with_many_ipv6_addresses_is_one() {
        let network_of = |text: &str| network(text.parse().unwrap());
        assert_eq!(network_of("2001:db8::1"), network_of("2001:db8::ffff:0:0:7"));
        assert_ne!(network_of("2001:db8::1"), network_of("2001:db8:0:1::1"));
        assert_eq!(network_of("::ffff:10.0.0.1"), network_of("10.0.0.1"));
    }
}
