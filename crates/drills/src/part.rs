//! One part of a world: a beacon, a witness, a server or an agent, in a thread of this process or as a process of its own.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use countersign_agent::os::linux::Roots;
use countersign_agent::os::{BootReading, OsConfig, boot_reading};
use countersign_server::config::Config;
use countersign_trust::ids::Sha256;
use countersign_trust::time::{Reading, Time};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A beacon; its configuration lies beside its folder.
    Beacon,
    /// A witness; its configuration lies beside its folder.
    Witness,
    /// The server.
    Server,
    /// An agent, enrolled before.
    Agent,
}

/// Where parts run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In threads of this process.
    Threads,
    /// As processes: this very program, started again. Its `main` calls [`act`] first.
    Processes,
    /// As processes: the programs that people install, as they were built beside this one.
    Programs,
}

/// A part that can run, or runs.
#[derive(Debug)]
pub struct Part {
    /// What it is.
    pub kind: Kind,
    /// Its data folder.
    pub folder: PathBuf,
    /// Where it listens; an agent does not.
    pub address: SocketAddr,
    /// How far an agent's or a beacon's clocks are ahead, in milliseconds; in threads only.
    pub ahead_ms: Arc<AtomicU64>,
    /// Where it runs.
    pub stage: Stage,
    running: Option<Running>,
}

#[derive(Debug)]
enum Running {
    Thread(oneshot::Sender<End>, JoinHandle<()>),
    Process(Child),
}

/// How a part ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// As on SIGTERM.
    Told,
    /// In the middle of whatever it does.
    Cut,
}

const FLAG: &str = "--countersign-part";

/// How far this program's clocks, and those of its parts that are processes of it, are from the machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// The wall clock's milliseconds, ahead or behind.
    pub wall_ms: i64,
    /// The milliseconds that have passed, beside those of the machine, since it came up.
    pub boot_ms: u64,
}

static WALL_MS: AtomicI64 = AtomicI64::new(0);
static BOOT_MS: AtomicU64 = AtomicU64::new(0);

impl Shift {
    /// The one in force.
    pub fn now() -> Self {
        Self { wall_ms: WALL_MS.load(Ordering::Relaxed), boot_ms: BOOT_MS.load(Ordering::Relaxed) }
    }

    /// From here on it is in force, in this process.
    pub fn set(self) {
        WALL_MS.store(self.wall_ms, Ordering::Relaxed);
        BOOT_MS.store(self.boot_ms, Ordering::Relaxed);
    }

    fn words(self) -> [String; 2] {
        [self.wall_ms.to_string(), self.boot_ms.to_string()]
    }

    fn read<'a>(mut words: impl Iterator<Item = &'a str>) -> Self {
        let wall_ms = words.next().unwrap().parse().unwrap();
        Self { wall_ms, boot_ms: words.next().unwrap().parse().unwrap() }
    }
}

/// This machine's clocks, as far away as they are said to be.
pub fn reading() -> BootReading {
    let (BootReading { boot_ms, wall_ms }, shift) = (boot_reading(), Shift::now());
    BootReading {
        boot_ms: boot_ms.saturating_add(shift.boot_ms),
        wall_ms: wall_ms.saturating_add_signed(shift.wall_ms),
    }
}

/// Becomes a part, in a process that [`Part::start`] began; returns in every other. The part ends with the one who began it.
///
/// # Panics
/// The part cannot start.
pub fn act() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).map(String::as_str) != Some(FLAG) {
        return;
    }
    // Whoever started this holds the other end, and lets go of it however it ends.
    Shift::read(words[5..].iter().map(String::as_str)).set();
    std::thread::spawn(|| {
        // What is said meanwhile is how late it is.
        for line in BufReader::new(std::io::stdin()).lines().map_while(Result::ok) {
            Shift::read(line.split(' ')).set();
        }
        std::process::exit(0);
    });
    let kinds = [Kind::Beacon, Kind::Witness, Kind::Server, Kind::Agent];
    let kind = kinds.into_iter().find(|kind| format!("{kind:?}") == words[2]).unwrap();
    let (_held, never) = oneshot::channel();
    run(kind, Path::new(&words[3]), words[4].parse().unwrap(), &Arc::default(), never);
    std::process::exit(0);
}

/// A loopback address of this process alone: a port that was free here is not taken by another test before the part listens.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, (high & 0x7f) + 1, middle, low)
}

/// An address where nobody listens and that no other part of this process was given: the system gives a port again as soon as it is free.
pub(crate) fn free() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    loop {
        let address = TcpListener::bind((own_address(), 0)).unwrap().local_addr().unwrap();
        if GIVEN.lock().unwrap().insert(address) {
            return address;
        }
    }
}

impl Part {
    /// A part that does not run yet.
    ///
    /// # Panics
    /// The system has no port.
    pub fn new(kind: Kind, folder: PathBuf, stage: Stage) -> Self {
        Self { kind, folder, address: free(), ahead_ms: Arc::default(), stage, running: None }
    }

    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// It does not come up.
    pub fn start(&mut self) {
        let (kind, folder, address) = (self.kind, self.folder.clone(), self.address);
        self.running = Some(match self.stage {
            Stage::Threads => {
                let (stop, stopped) = oneshot::channel();
                let ahead = self.ahead_ms.clone();
                let thread = std::thread::spawn(move || run(kind, &folder, address, &ahead, stopped));
                Running::Thread(stop, thread)
            }
            Stage::Processes => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args([FLAG, &format!("{kind:?}")]).arg(folder).arg(address.to_string());
                command.args(Shift::now().words());
                // A reader of what this program prints does not wait for its parts.
                Running::Process(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
            }
            Stage::Programs => Running::Process(self.run_program()),
        });
        if kind != Kind::Agent {
            until(&format!("{kind:?} listens"), || TcpStream::connect(address).ok());
        }
    }

    /// The installed program for this part, with what tells it where its things are.
    pub fn program(&self) -> Command {
        let name = format!("countersign-{}", format!("{:?}", self.kind).to_lowercase());
        let mut command = Command::new(program(&name));
        match self.kind {
            Kind::Beacon | Kind::Witness => command.arg("--config").arg(self.folder.with_extension("toml")),
            Kind::Server => {
                command.args(["run", "--listen", &self.address.to_string(), "--data"]).arg(&self.folder)
            }
            Kind::Agent => command.arg("--data").arg(&self.folder),
        };
        command.stdin(Stdio::null());
        command
    }

    fn run_program(&self) -> Child {
        let mut command = self.program();
        if self.kind != Kind::Server {
            command.arg("run");
        }
        command.stdout(Stdio::null()).spawn().unwrap()
    }

    /// Tells it how far its clocks are from the machine's, if it is a process of this program that runs.
    ///
    /// # Panics
    /// It has gone.
    pub fn hear_clock(&mut self, shift: Shift) {
        if let Some(Running::Process(child)) = &mut self.running
            && let Some(input) = &mut child.stdin
        {
            writeln!(input, "{}", shift.words().join(" ")).unwrap();
        }
    }

    /// Its process, if it is one that runs.
    pub fn pid(&self) -> Option<u32> {
        match &self.running {
            Some(Running::Process(child)) => Some(child.id()),
            _ => None,
        }
    }

    /// Ends it as SIGTERM does.
    pub fn stop(&mut self) {
        self.end(End::Told);
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        self.end(End::Cut);
    }

    fn end(&mut self, how: End) {
        match self.running.take() {
            None => {}
            Some(Running::Thread(stop, thread)) => {
                let _gone = stop.send(how);
                let ended = thread.join();
                assert!(ended.is_ok() || std::thread::panicking(), "{self:?} broke down");
            }
            Some(Running::Process(mut child)) => {
                // A process that is ended this way cannot tell the difference: only agents end what they run.
                let _gone = child.kill();
                child.wait().unwrap();
            }
        }
    }
}

impl Drop for Part {
    /// Ends it and, of an agent, takes away the control groups it worked with, once nothing is in them.
    fn drop(&mut self) {
        self.stop();
        let Ok(place) = self.folder.canonicalize() else { return };
        if self.kind == Kind::Agent {
            let place = Sha256::of(place.as_os_str().as_encoded_bytes()).to_string();
            let realm = format!("countersign-{}", &place[..12]);
            countersign_agent::os::sweep(&OsConfig::detect_for(&realm));
            let Roots { unified, v1 } = Roots::detect();
            for root in unified.into_iter().chain(v1.into_iter().map(|(_, root)| root)) {
                let _left = std::fs::remove_dir(root.join(&realm));
            }
        }
    }
}

/// Sends a signal to a process: STOP, CONT.
///
/// # Panics
/// It is not there.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// Milliseconds since 1970, by this program's clock.
///
/// # Panics
/// This machine's clock shows an earlier time.
pub fn now_ms() -> u64 {
    let ms: u64 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap();
    ms.saturating_add_signed(Shift::now().wall_ms)
}

/// The time in seconds.
pub fn now() -> Time {
    Time(now_ms() / 1_000)
}

/// Waits until `seen` gives something.
///
/// # Panics
/// It gives nothing for half a minute.
pub fn until<T>(what: &str, seen: impl FnMut() -> Option<T>) -> T {
    until_within(Duration::from_secs(30), Duration::from_millis(5), what, seen)
}

/// The same with another patience, looking so often.
///
/// # Panics
/// It gives nothing for so long.
pub fn until_within<T>(
    patience: Duration,
    pause: Duration,
    what: &str,
    mut seen: impl FnMut() -> Option<T>,
) -> T {
    let deadline = std::time::Instant::now() + patience;
    loop {
        if let Some(seen) = seen() {
            return seen;
        }
        assert!(std::time::Instant::now() < deadline, "not within {} s: {what}", patience.as_secs());
        std::thread::park_timeout(pause);
    }
}

/// The folder of the programs that were built beside this one.
///
/// # Panics
/// One is missing.
pub fn programs() -> PathBuf {
    let parts = ["-server", "-agent", "-beacon", "-witness"];
    parts.iter().for_each(|part| drop(program(&format!("countersign{part}"))));
    program("countersign").parent().unwrap().to_path_buf()
}

fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    // Tests and examples lie a folder deeper than programs.
    let program = this.parent().and_then(Path::parent).unwrap().join(name);
    assert!(program.exists(), "{name} is not built: run `cargo build --workspace --bins` first");
    program
}

fn run(kind: Kind, folder: &Path, address: SocketAddr, ahead: &Arc<AtomicU64>, end: oneshot::Receiver<End>) {
    let threads = if kind == Kind::Server { 2 } else { 1 };
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap();
    runtime.block_on(live(kind, folder, address, ahead, end));
}

async fn live(
    kind: Kind,
    folder: &Path,
    address: SocketAddr,
    ahead: &Arc<AtomicU64>,
    end: oneshot::Receiver<End>,
) {
    let file = folder.with_extension("toml");
    match kind {
        Kind::Beacon => {
            let config = countersign_beacon::config::Config::read(&file).unwrap();
            let ahead = ahead.clone();
            let clock = move || now().plus(ahead.load(Ordering::Relaxed) / 1_000);
            let running = countersign_beacon::serve::start(&config, clock).await.unwrap();
            if end.await != Ok(End::Cut) {
                running.stop().await.unwrap();
            }
        }
        Kind::Witness => {
            let config = countersign_witness::config::Config::read(&file).unwrap();
            let running = countersign_witness::serve::start(&config, now).await.unwrap();
            if end.await != Ok(End::Cut) {
                running.stop().await.unwrap();
            }
        }
        Kind::Server => {
            let config = Config::at_home(folder.to_owned(), address);
            // Beside its folder, as a beacon's, if it is to be told more.
            let config = if file.exists() { Config::read(&file).unwrap() } else { config };
            let running = countersign_server::start(config, now_ms).await.unwrap();
            if end.await != Ok(End::Cut) {
                running.stop().await;
            }
        }
        Kind::Agent => agent(folder, ahead.clone(), end).await,
    }
}

async fn agent(folder: &Path, ahead: Arc<AtomicU64>, end: oneshot::Receiver<End>) {
    let config = countersign_agent::config::Config { data: folder.to_owned(), log: String::new() };
    let clock = move || {
        let BootReading { boot_ms, wall_ms } = reading();
        let ahead = ahead.load(Ordering::Relaxed);
        Reading { boot_ms: boot_ms + ahead, wall_ms: wall_ms + ahead }
    };
    let (told, shutdown) = oneshot::channel::<()>();
    let ended = countersign_agent::run_by(&config, Arc::new(clock), async {
        let _gone = shutdown.await;
    });
    let mut ended = std::pin::pin!(ended);
    let how = tokio::select! {
        ended = &mut ended => return ended.unwrap(),
        how = end => how,
    };
    // Cut: what it does is dropped where it stands.
    if how != Ok(End::Cut) {
        drop(told);
        ended.await.unwrap();
    }
}
