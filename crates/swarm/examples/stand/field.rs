//! An organization with a real server, four beacons and four witnesses, each a process of its own, and a swarm in this one.

use std::process::Command;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use countersign_drills::part::Stage;
use countersign_drills::world::World;
use countersign_swarm::cast;
use countersign_swarm::swarm::{Conduct, Plan, Swarm};
use countersign_wire::token::Token;
use tokio::runtime::Runtime;

/// How many sites there are, each with a token of its own.
const SITES: u64 = 20;

/// The server's process.
static SERVER: AtomicU32 = AtomicU32::new(0);

/// All of it.
pub struct Field {
    pub world: World,
    pub swarm: Swarm,
    pub runtime: Runtime,
}

impl Field {
    /// An organization in which so many machines may join.
    pub fn new(machines: u64, conduct: Conduct) -> Self {
        let world = World::set_up(Stage::Processes, |server| server.stage = Stage::Programs);
        let runtime = Runtime::new().unwrap();
        let tokens = (0..SITES).map(|number| token(&world, number, machines)).collect();
        let swarm = Swarm::new(Plan { conduct, ..Plan::new(tokens) }).unwrap();
        let field = Self { world, swarm, runtime };
        field.server();
        field
    }

    /// Ends the server and starts it again, without anybody connected.
    pub fn restart(&mut self) {
        self.connect(0);
        self.world.server.stop();
        self.world.server.start();
        self.server();
    }

    /// Has so many machines there, joined and connected; returns how long that took.
    pub fn join(&mut self, count: u64) -> Duration {
        let began = Instant::now();
        let _inside = self.runtime.enter();
        let have = u64::try_from(self.swarm.size()).unwrap();
        self.swarm.grow(count.saturating_sub(have));
        self.connect(count);
        began.elapsed()
    }

    /// Has exactly so many machines connected.
    pub fn connect(&self, count: u64) {
        self.swarm.want(count);
        let deadline = Instant::now() + Duration::from_secs(300);
        while self.swarm.counts().connected.load(Relaxed) != count {
            if let Some(why) = self.swarm.take_failure() {
                eprintln!("a connection failed: {why}");
            }
            assert!(Instant::now() < deadline, "{count} are not connected: {:?}", self.swarm.counts());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes of beacons and witnesses.
    pub fn others(&self) -> Vec<u32> {
        self.world.beacons.iter().chain(&self.world.witnesses).map(|part| part.pid().unwrap()).collect()
    }

    /// The server's process.
    pub fn server(&self) -> u32 {
        let pid = self.world.server.pid().unwrap();
        end_on_panic(pid);
        pid
    }
}

/// Programs in release end at a panic, at once. The other parts end with this one; the server is a program of its own.
pub fn end_on_panic(server: u32) {
    if SERVER.swap(server, Relaxed) == 0 {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            tell(panic);
            let _ended = Command::new("kill").args(["-KILL", &SERVER.load(Relaxed).to_string()]).status();
        }));
    }
}

fn token(world: &World, number: u64, machines: u64) -> Token {
    let cast::Site { name, kind, size } = cast::site(1, number);
    let count = usize::try_from(machines.div_ceil(SITES)).unwrap();
    world.token_for(&name, &[("kind", kind), ("size", size)], count)
}
