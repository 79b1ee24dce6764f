//! `countersign-agent halt FILE`: halts that somebody brings by hand, such as on a USB stick; also policies and resumes.
//!
//! What holds is left for the agent, which runs or will run; what does not is named and keeps nothing else away. The file went
//! through many hands: line ends of DOS, a byte order mark, UTF-16 and a lost last line feed change nothing that was signed.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use countersign_agent::disk::ledger::read_ledger;
use countersign_agent::disk::{DiskError, MOST_IN_A_LETTER, is_worked_on, leave_letter};
use countersign_trust::chain::{Chain, Taken};
use countersign_trust::delivery::{News, write_sequence};

/// How long an agent that runs is waited for: it looks once a second.
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Checks what the file says against what this device holds, and sees that the agent has it.
pub fn take(data: &Path, file: &Path) -> anyhow::Result<()> {
    let text = text(&read(file)?).with_context(|| file.display().to_string())?;
    let ledger = read_ledger(data).map_err(|error| as_owner(error, data))?;
    let mut chain = ledger.chain().cloned().context("this machine is not enrolled")?;
    let (mut new, mut faults) = (Vec::new(), Vec::new());
    for piece in pieces(&text) {
        match offer(&mut chain, piece) {
            Ok((news, Taken::New | Taken::Waits | Taken::Moved)) => new.push(news),
            Ok((news, Taken::Known)) => println!("known {}", words(&chain, &news)),
            Ok((news, Taken::Lifted)) => {
                println!("lifted {}: a resume has lifted this halt, it stops nothing", news.hash());
            }
            Err(error) => faults.push(format!("{error:#}")),
        }
    }
    if !new.is_empty() {
        leave_letter(data, &write_sequence(&new)).map_err(|error| as_owner(error, data))?;
        let stands = stands(data, &new)?;
        new.iter().for_each(|news| println!("{stands} {}", words(&chain, news)));
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{}: {}; what was good in the file was taken", file.display(), faults.join("; "))
}

/// What to say to somebody who may not look into `data`.
pub fn as_owner(error: DiskError, data: &Path) -> anyhow::Error {
    let denied =
        matches!(&error, DiskError::Io { error, .. } if error.kind() == std::io::ErrorKind::PermissionDenied);
    match denied {
        true => anyhow::Error::new(error).context(format!(
            "only root, or the user to whom {} belongs, may do this: put `sudo` before it",
            data.display()
        )),
        false => error.into(),
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let (mut bytes, name) = (Vec::new(), file.display());
    let opened = File::open(file).with_context(|| format!("cannot open {name}"))?;
    opened
        .take(MOST_IN_A_LETTER + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {name}"))?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= MOST_IN_A_LETTER => Ok(bytes),
        _ => bail!("{name} has more than {MOST_IN_A_LETTER} bytes: that is no file of halts"),
    }
}

/// The text as it was written, whatever editors and mail have made of it.
fn text(bytes: &[u8]) -> anyhow::Result<String> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        all => String::from_utf8(all.to_vec()).ok(),
    };
    let text = text.context("this is no text: bring the file as `countersign halt --file` wrote it")?;
    let text = text.replace("\r\n", "\n");
    let text = text.trim_matches('\n');
    if text.is_empty() {
        bail!("there is nothing in it: write it again with `countersign halt list --file`");
    }
    Ok(format!("{text}\n"))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let units: Vec<u16> =
        bytes.chunks_exact(2).filter_map(|pair| Some(unit(pair.try_into().ok()?))).collect();
    String::from_utf16(&units).ok()
}

/// The envelopes in a text: of a sequence, or one after the other. The last may be what is left of one.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((item, tail)) = first_of_sequence(rest) {
        pieces.push(item);
        rest = tail;
    }
    // What is left of the last one in a sequence.
    rest = rest.strip_prefix("envelope ").and_then(|cut| Some(cut.split_once('\n')?.1)).unwrap_or(rest);
    // A statement begins with a line `{`, and no other line of an envelope is that.
    while let Some(end) = rest.find("\n{\n") {
        let (piece, tail) = rest.split_at(end + 1);
        pieces.push(piece);
        rest = tail;
    }
    if !rest.is_empty() {
        pieces.push(rest);
    }
    pieces
}

fn first_of_sequence(text: &str) -> Option<(&str, &str)> {
    let (length, rest) = text.strip_prefix("envelope ")?.split_once('\n')?;
    rest.split_at_checked(length.parse().ok()?)
}

fn offer(chain: &mut Chain, piece: &str) -> anyhow::Result<(News, Taken)> {
    let cut = "no whole halt, policy or resume: the file was cut off or changed on the way; write it again with \
               `countersign halt list --file`";
    let news = News::from_text(piece).context(cut)?;
    let taken = news.offer(chain).with_context(|| format!("{} does not hold here", news.hash()))?;
    Ok((news, taken))
}

/// What it is: of a halt what it stops, and who called it.
fn words(chain: &Chain, news: &News) -> String {
    let hash = news.hash();
    match chain.halt(&hash) {
        Some(halt) => format!("{hash}: stops {}, by {}", halt.body.scope, halt.by),
        None => hash.to_string(),
    }
}

/// How it stands now: an agent that runs has it on disk and obeys it, or will at its next start.
fn stands(data: &Path, new: &[News]) -> anyhow::Result<&'static str> {
    if !is_worked_on(data)? {
        return Ok("left for the agent, which does not run, and obeys it from its start on:");
    }
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let ledger = read_ledger(data)?;
        let chain = ledger.chain().context("this machine is not enrolled")?;
        let held = |news: &News| chain.has_lifted(&news.hash()) || holds(chain, news);
        if new.iter().all(held) {
            return Ok("in force");
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    Ok("left for the agent, which runs and has not answered; look with `countersign-agent status`:")
}

fn holds(chain: &Chain, news: &News) -> bool {
    let hash = news.hash();
    match news {
        News::Halt(_) => chain.halt(&hash).is_some(),
        News::Resume(_) => chain.resumes().iter().any(|resume| resume.hash == hash),
        News::Policy(_) => {
            chain.policy_by_hash(&hash).is_some() || chain.waiting().iter().any(|held| held.hash == hash)
        }
        News::Enroll(_) | News::Recovered(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "{\n  \"a\": 1\n}\nsignature\n";
    const TWO: &str = "{\n  \"b\": 2\n}\nsignature\n";

    #[test]
    fn what_editors_and_mail_do_to_a_file_changes_nothing() {
        let dos = ONE.replace('\n', "\r\n");
        let units: Vec<u16> = dos.encode_utf16().collect();
        let little: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(units.iter().flat_map(|unit| unit.to_le_bytes())).collect();
        let big: Vec<u8> =
            [0xfe, 0xff].into_iter().chain(units.iter().flat_map(|unit| unit.to_be_bytes())).collect();
        let marked = format!("\u{feff}{dos}");
        let padded = format!("\n\n{ONE}\n\n");
        let (cut, plain) = (ONE.trim_end(), ONE);
        for bytes in
            [&little[..], &big, marked.as_bytes(), padded.as_bytes(), cut.as_bytes(), plain.as_bytes()]
        {
            assert_eq!(text(bytes).unwrap(), ONE);
        }
        assert!(text(b"\n\r\n").unwrap_err().to_string().contains("nothing in it"));
        assert!(text(&[0x80, 0x81]).unwrap_err().to_string().contains("no text"));
    }

    #[test]
    fn envelopes_are_found_in_a_sequence_one_after_the_other_and_before_what_was_cut_off() {
        let sequence = write_sequence(&[ONE, TWO]);
        assert_eq!(pieces(&sequence), [ONE, TWO]);
        assert_eq!(pieces(&format!("{ONE}{TWO}")), [ONE, TWO]);
        let cut = &sequence[..sequence.len() - 5];
        let found = pieces(cut);
        assert_eq!((found.len(), found[0]), (2, ONE));
        assert_eq!(pieces(ONE), [ONE]);
    }
}
