//! Which time the evidence is of, and who brought it.

use std::str::FromStr;

use anyhow::{Context as _, anyhow};
use countersign_trust::ids::OrgId;
use countersign_trust::time::Time;

use super::Folder;
use crate::args::duration;
use crate::output::{Stop, time};

const SPAN: &str = "span";

/// Who brought the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The server, whose log was read whole.
    Server,
    /// Machines, beacons and witnesses: there is no log any more.
    Records,
}

/// What a folder of evidence is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The organization.
    pub org: OrgId,
    /// From when on.
    pub from: Time,
    /// Until when, this second not included.
    pub until: Time,
    /// Who brought it.
    pub source: Source,
}

impl Span {
    /// Writes it into a folder, which must hold no other.
    ///
    /// # Errors
    /// The folder holds the evidence of something else.
    pub fn begin(&self, folder: &Folder) -> anyhow::Result<()> {
        match Self::of(folder)? {
            Some(there) if there == *self => Ok(()),
            Some(there) => Err(Stop::Usage(format!(
                "{} holds the evidence of {} from {} until {}; choose another folder, or remove it",
                folder.root().display(),
                there.org,
                time(there.from.0),
                time(there.until.0)
            ))
            .into()),
            None => folder.put(SPAN, self.print().as_bytes()),
        }
    }

    /// What a folder is of, if anything was begun there.
    ///
    /// # Errors
    /// The folder says something else.
    pub fn of(folder: &Folder) -> anyhow::Result<Option<Self>> {
        let Some(text) = folder.text(SPAN)? else { return Ok(None) };
        let read = read(&text).filter(|span| span.print() == text);
        read.map(Some).ok_or_else(|| anyhow!("{}/{SPAN} is damaged", folder.root().display()))
    }

    fn print(&self) -> String {
        let source = match self.source {
            Source::Server => "server",
            Source::Records => "records",
        };
        format!("{}\nfrom {}\nuntil {}\nof {source}\n", self.org, self.from, self.until)
    }
}

fn read(text: &str) -> Option<Span> {
    let mut lines = text.lines();
    let org = lines.next()?.parse().ok()?;
    let from = lines.next()?.strip_prefix("from ")?.parse().ok().map(Time)?;
    let until = lines.next()?.strip_prefix("until ")?.parse().ok().map(Time)?;
    let source = match lines.next()? {
        "of server" => Source::Server,
        "of records" => Source::Records,
        _ => return None,
    };
    Some(Span { org, from, until, source })
}

/// A moment as it was typed: `2026-11-28`, `2026-11-28 16:30`, `2026-11-28T16:30:05Z` (all UTC), `now`, or how long ago: `24h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At this time.
    At(Time),
    /// So many seconds ago.
    Ago(u64),
}

impl Moment {
    /// Which time that is at `now`.
    pub fn at(self, now: Time) -> Time {
        match self {
            Self::At(time) => time,
            Self::Ago(seconds) => Time(now.0.saturating_sub(seconds)),
        }
    }
}

impl FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::Ago(0));
        }
        if let Some(seconds) = date_and_time(text) {
            return Ok(Self::At(Time(seconds)));
        }
        let wrong = || {
            format!(
                "`{text}` is no time; write `2026-11-28`, `2026-11-28 16:30`, both in UTC, or how long ago: `24h`, `7d`"
            )
        };
        duration(text).map(Self::Ago).map_err(|_| wrong())
    }
}

fn date_and_time(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let mut parts = date.split('-').map(|part| number(part, if part.len() == 4 { 4 } else { 2 }));
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let mut parts = clock.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    let seconds = days(year, month, day)?.checked_mul(86_400)? + hour * 3_600 + minute * 60 + second;
    // Whatever is no date or time of day prints as another.
    let printed = time(seconds);
    let asked = format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z");
    (printed == asked).then_some(seconds)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let whole = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| text.parse().ok())?
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

/// The folder's span, for a command that needs one.
///
/// # Errors
/// Nothing was begun there.
pub fn needed(folder: &Folder) -> anyhow::Result<Span> {
    Span::of(folder)?.with_context(|| format!("{} holds no evidence: no {SPAN}", folder.root().display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_a_time_of_day_or_how_long_ago() {
        let at = |seconds| Ok(Moment::At(Time(seconds)));
        assert_eq!("2021-07-02".parse(), at(1_625_184_000));
        assert_eq!("2021-07-02 16:00".parse(), at(1_625_241_600));
        assert_eq!("2024-02-29T12:34:56Z".parse(), at(1_709_210_096));
        assert_eq!("1970-01-01".parse(), at(0));
        assert_eq!("24h".parse(), Ok(Moment::Ago(86_400)));
        assert_eq!("now".parse::<Moment>().unwrap().at(Time(7)), Time(7));
        for bad in [
            "",
            "2021-7-2",
            "2021-02-30",
            "2021-13-01",
            "2021-07-02 24:00",
            "1969-12-31",
            "yesterday",
            "2021-07-02 16",
        ] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_is_of_one_span() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path()).unwrap();
        let span = Span { org: OrgId([7; 32]), from: Time(1), until: Time(9), source: Source::Server };
        assert!(needed(&folder).is_err());
        span.begin(&folder).unwrap();
        span.begin(&folder).unwrap();
        assert_eq!(needed(&folder).unwrap(), span);
        let other = Span { until: Time(10), ..span };
        assert!(other.begin(&folder).unwrap_err().to_string().contains("holds the evidence of"));
        folder.put(SPAN, b"org").unwrap();
        assert!(Span::of(&folder).is_err());
    }
}
