//! What other people wrote, on a screen of this program: each line of it behind a mark, so that it cannot pass for the
//! program's own words.
//!
//! A terminal breaks long lines by itself, and what it breaks off stands without a mark. So lines are broken here first.

use crate::output::plain;

/// Before each line that somebody else wrote as prose. No line of the program's own begins with it.
const MARK: &str = "> ";
/// How wide a piece of foreign text is: fits an 80 column terminal behind its mark and the program's indents.
const WIDTH: usize = 64;
/// How many lines of prose stand on a screen before the rest is left out.
const MOST: usize = 24;
/// How many characters of prose stand in a cell or a sentence.
const BRIEF: usize = 48;

/// Prose of others, a line each with its mark. Of a long one the beginning, and where all of it stands: `all`.
pub fn prose(text: &str, all: &str) -> String {
    let lines = marked(text, MARK);
    let count = lines.len();
    let mut shown: Vec<String> = lines.into_iter().take(MOST).collect();
    if count > MOST {
        shown.push(format!("LOOK: {} more lines are not shown; {all}", count - MOST));
    }
    shown.join("\n")
}

/// A signed text, whole: as [`prose`], however long.
pub fn exact(text: &str) -> String {
    behind(MARK, text.trim_end_matches('\n'))
}

/// Lines that somebody else wrote, each behind `mark`, however long they are.
pub fn behind(mark: &str, text: &str) -> String {
    marked(text, mark).join("\n")
}

/// A line of the program's own that ends in somebody else's words: what a terminal would break off stands behind the mark.
pub fn folded(line: &str) -> String {
    let pieces = pieces(line);
    let (first, rest) = pieces.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    std::iter::once(first.to_owned())
        .chain(rest.iter().map(|piece| format!("{MARK}{piece}")))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The beginning of prose for a cell or a sentence, with the mark.
pub fn brief(text: &str) -> String {
    let text = plain(text);
    let mut short: String = text.chars().take(BRIEF).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{MARK}{short}")
}

fn marked(text: &str, mark: &str) -> Vec<String> {
    text.split('\n').flat_map(pieces).map(|piece| format!("{mark}{piece}").trim_end().to_owned()).collect()
}

/// A line without anything that hides, in pieces that fit.
fn pieces(line: &str) -> Vec<String> {
    let line: Vec<char> = plain(&line.replace('\t', "    ")).chars().collect();
    if line.is_empty() {
        return vec![String::new()];
    }
    line.chunks(WIDTH).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_carries_the_mark_however_it_comes_to_be_one() {
        let padded = format!("printers hang{}on exactly 1 device", " ".repeat(160));
        for hostile in ["a\n\nwhy: b\n  on exactly 1 device:", "a\r\nb", "a\u{2028}b", &padded, ""] {
            let shown = prose(hostile, "all");
            assert!(shown.lines().all(|line| line.starts_with('>')), "{shown}");
            assert!(shown.lines().all(|line| line.chars().count() <= WIDTH + 2), "{shown}");
        }
        assert_eq!(prose("a\n\nb", "all"), "> a\n>\n> b");
        assert_eq!(exact("{\n  \"a\": 1\n}\n"), "> {\n>   \"a\": 1\n> }");
    }

    #[test]
    fn long_prose_is_cut_and_says_so() {
        let shown = prose(&"line\n".repeat(99), "see `x`");
        assert_eq!(shown.lines().count(), MOST + 1);
        assert!(shown.ends_with("LOOK: 76 more lines are not shown; see `x`"), "{shown}");
        assert_eq!(exact(&"line\n".repeat(99)).lines().count(), 99);
        assert_eq!(brief(&"x".repeat(99)).chars().count(), BRIEF + 3);
        assert_eq!(brief("a\nb"), "> a\\nb");
    }
}
