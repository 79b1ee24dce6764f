//! A run's programs, from the first to the last.

use std::io;
use std::os::unix::process::ExitStatusExt;

use tokio::process::{Child, ChildStderr, ChildStdout};

use super::cgroup::Group;
use super::{fell, proc};
use crate::os::Exit;

/// All programs of a run. Dropping it kills them.
#[derive(Debug)]
pub struct Tree {
    /// The keeper, which ends as the run's first program did.
    keeper: Child,
    run_id: String,
    realm: String,
    group: Option<Group>,
    /// How many programs there may be, where the system does not see to that; 0 is no limit.
    most: u64,
    dead: bool,
}

impl Tree {
    pub(super) fn new(keeper: Child, run_id: &str, realm: &str, group: Option<Group>, most: u64) -> Self {
        let (run_id, realm) = (run_id.to_owned(), realm.to_owned());
        Self { keeper, run_id, realm, group, most, dead: false }
    }

    /// The name it was launched under.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// The pipes of its standard output and error, the first time.
    pub fn output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.keeper.stdout.take(), self.keeper.stderr.take())
    }

    /// Waits until the first program has ended, and everything it left behind. Safe to cancel.
    pub async fn wait(&mut self) -> io::Result<Exit> {
        let status = self.keeper.wait().await?;
        let signal = || Exit::Signal(status.signal().unwrap_or(libc::SIGKILL));
        Ok(status.code().map_or_else(signal, Exit::Code))
    }

    /// Strikes at everything alive; true when nothing is. Call it until then, a few milliseconds apart.
    pub fn kill(&mut self) -> bool {
        if !self.dead {
            self.dead = self.strike();
        }
        self.dead
    }

    /// Whether [`Tree::excess`] has to be asked now and then.
    pub fn is_watched(&self) -> bool {
        self.most > 0
    }

    /// A sentence, if the tree has more programs than it may.
    pub fn excess(&self) -> Option<String> {
        let count = match (&self.group, self.keeper_pid()) {
            (Some(group), _) => group.members().len(),
            (None, Some(keeper)) => proc::descendants(keeper).len(),
            (None, None) => 0,
        };
        let over = u64::try_from(count).is_ok_and(|count| count > self.most);
        over.then(|| format!("it ran {count} processes, its limit is {}", self.most))
    }

    fn strike(&mut self) -> bool {
        let keeper = self.keeper_pid();
        if let Some(keeper) = keeper {
            proc::signal(keeper, libc::SIGTERM);
            // The run may have stopped its own keeper.
            proc::signal(keeper, libc::SIGCONT);
        }
        if let Some(group) = &self.group {
            return group.fell();
        }
        let mut alive = keeper.map(proc::descendants).unwrap_or_default();
        alive.extend(self.marked());
        proc::kill_all(&alive);
        alive.is_empty()
    }

    fn marked(&self) -> Vec<libc::pid_t> {
        let marked = proc::marked(&self.realm).into_iter();
        marked.filter(|(_, run)| *run == self.run_id).map(|(pid, _)| pid).collect()
    }

    /// None once it is buried: its number may be another's then.
    fn keeper_pid(&self) -> Option<libc::pid_t> {
        self.keeper.id().and_then(|pid| libc::pid_t::try_from(pid).ok())
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        fell(|| self.kill());
    }
}
