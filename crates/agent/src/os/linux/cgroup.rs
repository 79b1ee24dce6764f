//! Control groups, version 2 and version 1, or both as far as each goes.
//!
//! A run has a folder named by its id in every hierarchy that can be written, under a folder named by the
//! realm. Source: the kernel's admin-guide, cgroup-v2 and cgroup-v1/{memory,pids,freezer-subsystem}.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::proc;
use crate::os::Limits;

mod roots;
pub use roots::{Controller, Roots};

const MIB: u64 = 1024 * 1024;
const PERIOD_US: u64 = 100_000;
const MEMBERS: &str = "cgroup.procs";
/// What the agent itself may take, several times what it was ever seen to take (`tests/life/weight.rs`): whatever a server finds to make it
/// larger, it is the agent that is started again, and not the machine's own work that is killed for lack of memory.
const AGENT_BYTES: &str = "268435456";

/// A realm's folders, one in each hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Realm(Folders);

/// A run's folders, one in each hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Group(Folders);

#[derive(Clone, Debug)]
struct Folders {
    unified: Option<PathBuf>,
    v1: Vec<(Controller, PathBuf)>,
}

impl Realm {
    /// Makes the folders of `realm`; none if no hierarchy can be written.
    pub(super) fn open(realm: &str, roots: &Roots) -> Option<Self> {
        let made = |root: &PathBuf| {
            let folder = root.join(realm);
            (make(&folder).is_ok() && folder.join(MEMBERS).is_file()).then_some(folder)
        };
        let unified = roots.unified.as_ref().and_then(|root| {
            hand_down(root);
            // Where the service is the agent's own part; runs are beside it.
            write(&root.join(roots::ASIDE), "memory.max", AGENT_BYTES);
            let folder = made(root)?;
            hand_down(&folder);
            Some(folder)
        });
        let v1: Vec<_> = roots.v1.iter().filter_map(|(which, root)| Some((*which, made(root)?))).collect();
        (unified.is_some() || !v1.is_empty()).then_some(Self(Folders { unified, v1 }))
    }

    /// The run's folders, whether they exist or not.
    pub(super) fn group(&self, run_id: &str) -> Group {
        Group(Folders {
            unified: self.0.unified.as_ref().map(|folder| folder.join(run_id)),
            v1: self.0.v1.iter().map(|(which, folder)| (*which, folder.join(run_id))).collect(),
        })
    }

    /// Makes the run's folders. Refused while programs of a run with this id are alive.
    pub(super) fn create(&self, run_id: &str) -> io::Result<Group> {
        let group = self.group(run_id);
        if !group.members().is_empty() {
            return Err(io::Error::other("programs of a run with this id are still alive"));
        }
        group.0.paths().try_for_each(|folder| {
            remove(folder)?;
            fs::create_dir(folder)
        })?;
        Ok(group)
    }

    /// The ids of all runs that have a folder.
    pub(super) fn runs(&self) -> BTreeSet<String> {
        let names = self.0.paths().flat_map(|folder| inner(folder));
        names.filter_map(|folder| Some(folder.file_name()?.to_str()?.to_owned())).collect()
    }
}

impl Group {
    /// Sets the limits; gives those that no hierarchy here can hold, and 0 for the others.
    pub(super) fn limit(&self, limits: Limits) -> Limits {
        let bytes = limits.memory_mib.saturating_mul(MIB).to_string();
        let count = limits.processes.to_string();
        let quota = limits.cpu_percent.saturating_mul(PERIOD_US / 100);
        let held = |limit: u64, unified: (&str, &str), which: Controller, v1: (&str, &str)| {
            limit == 0 || self.0.set(unified, which, v1)
        };
        let memory = ("memory.max", bytes.as_str());
        let memory = held(limits.memory_mib, memory, Controller::Memory, ("memory.limit_in_bytes", &bytes));
        if memory && limits.memory_mib > 0 {
            // Otherwise what does not fit would go to swap. Fine to miss where swap is not counted.
            let swap = ("memory.memsw.limit_in_bytes", bytes.as_str());
            self.0.set(("memory.swap.max", "0"), Controller::Memory, swap);
        }
        let pids = ("pids.max", count.as_str());
        let processes = held(limits.processes, pids, Controller::Pids, pids);
        let share = format!("{quota} {PERIOD_US}");
        let quota = ("cpu.cfs_quota_us", &*quota.to_string());
        let cpu = held(limits.cpu_percent, ("cpu.max", &share), Controller::Cpu, quota);
        Limits {
            memory_mib: if memory { 0 } else { limits.memory_mib },
            processes: if processes { 0 } else { limits.processes },
            cpu_percent: if cpu { 0 } else { limits.cpu_percent },
        }
    }

    /// The open lists of members: who writes `0` to each is in.
    pub(super) fn doors(&self) -> io::Result<Vec<File>> {
        self.0.paths().map(|folder| OpenOptions::new().write(true).open(folder.join(MEMBERS))).collect()
    }

    /// Everything alive in any hierarchy, folders that the run made itself included.
    pub(super) fn members(&self) -> BTreeSet<libc::pid_t> {
        let lists = self.0.paths().flat_map(|folder| all(folder));
        let lists = lists.filter_map(|folder| fs::read_to_string(folder.join(MEMBERS)).ok());
        lists.flat_map(|list| list.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
    }

    /// Strikes at all members; true when there are none and the folders are gone.
    pub(super) fn fell(&self) -> bool {
        // From here on nothing new is born, where this is held: even a fork bomb has an end.
        self.0.set(("pids.max", "0"), Controller::Pids, ("pids.max", "0"));
        if let Some(folder) = &self.0.unified {
            write(folder, "cgroup.kill", "1");
        }
        let freezer = self.0.v1(Controller::Freezer);
        if let Some(folder) = freezer {
            write(folder, "freezer.state", "FROZEN");
        }
        self.members().into_iter().for_each(proc::kill);
        if let Some(folder) = freezer {
            // A frozen program dies when it thaws.
            write(folder, "freezer.state", "THAWED");
        }
        // What must not happen is a folder removed in one hierarchy while members live in another: `sweep`
        // would still find the others, but kill less thoroughly.
        self.members().is_empty() && self.0.paths().all(|folder| remove(folder).is_ok())
    }
}

impl Folders {
    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.unified.iter().chain(self.v1.iter().map(|(_, folder)| folder))
    }

    fn v1(&self, which: Controller) -> Option<&PathBuf> {
        self.v1.iter().find_map(|(held, folder)| (*held == which).then_some(folder))
    }

    /// Writes a value where it is held: in the unified hierarchy, else in the controller's own.
    fn set(&self, unified: (&str, &str), which: Controller, v1: (&str, &str)) -> bool {
        let in_unified = |folder: &PathBuf| write(folder, unified.0, unified.1);
        self.unified.as_ref().is_some_and(in_unified)
            || self.v1(which).is_some_and(|folder| write(folder, v1.0, v1.1))
    }
}

/// Lets the folders below `folder` use the controllers that it has; each by itself, for some may be missing.
fn hand_down(folder: &Path) {
    for controller in ["+memory", "+pids", "+cpu"] {
        write(folder, "cgroup.subtree_control", controller);
    }
}

/// Writes to a file that is there already.
fn write(folder: &Path, name: &str, value: &str) -> bool {
    let file = OpenOptions::new().write(true).open(folder.join(name));
    file.and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes())).is_ok()
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Removes a folder without members, the ones below it first. That it is gone already is as good.
fn remove(folder: &Path) -> io::Result<()> {
    inner(folder).iter().try_for_each(|inner| remove(inner))?;
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn inner(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn all(folder: &Path) -> Vec<PathBuf> {
    let below = inner(folder).into_iter().flat_map(|inner| all(&inner));
    [folder.to_owned()].into_iter().chain(below.collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { memory_mib: 64, processes: 20, cpu_percent: 150 };

    /// A run's folder as the kernel would fill it.
    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|file| fs::write(folder.path().join(file), "").unwrap());
        folder
    }

    fn read(folder: &tempfile::TempDir, file: &str) -> String {
        fs::read_to_string(folder.path().join(file)).unwrap()
    }

    #[test]
    fn version_2_holds_every_limit_in_one_folder() {
        let folder = folder(&["memory.max", "memory.swap.max", "pids.max", "cpu.max"]);
        let group = Group(Folders { unified: Some(folder.path().to_owned()), v1: Vec::new() });
        assert_eq!(group.limit(LIMITS), Limits::default());
        let written =
            ["memory.max", "memory.swap.max", "pids.max", "cpu.max"].map(|file| read(&folder, file));
        assert_eq!(written, ["67108864", "0", "20", "150000 100000"]);
    }

    #[test]
    fn what_version_2_lacks_version_1_holds_and_what_both_lack_is_given_back() {
        let (unified, cpu) = (folder(&["memory.max"]), folder(&["cpu.cfs_quota_us"]));
        let v1 = vec![(Controller::Cpu, cpu.path().to_owned())];
        let group = Group(Folders { unified: Some(unified.path().to_owned()), v1 });
        assert_eq!(group.limit(LIMITS), Limits { processes: 20, ..Limits::default() });
        assert_eq!(
            (read(&unified, "memory.max"), read(&cpu, "cpu.cfs_quota_us")),
            ("67108864".into(), "150000".into())
        );
    }

    #[test]
    fn the_agent_is_limited_beside_its_runs() {
        let root = folder(&["cgroup.subtree_control"]);
        for inner in ["agent", "realm"] {
            fs::create_dir(root.path().join(inner)).unwrap();
            for file in ["memory.max", MEMBERS] {
                fs::write(root.path().join(inner).join(file), "").unwrap();
            }
        }
        let roots = Roots { unified: Some(root.path().to_owned()), v1: Vec::new() };
        assert!(Realm::open("realm", &roots).is_some());
        let limits = ["agent/memory.max", "realm/memory.max"].map(|file| read(&root, file));
        assert_eq!(limits, [AGENT_BYTES, ""]);
    }

    #[test]
    fn no_limit_writes_nothing() {
        let folder = folder(&["memory.max", "pids.max", "cpu.max"]);
        let group = Group(Folders { unified: Some(folder.path().to_owned()), v1: Vec::new() });
        assert_eq!(group.limit(Limits::default()), Limits::default());
        assert_eq!(["memory.max", "pids.max", "cpu.max"].map(|file| read(&folder, file)), ["", "", ""]);
    }
}
