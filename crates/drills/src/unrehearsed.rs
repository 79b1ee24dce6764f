//! What a test could not do on this machine. It passes, since nothing is wrong; it is said once more at the end of the run, so that nobody
//! takes it for something that was seen.

use std::fs::OpenOptions;
use std::io::Write as _;

/// The variable that names the file to which such tests add a line; `cargo xtask` reads it at the end.
pub const NOT_REHEARSED: &str = "COUNTERSIGN_NOT_REHEARSED";

/// Says that this test has rehearsed nothing, and why. A test's thread bears its name.
pub fn not_rehearsed(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}, because {why}\n", thread.name().unwrap_or("a test without a name"));
    print!("not rehearsed here: {line}");
    if let Some(file) = std::env::var_os(NOT_REHEARSED) {
        OpenOptions::new().append(true).create(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
    }
}
