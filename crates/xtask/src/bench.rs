//! `cargo xtask bench NAME`: one measurement, repeated, and its figures.
//!
//! A bench is an example in the crate it measures. Run in release, it prints a JSON object a line for each
//! figure, `{"figure": "delivery_us", "value": 512.5}`, with the unit at the end of the name; it prints
//! anything meant for people on stderr. Here it is run several times, and the median counts.

use crate::shell::{cargo, line_by_line, run as shell_run};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What `cargo xtask bench` can be told.
#[derive(clap::Args)]
pub struct Args {
    /// Which bench; without a name, lists them.
    name: Option<String>,
    /// Print one JSON object: bench, figures (medians), runs, machine.
    #[arg(long)]
    json: bool,
    /// How often to run it.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// The whole of it, where a run takes many minutes (agent: 20).
    #[arg(long)]
    long: bool,
    /// A small form of it, once, where there is one (halt: 1,000 machines): it prints no figures and is held against nothing.
    #[arg(long, conflicts_with_all = ["long", "json"])]
    quick: bool,
}

/// A row of the table below.
struct Bench {
    name: &'static str,
    about: &'static str,
    /// The folder under `crates/`; the example is `examples/bench_<name>.rs` there.
    folder: &'static str,
    /// The folder under `crates/` whose programs it starts: they are built first.
    programs: Option<&'static str>,
    /// Every figure it must print, each time.
    figures: &'static [&'static str],
    /// What its medians are held against. A bar that is missed is said and fails nothing: machines differ.
    bars: &'static [Bar],
}

/// What a figure should be.
enum Bar {
    /// No more than this.
    AtMost(&'static str, f64),
    /// No less than this.
    AtLeast(&'static str, f64),
    /// The first figure is no more than so many times the second.
    Times(&'static str, &'static str, f64),
}

const BENCHES: [Bench; 6] = [
    Bench {
        name: "verify",
        about: "an agent checks one delivery",
        folder: "trust",
        programs: None,
        figures: &["delivery_us", "delivery_bytes"],
        bars: &[],
    },
    Bench {
        name: "job",
        about: "from the last approval until the last of 12 machines has begun the job",
        folder: "drills",
        programs: None,
        figures: &["last_start_ms"],
        bars: &[],
    },
    Bench {
        name: "agent",
        about: "memory of an agent after 100 jobs and 5 lost servers, and its program's size",
        folder: "drills",
        programs: Some("agent"),
        figures: &["resident_mib", "binary_mib"],
        bars: &[Bar::AtMost("resident_mib", 8.0), Bar::AtMost("binary_mib", 6.0)],
    },
    Bench {
        name: "connections",
        about: "what an idle agent costs the server, beside a connection that does nothing",
        folder: "swarm",
        programs: Some("server"),
        figures: &["server_kib_per_agent", "raw_kib_per_connection", "handshake_ratio"],
        bars: &[
            Bar::Times("server_kib_per_agent", "raw_kib_per_connection", 1.5),
            Bar::AtLeast("handshake_ratio", 0.8),
        ],
    },
    Bench {
        name: "fanout",
        about: "from the last approval until the last receipt of 10,000 machines is stored",
        folder: "swarm",
        programs: Some("server"),
        figures: &["last_receipt_10000_ms", "ratio_to_raw_10000", "server_cpu_us_per_agent_job"],
        bars: &[Bar::AtMost("ratio_to_raw_10000", 2.0), Bar::AtMost("server_cpu_us_per_agent_job", 200.0)],
    },
    Bench {
        name: "halt",
        about: "from a halt's request until the last of 10,000 machines refuses; draws docs/halt.svg",
        folder: "swarm",
        programs: Some("server"),
        figures: &["last_refusing_10000_ms", "ratio_to_raw_10000", "loaded_10000_ms", "jobs_started_after"],
        bars: &[
            Bar::AtMost("last_refusing_10000_ms", 1_000.0),
            Bar::AtMost("ratio_to_raw_10000", 2.0),
            Bar::AtMost("jobs_started_after", 0.0),
        ],
    },
];

/// Measures what was named, or refuses with the list of what can be measured.
pub fn run(root: &Path, args: &Args) -> anyhow::Result<()> {
    let Some(name) = &args.name else {
        println!("{}", list(root));
        return Ok(());
    };
    let found = BENCHES.iter().find(|bench| bench.name == name);
    let bench = found.with_context(|| format!("no bench is called {name}\n{}", list(root)))?;
    if !exists(root, bench) {
        bail!("the bench {name} is not here yet\n{}", list(root));
    }
    if let Some(folder) = bench.programs {
        let package = format!("countersign-{folder}");
        let build = ["build", "--release", "--locked", "--quiet", "--bins", "--package", &package];
        shell_run(cargo(root).args(build))?;
    }
    let mut samples = Samples::default();
    if args.quick {
        return run_once(root, bench, Some("--quick"), &mut samples);
    }
    for _ in 0..args.runs {
        run_once(root, bench, args.long.then_some("--long"), &mut samples)?;
    }
    let figures = samples.summary(bench)?;
    if args.json {
        println!("{}", as_json(bench.name, &figures, args.runs, &machine()));
    } else {
        println!("{}", as_table(bench.name, &figures, args.runs, &machine()));
        bench.bars.iter().filter_map(|bar| bar.held_against(&figures)).for_each(|line| println!("{line}"));
    }
    Ok(())
}

fn example(bench: &Bench) -> String {
    format!("bench_{}", bench.name)
}

fn exists(root: &Path, bench: &Bench) -> bool {
    let examples = root.join("crates").join(bench.folder).join("examples");
    examples.join(example(bench)).with_extension("rs").is_file()
}

fn list(root: &Path) -> String {
    let lines = BENCHES.iter().map(|bench| {
        let absent = if exists(root, bench) { "" } else { " (not here yet)" };
        format!("  {:11} {}: {}{absent}", bench.name, bench.about, bench.figures.join(", "))
    });
    format!("benches:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

fn run_once(root: &Path, bench: &Bench, form: Option<&str>, samples: &mut Samples) -> anyhow::Result<()> {
    let mut command = cargo(root);
    let package = format!("countersign-{}", bench.folder);
    command.args([
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        &package,
        "--example",
        &example(bench),
    ]);
    command.args(form.iter().flat_map(|form| ["--", form]));
    let mut read = Ok(());
    line_by_line(&mut command, |line| {
        if read.is_ok() {
            read = samples.add(line);
        }
    })?;
    read
}

/// Every value seen, under the name of its figure.
#[derive(Default)]
struct Samples(BTreeMap<String, Vec<f64>>);

/// A figure over all runs.
#[derive(Debug, PartialEq)]
struct Figure {
    name: String,
    median: f64,
    lowest: f64,
    highest: f64,
}

impl Samples {
    fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let parsed: Value = serde_json::from_str(line).with_context(|| format!("not a figure: {line}"))?;
        let name = parsed.get("figure").and_then(Value::as_str);
        let value = parsed.get("value").and_then(Value::as_f64).filter(|value| value.is_finite());
        let (Some(name), Some(value)) = (name, value) else { bail!("not a figure: {line}") };
        self.0.entry(name.to_owned()).or_default().push(value);
        Ok(())
    }

    /// The figures in the order of the bench's row; fails if one is missing or not in the row.
    fn summary(mut self, bench: &Bench) -> anyhow::Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for name in bench.figures {
            let values = self.0.remove(*name).unwrap_or_default();
            figures.push(figure(name, values).with_context(|| format!("{} printed no {name}", bench.name))?);
        }
        if let Some((name, _)) = self.0.first_key_value() {
            bail!("{} printed {name}, which its row does not name", bench.name);
        }
        Ok(figures)
    }
}

impl Bar {
    /// The bar beside what was measured, in a line.
    fn held_against(&self, figures: &[Figure]) -> Option<String> {
        let median =
            |name: &str| figures.iter().find(|figure| figure.name == name).map(|figure| figure.median);
        let (met, words) = match *self {
            Self::AtMost(name, most) => {
                let found = median(name)?;
                (found <= most, format!("{name} {found:.2}, at most {most}"))
            }
            Self::AtLeast(name, least) => {
                let found = median(name)?;
                (found >= least, format!("{name} {found:.2}, at least {least}"))
            }
            Self::Times(name, other, times) => {
                let (found, bar) = (median(name)?, median(other)?);
                (found <= times * bar, format!("{name} {found:.2}, at most {times} times {other} {bar:.2}"))
            }
        };
        Some(format!("{:6} {words}", if met { "met" } else { "MISSED" }))
    }
}

/// Of an even number of values the lower middle one counts, so that a figure is always one that was seen.
fn figure(name: &str, mut values: Vec<f64>) -> Option<Figure> {
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    let (median, lowest, highest) = (*values.get(middle)?, *values.first()?, *values.last()?);
    Some(Figure { name: name.to_owned(), median, lowest, highest })
}

fn as_json(bench: &str, figures: &[Figure], runs: u16, machine: &str) -> Value {
    let medians: BTreeMap<&str, f64> = figures.iter().map(|figure| (&*figure.name, figure.median)).collect();
    json!({"bench": bench, "figures": medians, "runs": runs, "machine": machine})
}

fn as_table(bench: &str, figures: &[Figure], runs: u16, machine: &str) -> String {
    let mut lines = vec![format!("{bench}, {runs} runs on {machine}")];
    lines.push(format!("{:24} {:>14} {:>14} {:>14}", "figure", "median", "lowest", "highest"));
    for Figure { name, median, lowest, highest } in figures {
        lines.push(format!("{name:24} {median:>14.1} {lowest:>14.1} {highest:>14.1}"));
    }
    lines.join("\n")
}

/// Processor, cores and system: what a figure means nothing without.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, {} {}", std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEED: Bench = Bench {
        name: "speed",
        about: "a test's own row",
        folder: "none",
        programs: None,
        figures: &["late_ms", "size_bytes"],
        bars: &[
            Bar::AtMost("late_ms", 20.0),
            Bar::AtLeast("size_bytes", 5_000.0),
            Bar::Times("size_bytes", "late_ms", 2.0),
        ],
    };

    fn samples(lines: &[&str]) -> Samples {
        let mut samples = Samples::default();
        lines.iter().for_each(|line| samples.add(line).unwrap());
        samples
    }

    #[test]
    fn the_median_run_counts_and_the_extremes_are_shown() {
        let lines = [
            r#"{"figure": "late_ms", "value": 30}"#,
            r#"{"figure": "late_ms", "value": 10.5}"#,
            r#"{"figure": "late_ms", "value": 20}"#,
            r#"{"figure": "size_bytes", "value": 4096}"#,
        ];
        let figures = samples(&lines).summary(&SPEED).unwrap();
        let late = Figure { name: "late_ms".into(), median: 20.0, lowest: 10.5, highest: 30.0 };
        assert_eq!(figures.first(), Some(&late));
        let json = as_json("speed", &figures, 3, "a machine");
        let expected = json!({"bench": "speed", "figures": {"late_ms": 20.0, "size_bytes": 4096.0},
            "runs": 3, "machine": "a machine"});
        assert_eq!(json, expected);
        assert!(as_table("speed", &figures, 3, "a machine").contains("late_ms"));
    }

    #[test]
    fn a_bar_is_met_or_missed_by_the_median_and_says_both_numbers() {
        let lines = [r#"{"figure": "late_ms", "value": 20}"#, r#"{"figure": "size_bytes", "value": 4096}"#];
        let figures = samples(&lines).summary(&SPEED).unwrap();
        let said: Vec<String> = SPEED.bars.iter().filter_map(|bar| bar.held_against(&figures)).collect();
        let expected = [
            "met    late_ms 20.00, at most 20",
            "MISSED size_bytes 4096.00, at least 5000",
            "MISSED size_bytes 4096.00, at most 2 times late_ms 20.00",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn every_bar_is_held_against_figures_of_its_bench() {
        for bench in &BENCHES {
            for bar in bench.bars {
                let named = match bar {
                    Bar::AtMost(name, _) | Bar::AtLeast(name, _) => vec![name],
                    Bar::Times(name, other, _) => vec![name, other],
                };
                assert!(named.iter().all(|name| bench.figures.contains(name)), "{}: {named:?}", bench.name);
            }
        }
    }

    #[test]
    fn a_figure_that_was_promised_and_not_printed_is_an_error() {
        let error = samples(&[r#"{"figure": "late_ms", "value": 1}"#]).summary(&SPEED).unwrap_err();
        assert_eq!(error.to_string(), "speed printed no size_bytes");
    }

    #[test]
    fn a_figure_that_was_not_promised_is_an_error() {
        let lines = [
            r#"{"figure": "late_ms", "value": 1}"#,
            r#"{"figure": "size_bytes", "value": 2}"#,
            r#"{"figure": "mood", "value": 3}"#,
        ];
        let error = samples(&lines).summary(&SPEED).unwrap_err();
        assert_eq!(error.to_string(), "speed printed mood, which its row does not name");
    }

    #[test]
    fn a_line_that_is_no_figure_is_quoted() {
        let error = Samples::default().add("12 ms").unwrap_err();
        assert_eq!(error.to_string(), "not a figure: 12 ms");
    }

    #[test]
    fn an_unknown_bench_is_refused_with_the_list() {
        let empty = tempfile::tempdir().unwrap();
        let args = Args { name: Some("vibes".into()), json: false, runs: 1, long: false, quick: false };
        let error = run(empty.path(), &args).unwrap_err().to_string();
        assert!(error.starts_with("no bench is called vibes\nbenches:\n  verify"), "{error}");
    }

    #[test]
    fn a_bench_whose_example_is_absent_is_refused_and_listed_as_absent() {
        let empty = tempfile::tempdir().unwrap();
        let args = Args { name: Some("verify".into()), json: false, runs: 1, long: false, quick: false };
        let error = run(empty.path(), &args).unwrap_err().to_string();
        assert!(error.starts_with("the bench verify is not here yet\n"), "{error}");
        assert!(error.contains("(not here yet)"), "{error}");
    }
}
