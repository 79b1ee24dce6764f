//! The story, act by act. Whatever it shows a program said; it prints no result of its own.

use super::receipts;
use super::stage::{Person, Stage, free_port, quiet};
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Stores of an invented co-operative, from the north to the south, and how many registers each has.
const STORES: [(&str, u32); 4] = [("Katterjokk", 2), ("Ostersund", 4), ("Vadstena", 3), ("Smygehamn", 3)];
/// How many that makes.
const REGISTERS: usize = 12;
/// How many things the thief tries on each.
const ATTEMPTS: usize = 4;
/// How many beacons and witnesses there are: the smallest number that bears one gone and one lying.
const INDEPENDENT: usize = 4;

/// Who and what takes part.
pub struct Cast {
    /// Asks for jobs.
    pub anna: Person,
    /// Approves them.
    pub bo: Person,
    /// One person with one machine and no ceremony.
    mia: Person,
    server: SocketAddr,
    beacons: Vec<String>,
    witnesses: Vec<String>,
}

/// Programs come up: four beacons and four witnesses, run by others than the server, and the server.
pub fn curtain(stage: &mut Stage) -> anyhow::Result<Cast> {
    act("Four beacons, four witnesses and a server come up");
    let beacons = independent(stage, "beacon")?;
    let witnesses = independent(stage, "witness")?;
    let server = free_port()?;
    write_server_config(stage, server)?;
    start_server(stage)?;
    stage.wait_for_port("server", server)?;
    let [anna, bo, mia] = ["anna", "bo", "mia"].map(|name| Person::arrive(stage, name));
    Ok(Cast { anna: anna?, bo: bo?, mia: mia?, server, beacons, witnesses })
}

fn independent(stage: &mut Stage, kind: &str) -> anyhow::Result<Vec<String>> {
    let mut urls = Vec::new();
    for number in 1..=INDEPENDENT {
        let (name, port) = (format!("{kind}-{number}"), free_port()?);
        let folder = stage.folder_of(&name)?;
        let config = folder.join("config.toml");
        let program = format!("countersign-{kind}");
        quiet(
            stage
                .program(&program)
                .arg("--config")
                .arg(&config)
                .args(["init", "--name", &format!("{name}.example"), "--listen", &port.to_string(), "--data"])
                .arg(folder.join("data")),
        )?;
        let mut command = stage.program(&program);
        stage.start(&name, command.arg("--config").arg(&config).arg("run"))?;
        stage.wait_for_port(&name, port)?;
        urls.push(format!("https://{port}"));
    }
    Ok(urls)
}

fn write_server_config(stage: &Stage, address: SocketAddr) -> anyhow::Result<()> {
    let folder = stage.folder_of("server")?;
    let data = folder.join("data");
    let text = format!(
        "data = {:?}\nlisten = \"{address}\"\naddress = \"{address}\"\ndatabase = \"sqlite\"\n",
        data.display().to_string()
    );
    fs::write(folder.join("config.toml"), text).context("cannot write the server's configuration")
}

fn start_server(stage: &mut Stage) -> anyhow::Result<()> {
    let config = stage.folder.join("server/config.toml");
    let mut command = stage.program("countersign-server");
    stage.start("server", command.arg("run").arg("--config").arg(config))
}

impl Cast {
    /// Two organizations begin on the same server.
    pub fn begin(&self, stage: &mut Stage) -> anyhow::Result<()> {
        act("Two organizations begin: stores with two operators, and one person at home");
        let setup = stage.folder.join("server/data/setup-token").display().to_string();
        let server = format!("https://{}", self.server);
        let people = [format!("anna={}", key(&self.anna)), format!("bo={}", key(&self.bo))];
        let mut words = vec!["init", "--yes", "--name", "Norrsken Stores", "--me", "anna"];
        people.iter().for_each(|person| words.extend(["--person", person]));
        words.extend(["--server", &server, "--setup-token", &setup]);
        self.beacons.iter().for_each(|url| words.extend(["--beacon", url]));
        self.witnesses.iter().for_each(|url| words.extend(["--witness", url]));
        let draft = stage.folder.join("genesis.txt").display().to_string();
        words.extend(["--draft", &draft]);
        self.anna.shows(&words)?;
        self.bo.shows(&["approve", "--yes", &draft])?;
        self.anna.shows(&["init", "--yes", "--finish", &draft])?;
        self.let_in(stage, &server)?;
        let first = |urls: &[String]| urls.first().cloned().unwrap_or_default();
        let (beacon, witness) = (first(&self.beacons), first(&self.witnesses));
        let home = ["init", "--yes", "--name", "Home", "--person", "mia", "--server", &server];
        self.mia.shows(
            &[&home[..], &["--setup-token", &setup, "--beacon", &beacon, "--witness", &witness]].concat(),
        )
    }

    /// Bo gets a token for the server; it lets him look, and gives no power to run anything.
    fn let_in(&self, stage: &Stage, server: &str) -> anyhow::Result<()> {
        let status = self.anna.asks(&["status"])?;
        let org = text(&status, "org")?;
        let pin = pin_in(&fs::read_to_string(stage.folder.join("genesis.txt"))?, self.server)?;
        let token = self.anna.asks(&["token", "create", "bo"])?;
        let file = stage.folder.join("people/bo/token");
        fs::write(&file, text(&token, "token")?).context("cannot write the token")?;
        let file = file.display().to_string();
        let words = [
            "login", "--yes", "--server", server, "--pin", &pin, "--org", &org, "--me", "bo", "--token",
            &file,
        ];
        self.bo.shows(&words)
    }

    /// Twelve registers join by tokens, and one machine at home.
    pub fn enroll(&self, stage: &mut Stage) -> anyhow::Result<()> {
        act("Twelve registers join, store by store");
        for (store, registers) in STORES {
            let count = registers.to_string();
            let words = [
                "enroll",
                "token",
                "--site",
                store,
                "--label",
                "kind=register",
                "--count",
                &count,
                "--until",
                "1h",
            ];
            let token = self.signed_by_both(&words)?;
            for number in 1..=registers {
                start_agent(stage, &format!("{}-{number}", store.to_lowercase()), &token)?;
            }
        }
        let token = self
            .mia
            .asks(&["enroll", "token", "--yes", "--site", "home", "--count", "1", "--until", "1h"])?;
        start_agent(stage, "home-1", &text(&token, "token")?)?;
        stage.wait_for("connection of all twelve registers", 60, || {
            let status = self.anna.asks(&["status"])?;
            Ok((connected(&status) == u64::try_from(REGISTERS).ok()).then_some(()))
        })?;
        self.anna.shows(&["device", "list"])
    }

    /// Anna makes a token; it is good once Bo has signed the enrollment too.
    fn signed_by_both(&self, words: &[&str]) -> anyhow::Result<String> {
        let made = self.anna.asks(&[words, &["--yes"]].concat())?;
        if let Some("waiting") = made.get("state").and_then(Value::as_str) {
            self.bo.asks(&["approve", "--yes", &text(&made, "enroll")?])?;
        }
        text(&made, "token")
    }

    /// A real script reads real facts, on twelve machines, once two people have signed.
    pub fn run(&self, stage: &Stage) -> anyhow::Result<()> {
        act("A job: anna asks, bo approves, twelve registers check both and run it");
        let script = stage.folder.join("facts.sh");
        fs::write(&script, FACTS).context("cannot write the script")?;
        let script = script.display().to_string();
        let on = ["run", "--yes", "--on", "kind=register", "--why", "which system and how much memory?"];
        self.anna.shows(&[&on[..], &["--script", &script, "--detach"]].concat())?;
        let job = self.newest_job()?;
        self.bo.shows(&["inbox"])?;
        let watch = self.anna.begins(&["job", "watch", &job, "--show-output", "--for", "60s"])?;
        self.bo.shows(&["approve", "--yes", &job])?;
        self.anna.finishes(watch)?;
        act("One person at home needs no approval");
        self.mia.shows(&[
            "run",
            "--yes",
            "--all",
            "--why",
            "look",
            "--show-output",
            "--for",
            "60s",
            "--",
            "/bin/uname",
            "-sr",
        ])
    }

    /// The server is stolen: its database, its keys, its certificate, its port.
    pub fn theft(&self, stage: &mut Stage) -> anyhow::Result<()> {
        act(
            "The server is stolen, with its database, its keys and its certificate, while a job waits for approval",
        );
        let wipe = ["run", "--yes", "--on", "kind=register", "--why", "clean up", "--detach", "--"];
        self.anna.shows(&[&wipe[..], &["/usr/bin/touch", THIEF_WAS_HERE]].concat())?;
        stage.kill("server")?;
        let loot = stage.folder.join("loot");
        quiet(Command::new("cp").arg("-r").arg(stage.folder.join("server/data")).arg(&loot))?;
        let receipts = stage.folder.join("refusals");
        println!("\nthief$ countersign-thief --loot loot --listen {}", self.server);
        let mut thief = stage.program("countersign-thief");
        thief.arg("--loot").arg(&loot).arg("--receipts").arg(&receipts);
        thief.args(["--listen", &self.server.to_string(), "--seconds", "600"]);
        stage.start("thief", &mut thief)?;
        let keys = receipts::device_keys(stage)?;
        stage.wait_for("answers of twelve registers and the machine at home to the thief", 60, || {
            let answers = receipts::refusals(&receipts, &keys).unwrap_or_default();
            Ok((answers.values().sum::<usize>() >= (REGISTERS + 1) * ATTEMPTS).then_some(()))
        })?;
        stage.kill("thief")?;
        print!("{}", fs::read_to_string(stage.folder.join("logs/thief.log")).unwrap_or_default());
        println!(
            "\nWhat twelve registers and the machine at home said, each word from a receipt that the machine signed:"
        );
        for (sentence, times) in receipts::refusals(&receipts, &keys)? {
            println!("  {times:>3} x refused: {sentence}");
        }
        if Path::new(THIEF_WAS_HERE).exists() {
            bail!("the thief ran something: {THIEF_WAS_HERE} exists");
        }
        self.take_back(stage, &loot)
    }

    /// The server is taken back as the thief left it: what the thief logged stays in the log, for everybody to see.
    fn take_back(&self, stage: &mut Stage, loot: &Path) -> anyhow::Result<()> {
        let data = stage.folder.join("server/data");
        fs::rename(&data, stage.folder.join("server/data-before-the-theft"))
            .context("cannot put the old data aside")?;
        fs::rename(loot, &data).context("cannot take the data back")?;
        start_server(stage)?;
        stage.wait_for_port("server", self.server)?;
        stage.wait_for("return of all twelve registers", 90, || {
            let status = self.anna.asks(&["status"])?;
            Ok((connected(&status) == u64::try_from(REGISTERS).ok()).then_some(()))
        })
    }

    /// A halt kills what runs; what comes after is refused; a quorum starts again.
    pub fn halt(&self, stage: &mut Stage) -> anyhow::Result<()> {
        act("A halt: one person stops everything, what runs is killed");
        let on = [
            "run",
            "--yes",
            "--on",
            "kind=register",
            "--why",
            "a long task",
            "--detach",
            "--",
            "/bin/sleep",
            "300",
        ];
        self.anna.shows(&on)?;
        let long = self.newest_job()?;
        self.bo.shows(&["approve", "--yes", &long])?;
        stage.wait_for("start of the long task", 30, || self.verdicts(&long, "accepted"))?;
        let start = Instant::now();
        self.bo.shows(&["halt", "--yes", "--reason", "the server is in the wrong hands"])?;
        stage.wait_for("end of the long task", 30, || self.verdicts(&long, "ended"))?;
        println!(
            "\n(from the halt command to the last receipt that it ended: {} ms)",
            start.elapsed().as_millis()
        );
        self.anna.shows(&["job", "show", &long])?;
        act("While halted nothing starts, however many sign");
        self.anna.shows(&[
            "run",
            "--yes",
            "--on",
            "site=Smygehamn",
            "--why",
            "try",
            "--detach",
            "--",
            "/bin/true",
        ])?;
        let next = self.newest_job()?;
        self.bo.shows(&["approve", "--yes", &next])?;
        stage.wait_for("refusal", 30, || self.verdicts_of(&next, "refused", 3))?;
        self.anna.shows(&["job", "show", &next])?;
        act("A quorum starts again");
        self.anna.shows(&["resume", "--yes", "--cut-all", "--why", "the server is back in our hands"])?;
        let resume = self.waiting("resume")?;
        self.bo.shows(&["approve", "--yes", &resume])?;
        self.anna.shows(&[
            "run",
            "--yes",
            "--on",
            "site=Smygehamn",
            "--why",
            "after the resume",
            "--detach",
            "--",
            "/bin/true",
        ])?;
        let after = self.newest_job()?;
        self.bo.shows(&["approve", "--yes", &after])?;
        self.anna.shows(&["job", "watch", &after, "--for", "60s"])
    }

    /// The evidence of the first job is checked by another's program.
    pub fn audit(&self, stage: &Stage, root: &Path) -> anyhow::Result<()> {
        act("An auditor checks the evidence offline, with Python and ssh-keygen");
        let jobs = self.anna.asks(&["job", "list", "--most", "50"])?;
        let job = jobs_of(&jobs)?.last().cloned().context("no job")?;
        let bundle = stage.folder.join("evidence").display().to_string();
        self.anna.shows(&["audit", &job, "--out", &bundle])?;
        let python = root.join("target/venv/bin/python3");
        println!("\nauditor$ audit/audit.py bundle evidence");
        let status =
            Command::new(python).arg(root.join("audit/audit.py")).args(["bundle", &bundle]).status()?;
        if status.success() { Ok(()) } else { bail!("the auditor does not accept the evidence") }
    }

    /// How to go on by hand.
    pub fn stay(&self) {
        println!("\nEverything stays up. Try, in another terminal:\n");
        println!("  export COUNTERSIGN_HOME={}", self.anna.folder.join("countersign").display());
        println!("  export SSH_AUTH_SOCK={}", self.anna.folder.join("agent").display());
        println!("  export COUNTERSIGN_KEY={}", self.anna.public_key().display());
        println!("  target/debug/countersign device list");
        println!("  target/debug/countersign run --on site=Vadstena --why 'look around' -- /usr/bin/uptime");
        println!("\nBo's home is {}. Ctrl-C ends it.", self.bo.folder.display());
    }

    fn newest_job(&self) -> anyhow::Result<String> {
        let jobs = self.anna.asks(&["job", "list", "--most", "1"])?;
        jobs_of(&jobs)?.first().cloned().context("the server shows no job")
    }

    fn waiting(&self, kind: &str) -> anyhow::Result<String> {
        let inbox = self.bo.asks(&["inbox"])?;
        let items = inbox.get("waiting").and_then(Value::as_array).context("no inbox")?;
        let item = items.iter().find(|item| item.get("kind").and_then(Value::as_str) == Some(kind));
        text(item.with_context(|| format!("no {kind} waits"))?, "hash")
    }

    fn verdicts(&self, job: &str, verdict: &str) -> anyhow::Result<Option<()>> {
        self.verdicts_of(job, verdict, REGISTERS)
    }

    fn verdicts_of(&self, job: &str, verdict: &str, wanted: usize) -> anyhow::Result<Option<()>> {
        let shown = self.anna.asks(&["job", "show", job])?;
        let devices = shown.get("devices").and_then(Value::as_array).context("a job without devices")?;
        let there =
            devices.iter().filter(|device| device.get("verdict").and_then(Value::as_str) == Some(verdict));
        Ok((there.count() >= wanted).then_some(()))
    }
}

/// The script reads what this machine says of itself.
const FACTS: &str = "\
. /etc/os-release
echo \"$PRETTY_NAME, Linux $(uname -r)\"
awk '/^MemTotal/ { printf \"%d MiB memory\\n\", $2 / 1024 }' /proc/meminfo
";

const THIEF_WAS_HERE: &str = "/tmp/countersign-thief-was-here";

fn start_agent(stage: &mut Stage, name: &str, token: &str) -> anyhow::Result<()> {
    let data = stage.folder_of(&format!("agents/{name}"))?;
    // On standard input: what stands in a command line every user of a machine can read.
    let mut enroll = stage.program("countersign-agent");
    enroll.arg("--data").arg(&data).args(["enroll", "-"]);
    let mut enroll = enroll.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().context("cannot enroll")?;
    if let Some(mut input) = enroll.stdin.take() {
        writeln!(input, "{token}").context("cannot hand over the token")?;
    }
    let ended = enroll.wait()?;
    if !ended.success() {
        bail!("{name} was not enrolled: {ended}");
    }
    let mut command = stage.program("countersign-agent");
    stage.start(name, command.arg("--data").arg(&data).arg("run"))
}

fn connected(status: &Value) -> Option<u64> {
    status.get("the_server_says")?.get("connected")?.as_u64()
}

/// The hash of the server's certificate's key, as the policy that everybody signed has it.
fn pin_in(policy: &str, server: SocketAddr) -> anyhow::Result<String> {
    let start = format!("\"{server}\": \"");
    let line = policy.lines().find_map(|line| line.trim().strip_prefix(&start));
    Ok(line.context("the policy does not name the server")?.trim_end_matches(['"', ',']).to_owned())
}

fn key(person: &Person) -> String {
    person.public_key().display().to_string()
}

fn text(value: &Value, key: &str) -> anyhow::Result<String> {
    let found = value.get(key).and_then(Value::as_str);
    Ok(found.with_context(|| format!("no `{key}` in {value}"))?.to_owned())
}

fn jobs_of(value: &Value) -> anyhow::Result<Vec<String>> {
    let items = value.get("the_server_says").and_then(Value::as_array).context("no list of jobs")?;
    items.iter().map(|item| text(item, "hash")).collect()
}

fn act(title: &str) {
    println!("\n\x1b[1m== {title}\x1b[0m");
}
