//! A service's state from systemd's properties, which the bus and `systemctl show` give under the same names.

use std::collections::{BTreeMap, BTreeSet};

use crate::os::ServiceState;

/// The properties of a unit that matter here.
pub(super) const UNIT: [&str; 12] = [
    "Id",
    "Names",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    // Stopped when it is stopped.
    "RequiredBy",
    "BoundBy",
    "ConsistsOf",
    "PropagatesStopTo",
    // Stopped when it is started.
    "Conflicts",
    "ConflictedBy",
];
/// And of a service.
pub(super) const SERVICE: [&str; 2] = ["MainPID", "Result"];

/// Reads properties; those of a list stand apart by spaces.
pub(super) fn state(properties: &BTreeMap<String, String>) -> ServiceState {
    let one = |name: &str| properties.get(name).cloned().unwrap_or_default();
    let all = |names: &[&str]| -> BTreeSet<String> {
        let lists = names.iter().filter_map(|name| properties.get(*name));
        lists.flat_map(|list| list.split_whitespace()).map(str::to_owned).collect()
    };
    ServiceState {
        id: one("Id"),
        names: all(&["Id", "Names"]),
        load: one("LoadState"),
        active: one("ActiveState"),
        sub: one("SubState"),
        file: one("UnitFileState"),
        result: one("Result"),
        pid: one("MainPID").parse().unwrap_or(0),
        stopped_with_it: all(&["RequiredBy", "BoundBy", "ConsistsOf", "PropagatesStopTo"]),
        stopped_for_it: all(&["Conflicts", "ConflictedBy"]),
    }
}
