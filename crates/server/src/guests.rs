//! Who stands at the door: connections for which nobody has vouched yet, counted by the address they come from, so that no
//! address can fill the server with connections that say nothing.
//!
//! An agent is a guest until it is known; whoever speaks HTTP is one to the end.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// How many guests may come from one address. A whole site behind one address fits while it connects.
const MOST_FROM_ONE: usize = 1_024;
/// How many guests there may be.
const MOST: usize = 16_384;

/// All guests.
#[derive(Clone, Debug, Default)]
pub struct Guests(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Whether somebody was turned away since there was room for all.
    full: bool,
}

/// One guest; no longer once this is dropped.
#[derive(Debug)]
pub struct Guest {
    from: IpAddr,
    guests: Guests,
}

impl Guests {
    /// Lets one in, if there is room.
    pub fn admit(&self, from: IpAddr) -> Option<Guest> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = counts.by_address.get(&network(from)).copied().unwrap_or(0);
        if there >= MOST_FROM_ONE || counts.all >= MOST {
            // Told once, and again only after there was room: whoever fills the door must not fill the journal.
            if !std::mem::replace(&mut counts.full, true) {
                tracing::warn!(guest.address = %from, guest.from_one = there, guest.all = counts.all, "too many connections nobody vouches for; more are closed at once");
            }
            return None;
        }
        counts.all += 1;
        counts.by_address.insert(network(from), there + 1);
        Some(Guest { from, guests: self.clone() })
    }
}

impl Guest {
    /// From where.
    pub fn from(&self) -> IpAddr {
        self.from
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        let network = network(self.from);
        match counts.by_address.get(&network).copied() {
            Some(there) if there > 1 => drop(counts.by_address.insert(network, there - 1)),
            _ => drop(counts.by_address.remove(&network)),
        }
        if counts.all < MOST_FROM_ONE / 2 {
            counts.full = false;
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

    #[test]
    fn one_address_has_so_many_guests_and_the_others_are_let_in_all_the_same() {
        let (guests, from, other) =
            (Guests::default(), IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut there: Vec<Guest> = (0..MOST_FROM_ONE).map(|_| guests.admit(from).unwrap()).collect();
        assert!(guests.admit(from).is_none());
        assert!(guests.admit(other).is_some());
        there.pop();
        assert!(guests.admit(from).is_some());
    }

    #[test]
    fn one_party_with_many_ipv6_addresses_is_one() {
        let network_of = |text: &str| network(text.parse().unwrap());
        assert_eq!(network_of("2001:db8::1"), network_of("2001:db8::ffff:0:0:7"));
        assert_ne!(network_of("2001:db8::1"), network_of("2001:db8:0:1::1"));
        assert_eq!(network_of("::ffff:10.0.0.1"), network_of("10.0.0.1"));
    }

    #[test]
    fn who_has_left_is_not_remembered() {
        let guests = Guests::default();
        drop(guests.admit(IpAddr::from([10, 0, 0, 1])));
        let counts = guests.0.lock().unwrap();
        assert_eq!((counts.all, counts.by_address.len()), (0, 0));
    }
}
