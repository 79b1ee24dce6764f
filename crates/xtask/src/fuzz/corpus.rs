//! Which of the fuzzer's inputs are kept with the code.

use super::Fuzzer;
use crate::shell::run as shell_run;
use anyhow::Context as _;
use std::fs;
use std::path::PathBuf;

/// The most bytes and inputs that are kept of one law: all of them together stay well below a megabyte.
const MOST_BYTES: u64 = 20 * 1024;
const MOST_INPUTS: usize = 40;

/// How much is kept.
#[derive(Debug, Default, PartialEq)]
pub struct Kept {
    pub inputs: usize,
    pub bytes: u64,
}

/// Keeps the fewest inputs that reach what all of them reach, as far as they fit.
pub fn keep(fuzzer: &Fuzzer, law: &str) -> anyhow::Result<Kept> {
    let merged = fuzzer.works.join("merged").join(law);
    let _absent = fs::remove_dir_all(&merged);
    let merged = fuzzer.folder("merged", law)?;
    let mut merge = fuzzer.command(law, &fuzzer.folder("log", law)?.join("merge"))?;
    let (work, seeds, kept) =
        (fuzzer.folder("work", law)?, fuzzer.folder("seeds", law)?, fuzzer.kept.join(law));
    fs::create_dir_all(&kept)?;
    shell_run(merge.args(["-set_cover_merge=1"]).args([&merged, &work, &seeds, &kept]))?;
    let mut inputs = Vec::new();
    for entry in fs::read_dir(&merged)? {
        let entry = entry?;
        inputs.push((entry.metadata()?.len(), entry.path()));
    }
    fs::remove_dir_all(&kept)?;
    fs::create_dir_all(&kept)?;
    let chosen = choose(inputs);
    for (_, path) in &chosen {
        let name = path.file_name().context("an input has a name")?;
        fs::copy(path, kept.join(name))?;
    }
    Ok(Kept { inputs: chosen.len(), bytes: chosen.iter().map(|(bytes, _)| bytes).sum() })
}

/// The largest that takes no more than a third of the room, which is often a whole good one, then the smallest.
fn choose(mut inputs: Vec<(u64, PathBuf)>) -> Vec<(u64, PathBuf)> {
    inputs.sort();
    let mut chosen = Vec::new();
    if let Some(at) = inputs.iter().rposition(|(bytes, _)| *bytes <= MOST_BYTES / 3) {
        chosen.push(inputs.remove(at));
    }
    let mut left = MOST_BYTES.saturating_sub(chosen.iter().map(|(bytes, _)| bytes).sum());
    for (bytes, path) in inputs.into_iter().take(MOST_INPUTS - 1) {
        let Some(rest) = left.checked_sub(bytes) else { break };
        left = rest;
        chosen.push((bytes, path));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_large_input_and_the_smallest_are_kept() {
        let input = |bytes: u64| (bytes, PathBuf::from(bytes.to_string()));
        let sizes = |chosen: Vec<(u64, PathBuf)>| chosen.iter().map(|(bytes, _)| *bytes).collect::<Vec<_>>();
        let inputs = [9, 1, 6_000, 19_000, 20_000].map(input).to_vec();
        assert_eq!(sizes(choose(inputs)), [6_000, 1, 9]);
        assert_eq!(choose((0..100).map(input).collect()).len(), MOST_INPUTS);
        assert_eq!(sizes(choose(Vec::new())), [0_u64; 0]);
    }
}
