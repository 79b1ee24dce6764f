//! A machine that was booted by a real systemd, in namespaces of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use countersign_drills::part::until;
use countersign_drills::world::me;

const BOOT: &str = include_str!("boot.sh");

/// A booted machine. Dropping it ends everything in it.
pub struct Booted {
    shell: Child,
    init: String,
    folder: PathBuf,
    name: String,
}

/// Why no machine can be booted here; nothing if one can.
pub fn lacks() -> Option<&'static str> {
    let missing = !Path::new("/lib/systemd/systemd").exists() || !Path::new("/usr/bin/dbus-daemon").exists();
    match (me() == "root", missing) {
        (false, _) => Some("only root can boot a machine"),
        (true, true) => Some("systemd and dbus are not installed: `cargo xtask install` says how"),
        (true, false) => None,
    }
}

impl Booted {
    /// Boots with what lies in `folder/files` laid over this machine's root, and waits for `drill.target`.
    pub fn boot(folder: &Path) -> Self {
        let script = folder.join("boot.sh");
        fs::write(&script, BOOT).unwrap();
        let name = format!("countersign-drill-{}", std::process::id());
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh"]).arg(script).arg(folder).arg(&name).stdin(Stdio::null());
        let shell = command.spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", shell.id());
        let mut machine = Self { shell, init: String::new(), folder: folder.to_owned(), name };
        machine.init = until("systemd is PID 1", || {
            let child = fs::read_to_string(&children).ok()?.trim().to_owned();
            let program = fs::read_link(format!("/proc/{child}/exe")).ok()?;
            program.ends_with("systemd/systemd").then_some(child)
        });
        until("the machine is up", || {
            (machine.systemctl(&["is-active", "drill.target"]) == "active").then_some(())
        });
        machine
    }

    /// What a program in the machine says, its complaints after it.
    pub fn tell(&self, program: &[&str]) -> String {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init, "--mount", "--pid", "--uts", "--ipc", "--cgroup"])
            .args(program);
        let said = command.output().unwrap();
        [said.stdout, said.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).concat()
    }

    /// The machine's own `systemctl`.
    pub fn systemctl(&self, arguments: &[&str]) -> String {
        self.tell(&[&["systemctl", "--no-pager"], arguments].concat())
    }

    /// The number of a service's main process; 0 is none.
    pub fn pid(&self, unit: &str) -> u32 {
        self.systemctl(&["show", "--property=MainPID", "--value", unit]).parse().unwrap()
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        let _gone = self.shell.kill();
        self.shell.wait().unwrap();
        // With its PID 1 everything in it has died; what is left is a folder of empty control groups.
        let sweep =
            "mount -t cgroup2 cgroup2 \"$1/files\" && find \"$1/files/$2\" -depth -type d -exec rmdir {} +";
        let gone = || -> io::Result<bool> {
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-c", sweep, "sh"]).arg(&self.folder).arg(&self.name);
            Ok(command.stderr(Stdio::null()).status()?.success())
        };
        until("the control groups are gone", || gone().is_ok_and(|gone| gone).then_some(()));
    }
}
