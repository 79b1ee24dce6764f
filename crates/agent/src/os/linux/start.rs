//! Starts a run's first program, under its keeper and in its control groups.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use tokio::process::{Child as Spawned, Command};

use super::cgroup::Group;
use super::child::Child;
use super::user::{Account, account, own};
use super::{OsConfig, Tree, fell, keeper, proc, text};
use crate::os::{Launch, LaunchError, Limits, RUN_MARK};

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
const ROOT: libc::uid_t = 0;
const MIB: u64 = 1024 * 1024;

/// Starts a program and holds its whole tree, known by `run_id` for ever: [`super::sweep`] finds it by that
/// name. Its standard input is empty, its standard output and error are the tree's
/// [`Tree::output`]. The tree dies with the thread that calls this.
pub fn launch(launch: &Launch<'_>, config: &OsConfig) -> Result<Tree, LaunchError> {
    check_run_id(launch.run_id)?;
    check_program(launch.program)?;
    check_folder(launch.folder)?;
    let account = check_user(launch.user)?;
    let text = launch.text.map(text::hold).transpose().map_err(LaunchError::Text)?;
    let group = config.groups.as_ref().map(|realm| realm.create(launch.run_id)).transpose();
    let confine = |source| LaunchError::Confine { run_id: launch.run_id.to_owned(), source };
    let group = group.map_err(confine)?;
    let left = group.as_ref().map_or(launch.limits, |group| group.limit(launch.limits));
    match spawn(launch, config, &account, text, group.as_ref(), left) {
        Ok(child) => Ok(Tree::new(child, launch.run_id, &config.realm, group, left.processes)),
        Err(source) => {
            if let Some(group) = group {
                fell(|| group.fell());
            }
            let (program, user, folder) = (launch.program, launch.user, launch.folder);
            let [program, user, folder] = [program, user, folder].map(str::to_owned);
            Err(LaunchError::Start { program, user, folder, source })
        }
    }
}

fn spawn(
    launch: &Launch<'_>,
    config: &OsConfig,
    account: &Account,
    text: Option<OwnedFd>,
    group: Option<&Group>,
    left: Limits,
) -> io::Result<Spawned> {
    let mut command = Command::new(launch.program);
    command.args(launch.arguments).args(text.as_ref().map(|_| text::PATH));
    command.env_clear().envs(environment(launch, config, account));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = prepare(launch, account, text, group, left)?;
    let agent = libc::pid_t::try_from(std::process::id()).map_err(io::Error::other)?;
    let turn = move || {
        // SAFETY: called between fork and exec, in a child with one thread.
        unsafe {
            keeper::keep(agent)?;
            child.turn()
        }
    };
    // SAFETY: `turn` neither allocates nor locks.
    unsafe { command.pre_exec(turn) };
    command.spawn()
}

fn prepare(
    launch: &Launch<'_>,
    account: &Account,
    text: Option<OwnedFd>,
    group: Option<&Group>,
    left: Limits,
) -> io::Result<Child> {
    let doors: Vec<File> = group.map(Group::doors).transpose()?.unwrap_or_default();
    // The kernel counts a user's threads on the whole machine, and root's not at all: for those, and against
    // other programs of the user that end meanwhile, the tree is also watched.
    let threads = (left.processes > 0 && account.uid != ROOT)
        .then(|| proc::threads_of(account.uid).saturating_add(left.processes));
    Ok(Child {
        doors,
        account: (own() == ROOT).then(|| account.clone()),
        folder: CString::new(launch.folder)?,
        text,
        address_space: (left.memory_mib > 0).then(|| left.memory_mib.saturating_mul(MIB)),
        threads,
        humble: left.cpu_percent > 0,
        mortal: proc::is_spared(),
    })
}

fn environment(launch: &Launch<'_>, config: &OsConfig, account: &Account) -> BTreeMap<String, String> {
    let (name, home) = (account.name.as_str(), account.home.as_str());
    let implied = [("PATH", PATH), ("HOME", home), ("USER", name), ("LOGNAME", name)];
    let implied = implied.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut environment = BTreeMap::from(implied);
    environment.extend(launch.environment.clone());
    environment.insert(RUN_MARK.to_owned(), format!("{}/{}", config.realm, launch.run_id));
    environment
}

fn check_run_id(run_id: &str) -> Result<(), LaunchError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=128).contains(&run_id.len()) && run_id.bytes().all(allowed) {
        return Ok(());
    }
    Err(LaunchError::RunId { run_id: run_id.chars().take(140).collect() })
}

fn check_program(program: &str) -> Result<(), LaunchError> {
    let path = program.to_owned();
    if !program.starts_with('/') {
        return Err(LaunchError::Relative { what: "program", path });
    }
    match fs::metadata(program) {
        Err(source) => Err(LaunchError::Program { path, source }),
        Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => Ok(()),
        Ok(_) => Err(LaunchError::NotExecutable { path }),
    }
}

fn check_folder(folder: &str) -> Result<(), LaunchError> {
    let path = folder.to_owned();
    if !folder.starts_with('/') {
        return Err(LaunchError::Relative { what: "folder", path });
    }
    match fs::metadata(folder) {
        Err(source) => Err(LaunchError::Folder { path, source }),
        Ok(file) if file.is_dir() => Ok(()),
        Ok(_) => Err(LaunchError::Folder { path, source: io::ErrorKind::NotADirectory.into() }),
    }
}

fn check_user(user: &str) -> Result<Account, LaunchError> {
    let account = account(user).ok_or_else(|| LaunchError::UnknownUser { user: user.to_owned() })?;
    let own = own();
    if own != ROOT && own != account.uid {
        return Err(LaunchError::OtherUser { user: user.to_owned(), uid: account.uid, own });
    }
    Ok(account)
}
