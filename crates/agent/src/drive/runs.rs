//! What runs: started as the statement says, its output carried to the server, its end to the device.

use std::collections::BTreeMap;
use std::time::Duration;

use countersign_trust::device::{Ending, Input};
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::StepKey;
use countersign_trust::statement::job::{self, Run, Step};
use countersign_trust::verify::VerifiedJob;
use countersign_wire::message::StepOutput;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Heard;
use crate::link::Sender;
use crate::os::{Limits, OsConfig};
use crate::run::script::{Body, Script, start};
use crate::run::{self, Event, How, Kill, Running, Stream};

/// All runs. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Runs {
    os: OsConfig,
    link: watch::Receiver<Option<Sender>>,
    to: mpsc::Sender<Heard>,
    kills: BTreeMap<StepKey, Kill>,
    carriers: JoinSet<()>,
}

impl Runs {
    pub(super) fn new(os: OsConfig, link: watch::Receiver<Option<Sender>>, to: mpsc::Sender<Heard>) -> Self {
        Self { os, link, to, kills: BTreeMap::new(), carriers: JoinSet::new() }
    }

    /// Starts a step; `output` is the most bytes of output that the policy lets a step keep.
    pub(super) fn start(&mut self, job: &VerifiedJob, output: u64) {
        let (key, Step::Script(script)) = (job.key(), job.step());
        let running = start(&translate(script, output), &run_id(&key), &self.os);
        self.kills.insert(key, running.kill.clone());
        self.carriers.spawn(carry(key, running, self.link.clone(), self.to.clone()));
    }

    pub(super) fn kill(&self, key: &StepKey, why: impl Into<String>) {
        if let Some(kill) = self.kills.get(key) {
            kill.kill(why);
        }
    }

    pub(super) fn kill_all(&self, why: &str) {
        self.kills.values().for_each(|kill| kill.kill(why));
    }

    /// Forgets a run that is over.
    pub(super) fn ended(&mut self, key: &StepKey) {
        self.kills.remove(key);
        while self.carriers.try_join_next().is_some() {}
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kills.is_empty()
    }
}

/// The name of a run, by which it is found again if the agent dies.
fn run_id(key: &StepKey) -> String {
    format!("{}-{}-{}", key.job, key.occurrence, key.step)
}

fn translate(script: &job::Script, output: u64) -> Script {
    let texts =
        |lines: &[countersign_trust::words::Line]| lines.iter().map(ToString::to_string).collect::<Vec<_>>();
    let body = match &script.run {
        Run::Program(program) => {
            let mut argv = vec![program.path.to_string()];
            argv.extend(texts(&program.arguments));
            Body::Argv(argv)
        }
        Run::Lines(lines) => Body::Lines {
            interpreter: lines.interpreter.to_string(),
            arguments: texts(&lines.arguments),
            lines: texts(&lines.lines),
        },
    };
    let environment = script.environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let (memory_mib, processes, cpu_percent) = (script.memory, script.processes, script.processor);
    Script {
        body,
        user: script.user.to_string(),
        folder: script.folder.to_string(),
        environment: environment.collect(),
        timeout_s: script.timeout,
        output_cap: script.output.min(output),
        limits: Limits { memory_mib, processes, cpu_percent },
    }
}

/// Carries a run's events until its end, and what the server has not had of its output for as long as it takes.
async fn carry(
    key: StepKey,
    mut running: Running,
    link: watch::Receiver<Option<Sender>>,
    to: mpsc::Sender<Heard>,
) {
    let mut output = Output { link, pieces: Vec::new(), sent: 0 };
    let mut offset = 0;
    while let Some(event) = running.events.recv().await {
        match event {
            Event::Output { stream, bytes } => {
                let piece = piece(key, offset, stream, bytes);
                offset += u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX);
                output.pieces.push(piece);
                output.send().await;
            }
            Event::Ended(ending) => {
                // Nobody listens any more: then the ledger will say `interrupted`.
                let _ = to.send(Heard::Input(Input::Ended(key, ended(ending)))).await;
            }
        }
    }
    output.send_the_rest().await;
}

/// The output of a run, as much as its step keeps, until a server has had it.
struct Output {
    link: watch::Receiver<Option<Sender>>,
    pieces: Vec<StepOutput>,
    sent: usize,
}

/// How long a slow server is left alone before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

impl Output {
    /// Sends what has not been sent. A new connection gets all of it: what the last one took may not have arrived.
    async fn send(&mut self) {
        if self.link.has_changed().unwrap_or(false) {
            self.sent = 0;
        }
        let Some(sender) = self.link.borrow_and_update().clone() else { return };
        while let Some(piece) = self.pieces.get(self.sent) {
            if !sender.send_output(piece.clone()).await {
                return;
            }
            self.sent += 1;
        }
    }

    /// Waits for a server that takes what is left.
    async fn send_the_rest(mut self) {
        self.send().await;
        while self.sent < self.pieces.len() && self.link.has_changed().is_ok() {
            tokio::time::sleep(AGAIN).await;
            self.send().await;
        }
    }
}

fn piece(key: StepKey, offset: u64, stream: Stream, bytes: Vec<u8>) -> StepOutput {
    let stream = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    StepOutput { job: key.job.0.to_vec(), occurrence: key.occurrence, step: key.step, stream, offset, bytes }
}

/// In the words of docs/spec/7-receipts.md.
fn ended(ending: run::Ending) -> Ending {
    let how = match &ending.how {
        How::Exit(code) => format!("exit {code}"),
        How::Signal(signal) => format!("signal {signal}"),
        How::TimedOut => "timeout".to_owned(),
        How::Killed(why) => why.clone(),
        How::NotStarted(why) => format!("not started: {why}"),
    };
    Ending {
        well: ending.how == How::Exit(0),
        how,
        output: Sha256(ending.output_sha256),
        kept: ending.output_bytes_kept,
        dropped: ending.output_bytes_dropped,
    }
}
