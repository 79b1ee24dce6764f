//! Accounts, from this machine's own files: no directory on the network says who `root` is.

use std::fs;

/// An account and what a login as it would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: libc::uid_t,
    pub(super) gid: libc::gid_t,
    pub(super) home: String,
    /// All groups, the first one included, sorted.
    pub(super) groups: Vec<libc::gid_t>,
}

/// Looks `name` up. Source: passwd(5), group(5).
pub(super) fn account(name: &str) -> Option<Account> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    find(&passwd, &group, name)
}

/// The agent's own user.
pub(super) fn own() -> libc::uid_t {
    // SAFETY: geteuid has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}

fn find(passwd: &str, group: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (found, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let (_, home) = (fields.next()?, fields.next()?);
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        (found == name).then(|| Account {
            name: name.to_owned(),
            uid,
            gid,
            home: home.to_owned(),
            groups: groups(group, name, gid),
        })
    })
}

fn groups(group: &str, name: &str, first: libc::gid_t) -> Vec<libc::gid_t> {
    let others = group.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let (gid, members) = (fields.next()?.parse().ok()?, fields.next()?);
        members.split(',').any(|member| member == name).then_some(gid)
    });
    let mut all: Vec<_> = others.chain([first]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nbroken\n+::::::\nann:x:1000:100::/home/ann:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:bob,ann\nusers:x:100:ann\nannex:x:7:anna\n";

    #[test]
    fn an_account_has_all_its_groups() {
        let ann = find(PASSWD, GROUP, "ann").unwrap();
        assert_eq!((ann.uid, ann.gid, ann.home.as_str()), (1000, 100, "/home/ann"));
        assert_eq!(ann.groups, [4, 100]);
    }

    #[test]
    fn neither_a_number_nor_a_part_of_a_name_is_an_account() {
        for name in ["0", "an", "", "+", "broken"] {
            assert_eq!(find(PASSWD, GROUP, name), None, "{name}");
        }
    }
}
