//! What is at a path, found without following a link, without waiting and without opening anything but a plain file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::os::Found;

/// Finds what is at `path`. Opening a pipe could wait for ever, and opening a device is doing something: so the place is taken hold of
/// first, which opens nothing, and what is held is opened only if it is a plain file that lies there, and not where a link leads.
///
/// Source: open(2), `O_PATH`; proc_pid_fd(5).
///
/// # Errors
/// It cannot be said at the moment: the system is short of something, or the file system has a fault.
pub fn find(path: &Path) -> io::Result<Found> {
    // `//` and a `/` at the end mean nothing.
    let path: PathBuf = path.components().collect();
    let held = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(&path);
    let held = match held {
        Ok(held) => held,
        Err(error) => return refused(error),
    };
    let about = held.metadata()?;
    let kind = about.file_type();
    if about.nlink() == 0 {
        return Ok(Found::Absent);
    }
    let way = format!("/proc/self/fd/{}", held.as_raw_fd());
    if kind.is_symlink() || fs::read_link(&way).map_err(io::Error::other)? != path {
        return Ok(Found::Link);
    }
    if kind.is_dir() {
        return Ok(Found::Folder);
    }
    if !kind.is_file() {
        return Ok(Found::Other);
    }
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&way);
    opened.map(|file: File| Found::File { size: about.len(), file }).or_else(refused)
}

fn refused(error: io::Error) -> io::Result<Found> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Found::Absent),
        io::ErrorKind::PermissionDenied => Ok(Found::Unreadable),
        _ if error.raw_os_error() == Some(libc::ELOOP) => Ok(Found::Link),
        _ => Err(error),
    }
}
