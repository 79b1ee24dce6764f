//! A script's text as a sealed file without a name: nobody can swap or change it.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The descriptor under which a script's interpreter finds the text; one for all runs, so that messages which
/// quote the path are the same on every machine. High enough for scripts that use low ones themselves.
pub(super) const DESCRIPTOR: RawFd = 99;
/// The path of [`DESCRIPTOR`].
pub(super) const PATH: &str = "/proc/self/fd/99";

const NAME: &CStr = c"script";

/// Holds `bytes`, sealed, at [`DESCRIPTOR`] if that is free. Source: memfd_create(2), fcntl(2) "File Sealing".
pub(super) fn hold(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = create()?;
    file.write_all(bytes)?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: `file` is an open memfd that allows sealing; these calls read and write no memory of ours.
    let (sealed, held) = unsafe {
        let sealed = libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals);
        (sealed, libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, DESCRIPTOR))
    };
    if held < 0 || sealed < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `held` was just made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(held) })
}

/// Where a kernel knows the flag, the file cannot be executed as a program; some are set to insist on that.
fn create() -> io::Result<File> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    memfd(flags | libc::MFD_NOEXEC_SEAL).or_else(|_| memfd(flags))
}

fn memfd(flags: libc::c_uint) -> io::Result<File> {
    // SAFETY: the name is a C string; a descriptor that comes back is ours alone.
    unsafe {
        match libc::memfd_create(NAME.as_ptr(), flags) {
            -1 => Err(io::Error::last_os_error()),
            descriptor => Ok(File::from_raw_fd(descriptor)),
        }
    }
}
