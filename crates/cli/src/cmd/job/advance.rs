//! `countersign job advance`: people have looked at the earlier waves, and the next may start.

use clap::Args;
use countersign_trust::ids::{DeviceId, Sha256, StatementId};
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::note::Note;
use countersign_trust::statement::advance::Advance;
use countersign_trust::statement::job::Job;
use countersign_trust::statement::{self, Kind};
use countersign_trust::verify::needs_people;
use countersign_wire::http::JobDevice;
use serde_json::json;

use super::ReadJob;
use crate::context::{Context, Session, random};
use crate::despite::Despite;
use crate::output::{Stop, count, plain, short};
use crate::receipts::{Outcome, outcome, verified};

/// Which wave may start, and why.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  countersign job advance 3f2a --why 'the first shops print again'
  countersign job advance 3f2a --wave 3 --why 'nothing failed since yesterday'")]
pub struct AdvanceArgs {
    /// Which job.
    job: String,
    /// Which wave may start, counted from 1 [default: the first that no device has begun].
    #[arg(long)]
    wave: Option<usize>,
    /// Why: it is signed, shown to others, and kept.
    #[arg(long)]
    why: String,
    #[command(flatten)]
    despite: Despite,
}

/// What the devices of the waves before have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// RFC 6962 root of the texts of their newest receipts, ascending by device id.
    pub root: Sha256,
    /// Ended well.
    pub well: u64,
    /// Failed or refused, with what their receipts say.
    pub failed: Vec<(DeviceId, String)>,
    /// Not heard of, not at its end, or still to run it because what they refused it for passes: they count as failed.
    pub missing: Vec<DeviceId>,
}

/// Runs it.
pub fn advance(context: &Context, args: &AdvanceArgs) -> anyhow::Result<()> {
    let session = context.open()?;
    let (read, said) = ReadJob::fetch_with_devices(&session, &args.job)?;
    let wave = wave(&session, &read, &said, args.wave)?;
    let seen = seen(&session, &read, &said, wave);
    let (chain, mine) = (&session.checked.chain, in_waves(&session, &read, wave..wave + 1).len());
    let advance = Advance {
        org: chain.org(),
        id: StatementId(random()?),
        policy: chain.policy().hash,
        resume: chain.resume(),
        job: read.hash,
        wave: u64::try_from(wave)?,
        root: seen.root,
        well: seen.well,
        failed: u64::try_from(seen.failed.len())?,
        missing: u64::try_from(seen.missing.len())?,
        why: args.why.parse().map_err(|error| Stop::Usage(format!("--why: {error}")))?,
    };
    words(&read.job, wave, &seen).iter().for_each(|line| context.ui.note(line));
    args.despite.ask(context, &session)?;
    let question = format!("Sign: wave {wave} may start on {}?", count(mine, "device", "devices"));
    if !context.ui.confirm(&question)? {
        return Err(Stop::Refused("nothing was signed".to_owned()).into());
    }
    let (text, hash) = statement::write(&advance);
    let signer = context.signer(&session.profile)?;
    let (_, view) = session.sign_and_post(&signer, Kind::Advance, text, Vec::new())?;
    let answer =
        json!({"advance": hash.to_string(), "wave": wave, "state": view.state, "missing": view.missing});
    context.ui.answer(&answer, || match view.missing.as_str() {
        "" => {
            format!("Wave {wave} of {} may start; the server says: {}", short(&read.hash), plain(&view.state))
        }
        missing => {
            let approve = format!("They run: countersign approve {}", short(&hash));
            format!("Wave {wave} waits: {}. {approve}", plain(missing))
        }
    });
    Ok(())
}

/// The wave that was asked for, or the first that no device has begun.
fn wave(session: &Session, read: &ReadJob, said: &[JobDevice], wish: Option<usize>) -> anyhow::Result<usize> {
    let waves = read.job.waves.len();
    if !needs_people(&session.checked.chain.policy().body, &read.job) {
        let what = "the waves of this job follow each other by time alone: nobody has to start them";
        return Err(Stop::Usage(what.to_owned()).into());
    }
    let begun = |wave: usize| {
        let devices = in_waves(session, read, wave..wave + 1);
        devices.iter().any(|device| {
            let ended = receipt(session, read, said, device).map(|(_, ended)| ended);
            !matches!(ended, None | Some(Outcome::Later | Outcome::Refused))
        })
    };
    let next = wish.or_else(|| (2..=waves).find(|wave| !begun(*wave)));
    match next {
        Some(wave) if (2..=waves).contains(&wave) => Ok(wave),
        Some(wave) => Err(Stop::Usage(format!("wave {wave} needs nobody; say 2 to {waves}")).into()),
        None => Err(Stop::Usage("every wave of this job has begun".to_owned()).into()),
    }
}

/// Targets in these waves, counted from 1, ascending by id.
fn in_waves(session: &Session, read: &ReadJob, waves: std::ops::Range<usize>) -> Vec<DeviceId> {
    let mine = |device: &&crate::checked::Device| {
        waves.contains(&(read.job.wave_of(&read.hash, &device.device, &device.labels) + 1))
    };
    let mut devices: Vec<DeviceId> =
        read.enrolled(session).into_iter().filter(mine).map(|device| device.device).collect();
    devices.sort_unstable();
    devices
}

/// The text of a device's newest receipt about the job and what it says, if the device signed it.
fn receipt(
    session: &Session,
    read: &ReadJob,
    said: &[JobDevice],
    id: &DeviceId,
) -> Option<(String, Outcome)> {
    let note = said.iter().find(|told| told.device == id.to_string())?.receipt.as_ref()?;
    let receipt = verified(&session.checked, id, &read.hash, note).ok()?;
    let text = note.parse::<Note>().ok()?.text().to_owned();
    Some((text, outcome(&receipt, read.job.steps.len())))
}

/// What the devices of the waves before `wave` have signed. A receipt that does not hold is none.
pub fn seen(session: &Session, read: &ReadJob, said: &[JobDevice], wave: usize) -> Seen {
    let mut tree = Tree::default();
    let (mut well, mut failed, mut missing) = (0, Vec::new(), Vec::new());
    for device in in_waves(session, read, 1..wave) {
        let Some((text, ended)) = receipt(session, read, said, &device) else {
            missing.push(device);
            continue;
        };
        tree.push(leaf_hash(text.as_bytes()));
        match ended {
            Outcome::Well => well += 1,
            // What was refused for a reason that passes may still run there, after this was signed.
            Outcome::Open | Outcome::Later => missing.push(device),
            Outcome::Refused | Outcome::Failed => failed.push((device, because(&text))),
        }
    }
    Seen { root: tree.root(), well, failed, missing }
}

fn because(text: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix("because ")).map(plain).unwrap_or_default()
}

/// What a signer should know of the waves before.
pub fn words(job: &Job, wave: usize, seen: &Seen) -> Vec<String> {
    let Seen { well, failed, missing, .. } = seen;
    let mut lines = vec![format!(
        "The waves before wave {wave} of {}: {well} ended well, {} failed, {} not heard of (verified receipts)",
        job.waves.len(),
        failed.len(),
        missing.len()
    )];
    lines.extend(failed.iter().map(|(device, why)| format!("  failed: {}: {why}", short(device))));
    lines.extend(missing.iter().map(|device| format!("  not heard of: {}", short(device))));
    lines
}
