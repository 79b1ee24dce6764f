//! How many connections a process may hold, and from which of this machine's own addresses they begin.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Descriptors that are left for everything but connections.
const REST: u64 = 500;
/// How many connections begin at one address: far fewer than it has ports.
const AT_ONE_ADDRESS: u64 = 500;

/// How many connections this process may hold; `limits` is what `/proc/self/limits` says.
pub fn room(limits: &str) -> Option<u64> {
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    let soft = line.split_whitespace().nth(3)?;
    Some(soft.parse::<u64>().unwrap_or(u64::MAX).saturating_sub(REST))
}

/// Where the connection of the `number`th machine to `server` begins; none where the system is to choose, because the server is
/// not on this machine.
pub fn source(number: u64, server: IpAddr) -> Option<SocketAddr> {
    let IpAddr::V4(server) = server else { return None };
    if !server.is_loopback() {
        return None;
    }
    let place = number / AT_ONE_ADDRESS;
    let (third, last) = (place / 250 % 250, place % 250);
    let part = |number: u64| u8::try_from(number).unwrap_or_default();
    Some((Ipv4Addr::new(127, 0, part(third), part(last).saturating_add(2)), 0).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_what_the_system_allows_less_a_rest() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            20000                20000                files     \n";
        assert_eq!(room(limits), Some(19_500));
        assert_eq!(room(&limits.replace("20000", "unlimited")), Some(u64::MAX - REST));
        assert_eq!(room("nothing"), None);
    }

    #[test]
    fn connections_on_this_machine_begin_at_many_addresses_and_others_where_the_system_says() {
        let local = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(source(0, local), Some("127.0.0.2:0".parse().unwrap()));
        assert_eq!(source(499, local), source(0, local));
        assert_eq!(source(500, local), Some("127.0.0.3:0".parse().unwrap()));
        assert_eq!(source(125_000, local), Some("127.0.1.2:0".parse().unwrap()));
        assert_eq!(source(0, IpAddr::from([10, 0, 0, 1])), None);
    }
}
