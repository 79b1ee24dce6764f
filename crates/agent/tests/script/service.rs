//! Services on machines without systemd, and with one that does not answer. A real systemd is asked in `countersign-drills`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use countersign_agent::os::ServicePlaces;
use countersign_agent::run::service::{Guard, start};
use countersign_agent::run::{How, Running};
use countersign_trust::statement::service::{Action, Service};

use crate::world::{Outcome, outcome, until};

/// An init script as the Linux Standard Base has them: the service runs while a file is there.
const TILL: &str = "#!/bin/sh
runs=\"$(dirname \"$0\")/runs\"
case \"$1\" in
  status) test -e \"$runs\" && exit 0; exit 3 ;;
  start) echo started >> \"$(dirname \"$0\")/starts\"; touch \"$runs\" ;;
  stop) rm -f \"$runs\" ;;
  restart) \"$0\" stop; \"$0\" start ;;
  reload) exit 7 ;;
esac
";
/// One that never comes to an end.
const SLOW: &str = "#!/bin/sh
test \"$1\" = status && exit 1
echo $$ > \"$(dirname \"$0\")/pid\"
exec sleep infinity
";

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("till", TILL), ("slow", SLOW)] {
            let script = folder.path().join(name);
            fs::write(&script, text).unwrap();
            fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn places(&self) -> ServicePlaces {
        ServicePlaces {
            booted: self.path("booted"),
            bus: self.path("bus"),
            systemctl: self.path("systemctl"),
            scripts: self.0.path().to_owned(),
        }
    }

    fn start(&self, action: Action, unit: &str, timeout: u64) -> Running {
        let guard = Guard { policy: 3, words: BTreeSet::new() };
        start(Service { unit: unit.parse().unwrap(), action, timeout }, guard, 1 << 10, self.places())
    }

    async fn ask(&self, action: Action, unit: &str) -> Outcome {
        outcome(self.start(action, unit, 10)).await
    }

    async fn how(&self, action: Action, unit: &str) -> How {
        self.ask(action, unit).await.ending.how
    }
}

fn failed(why: &str) -> How {
    How::Failed(why.to_owned())
}

#[tokio::test]
async fn an_init_script_does_what_it_can() {
    let machine = Machine::new();
    let how = async |action| machine.how(action, "till.service").await;
    assert_eq!(how(Action::Status).await, failed("till.service is inactive"));
    let started = machine.ask(Action::Start, "till.service").await;
    assert_eq!(started.ending.how, How::Exit(0));
    let said = "till.service, by an init script: inactive\nstart …\ntill.service: active\n";
    assert_eq!(String::from_utf8(started.stdout).unwrap(), said);
    assert_eq!(started.ending.output_bytes_kept, u64::try_from(said.len()).unwrap());
    assert_eq!(how(Action::Status).await, How::Exit(0));
    assert_eq!(how(Action::Restart).await, How::Exit(0));
    assert_eq!(fs::read_to_string(machine.path("starts")).unwrap(), "started\nstarted\n");
    assert_eq!(how(Action::Reload).await, failed("reload of till.service ended as `exit 7`"));
    assert_eq!(how(Action::Stop).await, How::Exit(0));
    assert!(!machine.path("runs").exists());
    let unknown = "enable of till.service: init scripts know status, start, stop, restart and reload only";
    assert_eq!(how(Action::Enable).await, failed(unknown));
}

#[tokio::test]
async fn a_machine_without_a_service_manager_says_what_was_looked_for() {
    let machine = Machine::new();
    for unit in ["nginx.service", "till@1.service", "till.timer"] {
        let How::Failed(why) = machine.how(Action::Start, unit).await else { panic!("{unit} was started") };
        let expected =
            format!("{unit}: this machine was not booted with systemd, and there is no init script ");
        assert!(why.starts_with(&expected), "{why}");
    }
    fs::create_dir(machine.path("booted")).unwrap();
    let How::Failed(why) = machine.how(Action::Start, "till.service").await else { panic!("it was started") };
    assert!(why.starts_with("systemd cannot be asked about till.service: "), "{why}");
}

#[tokio::test]
async fn what_takes_too_long_is_not_waited_for() {
    let machine = Machine::new();
    let waited = outcome(machine.start(Action::Start, "slow.service", 1)).await;
    assert_eq!(waited.ending.how, How::TimedOut);
    let said = String::from_utf8(waited.stdout).unwrap();
    assert!(
        said.ends_with("nobody waits any longer; what the service manager has begun goes on\n"),
        "{said}"
    );

    fs::remove_file(machine.path("pid")).unwrap();
    let running = machine.start(Action::Start, "slow.service", 600);
    let pid = until("the script runs", || {
        fs::read_to_string(machine.path("pid")).ok().filter(|pid| !pid.is_empty())
    })
    .await;
    running.kill.kill("halted");
    assert_eq!(outcome(running).await.ending.how, How::Killed("halted".to_owned()));
    let process = PathBuf::from("/proc").join(pid.trim());
    until("the agent's own child is gone", || (!process.join("exe").exists()).then_some(())).await;
}

/// Somebody listens where the bus should be, and never says a word.
#[tokio::test]
async fn a_bus_that_does_not_answer_ends_by_the_timeout() {
    let machine = Machine::new();
    fs::create_dir(machine.path("booted")).unwrap();
    let _silent = UnixListener::bind(machine.path("bus")).unwrap();
    let waited = outcome(machine.start(Action::Stop, "till.service", 1)).await;
    assert_eq!(waited.ending.how, How::TimedOut);
}
