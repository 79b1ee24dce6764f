//! What is not built yet, and whole incidents with real programs.

use super::{Attack, How, Promise};

/// The drill that is a whole story: the program plays it as large as it is told to.
pub const JULY: &str = "july-2";

/// Attacks on parts that have no code yet: there is nothing to attack, and nothing that would hold.
pub fn not_built() -> Vec<Attack> {
    let missing = |name, says, promise, why| Attack { name, says, promise, how: vec![How::Missing(why)] };
    vec![
        missing(
            "blob-dribbled",
            "The thief brings a large file a byte at a time, so that it is never whole and never refused.",
            Promise::Timely,
            "blobs are not built",
        ),
        missing(
            "blob-swapped",
            "The thief changes a large file between its check and its use.",
            Promise::Signed,
            "blobs are not built",
        ),
        missing(
            "runbook-parameter-injection",
            "Whoever may start a runbook gives a parameter that is itself a command.",
            Promise::Signed,
            "runbooks are not built",
        ),
        missing(
            "session-for-two",
            "The thief of the server listens to, or types into, a live session.",
            Promise::Signed,
            "sessions are not built",
        ),
        missing(
            "host-key-swapped",
            "The thief stands between an operator and a machine with a host key of its own.",
            Promise::Signed,
            "sessions are not built",
        ),
        missing(
            "release-without-vendor",
            "The thief offers a new version of the agent that the vendor has not signed.",
            Promise::Signed,
            "releases are not built",
        ),
        missing(
            "release-older",
            "The thief offers an old version of the agent, with an old hole in it.",
            Promise::Forward,
            "releases are not built",
        ),
    ]
}

/// Incidents that the list does not name.
pub fn beyond_the_list() -> Vec<Attack> {
    let real = |name, says, promise, tests| Attack { name, says, promise, how: vec![How::Real(tests)] };
    vec![
        Attack {
            name: "occurrence-replayed",
            says: "The thief brings a job that repeats twice in one interval, and sets the clock back to have an interval again.",
            promise: Promise::Once,
            how: vec![
                How::Virtual(super::replays::occurrences),
                How::Vectors(&[
                    "repeat-same-occurrence-again",
                    "repeat-with-clocks-set-back",
                    "repeat-while-an-earlier-one-runs",
                    "repeat-next-occurrence",
                ]),
            ],
        },
        real(
            "stolen-server",
            "The thief has the server's database, keys, certificate and port, and tries whatever it can think of.",
            Promise::Signed,
            &[(
                "countersign-drills",
                "stolen_server::every_machine_refuses_whatever_the_thief_of_the_server_tries",
            )],
        ),
        real(
            "stolen-log-key",
            "The thief has witnesses cosign leaves with the log's key, so that they take nothing more of the honest server.",
            Promise::Logged,
            &[
                (
                    "countersign-drills",
                    "stolen_log_key::a_policy_takes_the_log_from_the_thief_and_every_machine_goes_on_without_a_visit",
                ),
                (
                    "countersign-drills",
                    "stolen_log_key::a_server_cut_off_before_its_witnesses_have_seen_the_new_log_goes_on_there",
                ),
            ],
        ),
        real(
            "thief",
            "The thief of the server bends good jobs in every way it knows, also with one operator's, beacon's or witness's key.",
            Promise::Signed,
            &[("countersign-drills", "bent_jobs::nothing_bent_runs_and_each_is_refused_by_its_rule")],
        ),
        real(
            "stolen-database",
            "Somebody changes jobs in the database, before and after their approval.",
            Promise::Signed,
            &[
                (
                    "countersign-drills",
                    "stolen_database::a_script_changed_while_it_waits_for_its_approval_can_be_approved_by_nobody",
                ),
                (
                    "countersign-drills",
                    "stolen_database::jobs_changed_after_their_approval_run_nowhere_and_their_untouched_twin_runs",
                ),
            ],
        ),
        real(
            "lost-key",
            "Somebody finds a laptop that signs, asks for a job with it, halts whatever it can, and halts again after each resume.",
            Promise::Signed,
            &[(
                "countersign-cli",
                "operating::a_key_that_was_lost_is_taken_away_and_nothing_that_it_signed_runs",
            )],
        ),
        real(
            "rogue-halt",
            "Halts come that nobody wanted: first by mistake, then by a stolen key, again and again.",
            Promise::Halted,
            &[
                ("countersign-cli", "operating::a_halt_by_mistake_is_found_understood_and_lifted_by_two"),
                (
                    "countersign-cli",
                    "operating::halts_of_a_stolen_key_end_by_a_resume_by_key_and_the_key_halts_no_more",
                ),
            ],
        ),
        real(
            "suspicious-colleague",
            "A colleague has jobs run that should not; everybody else goes on working.",
            Promise::Signed,
            &[(
                "countersign-cli",
                "operating::a_colleague_is_stopped_by_one_and_removed_by_two_while_others_go_on",
            )],
        ),
        real(
            "silent-beacon",
            "One of four beacons falls silent, then two.",
            Promise::Halted,
            &[(
                "countersign-drills",
                "silent_beacon::one_silent_beacon_holds_up_nobody_and_two_stop_everything_until_one_is_back",
            )],
        ),
        real(
            "halted",
            "Somebody halts everything while the server is in the wrong hands and tells nobody.",
            Promise::Halted,
            &[(
                "countersign-drills",
                "halted::a_halt_that_only_beacons_have_kills_what_runs_and_nothing_starts_any_more",
            )],
        ),
        real(
            "restarted-agent",
            "An agent is killed in the middle of a job.",
            Promise::Once,
            &[(
                "countersign-drills",
                "restarted_agent::a_job_that_was_cut_off_is_told_of_and_never_runs_again",
            )],
        ),
        real(
            "canary-touched",
            "By night somebody encrypts files on machines, those among them that nobody should ever touch.",
            Promise::Told,
            &[(
                "countersign-drills",
                "tripwires::canaries_that_are_touched_halt_everything_by_night_and_what_shows_it_is_signed_by_the_devices",
            )],
        ),
        real(
            "wave-that-fails",
            "Nobody: a job that two people signed breaks the machines of its first wave.",
            Promise::Timely,
            &[(
                "countersign-drills",
                "tripwires::a_job_that_fails_in_its_first_wave_is_halted_before_the_second",
            )],
        ),
        real(
            "refusal-storm",
            "Machines refuse one bent job after the other; one alone claims any number of refusals.",
            Promise::Told,
            &[(
                "countersign-server",
                "tripwires::refusals::a_storm_on_two_devices_halts_once_and_not_again_after_the_resume",
            )],
        ),
        real(
            "sites-fall-silent",
            "Three sites fall silent at once; and the server itself starts anew, or is cut off.",
            Promise::Told,
            &[
                (
                    "countersign-server",
                    "tripwires::silence::long::three_sites_at_once_are_too_many_and_two_are_not",
                ),
                (
                    "countersign-server",
                    "tripwires::silence::long::a_server_that_started_anew_or_is_cut_off_calls_nobody_silent",
                ),
            ],
        ),
        real(
            JULY,
            "The thief of the server does to the stores of a co-operative what was done to a fleet in July 2021; told in two columns.",
            Promise::Signed,
            &[("countersign-drills", "july::twenty_stores_live_through_the_second_of_july")],
        ),
        real(
            "full-disk",
            "The server's disk is full.",
            Promise::Told,
            &[(
                "countersign-drills",
                "full_disk::a_full_disk_refuses_with_a_sentence_loses_nothing_and_goes_on",
            )],
        ),
        real(
            "server-frozen",
            "The server's process is stopped while it holds a job that is not due; somebody halts at the beacons, and it goes on.",
            Promise::Halted,
            &[(
                "countersign-drills",
                "server_frozen::what_a_frozen_server_had_queued_is_refused_when_it_goes_on",
            )],
        ),
        real(
            "beacons-frozen",
            "Two of four beacons are stopped for a lifetime.",
            Promise::Halted,
            &[(
                "countersign-drills",
                "beacons_under_fire::long::two_of_four_beacons_frozen_for_a_lifetime_stop_everything_until_they_go_on",
            )],
        ),
        real(
            "beacons-under-fire",
            "Of four beacons, each a process, one is gone and one lies: about the time, or by an old backup under its old key.",
            Promise::Halted,
            &[
                (
                    "countersign-drills",
                    "beacons_under_fire::one_gone_and_one_that_lies_about_the_time_start_nothing_and_the_liar_alone_holds_up_nobody",
                ),
                (
                    "countersign-drills",
                    "beacons_under_fire::a_beacon_restored_from_an_old_backup_is_not_believed_and_comes_back_under_a_new_key",
                ),
            ],
        ),
        real(
            "halt-key-stolen",
            "The thief of one person's key calls halts without end, known and secret ones, old ones again, each machine its own.",
            Promise::Halted,
            &[(
                "countersign-drills",
                "halt_key_stolen::who_has_one_halt_key_makes_nothing_run_and_one_resume_ends_it_without_a_visit",
            )],
        ),
        real(
            "clocks-two-days-off",
            "A machine comes up with its clock since boot days ahead or back, and finds what was queued before a halt.",
            Promise::Timely,
            &[(
                "countersign-drills",
                "clocks_two_days_off::a_machine_that_comes_up_with_its_clock_days_off_runs_nothing_of_before_a_halt",
            )],
        ),
    ]
}
