//! `cargo xtask install`: what the tests need from outside Cargo, installed where it is missing.
//!
//! The tests talk to the real thing: OpenSSH's `ssh-keygen` and `ssh-agent`, PostgreSQL's `initdb` and
//! `postgres`, a Python that has `cryptography` as a second opinion on bytes, systemd with its bus, which a
//! drill boots in namespaces, and FUSE for disks that forget.

use crate::shell::{output, run as shell_run, succeeds};
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program the tests start, and the Debian package that brings it.
struct Tool {
    program: &'static str,
    package: &'static str,
}

const TOOLS: [Tool; 8] = [
    Tool { program: "ssh-keygen", package: "openssh-client" },
    Tool { program: "ssh-agent", package: "openssh-client" },
    Tool { program: "initdb", package: "postgresql" },
    Tool { program: "postgres", package: "postgresql" },
    Tool { program: "python3", package: "python3-venv" },
    Tool { program: "systemd-analyze", package: "systemd" },
    Tool { program: "dbus-daemon", package: "dbus" },
    Tool { program: "fusermount3", package: "fuse3" },
];

/// Debian keeps PostgreSQL's programs out of `PATH`, in a folder for each version.
const POSTGRES: &str = "/usr/lib/postgresql";

/// Installs what is missing, as root on Debian; elsewhere says in one sentence what to install.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let packages = missing_packages(&search_path());
    if !packages.is_empty() {
        apt_get(&packages)?;
        let still = missing_packages(&search_path());
        if !still.is_empty() {
            bail!("{} installed, and its programs are still not found", still.join(" "));
        }
    }
    python_packages(root)
}

/// The folders where a program may be: `PATH`, and every version of PostgreSQL.
fn search_path() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    if let Ok(versions) = std::fs::read_dir(POSTGRES) {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders
}

/// The packages of the programs that stand in none of the folders, each once.
fn missing_packages(folders: &[PathBuf]) -> Vec<&'static str> {
    let is_missing = |tool: &&Tool| !folders.iter().any(|folder| folder.join(tool.program).is_file());
    let mut packages: Vec<_> = TOOLS.iter().filter(is_missing).map(|tool| tool.package).collect();
    packages.dedup();
    packages
}

fn apt_get(packages: &[&str]) -> anyhow::Result<()> {
    if !is_root() || !succeeds(Command::new("apt-get").arg("--version")) {
        bail!("the tests need {0}: `sudo apt-get install {0}`, or your system's own", packages.join(" "));
    }
    println!("installing {}", packages.join(" "));
    let mut update = Command::new("apt-get");
    shell_run(update.args(["update", "--quiet=2"]))?;
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    shell_run(install.args(["install", "--yes", "--quiet=2", "--no-install-recommends"]).args(packages))
}

fn is_root() -> bool {
    output(Command::new("id").arg("-u")).is_ok_and(|uid| uid.trim() == "0")
}

/// Makes `target/venv` hold what `requirements.txt` names. A copy of the list inside says what it holds.
fn python_packages(root: &Path) -> anyhow::Result<()> {
    let wanted = root.join("crates/xtask/requirements.txt");
    let wanted = std::fs::read_to_string(&wanted).with_context(|| format!("{}", wanted.display()))?;
    let venv = root.join("target/venv");
    let python = venv.join("bin/python3");
    let held = venv.join("requirements.txt");
    if std::fs::read_to_string(&held).is_ok_and(|text| text == wanted) && works(&python) {
        return Ok(());
    }
    println!("installing Python packages into target/venv");
    make_venv(&venv)?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    let requirements = root.join("crates/xtask/requirements.txt");
    shell_run(Command::new(&python).args(pip).arg(&requirements))?;
    if !works(&python) {
        bail!("{} was made, and `import cryptography` fails in it", venv.display());
    }
    std::fs::copy(&requirements, &held).with_context(|| format!("{}", held.display()))?;
    Ok(())
}

fn works(python: &Path) -> bool {
    succeeds(Command::new(python).args(["-c", "import cryptography.hazmat.primitives.asymmetric.ed25519"]))
}

/// Debian's `python3` comes without the part that makes a venv; then that part is installed and used.
fn make_venv(venv: &Path) -> anyhow::Result<()> {
    let make = ["-m", "venv", "--clear"];
    if succeeds(Command::new("python3").args(make).arg(venv)) {
        return Ok(());
    }
    apt_get(&["python3-venv"])?;
    let debian = Path::new("/usr/bin/python3");
    shell_run(Command::new(debian).args(make).arg(venv))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(programs: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for program in programs {
            std::fs::write(folder.path().join(program), "").unwrap();
        }
        folder
    }

    #[test]
    fn each_missing_package_is_named_once() {
        let empty = folder_with(&[]);
        let packages = missing_packages(&[empty.path().to_path_buf()]);
        assert_eq!(packages, ["openssh-client", "postgresql", "python3-venv", "systemd", "dbus", "fuse3"]);
    }

    #[test]
    fn programs_may_stand_in_different_folders() {
        let system = ["ssh-keygen", "ssh-agent", "python3", "systemd-analyze", "dbus-daemon", "fusermount3"];
        let system = folder_with(&system);
        let postgres = folder_with(&["initdb", "postgres"]);
        let folders = [system.path().to_path_buf(), postgres.path().to_path_buf()];
        assert_eq!(missing_packages(&folders), Vec::<&str>::new());
        assert_eq!(missing_packages(&[system.path().to_path_buf()]), ["postgresql"]);
    }
}
