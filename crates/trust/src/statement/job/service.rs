//! A step that asks something of a service of the device; and which services a policy guards against it.
//!
//! Source: docs/spec/3-statements.md, "job" and "Guarded".

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use crate::ids::Name;
use crate::text::{keyword, record, word};

record! {
    /// Something asked of a service through the device's service manager.
    pub struct Service {
        /// Which one.
        unit: Unit,
        /// What to do.
        action: Action,
        /// Seconds after which nobody waits for it any longer, at least 1.
        timeout: u64,
    }
}

keyword! {
    /// What is asked of a service.
    pub enum Action {
        /// Say how it is; changes nothing.
        Status = "status",
        /// Start it, unless it runs.
        Start = "start",
        /// Stop it, if it runs.
        Stop = "stop",
        /// Stop it, if it runs, and start it.
        Restart = "restart",
        /// Have it read its configuration anew.
        Reload = "reload",
        /// From the next boot on it is started.
        Enable = "enable",
        /// From the next boot on it is not started.
        Disable = "disable",
    }
}

impl Action {
    /// Whether the service is gone for a moment or for good: what a guard is against.
    pub fn takes_away(self) -> bool {
        matches!(self, Self::Stop | Self::Restart | Self::Disable)
    }
}

/// The longest name of a unit in bytes.
const MAX_UNIT: usize = 128;
/// The types of unit that a job can name: what runs, and what starts it when somebody calls or the time comes.
const TYPES: [&str; 3] = [".service", ".socket", ".timer"];

/// A unit of the service manager, such as `nginx.service` or `backup@daily.timer`: at most 128 of `A-Za-z0-9:_.@-`, a letter or
/// digit first, at most one `@`, one of three types last. So it is no option, no path and no pattern to any program.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unit(String);

/// Not the name of a unit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is no unit: at most {MAX_UNIT} of A-Za-z0-9:_.@-, a letter or digit first, .service, .socket or .timer last",
    .0.chars().take(140).collect::<String>()
)]
pub struct UnitError(String);

impl Unit {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name without type and instance: `backup` of `backup@daily.timer`.
    pub fn stem(&self) -> &str {
        stem(&self.0)
    }
}

fn stem(unit: &str) -> &str {
    let typeless = unit.rsplit_once('.').map_or(unit, |(name, _)| name);
    typeless.split_once('@').map_or(typeless, |(name, _)| name)
}

impl FromStr for Unit {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":_.@-".contains(&byte);
        let name = TYPES.iter().find_map(|kind| text.strip_suffix(kind)).unwrap_or_default();
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let one = name.bytes().filter(|byte| *byte == b'@').count() <= 1;
        if first && one && text.len() <= MAX_UNIT && text.bytes().all(allowed) {
            Ok(Self(text.to_string()))
        } else {
            Err(UnitError(text.to_string()))
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

word!(Unit);

/// The classes that a policy can guard by one word, and the stems of their units.
///
/// Source: docs/spec/3-statements.md, "Guarded".
const CLASSES: [(&str, &[&str]); 4] = [
    ("agent", &["countersign-agent"]),
    (
        "antivirus",
        &[
            "cbagentd",
            "clamav-clamonacc",
            "clamav-daemon",
            "clamav-freshclam",
            "clamd",
            "ds_agent",
            "eea",
            "falcon-sensor",
            "freshclam",
            "kesl",
            "mdatp",
            "sentinelone",
            "sophos-spl",
            "traps_pmd",
            "wazuh-agent",
        ],
    ),
    (
        "backup",
        &[
            "acronis_mms",
            "bacula-fd",
            "bareos-fd",
            "bareos-filedaemon",
            "borgbackup",
            "borgmatic",
            "burp-client",
            "duplicati",
            "restic",
            "restic-backup",
            "rsnapshot",
            "urbackupclientbackend",
            "veeamservice",
        ],
    ),
    (
        "shadow-copies",
        &[
            "btrbk",
            "sanoid",
            "snapper-boot",
            "snapper-cleanup",
            "snapper-timeline",
            "snapperd",
            "zfs-auto-snapshot-daily",
            "zfs-auto-snapshot-frequent",
            "zfs-auto-snapshot-hourly",
            "zfs-auto-snapshot-monthly",
            "zfs-auto-snapshot-weekly",
        ],
    ),
];

/// Which word of a policy's `guarded` covers the unit of this name, if any: a class that lists its stem, or a unit with it.
///
/// `unit` may be any name that a service manager gives a unit: a device asks with a unit's other names too.
pub fn guard<'a>(guarded: &'a BTreeSet<Name>, unit: &str) -> Option<&'a Name> {
    let stem = stem(unit);
    guarded.iter().find(|word| match class(word.as_str()) {
        Some(stems) => stems.contains(&stem),
        None => word.as_str().parse::<Unit>().is_ok_and(|unit| unit.stem() == stem),
    })
}

/// Whether a word of a policy's `guarded` means something to this version: a class or a unit.
pub fn is_guard(word: &str) -> bool {
    class(word).is_some() || word.parse::<Unit>().is_ok()
}

fn class(word: &str) -> Option<&'static [&'static str]> {
    CLASSES.iter().find(|(name, _)| *name == word).map(|(_, stems)| *stems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_no_option_no_path_and_no_pattern() {
        for good in
            ["nginx.service", "backup@daily.timer", "9p.socket", "a.b:c_d-e.service", "getty@tty1.service"]
        {
            assert_eq!(good.parse::<Unit>().map(|unit| unit.to_string()), Ok(good.to_string()));
        }
        let long = alloc::format!("{}.service", "x".repeat(121));
        for bad in [
            "",
            "nginx",
            ".service",
            "-H.service",
            "--root=x.service",
            "@a.service",
            "../a.service",
            "a/b.service",
            "a b.service",
            "a\nb.service",
            "a*.service",
            "[a].service",
            "a\\x2db.service",
            "a@b@c.service",
            "poweroff.target",
            "tmp.mount",
            "a.service ",
            "å.service",
            &long,
        ] {
            assert!(bad.parse::<Unit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_guard_covers_every_type_and_instance_of_what_it_names() {
        let guarded: BTreeSet<Name> =
            ["antivirus", "till", "x-ray"].iter().filter_map(|word| word.parse().ok()).collect();
        for (unit, by) in [
            ("clamav-daemon.service", Some("antivirus")),
            ("clamav-daemon.socket", Some("antivirus")),
            ("clamd@scan.service", Some("antivirus")),
            ("borgmatic.timer", None),
            ("clamav-daemon-x.service", None),
            ("till.service", None),
            ("x-ray.service", None),
        ] {
            assert_eq!(guard(&guarded, unit).map(Name::as_str), by, "{unit}");
        }
        let guarded: BTreeSet<Name> = ["till@.service"].iter().filter_map(|word| word.parse().ok()).collect();
        for unit in ["till.service", "till.timer", "till@2.service", "till"] {
            assert_eq!(guard(&guarded, unit).map(Name::as_str), Some("till@.service"), "{unit}");
        }
    }

    #[test]
    fn every_stem_of_a_class_is_a_unit_once() {
        let mut seen = BTreeSet::new();
        for (class, stems) in CLASSES {
            assert!(is_guard(class) && stems.is_sorted());
            for stem in stems {
                let unit: Unit =
                    alloc::format!("{stem}.service").parse().unwrap_or_else(|_| Unit(String::new()));
                assert_eq!(unit.stem(), *stem);
                assert!(seen.insert(*stem), "{stem} is of two classes");
            }
        }
        assert!(!is_guard("printers") && is_guard("cups.service"));
    }
}
