//! What a tripwire counts.

use std::collections::{BTreeMap, BTreeSet};

use countersign_trust::ids::Name;
use countersign_trust::receipt::{Receipt, Verdict};
use countersign_trust::statement::policy::{Canary, Tripwire, Watched};

use super::presence::Presence;
use crate::app::{App, Org};
use crate::store::refusal::Refused;
use crate::store::{StoreError, canary, counted, device, refusal};

/// How many notes are kept as evidence of a touch.
pub const MOST_EVIDENCE: usize = 8;
/// How many names stand in words.
const MOST_NAMES: usize = 5;
/// How many notes about canaries are looked at.
const MOST_NOTES: i64 = 10_000;

/// How much there is of something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// So much.
    pub count: u64,
    /// In words.
    pub words: String,
    /// Notes that show it.
    pub evidence: Vec<String>,
}

/// Counts what came after `after_ms`.
pub async fn count(
    app: &App,
    org: &Org,
    tripwire: &Tripwire,
    after_ms: i64,
    presence: &Presence,
) -> Result<Counted, StoreError> {
    match &tripwire.what {
        Watched::Canary(watched) => canaries(app, org, watched, after_ms).await,
        Watched::Refusals(_) => refusals(app, org, tripwire.count, after_ms).await,
        Watched::Silence(_) => Ok(presence.silent(after_ms, tripwire.within, (app.now_ms)())),
    }
}

/// Whether a receipt tells of refusals that count: not of those that a halt makes or that pass, of which every ordinary day has
/// some, and not of what was only brought twice.
pub fn is_refusal(receipt: &Receipt) -> bool {
    receipt.verdict == Verdict::Refused
        && receipt.code.as_ref().is_none_or(|code| !code.may_pass() && !code.says_again())
}

async fn canaries(app: &App, org: &Org, watched: &Canary, after_ms: i64) -> Result<Counted, StoreError> {
    let id = org.id.to_string();
    let rows = canary::touched(&app.db, &id, after_ms, MOST_NOTES).await?;
    let of_these = |path: &str| watched.paths.iter().any(|watched| watched.as_str() == path);
    let mut first = BTreeMap::new();
    for row in rows.into_iter().filter(|row| of_these(&row.path)) {
        first.entry(row.device).or_insert(row.note);
    }
    if first.is_empty() {
        return Ok(Counted::default());
    }
    let devices: Vec<String> = first.keys().cloned().collect();
    let sites: BTreeSet<String> =
        device::labels_of(&app.db, &id, &devices).await?.iter().filter_map(|row| site_of(&row.1)).collect();
    Ok(Counted {
        count: u64::try_from(devices.len()).unwrap_or(u64::MAX),
        words: format!(
            "a canary has changed or is gone on {} of {}: {}",
            how_many(devices.len(), "device", "devices"),
            some(how_many(sites.len(), "site", "sites"), sites.iter()),
            some(String::new(), devices.iter()),
        ),
        evidence: first.into_values().take(MOST_EVIDENCE).collect(),
    })
}

/// The site among a device's labels.
pub fn site_of(labels: &str) -> Option<String> {
    let labels: BTreeMap<String, String> = serde_json::from_str(labels).ok()?;
    labels.get("site").filter(|site| site.parse::<Name>().is_ok()).cloned()
}

async fn refusals(app: &App, org: &Org, enough: u64, after_ms: i64) -> Result<Counted, StoreError> {
    let id = org.id.to_string();
    let rows = refusal::after(&app.db, &id, after_ms).await?;
    let (count, words) = add_up(&rows, enough);
    // Evidence is only read where it may be needed.
    let limit = if count < enough { 0 } else { i64::try_from(MOST_EVIDENCE).unwrap_or(i64::MAX) };
    let evidence = refusal::newest(&app.db, &id, after_ms, limit).await?.into_iter().map(|(note,)| note);
    Ok(Counted { count, words, evidence: evidence.collect() })
}

/// Of one device no more than half of what is enough: a machine in the wrong hands can claim any number, and no machine alone is to
/// stop all others.
fn add_up(rows: &[Refused], enough: u64) -> (u64, String) {
    let most = enough.div_ceil(2);
    let (mut devices, mut codes): (BTreeMap<&str, u64>, BTreeMap<&str, u64>) = Default::default();
    for row in rows {
        let times = counted(row.times);
        for (sums, key) in [(&mut devices, row.device.as_str()), (&mut codes, row.code.as_str())] {
            let sum = sums.entry(key).or_default();
            *sum = sum.saturating_add(times);
        }
    }
    let count = devices.values().map(|sum| *sum.min(&most)).fold(0, u64::saturating_add);
    let codes = codes.iter().map(|(code, times)| format!("{code} {times}"));
    let devices = how_many(devices.len(), "device", "devices");
    (count, format!("{count} refusals of {devices}: {}", some(String::new(), codes)))
}

/// So many of something.
pub fn how_many(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// The first few, after what they are.
pub fn some<T: std::fmt::Display>(what: String, all: impl ExactSizeIterator<Item = T>) -> String {
    let more = all.len().saturating_sub(MOST_NAMES);
    let names: Vec<String> = all.take(MOST_NAMES).map(|name| name.to_string()).collect();
    let names = if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") };
    if what.is_empty() { names } else { format!("{what} ({names})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(device: &str, code: &str, times: i64) -> Refused {
        Refused { device: device.to_owned(), code: code.to_owned(), times }
    }

    #[test]
    fn of_one_device_only_half_of_what_is_enough_counts() {
        let cases = [
            (vec![], 0),
            (vec![refused("dev-1", "log", i64::MAX)], 25),
            (vec![refused("dev-1", "log", 3), refused("dev-1", "approvals", 4)], 7),
            (vec![refused("dev-1", "log", 30), refused("dev-2", "log", 30)], 50),
            (vec![refused("dev-1", "log", 30), refused("dev-2", "log", 24)], 49),
            (vec![refused("dev-1", "log", -5)], 0),
        ];
        for (rows, count) in cases {
            assert_eq!(add_up(&rows, 50).0, count, "{rows:?}");
        }
        assert_eq!(add_up(&[refused("dev-1", "log", 9)], 1).0, 1, "where one is enough, one device can");
    }

    #[test]
    fn only_refusals_that_do_not_pass_and_no_halt_made_count() {
        let of = |verdict: &str, code: &str| -> Receipt {
            let zero = "0".repeat(64);
            let text = format!(
                "countersign-receipt/v1\norg-{zero}\ndev-{zero}\nnumber 1\nprevious none\njob {zero}\noccurrence 0\n\
                 step 0\nverdict {verdict}\ncount 1\ncode {code}\nbecause a sentence\noutput none\nkept 0\ndropped 0\n\
                 policy {zero}\nenroll {zero}\ntime 7\n"
            );
            text.parse().unwrap()
        };
        for code in [
            "unknown_signers",
            "statement",
            "log",
            "approvals",
            "not_a_target",
            "expired",
            "of_a_later_version",
        ] {
            assert!(is_refusal(&of("refused", code)), "{code}");
        }
        for code in ["halted", "busy", "not_fresh", "wave_not_yet", "again", "passed"] {
            assert!(!is_refusal(&of("refused", code)), "{code}");
        }
        assert!(!is_refusal(&of("ended", "none")));
    }

    #[test]
    fn of_many_names_a_few_stand_in_words() {
        assert_eq!(some("1 site".to_owned(), ["Lund"].iter()), "1 site (Lund)");
        assert_eq!(some(String::new(), [1, 2, 3, 4, 5, 6, 7].iter()), "1, 2, 3, 4, 5 and 2 more");
    }
}
