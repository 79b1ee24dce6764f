//! What the standard library does not ask of a connection: to notice that the other end is gone.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// How many probes go unanswered before a silent peer counts as gone.
const PROBES: libc::c_int = 3;

/// Ends `connection` with an error when its peer has not answered for about `within`, be it silent or be there
/// bytes that it does not take. Source: tcp(7), `TCP_KEEPIDLE` and `TCP_USER_TIMEOUT`.
pub fn notice_death(connection: BorrowedFd<'_>, within: Duration) -> io::Result<()> {
    let seconds = libc::c_int::try_from(within.as_secs()).unwrap_or(libc::c_int::MAX).max(4);
    set(connection, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set(connection, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds / 2)?;
    set(connection, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, (seconds / 2 / PROBES).max(1))?;
    set(connection, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, PROBES)?;
    set(connection, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, seconds.saturating_mul(1_000))
}

fn set(
    connection: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is borrowed for the call; `value` is as long as said and lives through it.
    let done =
        unsafe { libc::setsockopt(connection.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
