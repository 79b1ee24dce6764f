//! What runs: started as the statement says, its output carried to the server, its end to the device.

use std::collections::BTreeMap;

use countersign_trust::device::{Ending, Input};
use countersign_trust::ids::Sha256;
use countersign_trust::ledger::StepKey;
use countersign_trust::statement::job::{self, Run, Step};
use countersign_trust::statement::policy::Policy;
use countersign_trust::verify::VerifiedJob;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Heard;
use super::output::{Output, key_of, run_id};
use crate::disk::DiskError;
use crate::disk::output::OutputFolder;
use crate::link::Sender;
use crate::os::{Limits, OsConfig, ServicePlaces};
use crate::run::script::{Body, Script, start};
use crate::run::service::{self, Guard};
use crate::run::{self, Event, How, Kill, Running};

/// All runs. Dropping it kills them.
#[derive(Debug)]
pub(super) struct Runs {
    os: OsConfig,
    link: watch::Receiver<Option<Sender>>,
    to: mpsc::Sender<Heard>,
    output: OutputFolder,
    kills: BTreeMap<StepKey, Kill>,
    carriers: JoinSet<()>,
}

impl Runs {
    /// Begins with no runs, and with what earlier lives left of output that no server has had.
    pub(super) fn new(
        os: OsConfig,
        output: OutputFolder,
        link: watch::Receiver<Option<Sender>>,
        to: mpsc::Sender<Heard>,
    ) -> Result<Self, DiskError> {
        let mut carriers = JoinSet::new();
        for (name, file) in output.left()? {
            match key_of(&name) {
                Some(key) => drop(carriers.spawn(Output::new(key, link.clone(), file).send_the_rest())),
                None => tracing::warn!(disk.file = name, "lies among output and is none"),
            }
        }
        Ok(Self { os, link, to, output, kills: BTreeMap::new(), carriers })
    }

    /// Starts a step, under what `policy` says of output and of services.
    pub(super) fn start(&mut self, job: &VerifiedJob, policy: &Policy) {
        let (key, name) = (job.key(), run_id(&job.key()));
        let file = self.output.begin(&name);
        // What was accepted runs: whoever misses the output can tell by the receipt.
        let file =
            file.inspect_err(|error| tracing::error!(job.hash = %key.job, %error, "loses a step's output"));
        let output = file.ok().map(|file| Output::new(key, self.link.clone(), file));
        let most = policy.limits.output.min(self.output.room());
        let running = match job.step() {
            Step::Script(script) => start(&translate(script, most), &name, &self.os),
            Step::Service(service) => {
                let guard = Guard { policy: policy.number, words: policy.guarded.clone() };
                service::start(service.clone(), guard, most, ServicePlaces::default())
            }
        };
        self.kills.insert(key, running.kill.clone());
        self.carriers.spawn(carry(key, running, output, self.to.clone()));
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
async fn carry(key: StepKey, mut running: Running, mut output: Option<Output>, to: mpsc::Sender<Heard>) {
    while let Some(event) = running.events.recv().await {
        match event {
            Event::Output { stream, bytes } => {
                if let Some(output) = &mut output {
                    output.take(stream, bytes).await;
                }
            }
            Event::Ended(ending) => {
                // Nobody listens any more: then the ledger will say `interrupted`.
                let _ = to.send(Heard::Input(Input::Ended(key, ended(ending)))).await;
            }
        }
    }
    if let Some(output) = output {
        output.send_the_rest().await;
    }
}

/// In the words of docs/spec/7-receipts.md.
fn ended(ending: run::Ending) -> Ending {
    let how = match &ending.how {
        How::Exit(code) => format!("exit {code}"),
        How::Signal(signal) => format!("signal {signal}"),
        How::TimedOut => "timeout".to_owned(),
        How::Killed(why) => why.clone(),
        How::Failed(why) => why.clone(),
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
