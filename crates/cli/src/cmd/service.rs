//! `countersign service`: something asked of a service on devices.

use std::process::ExitCode;

use clap::Args;
use countersign_trust::statement::job::Step;
use countersign_trust::statement::service::{Action, Service, Unit, guard};
use countersign_trust::verify::Refusal;

use crate::args::duration;
use crate::cmd::run::{Wish, order};
use crate::context::Context;
use crate::output::Stop;

/// Look at a service on devices, start it or stop it.
///
/// It is a job like every other: you see the list of devices and sign, others approve. A device asks its service manager, which is
/// systemd or what stands in its place, waits for the end, and says what it found before and after. `status` fails where the
/// service does not run. What the policy guards, such as the antivirus, is not stopped, restarted or disabled.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Actions:
  status   say how it is
  start    start it, unless it runs
  stop     stop it
  restart  stop it, if it runs, and start it
  reload   have it read its configuration anew
  enable   from the next boot on it is started
  disable  from the next boot on it is not started

Examples:
  countersign service status nginx --on kind=register --why 'who is down?'
  countersign service restart nginx.service --on kind=register --why 'new certificate'
  countersign service stop backup.timer --all --why 'the disks are full' --wave 5%:0s --wave 100%:1h
  countersign service enable cups --device dev-4f2a --why 'a printer' --preview")]
pub struct ServiceArgs {
    /// status, start, stop, restart, reload, enable or disable.
    #[arg(value_parser = action)]
    pub action: Action,
    /// Which: `nginx` is nginx.service; a socket or a timer is named whole, such as backup.timer.
    #[arg(value_parser = unit)]
    pub unit: Unit,
    /// For how long a device waits for the end. It cannot take back what its service manager has begun.
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub timeout: u64,
    #[command(flatten)]
    /// Where, when and why.
    pub wish: Wish,
}

/// Runs it.
pub fn run(context: &Context, args: ServiceArgs) -> anyhow::Result<ExitCode> {
    let ServiceArgs { action, unit, timeout, wish } = args;
    let session = context.open()?;
    let policy = session.checked.chain.policy();
    if let Some(guarded) = guard(&policy.body.guarded, unit.as_str()).filter(|_| action.takes_away()).cloned()
    {
        let refusal = Refusal::Guarded { action, unit, policy: policy.body.number, guarded };
        return Err(
            Stop::Refused(format!("{refusal}; every device would refuse it, so nothing was signed")).into()
        );
    }
    order(context, &session, &wish, vec![Step::Service(Service { unit, action, timeout })])
}

fn action(text: &str) -> Result<Action, String> {
    text.parse().map_err(|words| format!("`{text}` is no action; it is {words}"))
}

/// People leave `.service` away.
fn unit(text: &str) -> Result<Unit, String> {
    let whole = if text.contains('.') { text.to_owned() } else { format!("{text}.service") };
    whole.parse().map_err(|error: countersign_trust::statement::service::UnitError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_as_people_name_it() {
        for (text, name) in
            [("nginx", "nginx.service"), ("a.timer", "a.timer"), ("getty@tty1", "getty@tty1.service")]
        {
            assert_eq!(unit(text).unwrap().as_str(), name);
        }
        for bad in ["-nginx", "a/b", "reboot.target", ""] {
            assert!(unit(bad).is_err(), "{bad}");
        }
        assert!(action("mask").unwrap_err().contains("\"restart\""), "{:?}", action("mask"));
    }
}
