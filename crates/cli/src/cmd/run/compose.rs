//! A job from what was typed, on devices that were verified.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use countersign_trust::ids::StatementId;
use countersign_trust::merkle::{Tree, leaf_hash};
use countersign_trust::statement;
use countersign_trust::statement::job::{
    ALL, Job, Lines, OnHalt, Program, Run, Script, Step, TargetLabels, TargetList, Targets,
};
use countersign_trust::words::{Line, Variable, WordsError};

use super::{RunArgs, Wish};
use crate::checked::{Checked, Device};
use crate::context::{Context, Session, random};
use crate::output::{Stop, plain};

/// How far back a job's life begins: clocks differ, and a device must not wait for the author's.
const BACK_S: u64 = 120;
/// What part of a job in waves may fail if nobody says, in hundredths of a percent: who wants waves wants to stop between them.
const USUAL_HALT_ABOVE: u64 = 1_000;
/// How many ids are tried for a first wave that is not empty.
const MOST_IDS: usize = 200;

/// The devices that were asked for, sorted by id; at least one.
pub fn choose<'a>(checked: &'a Checked, wish: &Wish) -> anyhow::Result<Vec<&'a Device>> {
    let enrolled = &checked.devices.enrolled;
    let mut chosen: Vec<&Device> = if wish.all {
        enrolled.values().collect()
    } else if !wish.devices.is_empty() {
        wish.devices.iter().map(|id| checked.devices.named(id)).collect::<Result<_, _>>()?
    } else if !wish.on.is_empty() {
        let carries =
            |device: &&Device| wish.on.iter().all(|(key, value)| device.labels.get(key) == Some(value));
        enrolled.values().filter(carries).collect()
    } else {
        return Err(
            Stop::Usage("say on which devices: --on label=value, --device id or --all".to_owned()).into()
        );
    };
    chosen.sort_by_key(|device| device.device);
    chosen.dedup_by_key(|device| device.device);
    if chosen.is_empty() {
        let wanted: Vec<String> = wish.on.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let what = match wanted.as_slice() {
            [] => "no device is enrolled yet; make a token with `countersign enroll token`".to_owned(),
            wanted => format!("no enrolled device carries {}", wanted.join(" and ")),
        };
        return Err(Stop::Usage(what).into());
    }
    Ok(chosen)
}

/// Count and root of the ids of `devices`, which are sorted.
pub fn target_list(devices: &[&Device]) -> TargetList {
    let tree: Tree = devices.iter().map(|device| leaf_hash(&device.device.0)).collect();
    TargetList { count: tree.size(), root: tree.root() }
}

/// The job that `wish` asks for.
pub fn job(
    context: &Context,
    session: &Session,
    wish: &Wish,
    steps: Vec<Step>,
    devices: &[&Device],
) -> anyhow::Result<Job> {
    let chain = &session.checked.chain;
    let policy = chain.policy();
    let not_before = context.now.plus(wish.delay);
    let not_before = if wish.delay == 0 {
        countersign_trust::time::Time(not_before.0.saturating_sub(BACK_S))
    } else {
        not_before
    };
    let on_halt = if wish.finish_on_halt { OnHalt::Finish } else { OnHalt::Kill };
    let mut job = Job {
        org: chain.org(),
        id: StatementId(random()?),
        requester: session.profile.me.clone(),
        policy: policy.hash,
        resume: chain.resume(),
        not_before,
        not_after: not_before.plus(wish.life),
        why: wish.why.parse().map_err(usage("--why"))?,
        steps,
        targets: targets(session, wish, devices),
        waves: wish.waves.clone(),
        on_halt,
        repeat: wish.every.unwrap_or(0),
        halt_above: wish.halt_above.unwrap_or(if wish.waves.is_empty() { ALL } else { USUAL_HALT_ABOVE }),
    };
    // Waves go by hash, so in a small fleet the first may be empty and try nothing: then another id is drawn.
    for _ in 0..MOST_IDS {
        if job.waves.is_empty() || first_wave(&job, devices) > 0 {
            break;
        }
        job.id = StatementId(random()?);
    }
    Ok(job)
}

fn targets(session: &Session, wish: &Wish, devices: &[&Device]) -> Targets {
    if !wish.by_label {
        return Targets::List(target_list(devices));
    }
    let labels = wish.on.iter().cloned().collect();
    Targets::Labels(TargetLabels { labels, as_of: session.checked.log.size, joins: wish.joins })
}

fn first_wave(job: &Job, devices: &[&Device]) -> usize {
    let (_, hash) = statement::write(job);
    devices.iter().filter(|device| job.wave_of(&hash, &device.device, &device.labels) == 0).count()
}

/// The step that `args` asks for; `most_output` is what the policy lets it keep.
pub fn script(args: &RunArgs, most_output: u64) -> anyhow::Result<Script> {
    Ok(Script {
        run: match &args.script {
            Some(file) => lines(args, file)?,
            None => program(&args.program)?,
        },
        user: args.user.clone(),
        folder: args.folder.parse().map_err(usage("--folder"))?,
        environment: args
            .env
            .iter()
            .map(|text| variable(text))
            .collect::<anyhow::Result<BTreeMap<_, _>>>()?,
        timeout: args.timeout,
        output: args.output.unwrap_or(1024 * 1024).min(most_output),
        memory: args.memory,
        processes: args.processes,
        processor: args.processor,
    })
}

fn program(words: &[String]) -> anyhow::Result<Run> {
    let (path, arguments) =
        words.split_first().ok_or_else(|| Stop::Usage("say which program, after `--`".to_owned()))?;
    let path = path.parse().map_err(|error: WordsError| {
        Stop::Usage(format!("the program: {error}; there is no shell and no search: write its whole path"))
    })?;
    let arguments = arguments.iter().map(|word| word.parse().map_err(usage("an argument")));
    Ok(Run::Program(Program { path, arguments: arguments.collect::<Result<_, _>>()? }))
}

fn lines(args: &RunArgs, file: &Path) -> anyhow::Result<Run> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut lines: Vec<Line> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        // `lines` swallows a carriage return; a script with one is refused, because it would not be what was written.
        let line = if text.contains('\r') { Err(WordsError::Character(13)) } else { line.parse() };
        lines.push(line.map_err(|error| Stop::Usage(format!("{}, line {number}: {error}", file.display())))?);
    }
    let arguments = args.interpreter_arg.iter().map(|word| word.parse().map_err(usage("--interpreter-arg")));
    Ok(Run::Lines(Lines {
        interpreter: args.interpreter.parse().map_err(usage("--interpreter"))?,
        arguments: arguments.collect::<Result<_, _>>()?,
        lines,
    }))
}

fn variable(text: &str) -> anyhow::Result<(Variable, Line)> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| Stop::Usage(format!("--env {}: write NAME=VALUE", plain(text))))?;
    Ok((name.parse().map_err(usage("--env"))?, value.parse().map_err(usage("--env"))?))
}

fn usage(place: &'static str) -> impl Fn(WordsError) -> Stop {
    move |error| Stop::Usage(format!("{place}: {error}"))
}
