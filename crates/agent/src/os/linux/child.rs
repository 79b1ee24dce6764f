//! What a run's first program does to itself between fork and exec. Everything is prepared before the fork:
//! nothing here allocates or locks.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::text;
use super::user::Account;

/// What a program writes to a list of members to be on it.
const ME: &[u8] = b"0\n";
const LOWEST_PRIORITY: libc::c_int = 19;
/// Source: proc(5), `/proc/pid/oom_score_adj`.
const OOM_SCORE: &CStr = c"/proc/self/oom_score_adj";
const ORDINARY: &[u8] = b"0\n";

/// What it takes to become a run's first program.
pub(super) struct Child {
    /// Control groups to enter, each through its open list of members.
    pub(super) doors: Vec<File>,
    /// The user to become; none to stay.
    pub(super) account: Option<Account>,
    pub(super) folder: CString,
    pub(super) text: Option<OwnedFd>,
    /// Bytes each program may map, where no control group bounds memory.
    pub(super) address_space: Option<u64>,
    /// Threads its user may have, where no control group bounds them.
    pub(super) threads: Option<u64>,
    /// Yields to everybody, where no control group bounds the processor.
    pub(super) humble: bool,
    /// Dies for lack of memory as soon as any other program does, although the agent does not.
    pub(super) mortal: bool,
}

impl Child {
    /// Turns this process into the run's first program, all but its text. What needs the agent's rights comes
    /// first, then they are given up, then comes what the user must be allowed to do.
    ///
    /// # Safety
    /// Must be called between fork and exec, in a process with one thread.
    pub(super) unsafe fn turn(&self) -> io::Result<()> {
        // SAFETY: system calls on descriptors and C strings that `self` owns.
        unsafe {
            check(libc::setsid())?;
            for door in &self.doors {
                if libc::write(door.as_raw_fd(), ME.as_ptr().cast(), ME.len()) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            libc::umask(0o022);
            // What the agent was started to ignore, the run does not.
            (1..=libc::SIGRTMAX()).for_each(|signal| {
                libc::signal(signal, libc::SIG_DFL);
            });
            self.limit()?;
            self.become_user()?;
            check(libc::chdir(self.folder.as_ptr()))?;
            // The keeper's death ends the first program at least; after the change of user, which undoes it.
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::c_ulong::from(libc::SIGKILL.unsigned_abs())))?;
            self.keep_only_the_text()
        }
    }

    unsafe fn limit(&self) -> io::Result<()> {
        // SAFETY: each rlimit is a local.
        unsafe {
            if let Some(bytes) = self.address_space {
                let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
                check(libc::setrlimit(libc::RLIMIT_AS, &raw const limit))?;
            }
            if let Some(threads) = self.threads {
                let limit = libc::rlimit { rlim_cur: threads, rlim_max: threads };
                check(libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit))?;
            }
            if self.humble {
                libc::nice(LOWEST_PRIORITY);
            }
            if self.mortal {
                let score = libc::open(OOM_SCORE.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                check(score)?;
                if libc::write(score, ORDINARY.as_ptr().cast(), ORDINARY.len()) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        Ok(())
    }

    unsafe fn become_user(&self) -> io::Result<()> {
        let Some(account) = &self.account else { return Ok(()) };
        // SAFETY: the list of groups is as long as said.
        unsafe {
            check(libc::setgroups(account.groups.len(), account.groups.as_ptr()))?;
            check(libc::setresgid(account.gid, account.gid, account.gid))?;
            check(libc::setresuid(account.uid, account.uid, account.uid))
        }
    }

    /// Everything but standard input, output, error and the text closes when the program starts.
    unsafe fn keep_only_the_text(&self) -> io::Result<()> {
        // SAFETY: changes descriptors of this process only.
        unsafe {
            // All of ours close by themselves; this is for what a library may have left open. Kernels before
            // 5.11 do not know it.
            libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            match self.text.as_ref().map(AsRawFd::as_raw_fd) {
                None => Ok(()),
                Some(text::DESCRIPTOR) => check(libc::fcntl(text::DESCRIPTOR, libc::F_SETFD, 0)),
                Some(other) => check(libc::dup2(other, text::DESCRIPTOR)),
            }
        }
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
