//! No incident: what is asked of services, by signed jobs, on a machine that a real systemd booted.

mod machine;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use countersign_drills::organization::{everything, sign, word};
use countersign_drills::part::{Stage, now, until};
use countersign_drills::unrehearsed::not_rehearsed;
use countersign_drills::world::World;
use countersign_trust::ids::{Sha256, StatementId};
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::halt::Halt;
use countersign_trust::statement::job::{Job, Step};
use countersign_trust::statement::service::{Action, Service};

use machine::{Booted, lacks};

/// The units of the machine besides the agent's.
const UNITS: [(&str, &str); 8] = [
    (
        "drill.target",
        "[Unit]\nRequires=basic.target dbus.service\nAfter=basic.target dbus.service\n\
         Wants=countersign-agent.service scanner.service\n",
    ),
    ("till.service", "[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=drill.target\n"),
    ("broken.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n"),
    ("slow.service", "[Service]\nExecStartPre=/usr/bin/sleep infinity\nExecStart=/usr/bin/sleep infinity\n"),
    ("engine.service", "[Service]\nExecStart=/usr/bin/sleep infinity\n"),
    (
        "clamav-daemon.service",
        "[Unit]\nRequires=engine.service\nAfter=engine.service\n[Service]\nExecStart=/usr/bin/sleep infinity\n\
         [Install]\nAlias=scanner.service\n",
    ),
    (
        "printer.service",
        "[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=drill.target\nAlso=spooler.service\n",
    ),
    (
        "spooler.service",
        "[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=drill.target\nAlso=clamav-daemon.service\n",
    ),
];

/// The programs of which we ship units.
const PARTS: [&str; 4] = ["agent", "server", "beacon", "witness"];

/// A world with one machine, booted by systemd, whose agent is the unit that we ship.
struct Scene {
    booted: Booted,
    world: World,
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn set_up() -> Scene {
    let mut world = World::set_up(Stage::Threads, |_| ());
    let folder = world.folder.path().join("machine");
    let files = folder.join("files");
    let units = files.join("etc/systemd/system");
    fs::create_dir_all(&units).unwrap();
    for (name, text) in UNITS {
        fs::write(units.join(name), text).unwrap();
    }
    symlink("clamav-daemon.service", units.join("scanner.service")).unwrap();
    let programs = files.join("usr/bin");
    fs::create_dir_all(&programs).unwrap();
    let built =
        std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("countersign-agent");
    assert!(built.exists(), "countersign-agent is not built: run `cargo build --workspace --bins` first");
    fs::copy(built, programs.join("countersign-agent")).unwrap();
    for part in PARTS {
        let unit = format!("countersign-{part}.service");
        fs::copy(deploy().join(&unit), units.join(&unit)).unwrap();
    }
    fs::create_dir_all(files.join("var/lib")).unwrap();
    world.join_apart(files.join("var/lib/countersign-agent"));
    let booted = Booted::boot(&folder);
    world.until_connected(1);
    Scene { booted, world }
}

impl Scene {
    fn job(&self, action: Action, unit: &str, timeout: u64) -> Job {
        let step = Step::Service(Service { unit: word(unit), action, timeout });
        Job { steps: vec![step], ..self.world.job(&self.world.all(), &["true"]) }
    }

    fn order(&self, job: &Job) -> Sha256 {
        self.world.order(job, &self.world.all())
    }

    /// What the machine's receipt says came of it, of a job that it accepted.
    fn asked(&self, action: Action, unit: &str) -> String {
        let job = self.order(&self.job(action, unit, 60));
        self.ended(&job)
    }

    fn ended(&self, job: &Sha256) -> String {
        self.world.says(Verdict::Ended, job, &self.world.machines[0]).because.as_str().to_owned()
    }

    fn is(&self, unit: &str) -> String {
        self.booted.systemctl(&["is-active", unit])
    }
}

#[test]
fn a_signed_job_moves_services_under_a_real_systemd() {
    if let Some(why) = lacks() {
        return not_rehearsed(why);
    }
    let stage = set_up();
    starts_and_stops(&stage);
    says_what_went_wrong(&stage);
    leaves_alone_what_is_guarded(&stage);
    stops_waiting(&stage);
    goes_without_a_bus(&stage);
    has_units_that_hold(&stage);
    is_halted(&stage);
}

fn starts_and_stops(stage: &Scene) {
    use Action::{Disable, Enable, Restart, Start, Status, Stop};
    let till = |action| stage.asked(action, "till.service");
    assert_eq!(till(Status), "till.service is inactive (dead), disabled");
    let job = stage.order(&stage.job(Start, "till.service", 60));
    assert_eq!((stage.ended(&job).as_str(), stage.is("till.service").as_str()), ("exit 0", "active"));
    let first = stage.booted.pid("till.service");
    let said = until("the output has come", || {
        let said = stage.world.output(&job, &stage.world.machines[0].id);
        said.contains("active (running)").then_some(said)
    });
    let expected = format!(
        "till.service, by systemd over the system bus: inactive (dead), disabled\nstart …\n\
         till.service: active (running), disabled, main process {first}\n"
    );
    assert_eq!(said, expected);
    assert_eq!(till(Restart), "exit 0");
    let second = stage.booted.pid("till.service");
    assert!(first != 0 && second != 0 && first != second, "{first} {second}");
    assert_eq!(till(Status), "exit 0");
    assert_eq!(till(Enable), "exit 0");
    assert_eq!(stage.booted.systemctl(&["is-enabled", "till.service"]), "enabled");
    assert_eq!(till(Disable), "exit 0");
    assert_eq!(stage.booted.systemctl(&["is-enabled", "till.service"]), "disabled");
    assert_eq!(stage.booted.pid("till.service"), second, "neither touches what runs");
    assert_eq!(till(Stop), "exit 0");
    assert_eq!(stage.is("till.service"), "inactive");
}

fn says_what_went_wrong(stage: &Scene) {
    for (action, unit, because) in [
        (Action::Start, "broken.service", "start of broken.service ended as `failed`"),
        (Action::Status, "broken.service", "broken.service is failed (failed), result exit-code, static"),
        (Action::Start, "nowhere.service", "nowhere.service: this machine has no such unit (not-found)"),
        (
            Action::Enable,
            "engine.service",
            "after enable engine.service is active (running), static, main process ",
        ),
        (
            Action::Reload,
            "engine.service",
            "reload of engine.service: Job type reload is not applicable for unit engine.service.",
        ),
    ] {
        let said = stage.asked(action, unit);
        assert!(said.starts_with(because), "{action} {unit}: {said}");
    }
}

/// The policy guards `antivirus`: by its name already the rule refuses; by what only the machine knows the step fails.
fn leaves_alone_what_is_guarded(stage: &Scene) {
    let before = stage.booted.pid("clamav-daemon.service");
    // An honest server already keeps such a job back; that a device refuses it too is shown by vectors.
    for (action, unit, class) in [
        (Action::Stop, "clamav-daemon.service", "antivirus"),
        (Action::Restart, "countersign-agent.service", "agent"),
    ] {
        let signed = sign(&stage.job(action, unit, 60), &["anna", "bo"]);
        let problem = stage.world.post(&signed, &stage.world.all()).unwrap_err();
        assert_eq!(problem.detail, format!("{action} of {unit}: policy 1 guards `{class}`"));
    }
    for (action, unit) in [
        (Action::Stop, "scanner.service"),
        (Action::Disable, "scanner.service"),
        (Action::Stop, "engine.service"),
        (Action::Restart, "engine.service"),
    ] {
        let expected =
            format!("{action} of {unit} would take away clamav-daemon.service: policy 1 guards `antivirus`");
        assert_eq!(stage.asked(action, unit), expected);
    }
    disables_nothing_along(stage);
    assert!(before != 0 && stage.booted.pid("clamav-daemon.service") == before);
    assert_eq!(stage.asked(Action::Start, "scanner.service"), "exit 0");
}

/// What a unit's file names in `Also=` is disabled with it, and what is named there.
fn disables_nothing_along(stage: &Scene) {
    assert_eq!(stage.asked(Action::Enable, "printer.service"), "exit 0");
    let expected =
        "disable of printer.service would take away clamav-daemon.service: policy 1 guards `antivirus`";
    assert_eq!(stage.asked(Action::Disable, "printer.service"), expected);
    for unit in ["printer.service", "spooler.service"] {
        assert_eq!(stage.booted.systemctl(&["is-enabled", unit]), "enabled", "{unit}");
    }
}

fn stops_waiting(stage: &Scene) {
    let job = stage.order(&stage.job(Action::Start, "slow.service", 1));
    assert_eq!(stage.ended(&job), "timeout");
    assert_eq!(stage.is("slow.service"), "activating", "what was begun goes on");
    let said = until("the output has come", || {
        let said = stage.world.output(&job, &stage.world.machines[0].id);
        said.contains("goes on").then_some(said)
    });
    assert!(
        said.ends_with("nobody waits any longer; what the service manager has begun goes on\n"),
        "{said}"
    );
    assert_eq!(stage.asked(Action::Stop, "slow.service"), "exit 0");
}

fn goes_without_a_bus(stage: &Scene) {
    stage.booted.systemctl(&["stop", "dbus.socket", "dbus.service"]);
    assert_eq!(stage.is("dbus.service"), "inactive");
    let job = stage.order(&stage.job(Action::Start, "till.service", 60));
    assert_eq!((stage.ended(&job).as_str(), stage.is("till.service").as_str()), ("exit 0", "active"));
    until("the output has come", || {
        let said = stage.world.output(&job, &stage.world.machines[0].id);
        said.starts_with("till.service, by systemctl: inactive (dead), disabled\n").then_some(())
    });
    let first = stage.booted.pid("till.service");
    assert_eq!(stage.asked(Action::Restart, "till.service"), "exit 0");
    assert_ne!(stage.booted.pid("till.service"), first);
    assert_eq!(stage.asked(Action::Enable, "till.service"), "exit 0");
    assert_eq!(stage.booted.systemctl(&["is-enabled", "till.service"]), "enabled");
    let said = stage.asked(Action::Start, "broken.service");
    assert!(said.starts_with("start of broken.service: Job for broken.service failed"), "{said}");
    for (action, unit) in [(Action::Stop, "scanner.service"), (Action::Disable, "printer.service")] {
        let said = stage.asked(action, unit);
        assert!(said.contains("would take away clamav-daemon.service"), "{said}");
    }
    assert_eq!(
        stage.asked(Action::Status, "nowhere.service"),
        "nowhere.service: this machine has no such unit (not-found)"
    );
    stage.booted.systemctl(&["start", "dbus.socket", "dbus.service"]);
}

/// The units that we ship: systemd finds no fault with them, and the agent's brings it back.
fn has_units_that_hold(stage: &Scene) {
    for part in PARTS {
        // Whether there is a program of that name is all that is asked of the program.
        let program = format!("/usr/bin/countersign-{part}");
        stage.booted.tell(&["sh", "-c", "test -e $0 || ln -s /bin/true $0", &program]);
        let unit = format!("/etc/systemd/system/countersign-{part}.service");
        assert_eq!(stage.booted.tell(&["systemd-analyze", "verify", "--man=no", &unit]), "", "{unit}");
    }
    let bad = "[Service]\nExecStart=/usr/bin/no-such-program\n";
    let wrong =
        "printf \"$0\" > /etc/systemd/system/bad.service; systemd-analyze verify --man=no bad.service";
    assert!(stage.booted.tell(&["sh", "-c", wrong, bad]).contains("no-such-program"), "the judge sleeps");
    let unit = "countersign-agent.service";
    let first = stage.booted.pid(unit);
    stage.booted.systemctl(&["kill", "--signal=KILL", unit]);
    until("systemd has started the agent again", || {
        let pid = stage.booted.pid(unit);
        (pid != 0 && pid != first).then_some(())
    });
    stage.world.until_connected(1);
    assert_eq!(stage.asked(Action::Status, "till.service"), "exit 0");
    assert_eq!(stage.is("till.service"), "active", "a service outlives the agent that started it");
}

/// A halt ends the waiting at once.
fn is_halted(stage: &Scene) {
    let running = stage.order(&stage.job(Action::Start, "slow.service", 600));
    until("it starts", || (stage.is("slow.service") == "activating").then_some(()));
    let halt = Halt {
        org: Some(stage.world.org),
        id: StatementId([77; 16]),
        policy: Some(Sha256(stage.world.org.0)),
        scope: everything(),
        made: now(),
        reason: word("Wrong service."),
        advisory: word(""),
    };
    stage.world.post(&sign(&halt, &["bo"]), &[]).unwrap();
    let said = stage.ended(&running);
    assert!(said.starts_with("halted: the whole organization by bo"), "{said}");
    assert_eq!(stage.is("slow.service"), "activating", "a halt cannot undo a start");
}
