//! The keeper: a small program between the agent and the first program of a run.
//!
//! It is the agent's child, forked and never executed, and the parent of the run's first program. The kernel
//! gives it every program of the run that loses its parent, whatever that program does. It buries the dead,
//! ends as the first program ended, and kills all the rest when the first program ends, when the agent asks
//! (SIGTERM) and when the agent dies. Between fork and end it may only make calls that are safe after a fork
//! of a program with threads: no allocation, no lock. Source: signal-safety(7), PR_SET_CHILD_SUBREAPER(2const).

use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;

use super::proc;

const ON: libc::c_ulong = 1;
/// Between two blows at children that are still alive, in nanoseconds.
const BETWEEN_BLOWS: libc::c_long = 5_000_000;

/// Forks once more: returns in the run's first program only, and keeps it in the process it was called in.
///
/// # Safety
/// Must be called between fork and exec, in a child of `agent`, with one thread.
pub(super) unsafe fn keep(agent: libc::pid_t) -> io::Result<()> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: every pointer is to a local; no call here allocates or locks.
    unsafe {
        if libc::prctl(libc::PR_SET_CHILD_SUBREAPER, ON) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::c_ulong::from(libc::SIGTERM.unsigned_abs()));
        if libc::getppid() != agent {
            libc::_exit(0);
        }
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
                Ok(())
            }
            first => {
                withdraw();
                end_as(watch(first, &*all.as_ptr()))
            }
        }
    }
}

/// Lets go of everything the agent has open: its pipes must end when the run does.
unsafe fn withdraw() {
    // SAFETY: closes and renames only; nothing of the agent's memory is used any more.
    unsafe {
        if libc::syscall(libc::SYS_close_range, 0_u32, u32::MAX, 0_u32) < 0 {
            // A kernel before 5.9.
            let last = libc::c_int::try_from(libc::sysconf(libc::_SC_OPEN_MAX)).unwrap_or(1024);
            (0..last.clamp(1024, 65_536)).for_each(|descriptor| {
                libc::close(descriptor);
            });
        }
        libc::chdir(c"/".as_ptr());
        libc::prctl(libc::PR_SET_NAME, c"countersign-run".as_ptr());
    }
}

/// Buries until nobody is left; gives how `first` ended.
unsafe fn watch(first: libc::pid_t, signals: &libc::sigset_t) -> libc::c_int {
    let (mut status, mut killing) = (0, false);
    loop {
        let mut now = 0;
        // SAFETY: every pointer is to a local; the signals waited for are blocked.
        unsafe {
            match libc::waitpid(-1, &raw mut now, libc::WNOHANG | libc::__WALL) {
                -1 => return status,
                0 if killing => {
                    kill_children();
                    let pause = libc::timespec { tv_sec: 0, tv_nsec: BETWEEN_BLOWS };
                    libc::sigtimedwait(signals, ptr::null_mut(), &raw const pause);
                }
                0 => killing = libc::sigwaitinfo(signals, ptr::null_mut()) == libc::SIGTERM,
                dead if dead == first => (status, killing) = (now, true),
                _ => {}
            }
        }
    }
}

/// Kills every child; their children become ours, and are next. Their numbers cannot be taken by others
/// meanwhile: only we bury them. Source: proc_pid_task(5), `children`: numbers, each followed by a space.
unsafe fn kill_children() {
    let mut buffer = [0_u8; 4096];
    // SAFETY: the path is a C string, the buffer as long as said.
    let count = unsafe {
        let file = libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return;
        }
        let count = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(file);
        usize::try_from(count).unwrap_or(0)
    };
    let (mut pid, mut last) = (0, None);
    for byte in buffer.iter().take(count) {
        match byte {
            b'0'..=b'9' => pid = libc::pid_t::from(byte - b'0').wrapping_add(10_i32.wrapping_mul(pid)),
            // A number at the end of a full buffer has no space yet and may be a part: it is left out.
            _ => last = kill_child(mem::take(&mut pid), last),
        }
    }
}

/// Kills a child and its group, unless that is the `last` one killed; gives that group.
fn kill_child(pid: libc::pid_t, last: Option<libc::pid_t>) -> Option<libc::pid_t> {
    let group = proc::group_of(pid);
    if group != last {
        group.into_iter().for_each(proc::kill_group);
    }
    proc::kill(pid);
    group
}

/// Ends the keeper as the run's first program ended, so that its parent sees the same.
unsafe fn end_as(status: libc::c_int) -> ! {
    // SAFETY: signal calls on this process, which has one thread, and its end.
    unsafe {
        if libc::WIFSIGNALED(status) {
            let signal = libc::WTERMSIG(status);
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
            libc::signal(signal, libc::SIG_DFL);
            let mut only = MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(only.as_mut_ptr());
            libc::sigaddset(only.as_mut_ptr(), signal);
            libc::kill(libc::getpid(), signal);
            libc::sigprocmask(libc::SIG_UNBLOCK, only.as_ptr(), ptr::null_mut());
        }
        libc::_exit(libc::WEXITSTATUS(status))
    }
}
