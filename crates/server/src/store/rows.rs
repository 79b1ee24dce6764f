//! One statement about many rows: what it costs to have the engine's thread do something is more than what most rows cost.

use sqlx::AssertSqlSafe;

/// How many rows go into one statement: each text is prepared once, so there are few of them.
const SIZES: [usize; 3] = [64, 8, 1];

/// Cuts `rows` into as few groups as there are statements for.
pub fn groups<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rest.len())?;
        let (these, after) = rest.split_at_checked(size)?;
        rest = after;
        Some(these)
    })
}

/// The statement about so many rows.
pub fn text(text: &str, rows: usize) -> AssertSqlSafe<String> {
    AssertSqlSafe(expanded(text, rows))
}

/// The text with `{rows TEXT, BIGINT}` spelled out: each row in brackets, its placeholders behind those that stand in the text, with
/// their types. `-` is for a type that follows from where it goes, and that SQLite would take for another.
pub(super) fn expanded(text: &str, rows: usize) -> String {
    let Some((before, (types, after))) =
        text.split_once("{rows ").and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return text.to_owned();
    };
    let types: Vec<&str> = types.split(", ").collect();
    let mut number = placeholders(before).max(placeholders(after));
    let mut all = Vec::with_capacity(rows);
    for _ in 0..rows {
        let mut row = Vec::with_capacity(types.len());
        for kind in &types {
            number += 1;
            row.push(if *kind == "-" { format!("${number}") } else { format!("CAST(${number} AS {kind})") });
        }
        all.push(format!("({})", row.join(", ")));
    }
    format!("{before}{}{after}", all.join(", "))
}

/// The highest placeholder in a text.
fn placeholders(text: &str) -> usize {
    let numbers = text.split('$').skip(1).filter_map(|rest| {
        let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    });
    numbers.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_few_sizes_and_none_is_left_out() {
        for count in [0, 1, 7, 8, 9, 63, 64, 65, 200] {
            let rows: Vec<usize> = (0..count).collect();
            let groups: Vec<&[usize]> = groups(&rows).collect();
            assert!(groups.iter().all(|group| SIZES.contains(&group.len())), "{count}");
            assert_eq!(groups.concat(), rows);
        }
    }

    #[test]
    fn placeholders_of_rows_stand_behind_those_of_the_text() {
        let cases = [
            (
                "SET a = $2 FROM (VALUES {rows TEXT, BIGINT}) AS v WHERE b = $1",
                "SET a = $2 FROM (VALUES (CAST($3 AS TEXT), CAST($4 AS BIGINT)), (CAST($5 AS TEXT), CAST($6 AS BIGINT))) AS v WHERE b = $1",
            ),
            ("VALUES {rows -, TEXT}", "VALUES ($1, CAST($2 AS TEXT)), ($3, CAST($4 AS TEXT))"),
            ("SELECT $1", "SELECT $1"),
        ];
        for (short, long) in cases {
            assert_eq!(expanded(short, 2), long);
        }
    }
}
