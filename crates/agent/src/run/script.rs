//! Runs a script or a program: within its limits, in its own environment, to the end of its whole tree.
//!
//! What the first program leaves behind when it ends is killed too: a run that is over has no programs. A
//! service that shall stay is started by the service manager, which is not part of the run.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use super::output::{Output, ended};
use super::{Event, How, Kill, Running, WAITING};
use crate::os::{self, Exit, Launch, LaunchError, Limits, OsConfig, Tree};

/// A clock that shall not overflow: 30 years.
pub(super) const LONGEST_S: u64 = 30 * 365 * 86_400;
/// How often a limit that the system does not hold is looked at.
const WATCH: Duration = Duration::from_millis(100);
/// Between two blows at a tree that is still alive.
const BETWEEN_BLOWS: Duration = Duration::from_millis(5);
/// After this, a tree that will not die (waiting in the kernel for a dead disk) is reported and left to `sweep`.
const KILL_WITHIN: Duration = Duration::from_secs(10);
/// How long the system may take to report a dead tree's end.
const BURY_WITHIN: Duration = Duration::from_secs(1);
/// How long a pipe is read after the tree has died, in case somebody outside holds its other end.
const DRAIN: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A program and its arguments, the program by its absolute path.
    Argv(Vec<String>),
    /// A text for an interpreter: started as interpreter, `arguments`, path of the text.
    ///
    /// The path leads to a file without a name. An interpreter that follows links to a name must be told not to:
    /// `node` by `--preserve-symlinks --preserve-symlinks-main`.
    Lines {
        /// Absolute path.
        interpreter: String,
        /// What stands before the path of the text.
        arguments: Vec<String>,
        /// The text: each line is followed by one LF.
        lines: Vec<String>,
    },
}

/// A script as its statement has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What to run.
    pub body: Body,
    /// An account of this machine.
    pub user: String,
    /// Absolute path of the working directory.
    pub folder: String,
    /// All of its environment, but for what is added where missing: `PATH`
    /// (`/usr/sbin:/usr/bin:/sbin:/bin`), `HOME`, `USER`, `LOGNAME`, and always [`os::RUN_MARK`].
    pub environment: BTreeMap<String, String>,
    /// Seconds until its whole tree is killed.
    pub timeout_s: u64,
    /// Bytes of standard output and error together that are kept; the rest is counted and dropped.
    pub output_cap: u64,
    /// What its tree may use.
    pub limits: Limits,
}

/// Starts `script` under the name `run_id`, which [`os::sweep`] will give back if this agent dies meanwhile.
///
/// What keeps it from starting comes as [`How::NotStarted`]. Call it in a tokio runtime, on a thread that
/// lives as long as the run: the run dies with that thread.
pub fn start(script: &Script, run_id: &str, config: &OsConfig) -> Running {
    let (events, receiver) = mpsc::channel(WAITING);
    let (kill, stop) = mpsc::channel(1);
    let started = Instant::now();
    match launch(script, run_id, config) {
        Ok(mut tree) => {
            let (stdout, stderr) = tree.output();
            let output = Output::new(stdout, stderr, events.clone(), script.output_cap);
            let deadline = started + Duration::from_secs(script.timeout_s.min(LONGEST_S));
            tokio::spawn(Run { tree, output, stop, events, started, deadline }.see_through());
        }
        Err(error) => {
            let total = Output::new(None, None, events.clone(), 0).finish();
            // The channel is empty and its reader is in our hands: there is room.
            let _ = events.try_send(ended(How::NotStarted(error.to_string()), total, started));
        }
    }
    Running { events: receiver, kill: Kill(kill) }
}

fn launch(script: &Script, run_id: &str, config: &OsConfig) -> Result<Tree, LaunchError> {
    let (program, arguments, text) = match &script.body {
        Body::Argv(argv) => {
            let (program, arguments) = argv.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
            (program, arguments, None)
        }
        Body::Lines { interpreter, arguments, lines } => {
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            (interpreter.as_str(), arguments.as_slice(), Some(text))
        }
    };
    let launch = Launch {
        run_id,
        program,
        arguments,
        text: text.as_ref().map(String::as_bytes),
        user: &script.user,
        folder: &script.folder,
        environment: &script.environment,
        limits: script.limits,
    };
    os::launch(&launch, config)
}

struct Run {
    tree: Tree,
    output: Output,
    stop: mpsc::Receiver<String>,
    events: mpsc::Sender<Event>,
    started: Instant,
    deadline: Instant,
}

impl Run {
    async fn see_through(mut self) {
        let how = self.watch().await;
        self.fell().await;
        self.output.drain(Instant::now() + DRAIN).await;
        let event = ended(how, self.output.finish(), self.started);
        // Nobody listens any more: then nobody needs it.
        let _ = self.events.send(event).await;
    }

    /// Until the first program ends, or until there is a reason to kill the tree.
    async fn watch(&mut self) -> How {
        let mut watch = interval(WATCH);
        loop {
            tokio::select! {
                biased;
                Some(reason) = self.stop.recv() => return How::Killed(reason),
                () = sleep_until(self.deadline) => return How::TimedOut,
                () = self.events.closed() => return How::Killed("nobody takes its output".to_owned()),
                exit = self.tree.wait() => return how(exit),
                _ = watch.tick(), if self.tree.is_watched() => {
                    if let Some(excess) = self.tree.excess() {
                        return How::Killed(excess);
                    }
                }
                () = self.output.step() => {}
            }
        }
    }

    /// Kills until nothing of the tree is alive.
    async fn fell(&mut self) {
        let until = Instant::now() + KILL_WITHIN;
        while !self.tree.kill() {
            if Instant::now() > until {
                tracing::error!(run.id = self.tree.run_id(), "a run's programs do not die");
                return;
            }
            sleep(BETWEEN_BLOWS).await;
        }
        // Buries the keeper, which had nobody left to keep.
        let _ = timeout(BURY_WITHIN, self.tree.wait()).await;
    }
}

fn how(exit: std::io::Result<Exit>) -> How {
    match exit {
        Ok(Exit::Code(code)) => How::Exit(code),
        Ok(Exit::Signal(signal)) => How::Signal(signal),
        Err(error) => How::Killed(format!("the agent lost sight of it: {error}")),
    }
}
