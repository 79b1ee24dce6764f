//! A program that does not want to die: its parents are gone, it has a session of its own, ignores every
//! signal that can be ignored, and beats its heart into a file.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use countersign_agent::run::script::Script;
use tokio::time::sleep;

use crate::world::{World, until};

/// Whether the stubborn program also forgets the mark of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    Kept,
    Wiped,
}

const HEART: &str = "(while :; do echo beat >>heart; sleep 0.01; done) </dev/null >/dev/null 2>&1 & \
                     echo \\$! >pid.new; mv pid.new pid";

/// A script that leaves a stubborn program behind and then does `last`.
pub fn script(world: &World, memory: Memory, last: &str) -> Script {
    let wipe = if memory == Memory::Wiped { "env -i" } else { "" };
    world.script(&[
        "trap '' TERM HUP INT",
        &format!("{wipe} setsid sh -c 'trap \"\" TERM HUP INT; setsid sh -c \"{HEART}\" &'"),
        "while [ ! -s heart ] || [ ! -s pid ]; do sleep 0.01; done",
        last,
    ])
}

/// The stubborn program of a world.
pub struct Stubborn {
    heart: PathBuf,
    program: PathBuf,
}

impl Stubborn {
    /// Waits until it lives.
    pub async fn born(world: &World) -> Self {
        let pid = until("the stubborn program lives", || {
            let pid = fs::read_to_string(world.path("pid")).ok()?;
            world.path("heart").exists().then(|| pid.trim().to_owned())
        });
        let program = PathBuf::from("/proc").join(pid.await);
        Self { heart: world.path("heart"), program }
    }

    /// Its number is nobody's, and its heart is silent for twenty beats.
    pub async fn is_dead(&self) -> bool {
        if self.program.exists() {
            return false;
        }
        let before = self.beats();
        sleep(Duration::from_millis(200)).await;
        self.beats() == before
    }

    /// As above, as soon as it is.
    pub async fn dies(&self) {
        until("the stubborn program dies", || (!self.program.exists()).then_some(())).await;
        assert!(self.is_dead().await);
    }

    pub fn is_alive(&self) -> bool {
        self.program.exists()
    }

    fn beats(&self) -> u64 {
        fs::metadata(&self.heart).unwrap().len()
    }
}
