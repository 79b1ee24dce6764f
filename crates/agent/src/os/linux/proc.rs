//! Programs seen through /proc: who descends from whom, and who carries a realm's mark.

use std::collections::BTreeSet;
use std::fs;

use crate::os::RUN_MARK;

/// Everything alive that descends from `ancestor`, itself not included.
pub(super) fn descendants(ancestor: libc::pid_t) -> Vec<libc::pid_t> {
    let all: Vec<Seen> = pids().filter_map(seen).collect();
    let mut family = BTreeSet::from([ancestor]);
    // A child can have a lower number than its parent: look until nobody new is found.
    loop {
        let before = family.len();
        family.extend(
            all.iter().filter(|one| family.contains(&one.parent)).map(|one| one.pid).collect::<Vec<_>>(),
        );
        if family.len() == before {
            break;
        }
    }
    let dead = all.iter().filter(|one| one.dead).map(|one| one.pid);
    let dead: BTreeSet<_> = dead.chain([ancestor]).collect();
    family.difference(&dead).copied().collect()
}

/// Every program with a mark of `realm`, and its run's id. This program itself never counts.
pub(super) fn marked(realm: &str) -> Vec<(libc::pid_t, String)> {
    let start = format!("{RUN_MARK}={realm}/");
    let own = libc::pid_t::try_from(std::process::id()).ok();
    let others = pids().filter(|pid| Some(*pid) != own);
    others.filter_map(|pid| Some((pid, mark(pid, &start)?))).collect()
}

/// How many threads user `uid` has.
pub(super) fn threads_of(uid: libc::uid_t) -> u64 {
    let threads = |pid: libc::pid_t| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field =
            |name| status.lines().find_map(|line: &str| line.strip_prefix(name))?.split_whitespace().next();
        let own: libc::uid_t = field("Uid:")?.parse().ok()?;
        (own == uid).then_some(field("Threads:")?.parse::<u64>().ok()?)
    };
    pids().filter_map(threads).sum()
}

/// Whether this program dies later than others when memory is short: what it starts would, too.
pub(super) fn is_spared() -> bool {
    let score = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    score.trim().parse::<i32>().is_ok_and(|score| score < 0)
}

/// Kills one program at once. That it is gone already is as good.
pub(super) fn kill(pid: libc::pid_t) {
    signal(pid, libc::SIGKILL);
}

/// Kills programs of a run, with their groups: a group dies as one, so that nothing in it can fork meanwhile. The
/// run's first program began a session of its own, so no group has members both in the run and outside.
pub(super) fn kill_all(pids: &[libc::pid_t]) {
    let groups: BTreeSet<_> = pids.iter().filter_map(|pid| group_of(*pid)).collect();
    groups.into_iter().for_each(kill_group);
    pids.iter().for_each(|pid| kill(*pid));
}

/// The group of a program, if it is not ours. Safe to call after a fork.
pub(super) fn group_of(pid: libc::pid_t) -> Option<libc::pid_t> {
    // SAFETY: these calls read and write no memory of ours.
    let (group, own) = unsafe { (libc::getpgid(pid), libc::getpgrp()) };
    (group > 1 && group != own).then_some(group)
}

/// Kills a group that came from [`group_of`]. Safe to call after a fork.
pub(super) fn kill_group(group: libc::pid_t) {
    // SAFETY: kill reads and writes no memory of ours.
    unsafe { libc::kill(-group, libc::SIGKILL) };
}

/// Sends one program a signal. Never a group of them: `pid` must be positive.
pub(super) fn signal(pid: libc::pid_t, signal: libc::c_int) {
    if pid > 1 {
        // SAFETY: kill reads and writes no memory of ours.
        unsafe { libc::kill(pid, signal) };
    }
}

struct Seen {
    pid: libc::pid_t,
    parent: libc::pid_t,
    dead: bool,
}

fn pids() -> impl Iterator<Item = libc::pid_t> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Source: proc_pid_stat(5); the name in parentheses may hold anything, parentheses too.
fn seen(pid: libc::pid_t) -> Option<Seen> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
    Some(Seen { pid, parent, dead: matches!(state, "Z" | "X") })
}

fn mark(pid: libc::pid_t, start: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut values = environment.split(|byte| *byte == 0);
    let run = values.find_map(|value| value.strip_prefix(start.as_bytes()))?;
    String::from_utf8(run.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_descends_from_its_parent_and_not_from_itself() {
        let own = libc::pid_t::try_from(std::process::id()).unwrap();
        assert!(descendants(seen(own).unwrap().parent).contains(&own));
        assert!(!descendants(own).contains(&own));
    }
}
