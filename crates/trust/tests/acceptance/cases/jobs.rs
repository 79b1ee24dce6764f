//! What a job says: its text, its organization, its shape.

use countersign_trust::chain::ChainError;
use countersign_trust::ids::OrgId;
use countersign_trust::statement::job::{JobError, OnHalt, Step, Wave, Who};
use countersign_trust::statement::policy::Policy;
use countersign_trust::statement::{Kind, StatementError};
use countersign_trust::text::TextError;
use countersign_trust::time::Time;
use countersign_trust::verify::Refusal;

use crate::bundle::Bundle;
use crate::organization::{NOON, script, word};
use crate::scene::{Case, Expected, Scene, accepted, refused};

/// Replaces a piece of the job's text; signed again, so that nothing but the text is wrong.
fn reworded(scene: &mut Scene, piece: &str, by: &str) -> Bundle {
    let bundle = scene.bundle();
    let text = scene.text().replacen(piece, by, 1);
    assert_ne!(text, scene.text(), "nothing was bent");
    scene.with_text(bundle, text)
}

fn not_canonical(line: usize, expected: &str, found: &str) -> Expected {
    let error = TextError {
        line,
        expected: expected.to_owned(),
        found: found.chars().take(40).flat_map(char::escape_debug).collect(),
    };
    let error = StatementError::Text { kind: Kind::Job, error };
    refused(Refusal::Statement(ChainError::Statement(error)))
}

fn misshapen(error: JobError) -> Expected {
    refused(Refusal::Job(error))
}

/// Scripts may go on through a halt once they run.
fn may_finish(policy: &mut Policy) {
    policy.rules[0].kinds.insert(word("finish"));
}

pub fn cases() -> Vec<Case> {
    [texts(), shapes()].into_iter().flatten().collect()
}

fn texts() -> Vec<Case> {
    vec![
        Case {
            name: "job-of-another-organization",
            says: "the same people signed it for another organization of theirs",
            bend: |scene| {
                scene.job.org = OrgId([9; 32]);
                scene.bundle()
            },
            expected: |scene| {
                refused(Refusal::OtherOrganization { found: OrgId([9; 32]), mine: scene.org.org })
            },
        },
        Case {
            name: "job-keys-reordered",
            says: "`repeat` stands before `on_halt`",
            bend: |scene| {
                let (on_halt, repeat) = ("  \"on_halt\": \"kill\",\n", "  \"repeat\": 0,\n");
                let swapped = "  \"repeat\": 0,\n  \"on_halt\": \"kill\",\n";
                reworded(scene, &format!("{on_halt}{repeat}"), swapped)
            },
            expected: |_| {
                not_canonical(42, "`\\\"on_halt\\\": `", "\"repeat\": 0,\n  \"on_halt\": \"kill\",\n  \"hal")
            },
        },
        Case {
            name: "job-key-repeated",
            says: "`requester` stands twice",
            bend: |scene| {
                let anna = "  \"requester\": \"anna\",\n";
                reworded(scene, anna, &format!("{anna}  \"requester\": \"bo\",\n"))
            },
            expected: |scene| {
                let found = format!("\"requester\": \"bo\",\n  \"policy\": \"{}", scene.job.policy);
                not_canonical(5, "`\\\"policy\\\": `", &found)
            },
        },
        Case {
            name: "job-key-unknown",
            says: "a key that this version does not know",
            bend: |scene| {
                reworded(scene, "  \"halt_above\": 10000\n", "  \"halt_above\": 10000,\n  \"force\": true\n")
            },
            expected: |_| not_canonical(44, "`\\n`", ",\n  \"force\": true\n}\n"),
        },
        Case {
            name: "job-with-an-escape",
            says: "a plain letter written as an escape",
            bend: |scene| reworded(scene, "The tills", "The \\u0074ills"),
            expected: |_| {
                not_canonical(9, "the end of a string", "\\u0074ills print the wrong date.\",\n  \"steps\":")
            },
        },
        Case {
            name: "job-with-bidirectional-text",
            says: "a right-to-left override in the reason",
            bend: |scene| reworded(scene, "The tills", "The \u{202e}tills"),
            expected: |_| {
                let found = "\"The \u{202e}tills print the wrong date.\",\n  \"steps\"";
                not_canonical(9, "the character U+202E is not allowed here", found)
            },
        },
        Case {
            name: "job-with-a-carriage-return",
            says: "lines end as on another system",
            bend: |scene| reworded(scene, "\"halt_above\": 10000\n", "\"halt_above\": 10000\r\n"),
            expected: |_| not_canonical(44, "`\\n`", "\r\n}\n"),
        },
        Case {
            name: "job-too-large",
            says: "a text of more than 64 KiB",
            bend: |scene| {
                scene.job.steps = vec![script(&["true # ".repeat(50).as_str(); 200])];
                scene.bundle()
            },
            expected: |scene| {
                let (bytes, most) = (scene.text().len(), 64 * 1024);
                let error = StatementError::TooLarge { kind: Kind::Job, bytes, most };
                refused(Refusal::Statement(ChainError::Statement(error)))
            },
        },
    ]
}

fn shapes() -> Vec<Case> {
    vec![
        Case {
            name: "job-ends-before-it-begins",
            says: "`not_after` is `not_before`",
            bend: |scene| {
                scene.job.not_after = scene.job.not_before;
                scene.bundle()
            },
            expected: |_| {
                let time = Time(NOON - 3_600);
                misshapen(JobError::Backwards { not_before: time, not_after: time })
            },
        },
        Case {
            name: "job-lives-too-long",
            says: "a second more than the policy allows",
            bend: |scene| {
                scene.job.not_after = scene.job.not_before.plus(7 * 86_400 + 1);
                scene.bundle()
            },
            expected: |_| misshapen(JobError::Life { life: 604_801, most: 604_800 }),
        },
        Case {
            name: "job-without-steps",
            says: "nothing to do",
            bend: |scene| {
                scene.job.steps = Vec::new();
                scene.bundle()
            },
            expected: |_| refused(Refusal::Job(JobError::Steps(0))),
        },
        Case {
            name: "job-with-17-steps",
            says: "one step too many",
            bend: |scene| {
                scene.job.steps = vec![script(&["true"]); 17];
                scene.bundle()
            },
            expected: |_| misshapen(JobError::Steps(17)),
        },
        Case {
            name: "job-without-timeout",
            says: "the second step may take for ever",
            bend: |scene| {
                let Step::Script(mut endless) = script(&["sleep infinity"]) else { panic!("no script") };
                endless.timeout = 0;
                scene.job.steps.push(Step::Script(endless));
                scene.bundle()
            },
            expected: |_| misshapen(JobError::Timeout(2)),
        },
        Case {
            name: "job-waves-do-not-end-at-all",
            says: "the last wave's share is not 10,000",
            bend: |scene| {
                scene.job.waves =
                    vec![Wave { who: Who::Share(1_000), soak: 0 }, Wave { who: Who::Share(9_000), soak: 60 }];
                scene.bundle()
            },
            expected: |_| misshapen(JobError::Waves(2)),
        },
        Case {
            name: "job-waves-fall-back",
            says: "the second wave starts before the first",
            bend: |scene| {
                scene.job.waves = vec![
                    Wave { who: Who::Share(1_000), soak: 60 },
                    Wave { who: Who::Share(10_000), soak: 0 },
                ];
                scene.bundle()
            },
            expected: |_| misshapen(JobError::Waves(2)),
        },
        Case {
            name: "job-repeats-too-often",
            says: "every nine seconds",
            bend: |scene| {
                scene.job.repeat = 9;
                scene.bundle()
            },
            expected: |_| misshapen(JobError::Repeat { repeat: 9, least: 10 }),
        },
        Case {
            name: "job-halted-above-the-whole",
            says: "halted when more than 100.01 percent failed",
            bend: |scene| {
                scene.job.halt_above = 10_001;
                scene.bundle()
            },
            expected: |_| misshapen(JobError::HaltAbove(10_001)),
        },
        Case {
            name: "job-halted-above-a-part",
            says: "no device obeys the share at which the server halts it",
            bend: |scene| {
                scene.job.halt_above = 0;
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "job-that-no-halt-stops",
            says: "it would go on through a halt once it runs, and no rule says that it may",
            bend: |scene| {
                scene.job.on_halt = OnHalt::Finish;
                scene.bundle()
            },
            expected: |_| refused(Refusal::NoRule { policy: 1, kind: "finish" }),
        },
        Case {
            name: "job-that-no-halt-stops-by-a-rule",
            says: "a rule says that scripts may finish",
            bend: |scene| {
                scene.found(may_finish);
                scene.job.on_halt = OnHalt::Finish;
                scene.bundle()
            },
            expected: |_| accepted(),
        },
        Case {
            name: "job-that-no-halt-stops-by-a-rule-that-asks-for-more",
            says: "one approval for a script, two for what goes on through a halt: every row that fits must be met",
            bend: |scene| {
                scene.found(|policy| {
                    let mut finish = policy.rules[0].clone();
                    finish.kinds = [word("finish")].into();
                    finish.approvals = 2;
                    policy.rules.push(finish);
                });
                scene.job.on_halt = OnHalt::Finish;
                scene.bundle()
            },
            expected: |_| refused(Refusal::Approvals { got: 1, need: 2, roles: vec![word("operator")] }),
        },
        Case {
            name: "job-by-nobody-known",
            says: "Anna and Bo signed what somebody asks for whom no policy knows",
            bend: |scene| {
                scene.job.requester = word("mallory");
                scene.bundle()
            },
            expected: |_| {
                let (requester, roles) = (word("mallory"), vec![word("operator")]);
                refused(Refusal::NotARequester { requester, roles, rule: 1, policy: 1 })
            },
        },
    ]
}
