//! Names that are easily taken for one another.

/// Whether two different texts are one edit apart: a letter more, less or other, two neighbours swapped, or letters
/// that differ in case only.
pub fn one_edit_apart(left: &str, right: &str) -> bool {
    if left == right {
        return false;
    }
    if left.to_lowercase() == right.to_lowercase() {
        return true;
    }
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let start = left.iter().zip(&right).take_while(|(a, b)| a == b).count();
    let (left, right) = (left.get(start..).unwrap_or_default(), right.get(start..).unwrap_or_default());
    let end = left.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| a == b).count();
    let middle = |text: &[char]| text.get(..text.len().saturating_sub(end)).unwrap_or_default().to_vec();
    match (middle(left).as_slice(), middle(right).as_slice()) {
        ([_], []) | ([], [_]) | ([_], [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

/// Sentences about each of `used` that is one edit apart from another of `all`.
pub fn warnings<'a>(
    what: &str,
    used: impl IntoIterator<Item = &'a str>,
    all: impl IntoIterator<Item = &'a str> + Clone,
) -> Vec<String> {
    let mut found = Vec::new();
    for name in used {
        let alike = all.clone().into_iter().filter(|other| one_edit_apart(name, other));
        found.extend(alike.map(|other| {
            format!("the {what} `{name}` is one edit apart from `{other}`: is it the one you mean?")
        }));
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_letter_more_less_other_or_swapped_is_one_edit() {
        for (a, b) in [
            ("lund", "lunds"),
            ("lund", "lnd"),
            ("lund", "land"),
            ("lund", "ludn"),
            ("lund", "Lund"),
            ("", "a"),
            ("aab", "aaab"),
        ] {
            assert!(one_edit_apart(a, b) && one_edit_apart(b, a), "{a} {b}");
        }
        for (a, b) in [("lund", "lund"), ("lund", "landa"), ("lund", "dnul"), ("", "ab"), ("abcd", "acdb")] {
            assert!(!one_edit_apart(a, b) && !one_edit_apart(b, a), "{a} {b}");
        }
    }

    #[test]
    fn a_warning_names_both() {
        let found = warnings("site", ["lund"], ["lund", "lunde", "malmo"]);
        assert_eq!(found, ["the site `lund` is one edit apart from `lunde`: is it the one you mean?"]);
    }
}
