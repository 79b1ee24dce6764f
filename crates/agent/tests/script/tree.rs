//! The whole tree dies.

use std::env;
use std::fmt::Debug;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use countersign_agent::os::{self, OsConfig};
use countersign_agent::run::How;
use countersign_agent::run::script::start;

use crate::stubborn::{self, Memory, Stubborn};
use crate::world::{Way, World, outcome};

/// A second is promised; a test says that it does not take a minute, on a machine that may be busy.
const PATIENCE_MS: u64 = 10_000;

crate::in_every_way! {
    a_stubborn_program_is_gone_after_the_timeout
    a_stubborn_program_is_gone_a_second_after_the_kill
    a_stubborn_program_is_gone_when_the_script_ends_by_itself
    a_stubborn_program_is_gone_when_nobody_listens_any_more
    a_stubborn_program_dies_with_its_agent
    a_stubborn_program_left_by_a_dead_agent_is_swept
}

async fn a_stubborn_program_is_gone_after_the_timeout(way: Way) {
    let world = World::new(way);
    let mut script = stubborn::script(&world, Memory::Wiped, "sleep 60");
    script.timeout_s = 1;
    let running = world.start(&script);
    let stubborn = Stubborn::born(&world).await;
    let outcome = outcome(running).await;
    assert_eq!(outcome.ending.how, How::TimedOut);
    assert!((1000..PATIENCE_MS).contains(&outcome.ending.duration_ms), "{:?}", outcome.ending);
    assert!(stubborn.is_dead().await);
}

async fn a_stubborn_program_is_gone_a_second_after_the_kill(way: Way) {
    let world = World::new(way);
    let running = world.start(&stubborn::script(&world, Memory::Wiped, "sleep 60"));
    let stubborn = Stubborn::born(&world).await;
    let asked = Instant::now();
    running.kill.kill("halted by ann");
    running.kill.clone().kill("too late");
    assert_eq!(outcome(running).await.ending.how, How::Killed("halted by ann".to_owned()));
    assert!(asked.elapsed() < Duration::from_millis(PATIENCE_MS), "{:?}", asked.elapsed());
    assert!(stubborn.is_dead().await);
}

async fn a_stubborn_program_is_gone_when_the_script_ends_by_itself(way: Way) {
    let world = World::new(way);
    let outcome = world.run(&stubborn::script(&world, Memory::Wiped, "exit 4")).await;
    assert_eq!(outcome.ending.how, How::Exit(4));
    assert!(Stubborn::born(&world).await.is_dead().await);
}

async fn a_stubborn_program_is_gone_when_nobody_listens_any_more(way: Way) {
    let world = World::new(way);
    let running = world.start(&stubborn::script(&world, Memory::Wiped, "sleep 60"));
    let stubborn = Stubborn::born(&world).await;
    drop(running);
    stubborn.dies().await;
}

/// An agent in a process of its own, which starts a stubborn program in `world` and then waits to be killed.
fn agent(world: &World, way: Way, memory: Memory) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "tree::an_agent_that_is_going_to_die", "--nocapture"])
        .env("STAND_IN_WAY", format!("{way:?}"))
        .env("STAND_IN_REALM", &world.realm)
        .env("STAND_IN_FOLDER", world.folder.path())
        .env("STAND_IN_MEMORY", format!("{memory:?}"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The other half of [`agent`]: nothing by itself.
#[tokio::test]
async fn an_agent_that_is_going_to_die() {
    let Ok(realm) = env::var("STAND_IN_REALM") else { return };
    let way = [Way::Version1, Way::Version2, Way::Keeper]
        .into_iter()
        .find(|way| told("STAND_IN_WAY", way))
        .unwrap();
    let memory =
        [Memory::Kept, Memory::Wiped].into_iter().find(|memory| told("STAND_IN_MEMORY", memory)).unwrap();
    // A world for its script only: the realm is that of the test, which will sweep it.
    let mut script = stubborn::script(&World::new(Way::Keeper), memory, "sleep 60");
    script.folder = env::var("STAND_IN_FOLDER").unwrap();
    outcome(start(&script, "run-1", &OsConfig::at(&realm, &way.roots()))).await;
}

fn told(name: &str, value: &impl Debug) -> bool {
    env::var(name).unwrap() == format!("{value:?}")
}

async fn a_stubborn_program_dies_with_its_agent(way: Way) {
    let world = World::new(way);
    let mut agent = agent(&world, way, Memory::Wiped);
    let stubborn = Stubborn::born(&world).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    stubborn.dies().await;
}

async fn a_stubborn_program_left_by_a_dead_agent_is_swept(way: Way) {
    let world = World::new(way);
    let mut agent = agent(&world, way, Memory::Kept);
    let stubborn = Stubborn::born(&world).await;
    // The keeper too is killed, before the agent can notice.
    let deadly = format!(
        "kill -STOP {0}; for keeper in $(cat /proc/{0}/task/*/children); do kill -KILL $keeper; done; kill -KILL {0}",
        agent.id()
    );
    assert!(Command::new("sh").args(["-c", &deadly]).status().unwrap().success());
    agent.wait().unwrap();
    assert!(stubborn.is_alive());
    let asked = Instant::now();
    assert_eq!(os::sweep(&world.config), ["run-1"]);
    assert!(asked.elapsed() < Duration::from_millis(PATIENCE_MS), "{:?}", asked.elapsed());
    stubborn.dies().await;
    assert_eq!(os::sweep(&world.config), [""; 0]);
}
