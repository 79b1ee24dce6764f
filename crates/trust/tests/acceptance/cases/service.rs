//! Steps of kind `service`: what may be asked of which unit.

use countersign_trust::chain::ChainError;
use countersign_trust::statement::job::{JobError, Step};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::service::{Action, Service};
use countersign_trust::statement::{Kind, StatementError};
use countersign_trust::text::TextError;
use countersign_trust::verify::Refusal;

use crate::organization::{names, script, word};
use crate::scene::{Case, Expected, Scene, accepted, refused};

fn service(action: Action, unit: &str) -> Step {
    Step::Service(Service { unit: word(unit), action, timeout: 90 })
}

/// Another job, in an organization whose rule allows services and whose policy guards these.
fn asks(scene: &mut Scene, action: Action, unit: &str, guarded: &[&str]) {
    scene.found(|policy| allow(policy, guarded));
    scene.job.steps = vec![service(action, unit)];
}

fn allow(policy: &mut Policy, guarded: &[&str]) {
    policy.rules[0].kinds = names(&["script", "service"]);
    policy.guarded = names(guarded);
}

fn guarded(action: Action, unit: &str, policy: u64, guarded: &str) -> Expected {
    refused(Refusal::Guarded { action, unit: word(unit), policy, guarded: word(guarded) })
}

pub fn cases() -> Vec<Case> {
    [kinds(), guards(), shapes()].into_iter().flatten().collect()
}

fn kinds() -> Vec<Case> {
    vec![
        Case {
            name: "service-accepted",
            says: "a restart of a service, by a rule of its kind",
            bend: |scene| {
                asks(
                    scene,
                    Action::Restart,
                    "nginx.service",
                    &["agent", "antivirus", "backup", "shadow-copies"],
                );
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "service-by-a-rule-for-scripts",
            says: "the only rule is for scripts",
            bend: |scene| {
                scene.job.steps = vec![service(Action::Status, "nginx.service")];
                scene.bundle()
            },
            expected: |_| refused(Refusal::NoRule { policy: 1, kind: "service" }),
        },
        Case {
            name: "service-after-a-script-without-a-rule",
            says: "a script that a rule allows, then a service that none does",
            bend: |scene| {
                scene.job.steps.push(service(Action::Status, "nginx.service"));
                scene.bundle()
            },
            expected: |_| refused(Refusal::NoRule { policy: 1, kind: "service" }),
        },
    ]
}

fn guards() -> Vec<Case> {
    vec![
        Case {
            name: "service-of-a-guarded-class",
            says: "enough people ask to stop the antivirus, whose class is guarded",
            bend: |scene| {
                asks(scene, Action::Stop, "clamav-daemon.service", &["antivirus"]);
                scene.bundle()
            },
            expected: |_| guarded(Action::Stop, "clamav-daemon.service", 1, "antivirus"),
        },
        Case {
            name: "service-of-the-agent",
            says: "the agent is asked to restart itself, and is guarded",
            bend: |scene| {
                asks(scene, Action::Restart, "countersign-agent.service", &["agent"]);
                scene.bundle()
            },
            expected: |_| guarded(Action::Restart, "countersign-agent.service", 1, "agent"),
        },
        Case {
            name: "service-instance-of-a-guarded-unit",
            says: "a unit is guarded by its name, and the timer that starts an instance of it is to be disabled",
            bend: |scene| {
                asks(scene, Action::Disable, "tills@12.timer", &["tills.service"]);
                scene.bundle()
            },
            expected: |_| guarded(Action::Disable, "tills@12.timer", 1, "tills.service"),
        },
        Case {
            name: "service-guarded-and-started",
            says: "a guard is against taking away: start, reload, enable and status are allowed",
            bend: |scene| {
                asks(scene, Action::Start, "clamav-daemon.service", &["antivirus"]);
                for action in [Action::Reload, Action::Enable, Action::Status] {
                    scene.job.steps.push(service(action, "clamav-daemon.service"));
                }
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "service-with-a-longer-name-than-a-guarded-one",
            says: "a guard covers a whole name, not what begins like it",
            bend: |scene| {
                asks(scene, Action::Stop, "tills-2.service", &["a class of tomorrow", "tills.service"]);
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "service-guarded-in-a-later-step",
            says: "a harmless step first",
            bend: |scene| {
                asks(scene, Action::Status, "nginx.service", &["backup"]);
                scene.job.steps.insert(0, script(&["true"]));
                scene.job.steps.push(service(Action::Stop, "restic-backup.timer"));
                scene.bundle()
            },
            expected: |_| guarded(Action::Stop, "restic-backup.timer", 1, "backup"),
        },
        Case {
            name: "service-guarded-since",
            says: "the newest policy guards what the policy that the job names did not",
            bend: |scene| {
                asks(scene, Action::Stop, "sanoid.timer", &[]);
                scene.org.decide(|policy| policy.guarded = names(&["shadow-copies"]));
                scene.bundle()
            },
            expected: |_| guarded(Action::Stop, "sanoid.timer", 2, "shadow-copies"),
        },
        Case {
            name: "service-guarded-before",
            says: "the policy that the job names guards what the newest does not",
            bend: |scene| {
                asks(scene, Action::Stop, "sanoid.timer", &["shadow-copies"]);
                scene.org.decide(|policy| policy.guarded = names(&[]));
                scene.bundle()
            },
            expected: |_| guarded(Action::Stop, "sanoid.timer", 1, "shadow-copies"),
        },
    ]
}

fn shapes() -> Vec<Case> {
    vec![
        Case {
            name: "service-without-timeout",
            says: "waiting for it may take for ever",
            bend: |scene| {
                asks(scene, Action::Start, "nginx.service", &[]);
                let Some(Step::Service(step)) = scene.job.steps.first_mut() else { panic!("no service") };
                step.timeout = 0;
                scene.bundle()
            },
            expected: |_| refused(Refusal::Job(JobError::Timeout(1))),
        },
        Case {
            name: "service-unit-that-is-an-option",
            says: "a unit that a program would take for an option",
            bend: |scene| {
                asks(scene, Action::Stop, "nginx.service", &[]);
                let (bundle, text) = (scene.bundle(), scene.text().replacen("nginx", "--root=/x/nginx", 1));
                scene.with_text(bundle, text)
            },
            expected: |_| {
                let expected = "`--root=/x/nginx.service` is no unit: at most 128 of A-Za-z0-9:_.@-, a letter or digit \
                                first, .service, .socket or .timer last";
                let found = "\\\"--root=/x/nginx.service\\\",\\n        \\\"acti";
                let error = TextError { line: 13, expected: expected.to_owned(), found: found.to_owned() };
                let error = StatementError::Text { kind: Kind::Job, error };
                refused(Refusal::Statement(ChainError::Statement(error)))
            },
        },
        Case {
            name: "service-action-unknown",
            says: "an action that this version does not know",
            bend: |scene| {
                asks(scene, Action::Stop, "nginx.service", &[]);
                let (bundle, text) = (scene.bundle(), scene.text().replacen("\"stop\"", "\"mask\"", 1));
                scene.with_text(bundle, text)
            },
            expected: |_| {
                let words = ["status", "start", "stop", "restart", "reload", "enable", "disable"];
                let found = "\\\"mask\\\",\\n        \\\"timeout\\\": 90\\n      }\\n  ";
                let error =
                    TextError { line: 14, expected: format!("one of {words:?}"), found: found.to_owned() };
                let error = StatementError::Text { kind: Kind::Job, error };
                refused(Refusal::Statement(ChainError::Statement(error)))
            },
        },
    ]
}
