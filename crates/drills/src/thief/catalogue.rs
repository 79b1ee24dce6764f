//! Every way in which the thief bends a good job, what he needs for it, and the one rule that is left to refuse it.

mod clears;
mod history;
mod logs;
mod signatures;
mod targets;
mod texts;
mod times;

use countersign_thief::forge::StolenLog;
use countersign_trust::chain::Chain;
use countersign_trust::checkpoint::Proof;
use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::{News, TargetProof};
use countersign_trust::envelope::{Logged, Signed};
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_trust::note::NoteSigner;
use countersign_trust::sshsig::SshSigner;
use countersign_trust::statement::Kind;
use countersign_trust::statement::job::{Job, Lines, Run, Script, Step};
use countersign_trust::time::Time;

use crate::organization::{sign, sign_text};
use crate::rehearsal::chance::Chance;

/// On which machine something is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// A till, for which one approval is enough.
    Till,
    /// A till that no job is for.
    Outside,
    /// A till that has just started and holds no Clears: its beacons cannot be reached.
    Deaf,
    /// A machine on which two must approve.
    Vault,
    /// A machine on which nothing may run at this hour.
    Night,
    /// A machine of which the hours are all others. Nothing is bent here: it has the twin of [`On::Night`].
    Day,
    /// A machine for which security keys must be touched.
    Guarded,
    /// A machine for which a job needs two waves.
    Waved,
    /// A machine for which only Cia may ask.
    Board,
    /// A machine that no rule speaks of.
    Lonely,
    /// A till of its own, on which a version is halted.
    Stopped,
}

/// One way to bend a good job. Its unbent twin is the job it was bent from.
pub struct Mutation {
    /// Its name.
    pub name: &'static str,
    /// What the thief has for it besides the server and what went through it.
    pub has: &'static str,
    /// Where it is tried.
    pub on: On,
    /// The code of the refusal.
    pub code: &'static str,
    /// What stands in the sentence.
    pub says: &'static str,
    /// The statement and its signatures, before the thief logs it.
    pub sign: fn(&mut Bench<'_>) -> Signed,
    /// What he does to the delivery after that.
    pub bend: fn(&mut Bench<'_>, &mut Parcel),
}

/// Nothing.
pub const NOTHING: &str = "";
/// What people signed, once or by mistake.
pub const SIGNED: &str = "what people signed";
/// Bo's key.
pub const OPERATOR: &str = "an operator's key";
/// The key of the fourth witness.
pub const WITNESS: &str = "a witness's key";
/// The key of the fourth beacon.
pub const BEACON: &str = "a beacon's key";

/// What the thief found, and does not change.
pub struct Found {
    /// Policies, resumes and halts.
    pub chain: Chain,
    /// The server's own halt key.
    pub server: SshSigner,
    /// The key of the fourth witness.
    pub witness: NoteSigner,
    /// The key of the fourth beacon.
    pub beacon: NoteSigner,
    /// The time.
    pub now: Time,
    /// A job that was halted.
    pub halted: Job,
    /// What a bent script would do.
    pub mark: String,
    /// What the halted script does.
    pub halted_line: String,
}

/// What lies before the thief while he bends one delivery.
pub struct Bench<'a> {
    /// What he found.
    pub found: &'a Found,
    /// The log in his hands.
    pub log: &'a StolenLog<'a>,
    /// The good job.
    pub good: &'a Job,
    /// A job that ran on this machine.
    pub ran: &'a Signed,
    /// Chance, by the drill's seed.
    pub chance: &'a mut Chance,
    /// The machine.
    pub me: DeviceId,
    /// Clears of all four beacons for the machine's challenge; none before it is logged.
    pub clears: &'a [AnsweredClear],
    /// Clears for the challenge that it had before it was started again, if it was.
    pub stale_clears: &'a [AnsweredClear],
    /// Clears for another's challenge.
    pub others_clears: &'a [AnsweredClear],
    /// Every target's place.
    pub targets: &'a [TargetProof],
}

/// A delivery on its way.
pub struct Parcel {
    /// The job.
    pub job: Logged,
    /// The text to bring instead of the job's own.
    pub text: Option<String>,
    /// Policies, resumes and halts.
    pub news: Vec<News>,
    /// Clears.
    pub clears: Vec<AnsweredClear>,
    /// The machine's place.
    pub target: Option<TargetProof>,
}

impl Bench<'_> {
    /// The good job with another id, changed, and signed by these: people really signed that.
    pub fn past(&mut self, keys: &[&str], change: impl FnOnce(&mut Job, &mut Chance)) -> Signed {
        let mut job = self.fresh();
        change(&mut job, self.chance);
        sign(&job, keys)
    }

    /// The good job with another id.
    pub fn fresh(&mut self) -> Job {
        let mut job = self.good.clone();
        job.id.0.copy_from_slice(&self.chance.bytes()[..16]);
        job
    }

    /// The good job's signatures under a changed text.
    pub fn swapped(&mut self, change: impl FnOnce(&mut Job, &mut Chance, &Found)) -> Signed {
        let mut job = self.good.clone();
        change(&mut job, self.chance, self.found);
        let text = countersign_trust::statement::write(&job).0;
        assert_ne!(text, self.text(), "nothing was bent");
        Signed::new(text, self.good_signed().signatures().to_vec()).unwrap()
    }

    /// The good job, signed by Anna and Bo.
    pub fn good_signed(&self) -> Signed {
        sign(self.good, &["anna", "bo"])
    }

    /// The good job's text.
    pub fn text(&self) -> String {
        countersign_trust::statement::write(self.good).0
    }

    /// A text that people signed without looking.
    pub fn careless(&mut self, change: impl FnOnce(String, &mut Chance) -> String) -> Signed {
        let text = countersign_trust::statement::write(&self.fresh()).0;
        let changed = change(text.clone(), self.chance);
        assert_ne!(text, changed, "nothing was bent");
        sign_text(changed, Kind::Job, &["anna", "bo"])
    }
}

impl Parcel {
    /// Its proof, to be bent.
    pub fn proof(&mut self) -> &mut Proof {
        &mut self.job.proof
    }
}

/// The job as it is.
pub fn good(bench: &mut Bench<'_>) -> Signed {
    bench.good_signed()
}

/// A new good job, logged for this delivery alone.
pub fn another(bench: &mut Bench<'_>) -> Signed {
    bench.past(&["anna", "bo"], |_, _| ())
}

/// The delivery as it is.
pub fn untouched(_: &mut Bench<'_>, _: &mut Parcel) {}

/// The first step's script.
pub fn script(job: &mut Job) -> &mut Script {
    let Step::Script(script) = &mut job.steps[0] else { panic!("a job without a script") };
    script
}

/// Its lines.
pub fn lines(job: &mut Job) -> &mut Lines {
    let Run::Lines(lines) = &mut script(job).run else { panic!("a script without lines") };
    lines
}

/// A hash that nothing has.
pub fn nobody(chance: &mut Chance) -> Sha256 {
    Sha256(chance.bytes())
}

/// All of them.
pub fn all() -> Vec<Mutation> {
    let parts = [
        signatures::mutations(),
        texts::mutations(),
        times::mutations(),
        history::mutations(),
        logs::mutations(),
        targets::mutations(),
        clears::mutations(),
    ];
    parts.into_iter().flatten().collect()
}

/// A row of the table. What is signed comes first, what is done to the delivery after it.
pub fn row(
    (name, has): (&'static str, &'static str),
    on: On,
    (code, says): (&'static str, &'static str),
    sign: fn(&mut Bench<'_>) -> Signed,
    bend: fn(&mut Bench<'_>, &mut Parcel),
) -> Mutation {
    Mutation { name, has, on, code, says, sign, bend }
}
