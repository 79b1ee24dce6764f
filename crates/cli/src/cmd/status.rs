//! `countersign status`: the organization at a glance, verified.

use countersign_wire::http::{OrgView, TouchView, paths};
use serde_json::json;

use crate::checked::vendor::FromVendor;
use crate::cmd::{halt, tripwire};
use crate::context::{Context, Session};
use crate::output::{Paint, Stop, count, plain, short};
use crate::weakness::weaknesses;

/// Runs it.
pub fn run(context: &Context) -> anyhow::Result<()> {
    let session = context.open()?;
    let view: OrgView = session.server.get(&session.path(paths::ORG, &[]))?;
    let (chain, log) = (&session.checked.chain, &session.checked.log);
    let policy = &chain.policy().body;
    let halts: Vec<_> = chain.active_halts().collect();
    let weak = weaknesses(policy);
    let vendor = FromVendor::ask(&session);
    vendor.iter().for_each(|vendor| vendor.warn(&context.ui));
    let touched = touched(context, &session);
    halt::room::warnings(chain).iter().for_each(|warning| context.ui.warn(warning));
    let answer = json!({
        "org": chain.org().to_string(), "name": policy.name.to_string(), "policy": chain.policy().hash.to_string(),
        "policy_number": policy.number, "resume": chain.resume().map(|hash| hash.to_string()), "log_size": log.size,
        "devices": session.checked.devices.enrolled.len(), "weaknesses": weak, "warnings": session.checked.warnings,
        "reached": session.checked.reached.json(chain),
        "vendor": vendor.as_ref().map(FromVendor::json),
        "unexplained": session.checked.devices.unexplained.json(),
        "halts": halts.iter().map(|halt| json!({
            "halt": halt.hash.to_string(), "since": halt.body.made.0, "scope": halt.body.scope.to_string(), "by": halt.by.to_string(),
            "key": halt.by.keys(), "reason": halt.body.reason.to_string(),
        })).collect::<Vec<_>>(),
        "the_server_says": {"connected": view.connected, "touched": touched.iter().map(tripwire::json).collect::<Vec<_>>()},
    });
    context.ui.answer(&answer, || {
        let mut text = format!(
            "{} ({})\n  policy {} ({}), log of {} leaves, {} devices: {}\n  the server says: {} connected\n",
            plain(policy.name.as_str()),
            short(&chain.org()),
            policy.number,
            short(&chain.policy().hash),
            log.size,
            session.checked.devices.enrolled.len(),
            context.ui.paint(Paint::Good, "verified"),
            view.connected
        );
        let unexplained = session.checked.devices.unexplained.names();
        unexplained.iter().for_each(|leaf| text.push_str(&format!("  UNEXPLAINED in the log: {leaf}\n")));
        text.push_str(&vendor.as_ref().and_then(FromVendor::line).unwrap_or_default());
        if !halts.is_empty() {
            let number = count(halts.len(), "halt is", "halts are");
            text.push_str(&format!(
                "  {number} active: what they stop, and who has them: countersign halt list\n"
            ));
        }
        for touch in &touched {
            text.push_str(&format!("  TOUCHED, the server says: {}\n", tripwire::words(&session, touch)));
        }
        weak.iter().for_each(|weak| text.push_str(&format!("  weak: {}\n", plain(weak))));
        text
    });
    // Whoever asks whether all is well, a program above all, is told so by the exit code; the answer is whole all the same.
    match session.checked.devices.unexplained.alarm() {
        None => match session.checked.reached.alarm(chain) {
            None => Ok(()),
            Some(_) => Err(Stop::Alarm("too few beacons hold what is newest; see above".to_owned()).into()),
        },
        Some(_) => Err(Stop::Alarm("the log is not explained; see above".to_owned()).into()),
    }
}

/// How many of the newest touches are looked at for those that are not over.
const MOST_TOUCHES: usize = 50;

/// What the server says is touched and not over. A server that does not know of tripwires says nothing of them.
fn touched(context: &Context, session: &Session) -> Vec<TouchView> {
    let touches = tripwire::touches(session, MOST_TOUCHES).unwrap_or_else(|error| {
        context.ui.warn(&format!(
            "the server does not say which tripwires are touched: {}",
            plain(&error.to_string())
        ));
        Vec::new()
    });
    touches.into_iter().filter(|touch| touch.over.is_none()).collect()
}
