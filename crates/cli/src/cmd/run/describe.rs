//! A job in words: everything that a signer should see of it.

use countersign_trust::ids::{Name, Sha256};
use countersign_trust::signers::Signers;
use countersign_trust::statement::job::{ALL, Job, OnHalt, Run, Script, Step, Targets, Who};
use countersign_trust::statement::service::{Action, Service};
use countersign_trust::verify::needs_people;

use crate::approval::approval;
use crate::checked::Device;
use crate::context::Session;
use crate::output::{count, indent, plain, plain_lines, short, span, table, time};
use crate::prose::{behind, folded, prose};
use crate::resemble;

/// Everything that a signer should see of a job: what, where, when, and by which rule.
pub fn describe(
    session: &Session,
    job: &Job,
    hash: &Sha256,
    devices: &[&Device],
    signed: &Signers,
) -> String {
    let mut text = format!("Job {}, asked by {}\n", short(hash), job.requester);
    text.push_str(&indent(&format!("why:\n{}", prose(job.why.as_str(), &in_whole(hash)))));
    text.push_str(&indent(&steps(job)));
    let life = job.not_after.0.saturating_sub(job.not_before.0);
    text.push_str(&indent(&format!("from {} for {}", time(job.not_before.0), span(life))));
    if job.on_halt == OnHalt::Finish {
        text.push_str(&indent("LOOK: a halt will NOT stop it once started (on_halt: finish)"));
    }
    if job.repeat > 0 {
        text.push_str(&indent(&format!("again every {}", span(job.repeat))));
    }
    if job.halt_above < ALL {
        let part = format!("{}.{:02} %", job.halt_above / 100, job.halt_above % 100);
        text.push_str(&indent(&format!("the server halts it when more than {part} of the devices whose waves have begun failed or refused")));
    }
    match &job.targets {
        Targets::List(list) => text.push_str(&indent(&format!(
            "on exactly {}, verified enrollments:",
            count(devices.len().min(usize::try_from(list.count).unwrap_or(usize::MAX)), "device", "devices")
        ))),
        Targets::Labels(wanted) => {
            let labels: Vec<String> =
                wanted.labels.iter().map(|(key, value)| label_words(key, value)).collect();
            let joins = if wanted.joins { " AND ALL THAT JOIN LATER" } else { "" };
            text.push_str(&indent(&format!("on every device with {}{joins}; now:", labels.join(", "))));
        }
    }
    text.push_str(&indent(&indent(&device_table(devices))));
    text.push_str(&indent(&waves(job, hash, devices)));
    if job.waves.len() > 1 && needs_people(&session.checked.chain.policy().body, job) {
        text.push_str(&indent("each wave after the first waits for `countersign job advance`"));
    }
    let standing = approval(&session.checked.chain, job, signed, devices);
    text.push_str(&indent(&standing.rules.join("\n")));
    if standing.rules.is_empty() {
        text.push_str(&indent("NO RULE of the policy allows this: every device will refuse it"));
    }
    if !standing.could.is_empty() {
        let people: Vec<&str> = standing.could.iter().map(Name::as_str).collect();
        text.push_str(&indent(&format!("could approve: {}", people.join(", "))));
    }
    for warning in alike(session, job, devices) {
        text.push_str(&indent(&format!("LOOK: {}", plain(&warning))));
    }
    text.trim_end().to_owned()
}

/// Where all of a job's text is shown.
fn in_whole(hash: &Sha256) -> String {
    format!("all of it: countersign job show {} --json", short(hash))
}

fn steps(job: &Job) -> String {
    let mut lines = Vec::new();
    for step in &job.steps {
        lines.push(match step {
            Step::Script(script) => script_words(script),
            Step::Service(service) => service_words(service),
        });
    }
    plain_lines(&lines.join("\nthen, if that ended well:\n"))
}

fn script_words(script: &Script) -> String {
    let what = match &script.run {
        Run::Program(program) => {
            let words: Vec<String> = program.arguments.iter().map(|word| quoted(word.as_str())).collect();
            folded(format!("runs {} {}", quoted(program.path.as_str()), words.join(" ")).trim_end())
        }
        Run::Lines(lines) => {
            let body: Vec<String> = lines.lines.iter().map(|line| behind("  | ", line.as_str())).collect();
            let words: Vec<String> = lines.arguments.iter().map(|word| quoted(word.as_str())).collect();
            let by = format!(
                "runs by {} {} (script {}):",
                quoted(lines.interpreter.as_str()),
                words.join(" "),
                short(&lines.hash())
            );
            format!("{}\n{}", folded(&by), body.join("\n"))
        }
    };
    let variables = script.environment.iter();
    let variables: Vec<String> =
        variables.map(|(key, value)| format!("{key}={}", quoted(value.as_str()))).collect();
    let with = if variables.is_empty() { String::new() } else { format!(", with {}", variables.join(" ")) };
    let (user, folder) = (quoted(script.user.as_str()), quoted(script.folder.as_str()));
    let how = format!("as {user} in {folder}{with}; killed after {}", span(script.timeout));
    format!("{what}\n{}\n{}", folded(&how), limits(script))
}

fn service_words(service: &Service) -> String {
    let Service { unit, action, timeout } = service;
    let what = match action {
        Action::Status => format!("says how {unit} is; fails where it does not run"),
        Action::Start => format!("starts {unit}, unless it runs"),
        Action::Stop => format!("STOPS {unit}"),
        Action::Restart => format!("stops {unit}, if it runs, and starts it"),
        Action::Reload => format!("has {unit} read its configuration anew"),
        Action::Enable => format!("has {unit} started from the next boot on"),
        Action::Disable => format!("has {unit} NOT started any more from the next boot on"),
    };
    format!("{what}\nthrough the device's service manager; waits at most {}", span(*timeout))
}

/// What a step may use; 0 means no limit, but for output.
fn limits(script: &Script) -> String {
    let most = |what: &str, number: u64, unit: &str| match number {
        0 => format!("{what} without limit"),
        _ => format!("{what} at most {number}{unit}"),
    };
    format!(
        "keeps {} bytes of output; {}, {}, {}",
        script.output,
        most("memory", script.memory, " MiB"),
        most("processes", script.processes, ""),
        most("processor", script.processor, "%")
    )
}

/// A word in which a space is seen to be the word's own.
fn quoted(word: &str) -> String {
    let bare =
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b));
    if bare { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// A label, in which a space is seen to be its own.
pub fn label_words(key: &Name, value: &Name) -> String {
    quoted(&format!("{key}={value}"))
}

/// Ids, sites and labels, as enrollments say.
fn device_table(devices: &[&Device]) -> String {
    let row = |device: &&Device| {
        let labels = device.labels.iter().filter(|(key, _)| key.as_str() != "site");
        let labels: Vec<String> = labels.map(|(key, value)| label_words(key, value)).collect();
        vec![short(&device.device), site(device), labels.join(" ")]
    };
    let rows: Vec<Vec<String>> = devices.iter().map(row).collect();
    table(&["DEVICE", "SITE", "LABELS"], &rows)
}

/// Where a device stands.
pub fn site(device: &Device) -> String {
    let site = device.labels.iter().find(|(key, _)| key.as_str() == "site");
    site.map(|(_, value)| value.to_string()).unwrap_or_default()
}

fn waves(job: &Job, hash: &Sha256, devices: &[&Device]) -> String {
    if job.waves.is_empty() {
        return "one wave: all at once".to_owned();
    }
    let mut lines = Vec::new();
    for (index, wave) in job.waves.iter().enumerate() {
        let mine: Vec<String> = devices
            .iter()
            .filter(|device| job.wave_of(hash, &device.device, &device.labels) == index)
            .map(|device| short(&device.device))
            .collect();
        let which = if index == 0 { format!(": {}", mine.join(", ")) } else { String::new() };
        lines.push(format!(
            "wave {}{} after {}, {}{which}",
            index + 1,
            by_label(&wave.who),
            span(wave.soak),
            count(mine.len(), "device", "devices")
        ));
    }
    lines.join("\n")
}

fn by_label(who: &Who) -> String {
    let Who::Labels(labels) = who else { return String::new() };
    let labels: Vec<String> = labels.iter().map(|(key, value)| label_words(key, value)).collect();
    format!(" (of those left, {})", labels.join(" "))
}

/// Names in the job that are easily taken for others.
fn alike(session: &Session, job: &Job, devices: &[&Device]) -> Vec<String> {
    let policy = &session.checked.chain.policy().body;
    let people: Vec<&str> = policy.people.keys().map(Name::as_str).collect();
    let mut found = resemble::warnings("person", [job.requester.as_str()], people);
    let mut keys: Vec<&Name> = devices.iter().flat_map(|device| device.labels.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        // A label speaks only where it tells devices apart: all targets share it, and not all devices have it.
        let mut used: Vec<&str> =
            devices.iter().filter_map(|device| device.labels.get(key)).map(Name::as_str).collect();
        used.sort_unstable();
        used.dedup();
        let all: Vec<&str> = session
            .checked
            .devices
            .enrolled
            .values()
            .filter_map(|device| device.labels.get(key))
            .map(Name::as_str)
            .filter(|value| !used.contains(value))
            .collect();
        found.extend(resemble::warnings(key.as_str(), used, all));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::statement::job::Program;

    #[test]
    fn a_path_with_spaces_is_not_taken_for_a_program_with_arguments() {
        let script = Script {
            run: Run::Program(Program { path: "/bin/sh -c x".parse().unwrap(), arguments: Vec::new() }),
            user: "root in /tmp".parse().unwrap(),
            folder: "/srv/a b".parse().unwrap(),
            environment: std::collections::BTreeMap::new(),
            timeout: 60,
            output: 1_000,
            memory: 0,
            processes: 0,
            processor: 0,
        };
        let words = script_words(&script);
        for expected in ["runs '/bin/sh -c x'", "as 'root in /tmp' in '/srv/a b';"] {
            assert!(words.contains(expected), "{expected:?} is not in:\n{words}");
        }
    }

    #[test]
    fn a_label_with_spaces_is_not_taken_for_two() {
        let word = |text: &str| text.parse::<Name>().unwrap();
        assert_eq!(label_words(&word("kind"), &word("register")), "kind=register");
        assert_eq!(label_words(&word("kind"), &word("a tier=prod")), "'kind=a tier=prod'");
    }
}
