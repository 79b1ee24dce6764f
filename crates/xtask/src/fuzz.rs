//! `cargo xtask fuzz`: looks for bytes that break a law of a parser (`crates/trust/fuzz`).
//!
//! libFuzzer comes as source with its crate, and the compiler of a stable Rust can count what is reached, so that nothing
//! else is needed. What the fuzzer found lies in `target/fuzz/found`; the corpora that are kept are replayed by the tests.

mod corpus;

use crate::shell::{cargo, run as shell_run, succeeds};
use anyhow::{Context as _, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `cargo xtask fuzz` can be told.
#[derive(clap::Args)]
pub struct Args {
    /// Which law, such as `policy` or `bent-envelope`; without a name, all of them.
    law: Option<String>,
    /// For how many seconds each.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Keep a few of the inputs that lead somewhere new in `crates/trust/fuzz/corpus`, to be replayed by the tests.
    #[arg(long)]
    keep: bool,
}

/// Counts which parts of the code an input reaches, and shows the fuzzer what is compared with what.
const COUNT_WHAT_IS_REACHED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";
/// With a target named, what runs while building is not instrumented.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The longest input that is tried, in bytes: a policy with all its signatures and its proof.
const MOST_BYTES: u32 = 20_000;

/// Runs one law or all, and fails with the names of those that were broken.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    let fuzzer = Fuzzer::build(root)?;
    let laws = fuzzer.laws()?;
    if let Some(name) = args.law.as_ref().filter(|name| !laws.contains(name)) {
        bail!("no law is called {name}; there are: {}", laws.join(", "));
    }
    let mut broken = Vec::new();
    println!("{:18} {:>12} {:>9} {:>9}", "law", "executions", "a second", "reached");
    for law in laws.iter().filter(|law| args.law.as_ref().is_none_or(|named| named == *law)) {
        match fuzzer.attack(law, args.seconds)? {
            Attack::Held { executions, reached } => {
                let a_second = executions / u64::from(args.seconds);
                println!("{law:18} {executions:>12} {a_second:>9} {reached:>9}");
            }
            Attack::Broken { input } => {
                println!("{law:18} BROKEN by {}", input.display());
                broken.push(law.clone());
            }
        }
        if args.keep {
            let kept = corpus::keep(&fuzzer, law)?;
            println!("{law:18} keeps {} inputs, {} bytes", kept.inputs, kept.bytes);
        }
    }
    if !broken.is_empty() {
        bail!("broken: {}; what stands in target/fuzz/log says how", broken.join(", "));
    }
    Ok(())
}

/// What became of an attack.
#[derive(Debug, PartialEq)]
enum Attack {
    /// No input broke the law.
    Held { executions: u64, reached: u64 },
    /// This one did.
    Broken { input: PathBuf },
}

/// The built fuzzer and its folders.
struct Fuzzer {
    program: PathBuf,
    /// `target/fuzz`: what it works with.
    works: PathBuf,
    /// `crates/trust/fuzz/corpus`: what is kept.
    kept: PathBuf,
}

impl Fuzzer {
    /// Builds it, and writes what each law begins with.
    fn build(root: &Path) -> anyhow::Result<Self> {
        let (home, works) = (root.join("crates/trust/fuzz"), root.join("target/fuzz"));
        let mut build = cargo(root);
        build.current_dir(&home).env("RUSTFLAGS", COUNT_WHAT_IS_REACHED);
        build
            .args(["build", "--release", "--locked", "--quiet", "--target", TARGET, "--target-dir"])
            .arg(&works);
        shell_run(&mut build)?;
        let program = works.join(TARGET).join("release/countersign-fuzz");
        let seeds = works.join("seeds");
        let _absent = fs::remove_dir_all(&seeds);
        let places = format!("{}:{}", root.join("crates/trust/vectors").display(), seeds.display());
        if !succeeds(Command::new(&program).env("COUNTERSIGN_SEEDS", places)) {
            bail!("`COUNTERSIGN_SEEDS=… {}` failed", program.display());
        }
        Ok(Self { program, works, kept: home.join("corpus") })
    }

    /// The names of all laws: each has a seed.
    fn laws(&self) -> anyhow::Result<Vec<String>> {
        let folders = fs::read_dir(self.works.join("seeds")).context("the seeds")?;
        let names = folders.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<std::io::Result<Vec<_>>>().context("the seeds")?;
        names.sort();
        Ok(names)
    }

    /// A folder of the law's own below `target/fuzz`.
    fn folder(&self, part: &str, law: &str) -> anyhow::Result<PathBuf> {
        let folder = self.works.join(part).join(law);
        fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        Ok(folder)
    }

    /// The fuzzer under a law, its report going to `target/fuzz/log`.
    fn command(&self, law: &str, log: &Path) -> anyhow::Result<Command> {
        let mut command = Command::new(&self.program);
        let log = File::create(log).with_context(|| format!("{}", log.display()))?;
        command.env("COUNTERSIGN_LAW", law).stdout(log.try_clone()?).stderr(log);
        command.args([
            format!("-max_len={MOST_BYTES}"),
            "-timeout=10".to_owned(),
            "-rss_limit_mb=1024".to_owned(),
        ]);
        Ok(command)
    }

    fn attack(&self, law: &str, seconds: u32) -> anyhow::Result<Attack> {
        let (work, seeds) = (self.folder("work", law)?, self.folder("seeds", law)?);
        let found = self.folder("found", law)?;
        let log = self.folder("log", law)?.join("attack");
        let mut command = self.command(law, &log)?;
        command
            .args([format!("-max_total_time={seconds}"), format!("-artifact_prefix={}/", found.display())]);
        command.args(["-use_value_profile=1", "-len_control=10", "-print_final_stats=1"]);
        command.args([&work, &seeds, &self.kept.join(law)].into_iter().filter(|folder| folder.exists()));
        let status = command.status().context("the fuzzer could not be started")?;
        let report = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        read_report(&report, status.success()).with_context(|| format!("{} is no report", log.display()))
    }
}

/// What libFuzzer says at its end.
fn read_report(report: &str, ended_well: bool) -> Option<Attack> {
    let after = |mark: &str| {
        let (_, rest) = report.rsplit_once(mark)?;
        rest.split_whitespace().next()
    };
    if !ended_well {
        return Some(Attack::Broken { input: after("Test unit written to ")?.into() });
    }
    let executions = after("stat::number_of_executed_units:")?.parse().ok()?;
    Some(Attack::Held { executions, reached: after(" cov: ")?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_from_its_end() {
        let report =
            "#2\tINITED cov: 9 ft: 9\n#99\tDONE   cov: 41 ft: 50\nstat::number_of_executed_units: 99\n";
        assert_eq!(read_report(report, true), Some(Attack::Held { executions: 99, reached: 41 }));
        let report =
            "artifact_prefix='x'; Test unit written to target/fuzz/found/key/crash-1\nBase64: AA==\n";
        let input = PathBuf::from("target/fuzz/found/key/crash-1");
        assert_eq!(read_report(report, false), Some(Attack::Broken { input }));
        assert_eq!(read_report("killed", false), None);
    }
}
