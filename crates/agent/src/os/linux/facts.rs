//! What the machine says of itself.

use std::fs;
use std::io;

use crate::os::{BootReading, OsFacts};

/// Reads both clocks. Source: clock_gettime(2), `CLOCK_BOOTTIME` and `CLOCK_REALTIME`.
pub fn boot_reading() -> BootReading {
    BootReading { boot_ms: clock_ms(libc::CLOCK_BOOTTIME), wall_ms: clock_ms(libc::CLOCK_REALTIME) }
}

/// A random name of this start of the machine, 36 characters. Source: random(4).
pub fn boot_id() -> io::Result<String> {
    line("/proc/sys/kernel/random/boot_id")
}

/// The machine's own name.
pub fn hostname() -> io::Result<String> {
    line("/proc/sys/kernel/hostname")
}

/// What kind of machine this is; what it does not say is `unknown`.
pub fn os_facts() -> OsFacts {
    let release =
        fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release"));
    let unknown = || "unknown".to_owned();
    OsFacts {
        name: release.ok().as_deref().and_then(pretty_name).unwrap_or_else(unknown),
        kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(|_| unknown()),
        arch: std::env::consts::ARCH.to_owned(),
    }
}

/// Source: os-release(5).
fn pretty_name(release: &str) -> Option<String> {
    let value = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

fn line(path: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim_end().to_owned())
}

fn clock_ms(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for one timespec. Both clocks exist on every supported kernel.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_is() {
        let (first, second) = (boot_reading(), boot_reading());
        assert!(second.boot_ms >= first.boot_ms);
        assert!(first.wall_ms > 1_700_000_000_000);
        assert_eq!(boot_id().unwrap().len(), 36);
        assert!(!hostname().unwrap().is_empty());
        assert_ne!(os_facts().kernel, "unknown");
    }

    #[test]
    fn a_name_for_people_comes_without_its_quotes() {
        assert_eq!(pretty_name("ID=debian\nPRETTY_NAME=\"Debian 12\"\n").as_deref(), Some("Debian 12"));
        assert_eq!(pretty_name("ID=debian\n"), None);
    }
}
