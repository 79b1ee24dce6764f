//! Where control groups are on this machine.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a hierarchy of version 1 is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Bounds memory.
    Memory,
    /// Bounds the number of processes and threads.
    Pids,
    /// Bounds the share of the processor.
    Cpu,
    /// Stops all members at once.
    Freezer,
}

/// The folders under which a realm's folder is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roots {
    /// In the hierarchy of version 2.
    pub unified: Option<PathBuf>,
    /// In the hierarchies of version 1.
    pub v1: Vec<(Controller, PathBuf)>,
}

impl Roots {
    /// Finds what is mounted at the usual place. In version 2 a service that runs the agent owns the part below
    /// itself (systemd's `Delegate=yes`): then runs live there, and the agent moves one folder down, because
    /// only a folder without members hands its controllers down.
    pub fn detect() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut roots = Self::under(Path::new("/sys/fs/cgroup"), &own);
        if let Some(unified) = roots.unified.take() {
            roots.unified = Some(step_aside(unified));
        }
        roots
    }

    fn under(mount: &Path, own: &str) -> Self {
        let is_unified = |folder: &PathBuf| folder.join("cgroup.controllers").is_file();
        let unified = [mount.to_owned(), mount.join("unified")].into_iter().find(is_unified);
        let folders = [
            (Controller::Memory, "memory"),
            (Controller::Pids, "pids"),
            (Controller::Cpu, "cpu"),
            (Controller::Freezer, "freezer"),
        ];
        let v1 = folders.map(|(which, name)| (which, mount.join(name)));
        Self {
            unified: unified.map(|mount| service(own).map_or(mount.clone(), |service| mount.join(service))),
            v1: v1.into_iter().filter(|(_, folder)| folder.join("cgroup.procs").is_file()).collect(),
        }
    }
}

/// The service's folder in the unified hierarchy, if this program is in one. Source: cgroups(7), `/proc/pid/cgroup`.
fn service(own: &str) -> Option<&str> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let path = path.strip_suffix(ASIDE).and_then(|path| path.strip_suffix('/')).unwrap_or(path);
    path.ends_with(".service").then_some(path)
}

/// The folder below the service's that the agent itself is in.
pub(super) const ASIDE: &str = "agent";

/// Moves this program out of `folder`, if it is in there alone, into one below.
fn step_aside(folder: PathBuf) -> PathBuf {
    let own = std::process::id().to_string();
    let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    if members.trim() == own {
        let aside = folder.join(ASIDE);
        // Without it runs are still members of their groups; only limits are then kept by other means.
        let moved =
            super::make(&aside).and_then(|()| File::options().write(true).open(aside.join("cgroup.procs")));
        let moved = moved.and_then(|mut door| door.write_all(own.as_bytes()));
        if let Err(error) = moved {
            tracing::warn!(%error, "the service's control group is not the agent's to divide: set Delegate=yes");
        }
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mount as a machine shows it, as far as it is looked at.
    fn mount(files: &[&str]) -> tempfile::TempDir {
        let mount = tempfile::tempdir().unwrap();
        for file in files {
            let path = mount.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        mount
    }

    #[test]
    fn a_service_on_a_machine_of_version_2_uses_its_own_part() {
        let mount = mount(&["cgroup.controllers", "cgroup.procs"]);
        for own in ["0::/system.slice/x.service\n", "0::/system.slice/x.service/agent\n"] {
            let roots = Roots::under(mount.path(), own);
            assert_eq!(roots.unified, Some(mount.path().join("system.slice/x.service")));
            assert_eq!(roots.v1, []);
        }
        assert_eq!(Roots::under(mount.path(), "0::/user.slice\n").unified, Some(mount.path().to_owned()));
    }

    #[test]
    fn a_hybrid_machine_has_both_and_an_old_one_what_it_has() {
        let hybrid = mount(&["unified/cgroup.controllers", "pids/cgroup.procs", "freezer/cgroup.procs"]);
        let roots = Roots::under(hybrid.path(), "1:pids:/\n0::/\n");
        assert_eq!(roots.unified, Some(hybrid.path().join("unified")));
        let v1 = [
            (Controller::Pids, hybrid.path().join("pids")),
            (Controller::Freezer, hybrid.path().join("freezer")),
        ];
        assert_eq!(roots.v1, v1);
        assert_eq!(Roots::under(Path::new("/nonexistent"), ""), Roots::default());
    }
}
