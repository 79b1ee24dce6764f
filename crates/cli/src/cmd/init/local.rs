//! A beacon and a witness on this very host, for one person who wants no ceremony.
//!
//! It is the weakest there is, and `init` says so: whoever takes this host takes all of them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// For how long a program may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts a `beacon` or a `witness` that keeps its things in `home`, and says where it answers and with which key.
///
/// One that was drawn before is started again, with its own key.
pub fn start(home: &Path, kind: &str) -> anyhow::Result<String> {
    let folder = home.join(kind);
    let config = folder.join("config.toml");
    let program = program(&format!("countersign-{kind}"))?;
    let address = folder.join("address");
    if !config.exists() {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr())?;
        let key = draw(&program, kind, &folder, &config, free)?;
        std::fs::write(&address, format!("{free} {key}\n"))
            .with_context(|| format!("cannot write {}", address.display()))?;
    }
    let text =
        std::fs::read_to_string(&address).with_context(|| format!("cannot read {}", address.display()))?;
    let damaged = || format!("{} is damaged; remove {} and begin again", address.display(), folder.display());
    let (at, key) = text.trim().split_once(' ').with_context(damaged)?;
    let at: SocketAddr = at.parse().with_context(damaged)?;
    if TcpStream::connect(at).is_err() {
        run(&program, &folder, &config)?;
        wait_for(at, kind, &folder)?;
    }
    Ok(format!("https://{at} {key}"))
}

/// The program beside this one, or else on the path.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let beside =
        std::env::current_exe().context("where this program lies is not known")?.with_file_name(name);
    if beside.exists() {
        return Ok(beside);
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.exists());
    found.with_context(|| format!("{name} is neither beside this program nor on the path; install it, or name one that runs elsewhere"))
}

fn draw(program: &Path, kind: &str, folder: &Path, config: &Path, at: SocketAddr) -> anyhow::Result<String> {
    let output = Command::new(program)
        .arg("--config")
        .arg(config)
        .args(["init", "--name", &format!("{kind}.home"), "--listen", &at.to_string(), "--data"])
        .arg(folder.join("data"))
        .output()
        .with_context(|| format!("{} could not be started", program.display()))?;
    if !output.status.success() {
        bail!("{} init: {}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn run(program: &Path, folder: &Path, config: &Path) -> anyhow::Result<()> {
    let log = std::fs::File::create(folder.join("log")).context("cannot make its log")?;
    let mut command = Command::new(program);
    command.arg("--config").arg(config).arg("run");
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    crate::os::apart(&mut command);
    command.spawn().with_context(|| format!("{} could not be started", program.display()))?;
    Ok(())
}

fn wait_for(at: SocketAddr, kind: &str, folder: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(at).is_err() {
        if Instant::now() > deadline {
            bail!("the {kind} does not listen at {at}; see {}", folder.join("log").display());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    Ok(())
}
