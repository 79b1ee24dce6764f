//! What the standard library does not ask a file system: how much room there is, and to hold some of it.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// Bytes that this program may still write where `file` lies. Source: fstatvfs(3).
pub fn free_bytes(file: &File) -> io::Result<u64> {
    let mut found = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the descriptor is open as long as `file` lives, the place is valid for one statvfs.
    if unsafe { libc::fstatvfs(file.as_raw_fd(), found.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstatvfs succeeded, so it has filled the place.
    let found = unsafe { found.assume_init() };
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Holds room for the bytes `from` to `until` of `file`, without making it longer.
///
/// Source: fallocate(2), `FALLOC_FL_KEEP_SIZE`. File systems that copy on write may give the room away all the same.
pub fn hold_room(file: &File, from: u64, until: u64) -> io::Result<()> {
    let offset = libc::off64_t::try_from(from).map_err(io::Error::other)?;
    let length = libc::off64_t::try_from(until.saturating_sub(from)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open as long as `file` lives; no memory is involved.
    let done = unsafe { libc::fallocate64(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, offset, length) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
