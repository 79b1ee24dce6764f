//! How long a file may be before it has two reasons to change.

use super::{Finding, Tree};

const MOST: usize = 600;
const MANY: usize = 400;

/// A document that people read from top to bottom is kept shorter than that. The auditor is one file on purpose: it is copied
/// to where the evidence is, and read there.
const OF_THEIR_OWN: [(&str, usize); 3] =
    [("ARCHITECTURE.md", 250), ("README.md", 250), ("audit/audit.py", 3_200)];

/// What people write and read; fixtures, lock files and generated descriptions are not counted.
const WRITTEN: [&str; 11] =
    [".rs", ".md", ".ts", ".tsx", ".css", ".sql", ".proto", ".toml", ".py", ".sh", ".html"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let written = tree.texts().filter(|(path, _)| WRITTEN.iter().any(|ending| path.ends_with(ending)));
    written.filter_map(|(path, text)| judge(path, text.lines().count())).collect()
}

fn judge(path: &str, lines: usize) -> Option<Finding> {
    let most = OF_THEIR_OWN.iter().find(|(name, _)| *name == path).map_or(MOST, |(_, most)| *most);
    if lines > most {
        return Some(Finding::fault(
            path,
            format!("has {lines} lines, at most {most} are allowed; split it"),
        ));
    }
    (lines > MANY).then(|| Finding::warning(path, format!("has {lines} lines; over {MOST} is refused")))
}

#[cfg(test)]
mod tests {
    use super::super::tree_of;
    use super::*;

    #[test]
    fn files_are_refused_over_600_lines_and_warned_of_over_400() {
        let text = |lines| "x\n".repeat(lines);
        let (_folder, tree) = tree_of(&[
            ("a.rs", &text(400)),
            ("b.rs", &text(401)),
            ("c.rs", &text(600)),
            ("d.rs", &text(601)),
            ("ARCHITECTURE.md", &text(251)),
            ("openapi/server.json", &text(9000)),
            ("Cargo.lock", &text(9000)),
        ]);
        let findings: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
        let expected = [
            "warning: b.rs: has 401 lines; over 600 is refused",
            "warning: c.rs: has 600 lines; over 600 is refused",
            "fault: d.rs: has 601 lines, at most 600 are allowed; split it",
            "fault: ARCHITECTURE.md: has 251 lines, at most 250 are allowed; split it",
        ];
        assert_eq!(findings, expected);
    }
}
