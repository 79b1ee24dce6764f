//! `crates/trust/mutants.md`: the mutants that no test can tell from the rule, each with the reason.

use super::outcomes::{Mutant, Outcomes, Verdict};
use anyhow::{Context as _, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Those that are explained, with how many of the same words there are.
#[derive(Debug, Default, PartialEq)]
pub struct Survivors(BTreeMap<Mutant, usize>);

impl Survivors {
    /// Reads the page.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let page = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        Self::of(&page)
    }

    /// A file is a heading, `` ## `clear.rs` ``; a mutant a row under it, `` - `replace < with <= in f`: why. ``, or
    /// `` - `replace < with <= in f` (2): why. `` where the function has two of them.
    fn of(page: &str) -> anyhow::Result<Self> {
        let (mut file, mut survivors) = (None, Self::default());
        for line in page.lines() {
            if let Some(heading) = line.strip_prefix("## `") {
                file = heading.strip_suffix('`').map(str::to_owned);
            }
            let Some(row) = line.strip_prefix("- `") else { continue };
            let (change, rest) = row.split_once('`').with_context(|| format!("`{row}` names no change"))?;
            let count = match rest.strip_prefix(" (").and_then(|rest| rest.split_once("): ")) {
                Some((count, _)) => count.parse().with_context(|| format!("`{row}`"))?,
                None if rest.starts_with(": ") => 1,
                None => bail!("`{row}` says no reason"),
            };
            let file = file.clone().with_context(|| format!("`{row}` stands under no file"))?;
            survivors.0.insert(Mutant { file, change: change.to_owned() }, count);
        }
        Ok(survivors)
    }

    /// Fails if something else was missed or, where `all` of a file was tried, if a test notices what is explained.
    pub fn allow(&self, outcomes: &Outcomes, all: bool) -> anyhow::Result<()> {
        let count = |mutant: &Mutant, verdict| outcomes.0.get(&(mutant.clone(), verdict)).copied();
        let mut faults = Vec::new();
        for ((mutant, verdict), found) in &outcomes.0 {
            let explained = self.0.get(mutant).copied().unwrap_or_default();
            if *verdict == Verdict::Missed && *found > explained {
                let Mutant { file, change } = mutant;
                faults.push(format!("{file}: {change}: missed {found}, explained {explained}"));
            }
        }
        let tried = outcomes.files();
        for (mutant, explained) in self.0.iter().filter(|(mutant, _)| tried.contains(&mutant.file.as_str())) {
            let found = count(mutant, Verdict::Missed).unwrap_or_default();
            if all && found < *explained {
                let Mutant { file, change } = mutant;
                faults.push(format!("{file}: {change}: explained {explained}, missed {found}"));
            }
        }
        if !faults.is_empty() {
            bail!("crates/trust/mutants.md says otherwise:\n{}", faults.join("\n"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str =
        "# Survivors\n\n## `clear.rs`\n\n- `replace < with <= in f`: why.\n- `delete ! in g` (2): why.\n";

    fn missed(rows: &[(&str, usize)]) -> Outcomes {
        let row = |(change, count): &(&str, usize)| {
            let mutant = Mutant { file: "clear.rs".to_owned(), change: (*change).to_owned() };
            ((mutant, Verdict::Missed), *count)
        };
        Outcomes(rows.iter().map(row).collect())
    }

    #[test]
    fn what_is_missed_has_to_be_what_is_explained() {
        let explained = Survivors::of(PAGE).unwrap();
        let both = [("replace < with <= in f", 1), ("delete ! in g", 2)];
        assert!(explained.allow(&missed(&both), true).is_ok());
        let news = explained.allow(&missed(&[both[0], ("delete ! in g", 3)]), true).unwrap_err().to_string();
        assert!(news.ends_with("clear.rs: delete ! in g: missed 3, explained 2"), "{news}");
        assert!(explained.allow(&missed(&[("delete ! in h", 1)]), false).is_err(), "nobody explained it");
        let news = explained.allow(&missed(&[both[0]]), true).unwrap_err().to_string();
        assert!(news.ends_with("clear.rs: delete ! in g: explained 2, missed 0"), "{news}");
        assert!(explained.allow(&missed(&[both[0]]), false).is_ok(), "the other may stand in another part");
    }

    #[test]
    fn a_row_without_a_reason_or_a_file_is_refused() {
        assert!(Survivors::of("## `clear.rs`\n- `delete ! in g`\n").is_err());
        assert!(Survivors::of("- `delete ! in g`: why.\n").is_err());
    }
}
