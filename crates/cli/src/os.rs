//! Differences between systems: private files and the way to the ssh-agent.

use std::io::{self, Read, Write};
use std::path::Path;

/// A connection to an ssh-agent.
pub trait AgentStream: Read + Write {}
impl<T: Read + Write> AgentStream for T {}

/// Connects to the ssh-agent at `path`: a socket, on Windows a pipe.
#[cfg(unix)]
pub fn connect_agent(path: &Path) -> io::Result<Box<dyn AgentStream>> {
    Ok(Box::new(std::os::unix::net::UnixStream::connect(path)?))
}

/// Connects to the ssh-agent at `path`: a socket, on Windows a pipe.
#[cfg(not(unix))]
pub fn connect_agent(path: &Path) -> io::Result<Box<dyn AgentStream>> {
    Ok(Box::new(std::fs::OpenOptions::new().read(true).write(true).open(path)?))
}

/// Has a program go on when the terminal it was started from is gone.
pub fn apart(command: &mut std::process::Command) {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
}

/// Replaces `path` in one step by a file that only its owner may read.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    create_private_folder(path.parent().unwrap_or(Path::new(".")))?;
    replace(path, bytes, 0o600)
}

/// Replaces `path` in one step by a file that everybody may read: a web server serves it. The folder must be there.
pub fn write_public(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o644)
}

#[cfg_attr(not(unix), expect(unused_variables, reason = "who may read a file is said otherwise there"))]
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = folder.join(name);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}

#[cfg(unix)]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_private_file_can_be_read_by_its_owner_only_and_is_replaced_whole() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/token");
        write_private(&path, b"longer than the next").unwrap();
        write_private(&path, b"next").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"next");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path().join("a")).unwrap().count(), 1);
    }
}
