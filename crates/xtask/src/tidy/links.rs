//! Relative links in documents lead to a file, and to a heading in it if they name one.

use super::{Finding, Tree};
use std::path::{Component, Path, PathBuf};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let documents = tree.texts().filter(|(path, _)| path.ends_with(".md"));
    documents.flat_map(|(path, text)| check_document(tree, path, &text)).collect()
}

fn check_document(tree: &Tree, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in prose(text) {
        for target in targets(&line) {
            if let Some(what) = broken(tree, path, &target) {
                findings.push(Finding::fault(format!("{path}:{number}"), what));
            }
        }
    }
    findings
}

/// The numbered lines outside code blocks, without their inline code.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut in_code = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            let outside_code = line.split('`').step_by(2).collect::<Vec<_>>();
            lines.push((number, outside_code.join("`")));
        }
    }
    lines
}

/// What stands in `](…)`, and after `[name]:` at the start of a line.
fn targets(line: &str) -> Vec<String> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let named =
        line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target.trim());
    inline.chain(named).map(str::to_owned).collect()
}

fn broken(tree: &Tree, document: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(document).parent().unwrap_or(Path::new(""));
    let path = if path.is_empty() { PathBuf::from(document) } else { folder.join(path) };
    let Some(path) = within(&path) else {
        return Some(format!("the link to {target} leads out of the project"));
    };
    let full = tree.root.join(&path);
    if !full.exists() {
        return Some(format!("the link to {target} leads nowhere: there is no {}", path.display()));
    }
    let has_heading =
        || std::fs::read_to_string(&full).is_ok_and(|text| headings(&text).any(|slug| slug == heading));
    let misses =
        !heading.is_empty() && path.extension().is_some_and(|ending| ending == "md") && !has_heading();
    misses.then(|| format!("{} has no heading that makes #{heading}", path.display()))
}

/// The path with `.` and `..` worked out, or nothing if it leaves the root.
fn within(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => clean.pop().then_some(())?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// The anchors that GitHub and most renderers make of headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let titles = prose_titles(text);
    titles.map(|title| {
        let kept = title.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.flat_map(char::to_lowercase).map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    })
}

fn prose_titles(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim())
}

#[cfg(test)]
mod tests {
    use super::super::tree_of;
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let (_folder, tree) =
            tree_of(&[("docs/a.md", text), ("README.md", "# The first `word`\n"), ("docs/b.md", "")]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let text = "# Own\n[a](b.md) ![p](../README.md) [h](../README.md#the-first-word) [o](#own) [f](../docs)\n\
            [web](https://example.org/x) [mail](mailto:a@example.org)\n[ref]: b.md\n";
        assert_eq!(found(text), Vec::<String>::new());
    }

    #[test]
    fn code_is_not_searched_for_links() {
        assert_eq!(found("`[a](none.md)`\n```\n[a](none.md)\n```\n"), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_faults_that_say_why() {
        let cases = [
            ("[a](none.md)", "the link to none.md leads nowhere: there is no docs/none.md"),
            ("[ref]: none.md", "the link to none.md leads nowhere: there is no docs/none.md"),
            ("[a](../../x.md)", "the link to ../../x.md leads out of the project"),
            ("[a](/etc/hosts)", "the link to /etc/hosts leads out of the project"),
            ("[a](../README.md#second)", "README.md has no heading that makes #second"),
        ];
        for (text, what) in cases {
            assert_eq!(found(text), [format!("fault: docs/a.md:1: {what}")]);
        }
    }
}
