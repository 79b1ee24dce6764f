//! `countersign halt list` and `show`: what is stopped now, and who knows. The server need not answer.

use std::process::ExitCode;

use anyhow::Context as _;
use countersign_trust::chain::{Chain, HeldHalt};
use countersign_trust::envelope::Signed;
use countersign_trust::signers::signers;
use countersign_trust::statement::Kind;
use countersign_trust::statement::resume::Lifts;
use countersign_wire::http::{HaltDevice, HaltView, Page, paths};
use serde_json::{Value, json};

use super::state::State;
use super::{Look, file, room};
use crate::checked::Checked;
use crate::checked::reach::Reached;
use crate::cmd::job::ReadJob;
use crate::cmd::resume::freed::{open_jobs, stops};
use crate::context::{Context, Session};
use crate::output::{Stop, plain, short, time};

/// How many devices are named where only the list is asked for.
const MOST_NAMED: usize = 50;

/// What is known: with the server, or without it.
enum Known {
    With(Box<Session>),
    Without(Chain, Box<Reached>, String),
}

impl Known {
    fn find(context: &Context) -> anyhow::Result<Self> {
        let error = match context.open_to_mend() {
            Ok(session) => return Ok(Self::With(Box::new(session))),
            Err(error) => error,
        };
        let profile = context.profile()?;
        let Some((chain, reached, warnings)) = Checked::without_server(&profile)? else { return Err(error) };
        context.ui.warn(&format!(
            "what follows is from beacons and from what is kept here: {}",
            plain(&format!("{error:#}"))
        ));
        warnings.iter().for_each(|warning| context.ui.warn(warning));
        Ok(Self::Without(chain, Box::new(reached), format!("{error:#}")))
    }

    fn checked(&self) -> (&Chain, &Reached) {
        match self {
            Self::With(session) => (&session.checked.chain, &session.checked.reached),
            Self::Without(chain, reached, _) => (chain, reached),
        }
    }

    fn session(&self) -> Option<&Session> {
        match self {
            Self::With(session) => Some(session),
            Self::Without(..) => None,
        }
    }

    /// What the server says of every halt.
    fn views(&self) -> Result<Vec<HaltView>, String> {
        match self {
            Self::With(session) => {
                let page: Result<Page<HaltView>, _> = session.server.get(&session.path(paths::HALTS, &[]));
                page.map(|page| page.items).map_err(|error| error.to_string())
            }
            Self::Without(.., why) => Err(why.clone()),
        }
    }
}

/// Runs it.
pub fn run(context: &Context, look: Look) -> anyhow::Result<ExitCode> {
    let known = Known::find(context)?;
    let (chain, reached) = known.checked();
    let (wish, path) = match look {
        Look::List { file } => (None, file),
        Look::Show { halt, file } => (Some(halt), file),
    };
    let halts = chosen(chain, wish.as_deref())?;
    if let Some(path) = path {
        let signed: Vec<&Signed> = halts.iter().map(|halt| &halt.signed).collect();
        if signed.is_empty() {
            return Err(Stop::Usage("no halt is active: there is nothing to write".to_owned()).into());
        }
        file::write(context, &path, &signed)?;
    }
    let views = known.views();
    let server = |halt: &HeldHalt| {
        let mine = |view: &&HaltView| view.halt == halt.hash.to_string();
        let lacks = || "it does not show it".to_owned();
        views
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|views| views.iter().find(mine).cloned().ok_or_else(lacks))
    };
    let mut states: Vec<State<'_>> =
        halts.iter().map(|halt| State::of(chain, reached, halt, server(halt))).collect();
    let jobs = known.session().filter(|_| !states.is_empty()).map(|session| open_jobs(context, session));
    if let (Some(session), Some(jobs)) = (known.session(), &jobs) {
        states.iter_mut().for_each(|state| state.jobs = stopped(session, jobs, state.halt));
    }
    let named: Vec<Vec<HaltDevice>> =
        states.iter().map(|state| without_it(known.session(), state, wish.is_some())).collect();
    room::warnings(chain).iter().for_each(|warning| context.ui.warn(warning));
    let answers: Vec<Value> = states.iter().zip(&named).map(|(state, named)| json(state, named)).collect();
    context.ui.answer(&json!({"halts": answers}), || words(context, &states, &named));
    let set_back = known.session().and_then(|session| session.checked.set_back.clone());
    set_back.map_or(Ok(ExitCode::SUCCESS), |alarm| Err(alarm.into()))
}

/// The active halts, newest first; or the one that `wish` begins.
fn chosen<'a>(chain: &'a Chain, wish: Option<&str>) -> anyhow::Result<Vec<&'a HeldHalt>> {
    let mut halts: Vec<&HeldHalt> = chain.active_halts().collect();
    halts.sort_by_key(|halt| std::cmp::Reverse(halt.body.made));
    let Some(wish) = wish else { return Ok(halts) };
    halts.retain(|halt| halt.hash.to_string().starts_with(wish));
    match halts.len() {
        1 => Ok(halts),
        0 => Err(none_begins(chain, wish).into()),
        _ => Err(Stop::Usage(format!("several halts begin with {}; write more of it", plain(wish))).into()),
    }
}

/// Why no halt is shown: it was lifted, or there never was one.
fn none_begins(chain: &Chain, wish: &str) -> Stop {
    let lifts = |lifts: &Lifts| match lifts {
        Lifts::Halts(halts) => halts.iter().any(|halt| halt.to_string().starts_with(wish)),
        Lifts::Keys(_) => false,
    };
    Stop::Usage(match chain.resumes().iter().find(|resume| lifts(&resume.body.lifts)) {
        Some(resume) => {
            format!("this halt was lifted by the resume {}; it stops nothing", short(&resume.hash))
        }
        None => format!("no active halt begins with {}; see them: countersign halt list", plain(wish)),
    })
}

fn stopped<'a>(
    session: &Session,
    jobs: &'a anyhow::Result<(Vec<ReadJob>, usize)>,
    halt: &HeldHalt,
) -> Result<Vec<&'a ReadJob>, String> {
    let (jobs, _) = jobs.as_ref().map_err(|error| format!("{error:#}"))?;
    let policy = &session.checked.chain.policy().body;
    let by = |read: &ReadJob| signers(policy, Kind::Job, &read.signed);
    Ok(jobs.iter().filter(|read| stops(halt, read, &by(read))).collect())
}

/// Devices that the server does not say have it. Of a long list only the beginning, unless this halt was asked for.
fn without_it(session: Option<&Session>, state: &State<'_>, all: bool) -> Vec<HaltDevice> {
    let (Some(session), Ok(view)) = (session, &state.server) else { return Vec::new() };
    if view.have >= view.devices || (!all && view.devices > 1_000) {
        return Vec::new();
    }
    let path = session.path(paths::HALT_DEVICES, &[("hash", &state.halt.hash.to_string())]);
    let devices: Vec<HaltDevice> = session.server.pages(&path, usize::MAX).unwrap_or_default();
    devices.into_iter().filter(|device| !device.has).take(if all { usize::MAX } else { MOST_NAMED }).collect()
}

fn json(state: &State<'_>, named: &[HaltDevice]) -> Value {
    let mut answer = state.json();
    if let Some(object) = answer.as_object_mut() {
        object.insert("without_it".to_owned(), json!(named));
    }
    answer
}

fn words(context: &Context, states: &[State<'_>], named: &[Vec<HaltDevice>]) -> String {
    if states.is_empty() {
        return "No halt is active.".to_owned();
    }
    let told = states.iter().zip(named).map(|(state, named)| {
        let rows: String = named.iter().map(|device| format!("            {}\n", row(device))).collect();
        format!("{}{rows}", state.words(&context.ui))
    });
    told.collect::<Vec<_>>().join("\n")
}

fn row(device: &HaltDevice) -> String {
    let id = short(&plain(&device.device));
    match (device.connected, device.last_seen) {
        (true, _) => format!("{id}: connected, HAS NOT said that it has it"),
        (false, 0) => format!("{id}: not connected, never heard of"),
        (false, seen) => format!("{id}: not connected, last heard {}", time(seen)),
    }
}

/// The active halt that `wish` begins.
pub fn named<'a>(chain: &'a Chain, wish: &str) -> anyhow::Result<&'a HeldHalt> {
    chosen(chain, Some(wish))?.pop().context("no halt")
}
