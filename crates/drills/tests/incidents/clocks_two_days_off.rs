//! A machine comes up again with a clock that is days off, and finds what was queued for it before somebody halted. Its boot clock is set
//! by a time namespace, for real. Nothing sets a wall clock there: `wall-clock-pushed-…` and `replay-after-clocks-set-back-and-reboot`
//! are played in the virtual world.

use std::process::{Child, Command, Stdio};

use countersign_drills::part::{Stage, now, until};
use countersign_drills::unrehearsed::not_rehearsed;
use countersign_drills::world::World;
use countersign_trust::receipt::Verdict;
use countersign_trust::statement::resume::Lifts;

const DAY_S: u64 = 86_400;

/// The machine's agent, in a time namespace. It ends with the value.
struct Shifted(Child);

impl Shifted {
    /// Its clocks since boot are so far ahead of this machine's.
    fn start(world: &World, ahead_s: u64) -> Self {
        let program = world.machines[0].agent.program();
        let ahead = ahead_s.to_string();
        let mut command = Command::new("unshare");
        command.args(["--time", "--fork", "--kill-child", "--boottime", &ahead, "--monotonic", &ahead, "--"]);
        command.arg(program.get_program()).args(program.get_args()).arg("run");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        Self(child)
    }
}

impl Drop for Shifted {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_machine_that_comes_up_with_its_clock_days_off_runs_nothing_of_before_a_halt() {
    let command = ["--time", "--fork", "--boottime", "172800", "cat", "/proc/uptime"];
    let uptime = Command::new("unshare").args(command).output().ok().filter(|output| output.status.success());
    let Some(uptime) = uptime else { return not_rehearsed("this system gives no time namespace") };
    let uptime = String::from_utf8(uptime.stdout).unwrap();
    let seconds: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
    assert!(seconds > 172_800.0, "up for {seconds} s in a namespace two days ahead");
    let mut world = World::set_up(Stage::Programs, |_| ());
    world.join_apart(world.folder.path().join("agent-apart"));
    let [first, queued, after] = [0; 3].map(|_| world.nonce());
    let machine = || &world.machines[0];

    // Two days ahead from the beginning: the time since boot says nothing of what time it is, and it works.
    let agent = Shifted::start(&world, 2 * DAY_S);
    world.until_connected(1);
    let job = world.order(&world.job(&world.all(), &[&first.line()]), &world.all());
    world.says(Verdict::Ended, &job, machine());
    drop(agent);
    world.until_connected(0);

    let mut job = world.order(&world.job(&world.all(), &[&queued.line()]), &world.all());
    let halt = world.halt_at_beacons();
    // Two days back, then four days forth; each time the server has something that it kept.
    for ahead_s in [0, 4 * DAY_S] {
        let agent = Shifted::start(&world, ahead_s);
        let receipt = world.says(Verdict::Refused, &job, machine());
        assert!(receipt.because.as_str().starts_with("halted: "), "{}", receipt.because);
        let (said, now) = (receipt.time, now());
        assert!(said <= now.plus(60) && said.plus(600) >= now, "it says {said}, it is {now}");
        drop(agent);
        world.until_connected(0);
        job = world.order(&world.job(&world.all(), &[&queued.line()]), &world.all());
    }
    let resume = world.resume(None, Lifts::Halts([halt].into()));
    world.log(&resume, &[]);
    let mut job = world.job(&world.all(), &[&after.line()]);
    job.resume = Some(resume.hash());
    let job = world.order(&job, &world.all());
    let _agent = Shifted::start(&world, DAY_S);
    world.says(Verdict::Ended, &job, machine());
    until("it ran", || (after.lines().len() == 1).then_some(()));
    assert_eq!((first.lines().len(), queued.lines().len()), (1, 0));
}
