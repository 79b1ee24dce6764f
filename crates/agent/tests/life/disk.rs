//! The folder: torn and damaged files, full disks, two agents.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use countersign_agent::disk::ledger::{LedgerFile, read_ledger};
use countersign_agent::disk::{DiskError, Folder, leave_letter, read_seed};
use countersign_trust::ledger::Record;
use countersign_trust::receipt::Verdict;
use countersign_trust::time::Time;

use crate::organization::NOON;
use tokio::time::timeout;

use crate::world::{World, until};

fn floor(seconds: u64) -> [Record; 1] {
    [Record::Floor(Time(NOON + seconds))]
}

#[tokio::test]
async fn what_was_appended_is_there_again_and_a_torn_end_is_cut_off() {
    let world = World::new().await;
    let path = world.data.join("ledger");
    let folder = Folder::open(&world.data).unwrap();
    let (mut file, _) = folder.open_ledger().unwrap();
    file.append(&floor(1)).unwrap();
    let good = file.bytes() as usize;
    file.append(&floor(2)).unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in good..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (mut file, ledger) = folder.open_ledger().unwrap();
        assert_eq!(ledger.floor(), Time(NOON + 1), "cut at {cut}");
        assert_eq!(fs::metadata(&path).unwrap().len(), good as u64);
        file.append(&floor(3)).unwrap();
        assert_eq!(read_ledger(&world.data).unwrap().floor(), Time(NOON + 3));
    }
}

#[tokio::test]
async fn damage_before_the_end_is_told_and_nothing_is_skipped() {
    let world = World::new().await;
    let path = world.data.join("ledger");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = Folder::open(&world.data).unwrap().open_ledger().unwrap_err();
    assert!(error.to_string().contains("is damaged, but there is a good one at byte"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "it was left as it was found");
    let output = world.program(&["run"]).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("is damaged"));
}

#[tokio::test]
async fn two_agents_never_share_a_folder() {
    let world = World::new().await;
    let held = Folder::open(&world.data).unwrap();
    assert!(matches!(Folder::open(&world.data), Err(DiskError::Locked(_))));
    let output = world.program(&["run"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("another agent works on"), "{output:?}");
    drop(held);
    Folder::open(&world.data).unwrap();
}

#[tokio::test]
async fn a_ledger_that_is_mostly_past_is_rewritten_and_says_the_same() {
    let world = World::new().await;
    let folder = Folder::open(&world.data).unwrap();
    let (mut file, mut ledger) = folder.open_ledger().unwrap();
    let past: Vec<Record> = (0..400_000).flat_map(floor).collect();
    past.iter().for_each(|record| ledger.apply(record).unwrap());
    file.append(&past).unwrap();
    let before = file.bytes();
    file.rewrite_if_worth_it(&ledger).unwrap();
    assert!(file.bytes() < before / 100, "{} of {before} bytes are left", file.bytes());
    file.append(&floor(500_000)).unwrap();
    drop(file);
    let (_, again) = folder.open_ledger().unwrap();
    assert_eq!(again.floor(), Time(NOON + 500_000));
    assert_eq!(again.enrolled(), ledger.enrolled());
    assert_eq!(again.chain().unwrap().policy().hash, ledger.chain().unwrap().policy().hash);
}

#[tokio::test]
async fn a_key_is_drawn_once_and_a_broken_one_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert_eq!(read_seed(folder.path()).unwrap(), None);
    let held = Folder::open(&data).unwrap();
    let seed = held.seed().unwrap();
    assert_eq!((held.seed().unwrap(), read_seed(&data).unwrap()), (seed, Some(seed)));
    fs::write(data.join("device-key"), [1; 31]).unwrap();
    assert!(matches!(held.seed(), Err(DiskError::Key { found: 31, .. })));
}

#[tokio::test]
async fn what_root_leaves_can_be_read_by_whom_the_folder_belongs_to() {
    let world = World::new().await;
    // Only root can give things away; for everybody else the folder is theirs.
    let _not_root = std::os::unix::fs::chown(&world.data, Some(65_534), Some(65_534));
    leave_letter(&world.data, "a letter").unwrap();
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    let inbox = world.data.join("inbox");
    let letter = fs::read_dir(&inbox).unwrap().next().unwrap().unwrap().path();
    assert_eq!([owner(&inbox), owner(&letter)], [owner(&world.data); 2]);
}

#[tokio::test]
async fn a_letter_waits_until_it_is_thrown_away() {
    let world = World::new().await;
    leave_letter(&world.data, "a letter").unwrap();
    leave_letter(&world.data, "a letter").unwrap();
    fs::write(world.data.join("inbox/noise"), [0xff; 10]).unwrap();
    let folder = Folder::open(&world.data).unwrap();
    let letters = folder.take_letters().unwrap();
    let texts: Vec<_> = letters.iter().map(|letter| letter.text.as_deref()).collect();
    assert_eq!(texts, [Some("a letter"), None]);
    letters.iter().for_each(|letter| folder.throw_away(letter).unwrap());
    assert!(folder.take_letters().unwrap().is_empty());
}

/// A small disk of its own, for root.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ["-t", "tmpfs", "-o", "size=8m", "countersign-test"];
        let mounted = Command::new("mount").args(options).arg(folder.path()).status().unwrap();
        assert!(mounted.success(), "mounting a tmpfs needs root");
        Self(folder)
    }

    /// Leaves not a byte.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.path().join("filling")).unwrap();
        for piece in [vec![1; 1 << 16], vec![1; 512]] {
            while std::io::Write::write_all(&mut file, &piece).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.0.path().join("filling")).unwrap();
    }

    fn data(&self) -> std::path::PathBuf {
        self.0.path().join("data")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: an agent may still hold its lock there.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn append_until_full(file: &mut LedgerFile, path: &Path) -> u64 {
    let piece: Vec<Record> = (0..1_000).flat_map(floor).collect();
    while file.append(&piece).is_ok() {}
    fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn a_full_disk_leaves_room_for_what_must_be_said_and_loses_nothing_after_that() {
    let disk = SmallDisk::mount();
    let mut world = World::new().await;
    world.data = disk.data();
    world.write_folder();
    let folder = Folder::open(&world.data).unwrap();
    let (mut file, _) = folder.open_ledger().unwrap();
    assert!(!file.is_full());
    disk.fill();
    assert!(file.is_full());
    let before = file.bytes();
    let after = append_until_full(&mut file, &world.data.join("ledger"));
    assert!(after >= before + (400 << 10), "only {} bytes were held", after - before);
    let (mut file, ledger) = folder.open_ledger().unwrap();
    assert_eq!((file.bytes(), ledger.floor()), (after, Time(NOON + 999)), "what was not whole is not there");
    disk.empty();
    file.append(&floor(5_000)).unwrap();
    assert!(!file.is_full());
    assert_eq!(read_ledger(&world.data).unwrap().floor(), Time(NOON + 5_000));
}

#[tokio::test]
async fn an_agent_on_a_full_disk_says_so_and_takes_jobs_again_when_there_is_room() {
    let disk = SmallDisk::mount();
    let mut world = World::new().await;
    world.data = disk.data();
    world.write_folder();
    // An agent that worked here while there was room.
    drop(Folder::open(&world.data).unwrap().open_ledger().unwrap());
    disk.fill();
    let agent = world.start();
    let mut server = world.server.accept().await;
    let challenge = server.challenge().await;
    let job = world.job(&["true"]);
    server.deliver(&world.delivery(&job, challenge)).await;
    let refused = server.receipt().await;
    assert_eq!((refused.verdict, refused.because.as_str()), (Verdict::Refused, "the disk is full"));
    disk.empty();
    loop {
        server.deliver(&world.delivery(&job, challenge)).await;
        let receipt = server.receipt().await;
        if receipt.verdict == Verdict::Accepted {
            break;
        }
        assert_eq!(receipt.because.as_str(), "the disk is full");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    agent.stop().await;
}

/// `cp -r /media/stick /var/lib/countersign-agent/inbox/`, by a tired operator.
#[tokio::test]
async fn an_agent_lives_on_beside_a_folder_in_its_inbox() {
    let world = World::new().await;
    fs::create_dir_all(world.data.join("inbox/stick")).unwrap();
    let _program = world.start_program();
    let accepted = timeout(Duration::from_secs(20), world.server.accept()).await;
    let mut server = accepted.expect("it never comes up: each tick begins its life anew");
    let marker = world.path("ran");
    let job = world.job(&[&format!("touch {}", marker.display())]);
    let challenge = timeout(Duration::from_secs(20), server.challenge()).await.expect("it says nothing");
    server.deliver(&world.delivery(&job, challenge)).await;
    until("it runs", || marker.exists().then_some(())).await;
}
