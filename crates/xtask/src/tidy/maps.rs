//! Paths that the maps of the tree name are there: who follows one finds what he was sent to.

use super::{Finding, Tree};

/// The documents that say where things are. A decision is not among them: it speaks of the tree as it was.
const MAPS: [&str; 4] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let maps = tree.texts().filter(|(path, _)| MAPS.contains(path) || path.starts_with("docs/spec/"));
    maps.flat_map(|(path, text)| check_map(tree, path, &text)).collect()
}

fn check_map(tree: &Tree, map: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let lost = line.split('`').skip(1).step_by(2).filter(|path| leads_nowhere(tree, path));
        findings.extend(lost.map(|path| {
            Finding::fault(format!("{map}:{number}"), format!("names {path}, and there is none"))
        }));
    }
    findings
}

/// Whether `path` is meant as one below the root or below `crates`, and no file is it or stands in it.
fn leads_nowhere(tree: &Tree, path: &str) -> bool {
    let of_a_path = |letter: char| letter.is_ascii_alphanumeric() || "._-/<>".contains(letter);
    // What begins with a slash is below a URL.
    let is_path = |(first, _): &(&str, &str)| !first.is_empty() && path.chars().all(of_a_path);
    let Some((first, _)) = path.split_once('/').filter(is_path) else { return false };
    let stands = |path: &str| tree.files.iter().any(|file| is_in(file, path));
    let (in_crates, is_crate) = (format!("crates/{path}"), stands(&format!("crates/{first}")));
    (is_crate || stands(first)) && !stands(path) && !stands(&in_crates)
}

/// Whether `file` is what `path` names or is below it; `<kind>` in a path is any name.
fn is_in(file: &str, path: &str) -> bool {
    let mut parts = file.split('/');
    path.trim_end_matches('/').split('/').all(|wanted| parts.next().is_some_and(|part| fits(part, wanted)))
}

fn fits(part: &str, wanted: &str) -> bool {
    match wanted.split_once('<').and_then(|(before, rest)| Some((before, rest.split_once('>')?.1))) {
        Some((before, after)) => {
            part.len() > before.len() + after.len() && part.starts_with(before) && part.ends_with(after)
        }
        None => part == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree_of;
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let (_folder, tree) = tree_of(&[
            ("CONTRIBUTING.md", text),
            ("docs/glossary.md", ""),
            ("crates/trust/src/verify.rs", ""),
            ("crates/trust/src/verify/code.rs", ""),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_there_and_what_is_no_path_of_the_tree_is_fine() {
        let text = "`trust/src/verify` `trust/src/` `crates/trust` `docs/glossary.md` `trust/src/verify/<kind>.rs`\n\
            `owner/name` `c2sp.org/tlog-witness` `trust/src of it` trust/src/none.rs `verify.rs`\n";
        assert_eq!(found(text), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_there_is_a_fault() {
        for path in [
            "trust/src/refusals.rs",
            "trust/src/verify/code",
            "docs/operating",
            "crates/wire/src",
            "trust/src/<noun>/x.rs",
            "trust/src/code<kind>.rs",
        ] {
            let text = format!("`docs/glossary.md`\nsee `{path}`, and then\n");
            assert_eq!(found(&text), [format!("fault: CONTRIBUTING.md:2: names {path}, and there is none")]);
        }
    }
}
