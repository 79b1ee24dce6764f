//! One simulated machine: a real device, and steps that only take time.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use countersign_agent::drive::{VERSION, hello};
use countersign_agent::enroll::device_signer;
use countersign_agent::os::BootReading;
use countersign_trust::chain::Chain;
use countersign_trust::delivery::News;
use countersign_trust::device::{Device, Ending, Input, Moment, Output};
use countersign_trust::ids::{DeviceId, Name, Sha256};
use countersign_trust::ledger::{Ledger, LedgerError, Record, StepKey};
use countersign_trust::note::VerifierKeyError;
use countersign_trust::statement::job::{Lines, Run as Runs, Script, Step};
use countersign_trust::time::Reading;
use countersign_wire::frame::encode;
use countersign_wire::message::{Challenge, FromAgent, Hello, Receipt, StepOutput, from_agent};
use tokio::time::Instant;

use crate::cast::Machine;
use crate::swarm::{Conduct, Counts};

/// The most bytes of output in one piece.
const PIECE: usize = 16 * 1024;

/// Why a machine cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The device made a record it does not take: a bug.
    #[error("the device contradicts itself: {0}")]
    Ledger(#[from] LedgerError),
    /// Its seed makes no key.
    #[error(transparent)]
    Key(#[from] VerifierKeyError),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// A machine that is enrolled.
#[derive(Debug)]
pub struct Agent {
    device: Device,
    machine: Machine,
    runs: Vec<Run>,
    /// A challenge that the device wants beacons to be asked with.
    question: Option<[u8; 32]>,
    /// The name of its last Hello; 0 before the first.
    hello: u64,
}

/// A step that takes time.
#[derive(Debug)]
struct Run {
    key: StepKey,
    ends: Instant,
    how: Option<String>,
}

impl Agent {
    /// The machine with what it remembers. It has come up.
    ///
    /// # Errors
    /// Its seed makes no key.
    pub fn new(machine: Machine, ledger: Ledger, conduct: &Conduct) -> Result<Self, AgentError> {
        let device = Device::new(ledger, device_signer(&machine.seed)?, VERSION.to_owned());
        let mut agent = Self { device, machine, runs: Vec::new(), question: None, hello: 0 };
        let started = agent.device.handle(Input::Started, moment(conduct)?)?;
        agent.question = started.iter().find_map(|output| match output {
            Output::AskBeacons(challenge) => Some(*challenge),
            _ => None,
        });
        Ok(agent)
    }

    /// What it says first on a connection.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn hello(&mut self) -> Result<Vec<u8>, AgentError> {
        let labels = self.device.ledger().enrolled().map(|enrolled| &enrolled.labels);
        let label = |name| labels.and_then(|labels| labels.iter().find(|(key, _)| key.as_str() == name));
        let value = |name| label(name).map(|(_, value): (&Name, &Name)| value.as_str());
        let hostname = self.machine.hostname(value("site"), value("kind"));
        let said = hello(self.device.ledger(), hostname, self.machine.system.clone());
        let hello = Hello { name: getrandom::u64()?, before: self.hello, ..said };
        self.hello = hello.name;
        Ok(frame(from_agent::What::Hello(hello)))
    }

    /// Has the device hear something; what it wants sent is added to `frames`.
    ///
    /// # Errors
    /// The device contradicts itself, or there are no random numbers.
    pub fn hear(
        &mut self,
        input: Input,
        conduct: &Conduct,
        counts: &Counts,
        frames: &mut Vec<u8>,
    ) -> Result<(), AgentError> {
        let delivered = matches!(input, Input::Delivered(_));
        let began = Instant::now();
        let outputs = self.device.handle(input, moment(conduct)?)?;
        if delivered {
            counts.delivered.fetch_add(1, Relaxed);
            counts.judged_us.fetch_add(micros(began.elapsed()), Relaxed);
        }
        outputs.into_iter().for_each(|output| self.act(output, conduct, counts, frames));
        Ok(())
    }

    fn act(&mut self, output: Output, conduct: &Conduct, counts: &Counts, frames: &mut Vec<u8>) {
        match output {
            // The ledger in memory is all the disk there is: what would be written down here is.
            Output::Persist(records) => records.iter().for_each(|record| count(record, counts)),
            Output::LeaveChallenge(random) => {
                frames.extend(frame(from_agent::What::Challenge(Challenge { random: random.to_vec() })));
            }
            Output::SendReceipt(note) => {
                counts.receipts.fetch_add(1, Relaxed);
                frames.extend(frame(from_agent::What::Receipt(Receipt { note: note.to_string() })));
            }
            Output::AskBeacons(challenge) => self.question = Some(challenge),
            Output::Run(job) => {
                counts.ran.fetch_add(1, Relaxed);
                counts.starts.note();
                let half = conduct.takes / 2;
                let takes = sleeps(job.step()).unwrap_or_else(|| half + self.machine.share_of(half));
                let ends = Instant::now() + takes;
                self.runs.push(Run { key: job.key(), ends, how: None });
            }
            Output::Keep(_) => {}
            Output::Kill(key, refusal) => {
                for run in self.runs.iter_mut().filter(|run| run.key == key) {
                    (run.ends, run.how) = (Instant::now(), Some(refusal.to_string()));
                }
            }
        }
    }

    /// Ends the steps whose time has come.
    ///
    /// # Errors
    /// As [`Agent::hear`].
    pub fn end_runs(
        &mut self,
        conduct: &Conduct,
        counts: &Counts,
        frames: &mut Vec<u8>,
    ) -> Result<(), AgentError> {
        // The end of a step may be the beginning of the next, which may end as soon.
        while let Some(at) = self.runs.iter().position(|run| run.ends <= Instant::now()) {
            let Run { key, how, .. } = self.runs.swap_remove(at);
            let said = conduct.says.clone().unwrap_or_else(|| format!("{}\n", self.machine.system));
            pieces(key, said.as_bytes(), frames);
            let ending = Ending {
                well: how.is_none(),
                how: how.unwrap_or_else(|| "exit 0".to_owned()),
                output: Sha256::of(said.as_bytes()),
                kept: u64::try_from(said.len()).unwrap_or(u64::MAX),
                dropped: 0,
            };
            self.hear(Input::Ended(key, ending), conduct, counts, frames)?;
        }
        Ok(())
    }

    /// When the next step comes to its end.
    pub fn next_end(&self) -> Option<Instant> {
        self.runs.iter().map(|run| run.ends).min()
    }

    /// The challenge that beacons are to be asked with, once.
    pub fn take_question(&mut self) -> Option<[u8; 32]> {
        self.question.take()
    }

    /// What its organization has decided, as far as it knows.
    pub fn chain(&self) -> Option<&Chain> {
        self.device.ledger().chain()
    }

    /// How many of its receipts nobody has acknowledged.
    pub fn spooled(&self) -> usize {
        self.device.ledger().spooled()
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }
}

/// The id of a machine's device.
///
/// # Errors
/// Its seed makes no key.
pub fn device_of(machine: &Machine) -> Result<DeviceId, VerifierKeyError> {
    Ok(DeviceId::of_key(device_signer(&machine.seed)?.verifier().raw()))
}

fn count(record: &Record, counts: &Counts) {
    match record {
        Record::News(News::Halt(_)) => counts.halts.note(),
        Record::News(News::Resume(_)) => counts.resumes.note(),
        _ => {}
    }
}

fn pieces(key: StepKey, said: &[u8], frames: &mut Vec<u8>) {
    let mut offset = 0;
    for bytes in said.chunks(PIECE) {
        let StepKey { job, occurrence, step } = key;
        let piece =
            StepOutput { job: job.0.to_vec(), occurrence, step, stream: 1, offset, bytes: bytes.to_vec() };
        frames.extend(frame(from_agent::What::Output(piece)));
        offset += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    }
}

fn frame(what: from_agent::What) -> Vec<u8> {
    encode(&FromAgent { what: Some(what) })
}

/// How long a script takes by its own word: one whose first line is `sleep SECONDS`.
fn sleeps(step: &Step) -> Option<Duration> {
    let Step::Script(Script { run: Runs::Lines(Lines { lines, .. }), .. }) = step else { return None };
    lines.first()?.as_str().strip_prefix("sleep ")?.parse().ok().map(Duration::from_secs)
}

fn moment(conduct: &Conduct) -> Result<Moment, getrandom::Error> {
    let BootReading { boot_ms, wall_ms } = (conduct.clock)();
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(Moment { now: Reading { boot_ms, wall_ms }, random })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
