//! The stage: folders, ports, people with their ssh-agents, and the programs as processes of their own.

use anyhow::{Context as _, bail};
use serde_json::Value;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Everything that was started, and where it lies. Dropping it ends all of it.
pub struct Stage {
    /// The folder of the demo, wiped at each start.
    pub folder: PathBuf,
    /// Where the built programs are.
    programs: PathBuf,
    running: Vec<(String, Child)>,
}

impl Stage {
    /// A fresh folder under `target/`.
    pub fn new(root: &Path) -> anyhow::Result<Self> {
        let folder = root.join("target/demo");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder.join("logs"))?;
        Ok(Self { folder, programs: root.join("target/debug"), running: Vec::new() })
    }

    /// A folder of the stage, made if it is not there.
    pub fn folder_of(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// One of our own programs.
    pub fn program(&self, name: &str) -> Command {
        Command::new(self.programs.join(name))
    }

    /// Starts a program that stays; what it says goes to a file in `logs/`.
    pub fn start(&mut self, name: &str, command: &mut Command) -> anyhow::Result<()> {
        let log = File::create(self.folder.join("logs").join(format!("{name}.log")))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        self.running.push((name.to_owned(), child));
        Ok(())
    }

    /// Ends a program at once, as a power cut would.
    pub fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let at = self.running.iter().position(|(running, _)| running == name);
        let (_, mut child) = self.running.remove(at.with_context(|| format!("{name} is not running"))?);
        child.kill().with_context(|| format!("{name} could not be ended"))?;
        child.wait().with_context(|| format!("{name} could not be waited for"))?;
        Ok(())
    }

    /// The names of programs that have ended by themselves, which none should.
    pub fn ended(&mut self) -> Vec<String> {
        let ended = self.running.iter_mut().filter_map(|(name, child)| {
            let gone = child.try_wait().ok().flatten()?;
            Some(format!("{name} ({gone})"))
        });
        ended.collect()
    }

    /// Waits until `done` answers with something, and says what was waited for if it does not.
    pub fn wait_for<T>(
        &mut self,
        what: &str,
        seconds: u64,
        mut done: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(value) = done()? {
                return Ok(value);
            }
            let ended = self.ended();
            if !ended.is_empty() {
                bail!(
                    "{} ended while waiting for {what}; see {}/logs",
                    ended.join(", "),
                    self.folder.display()
                );
            }
            if Instant::now() > deadline {
                bail!("no {what} within {seconds} s; see {}/logs", self.folder.display());
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Waits until something listens at `address`.
    pub fn wait_for_port(&mut self, what: &str, address: SocketAddr) -> anyhow::Result<()> {
        self.wait_for(what, 30, || Ok(TcpStream::connect(address).ok().map(drop)))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            // It may have ended already; then there is nothing to do.
            let _ = child.kill();
        }
        for (_, child) in &mut self.running {
            let _ = child.wait();
        }
    }
}

/// A port nobody listens on just now.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Somebody with a key, an ssh-agent and a home for the command line.
pub struct Person {
    /// The name.
    pub name: &'static str,
    /// The folder with the key and the command line's home.
    pub folder: PathBuf,
    program: PathBuf,
}

impl Person {
    /// Draws a key with `ssh-keygen` and puts it into an ssh-agent of the person's own.
    pub fn arrive(stage: &mut Stage, name: &'static str) -> anyhow::Result<Self> {
        let folder = stage.folder_of(&format!("people/{name}"))?;
        let program = stage.programs.join("countersign");
        let person = Self { name, folder, program };
        let key = person.folder.join("id_ed25519");
        let comment = format!("{name}@norrsken.example");
        quiet(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f"])
                .arg(&key),
        )?;
        let socket = person.folder.join("agent");
        stage.start(
            &format!("ssh-agent-{name}"),
            Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket),
        )?;
        stage.wait_for("ssh-agent", 10, || Ok(socket.exists().then_some(())))?;
        quiet(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket))?;
        // From here on only the agent holds the key.
        fs::remove_file(&key)?;
        Ok(person)
    }

    /// The public key's file.
    pub fn public_key(&self) -> PathBuf {
        self.folder.join("id_ed25519.pub")
    }

    /// `countersign` as this person runs it.
    pub fn countersign(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .current_dir(&self.folder)
            .env("HOME", &self.folder)
            .env("COUNTERSIGN_HOME", self.folder.join("countersign"))
            .env("COUNTERSIGN_KEY", self.public_key())
            .env("SSH_AUTH_SOCK", self.folder.join("agent"))
            .stdin(Stdio::null());
        command
    }

    /// Runs it as people do, shows the line and what it says.
    pub fn shows(&self, args: &[&str]) -> anyhow::Result<()> {
        self.types(args);
        let status = self.countersign(args).status()?;
        if status.success() {
            Ok(())
        } else {
            bail!("`countersign {}` as {} did not end well: {status}", args.join(" "), self.name)
        }
    }

    /// Starts something that shows what happens while others go on; see [`Person::finishes`].
    pub fn begins(&self, args: &[&str]) -> anyhow::Result<Child> {
        self.types(args);
        self.countersign(args)
            .spawn()
            .with_context(|| format!("`countersign {}` did not start", args.join(" ")))
    }

    /// Waits for what was begun.
    pub fn finishes(&self, mut begun: Child) -> anyhow::Result<()> {
        let status = begun.wait().context("what was begun cannot be waited for")?;
        if status.success() { Ok(()) } else { bail!("what {} began did not end well: {status}", self.name) }
    }

    /// Runs it without showing it, and returns what it answers in JSON.
    pub fn asks(&self, args: &[&str]) -> anyhow::Result<Value> {
        let output = self.countersign(args).arg("--json").stderr(Stdio::piped()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() && text.trim().is_empty() {
            bail!("{} {args:?}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_str(&text)
            .with_context(|| format!("{} {args:?} answered no JSON: {text}", self.name))
    }

    fn types(&self, args: &[&str]) {
        let quoted =
            args.iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() });
        println!("\n{}$ countersign {}", self.name, quoted.collect::<Vec<_>>().join(" "));
    }
}

/// Runs a command silently; what it says is shown only if it fails.
pub fn quiet(command: &mut Command) -> anyhow::Result<()> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} could not be started"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "{command:?} failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
