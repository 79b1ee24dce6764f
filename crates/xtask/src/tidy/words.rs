//! Words that may not stand in the project's files, and why.

use super::{Finding, Tree};

/// What is looked for, any case, as a word of its own, and the sentence that says what to do instead.
///
/// A file says what the code is and why. Who asked for it, on which machine and with which tools it was made
/// is out of date the next day, and means nothing to whoever reads it.
const WORDS: [(&str, &str); 18] = [
    ("/work/", MACHINE),
    ("/root/", MACHINE),
    ("/home/runner", MACHINE),
    ("/tmp/cs", MACHINE),
    ("index.crates.io", HOST),
    ("static.crates.io", HOST),
    ("registry.npmjs.org", HOST),
    ("registry.yarnpkg.com", HOST),
    ("pypi.org", HOST),
    ("files.pythonhosted.org", HOST),
    ("deb.debian.org", HOST),
    ("security.debian.org", HOST),
    ("proxy.golang.org", HOST),
    ("assistant", MADE),
    ("workplace", MADE),
    ("as requested", MADE),
    ("language model", MADE),
    ("FIXME", "write TODO and the address of the issue"),
];

const MACHINE: &str = "is a path of one machine; take it as an argument";
const HOST: &str = "is a registry's host; name the package and let the client find it";
const MADE: &str = "is about how the work was done; say what the code is";

/// The lists themselves, and the tests of the lists.
const LISTS: &str = "crates/xtask/src/tidy/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let texts = tree.texts().filter(|(path, _)| !path.starts_with(LISTS));
    texts.flat_map(|(path, text)| check_text(path, &text)).collect()
}

fn check_text(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let at = format!("{path}:{number}");
        let lower = line.to_lowercase();
        for (word, why) in WORDS {
            if has_word(&lower, &word.to_lowercase()) {
                findings.push(Finding::fault(&at, format!("`{word}` {why}")));
            }
        }
        if has_word(line, "TODO") && !line.contains("https://") {
            findings.push(Finding::fault(&at, "a TODO needs the address of its issue on the same line"));
        }
        if let Some(issue) = issue_number(path, line) {
            let what =
                format!("{issue} means nothing without its tracker; give the address, or owner/name#number");
            findings.push(Finding::fault(&at, what));
        }
    }
    findings
}

/// Whether `word` stands in `line` with no letter, digit or `_` right before or, if it ends in one, right after it.
fn has_word(line: &str, word: &str) -> bool {
    let ends_open = word.ends_with(|last: char| !last.is_alphanumeric());
    let continues = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, found)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at.saturating_add(found.len())..).and_then(|text| text.chars().next());
        !before.is_some_and(continues) && (ends_open || !after.is_some_and(continues))
    })
}

/// A bare `#12` in prose or a comment; `owner/name#12` is complete, and colours stand in other files.
fn issue_number(path: &str, line: &str) -> Option<String> {
    if !path.ends_with(".rs") && !path.ends_with(".md") {
        return None;
    }
    line.match_indices('#').find_map(|(at, _)| {
        let before = line.get(..at)?;
        let rest = line.get(at.saturating_add(1)..)?;
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let after = rest.get(digits..)?.chars().next();
        let stands_alone = before.is_empty() || before.ends_with([' ', '\t', '(']);
        let ends = !after.is_some_and(|letter| letter.is_alphanumeric() || "#_-".contains(letter));
        let is_standard = before.ends_with("PKCS ");
        (stands_alone && ends && digits > 0 && !is_standard)
            .then(|| format!("#{}", rest.get(..digits).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{places_of, tree_of};
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check_text(path, text).len()
    }

    #[test]
    fn a_finding_names_file_and_line() {
        let (_folder, tree) = tree_of(&[("a.md", "fine\nsee /root/notes\n"), ("b.bin", "fine")]);
        assert_eq!(places_of(&check(&tree)), ["a.md:2"]);
    }

    #[test]
    fn words_are_found_in_any_case_and_only_whole() {
        for line in
            ["the Assistant said", "assistant", "(assistant)", "cd /work/x", "https://pypi.org/simple"]
        {
            assert_eq!(found("a.md", line), 1, "{line}");
        }
        for line in ["assistants' desk", "net/work/x", "workplaces", "mypypi.org"] {
            assert_eq!(found("a.md", line), 0, "{line}");
        }
    }

    #[test]
    fn a_todo_needs_an_address() {
        assert_eq!(found("a.rs", "// TODO: later"), 1);
        assert_eq!(found("a.rs", "// TODO: later, https://example.org/issues/3"), 0);
        assert_eq!(found("a.rs", "const TODO_LIST: u8 = 1;"), 0);
    }

    #[test]
    fn a_bare_issue_number_is_found_and_a_complete_one_is_not() {
        for line in ["fixes #12", "(#12)", "#12", "see #3."] {
            assert_eq!(found("a.md", line), 1, "{line}");
        }
        for line in
            ["# Title", "owner/name#12", "[x](#12-words)", "&#39;", "r#\"a\"#", "#[test]", "C#7", "PKCS #1"]
        {
            assert_eq!(found("a.md", line), 0, "{line}");
        }
        assert_eq!(found("a.css", "color: #123;"), 0);
    }
}
