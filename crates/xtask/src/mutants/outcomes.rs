//! What became of each mutant, as `cargo mutants` writes it down.

use anyhow::{Context as _, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// A changed place: its file below `crates/trust/src`, and the change in words. Not its line: lines move.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mutant {
    /// Such as `clear.rs`.
    pub file: String,
    /// Such as ``replace < with <= in widest_window``.
    pub change: String,
}

/// What the tests did about a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A test failed.
    Caught,
    /// A test ran for ever.
    Endless,
    /// No test noticed.
    Missed,
    /// It does not compile.
    Unviable,
}

/// All of them, with how often there is the same change in the same function.
#[derive(Debug, Default, PartialEq)]
pub struct Outcomes(pub BTreeMap<(Mutant, Verdict), usize>);

impl Outcomes {
    /// Reads `outcomes.json`.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let all: Value = serde_json::from_str(text).context("the outcomes")?;
        let mut outcomes = Self::default();
        for outcome in all.get("outcomes").and_then(Value::as_array).context("the outcomes are no list")? {
            if let Some(name) = outcome.pointer("/scenario/Mutant/name").and_then(Value::as_str) {
                let summary = outcome.get("summary").and_then(Value::as_str).unwrap_or_default();
                *outcomes.0.entry((mutant(name)?, verdict(summary)?)).or_default() += 1;
            }
        }
        Ok(outcomes)
    }

    /// The files, in order.
    pub fn files(&self) -> Vec<&str> {
        let mut files: Vec<&str> = self.0.keys().map(|(mutant, _)| mutant.file.as_str()).collect();
        files.dedup();
        files
    }

    /// How many of a hundred that compile were noticed, rounded down; a test that runs for ever has noticed too.
    pub fn noticed_percent(&self) -> Option<usize> {
        self.percent(None)
    }

    fn percent(&self, file: Option<&str>) -> Option<usize> {
        let noticed = self.count(file, Verdict::Caught) + self.count(file, Verdict::Endless);
        (noticed * 100).checked_div(noticed + self.count(file, Verdict::Missed))
    }

    fn count(&self, file: Option<&str>, verdict: Verdict) -> usize {
        let of_file = |mutant: &Mutant| file.is_none_or(|file| file == mutant.file);
        let counts = self.0.iter().filter(|((mutant, found), _)| *found == verdict && of_file(mutant));
        counts.map(|(_, count)| count).sum()
    }
}

/// `crates/trust/src/clear.rs:12:3: replace …`, taken apart.
fn mutant(name: &str) -> anyhow::Result<Mutant> {
    let (place, change) = name.split_once(": ").with_context(|| format!("`{name}` names no change"))?;
    let (path, _) = place.split_once(':').with_context(|| format!("`{name}` names no line"))?;
    let file = path.strip_prefix("crates/trust/src/").unwrap_or(path).to_owned();
    Ok(Mutant { file, change: change.to_owned() })
}

fn verdict(summary: &str) -> anyhow::Result<Verdict> {
    Ok(match summary {
        "CaughtMutant" => Verdict::Caught,
        "MissedMutant" => Verdict::Missed,
        "Unviable" => Verdict::Unviable,
        "Timeout" => Verdict::Endless,
        other => bail!("`{other}` is no verdict"),
    })
}

impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["caught", "endless", "missed", "unviable", "noticed"];
        row(f, "file", head.map(str::to_owned))?;
        let files = self.files().into_iter().map(|file| (file, Some(file)));
        for (name, file) in files.chain([("all", None)]) {
            let verdicts = [Verdict::Caught, Verdict::Endless, Verdict::Missed, Verdict::Unviable];
            let [caught, endless, missed, unviable] =
                verdicts.map(|verdict| self.count(file, verdict).to_string());
            let noticed = self.percent(file).map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"));
            row(f, name, [caught, endless, missed, unviable, noticed])?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, columns: [String; 5]) -> fmt::Result {
    let [caught, endless, missed, unviable, noticed] = columns;
    writeln!(f, "{name:24} {caught:>7} {endless:>7} {missed:>7} {unviable:>9} {noticed:>8}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_mutants_writes_is_counted_without_its_lines() {
        let outcome = |line: u8, summary: &str| {
            format!(
                r#"{{"scenario":{{"Mutant":{{"name":"crates/trust/src/clear.rs:{line}:3: replace < with <= in f"}}}},"summary":"{summary}"}}"#
            )
        };
        let rows = [outcome(1, "CaughtMutant"), outcome(2, "CaughtMutant"), outcome(3, "MissedMutant")];
        let text =
            format!(r#"{{"outcomes":[{{"scenario":"Baseline","summary":"Success"}},{}]}}"#, rows.join(","));
        let outcomes = Outcomes::read(&text).unwrap();
        let mutant = Mutant { file: "clear.rs".to_owned(), change: "replace < with <= in f".to_owned() };
        let expected = [((mutant.clone(), Verdict::Caught), 2), ((mutant, Verdict::Missed), 1)];
        assert_eq!(outcomes, Outcomes(expected.into()));
        let last = outcomes.to_string().lines().last().unwrap().to_owned();
        assert_eq!(last.split_whitespace().collect::<Vec<_>>(), ["all", "2", "0", "1", "0", "66", "%"]);
        assert_eq!(outcomes.noticed_percent(), Some(66));
        assert_eq!(Outcomes::default().noticed_percent(), None);
        assert!(Outcomes::read(&text.replace("Missed", "Strange")).is_err());
    }
}
