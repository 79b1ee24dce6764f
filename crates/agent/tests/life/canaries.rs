//! Canaries on a real file system: what is seen of one, what is said, and that it is said until somebody has it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use countersign_agent::canary::sight;
use countersign_agent::disk::canaries::read_canaries;
use countersign_trust::canary::{CanaryNote, Sight};
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::statement::policy::{Canary, Then, Tripwire, Watched};
use countersign_wire::message::{CanaryKept, from_agent, from_server};

use crate::organization::{device_id, device_signer, everything, word};
use crate::server::Connection;
use crate::world::{TILL, World, until};

fn file(bytes: &[u8]) -> Sight {
    Sight::File { size: bytes.len() as u64, begins: Sha256::of(bytes) }
}

#[test]
fn what_is_seen_is_what_lies_there_and_nothing_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    // A temporary folder may itself lie behind a link.
    let root = folder.path().canonicalize().unwrap();
    let at = |name: &str| root.join(name);
    let see = |name: &str| sight(&at(name)).unwrap();
    assert_eq!(see("none"), Sight::Absent);
    fs::write(at("invoices.xlsx"), "worth stealing").unwrap();
    assert_eq!(see("invoices.xlsx"), file(b"worth stealing"));
    assert_eq!(see("invoices.xlsx/below"), Sight::Absent, "a file has nothing below it");
    fs::write(at("invoices.xlsx"), "encrypted now!").unwrap();
    assert_eq!(see("invoices.xlsx"), file(b"encrypted now!"), "the same length is not the same file");

    fs::create_dir(at("folder")).unwrap();
    fs::write(at("folder/inner"), "inner").unwrap();
    assert_eq!(
        (see("folder"), see("folder/inner"), see("folder//inner")),
        (Sight::Folder, file(b"inner"), file(b"inner"))
    );
    symlink(at("invoices.xlsx"), at("link")).unwrap();
    symlink("/etc", at("to-etc")).unwrap();
    symlink("loop", at("loop")).unwrap();
    for link in ["link", "to-etc", "to-etc/passwd", "loop", "loop/below"] {
        assert_eq!(see(link), Sight::Link, "{link}");
    }

    // Who opens this pipe to read waits for a writer who never comes.
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let _socket = UnixListener::bind(at("socket")).unwrap();
    assert_eq!((see("pipe"), see("socket")), (Sight::Other, Sight::Other));
    for device in ["/dev/zero", "/dev/null"] {
        assert_eq!(sight(Path::new(device)), Some(Sight::Other));
    }

    // A tebibyte of which only the beginning is read.
    let huge = fs::File::create(at("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let begins = Sha256::of(&[0; 64 * 1024]);
    assert_eq!(see("huge"), Sight::File { size: 1 << 40, begins });
}

const BAIT: &[u8] = b"salaries of everybody";

async fn world(path: &Path) -> World {
    let paths: BTreeSet<_> = [word(path.to_str().unwrap())].into();
    let canary = Tripwire { what: Watched::Canary(Canary { paths }), count: 1, within: 60, then: Then::Tell };
    World::with(|policy| policy.tripwires = vec![canary]).await
}

/// The next note about a canary, checked as anybody would.
async fn told(server: &mut Connection) -> (Note, CanaryNote) {
    let is_one = |what: &from_agent::What| match what {
        from_agent::What::Canary(canary) => Some(canary.note.parse::<Note>().unwrap()),
        _ => None,
    };
    let note = server.first(is_one).await;
    assert!(note.signed_by(device_signer(TILL).verifier()), "{note}");
    let read: CanaryNote = note.text().parse().unwrap();
    assert_eq!(read.device, device_id(TILL));
    (note, read)
}

async fn acknowledge(server: &mut Connection, note: &Note) {
    let hash = Sha256::of(note.text().as_bytes()).0.to_vec();
    server.send(from_server::What::Kept(CanaryKept { hash })).await;
}

/// Waits until the disk remembers so many notes, of which so many are acknowledged.
async fn until_kept(world: &World, notes: usize, acknowledged: usize) {
    until("the disk remembers", || {
        let canaries = read_canaries(&world.data).unwrap()?;
        let done = canaries.notes.iter().filter(|kept| kept.acknowledged).count();
        (canaries.notes.len() == notes && done == acknowledged).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_change_is_told_by_the_devices_key_until_it_is_acknowledged_also_over_starts_and_halts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap().join("AAA salaries.xlsx");
    fs::write(&path, BAIT).unwrap();
    let world = world(&path).await;
    let agent = world.start();
    let mut server = world.server.accept().await;
    let halt = world.organization(|org| org.halt(everything(), "bo"));
    server.bring(&[halt]).await;
    until("the first sight is remembered", || {
        let canaries = read_canaries(&world.data).unwrap()?;
        canaries.seen.values().any(|seen| seen.sight == file(BAIT)).then_some(())
    })
    .await;
    // A server can ask for nothing: what it sends of canaries is of no note.
    server.send(from_server::What::Kept(CanaryKept { hash: b"/etc/shadow".to_vec() })).await;

    fs::write(&path, "encrypted").unwrap();
    let (changed, read) = told(&mut server).await;
    assert_eq!((read.number, read.was, read.is), (1, file(BAIT), file(b"encrypted")));
    assert_eq!(read.path.as_str(), path.to_str().unwrap());
    agent.stop().await;

    // Nobody has acknowledged it; meanwhile the file is replaced by a link.
    fs::remove_file(&path).unwrap();
    symlink("/etc/shadow", &path).unwrap();
    let agent = world.start();
    let mut server = world.server.accept().await;
    assert_eq!(told(&mut server).await.0, changed, "it is sent again as it was");
    let (linked, read) = told(&mut server).await;
    assert_eq!((read.number, read.was, read.is), (2, file(b"encrypted"), Sight::Link));
    acknowledge(&mut server, &changed).await;
    until_kept(&world, 2, 1).await;
    agent.stop().await;

    let agent = world.start();
    let mut server = world.server.accept().await;
    assert_eq!(told(&mut server).await.0, linked, "only what is not acknowledged comes again");
    acknowledge(&mut server, &linked).await;
    fs::remove_file(&path).unwrap();
    let (gone, read) = told(&mut server).await;
    assert_eq!((read.number, read.was, read.is), (3, Sight::Link, Sight::Absent));
    acknowledge(&mut server, &gone).await;
    until_kept(&world, 3, 3).await;
    agent.stop().await;
    assert!(world.ledger().chain().unwrap().active_halts().count() == 1, "all of it during a halt");
}

#[tokio::test]
async fn one_that_is_missing_from_the_start_is_said_once_and_a_new_policy_moves_the_eye() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (first, second) = (root.join("first"), root.join("second"));
    let world = world(&first).await;
    let agent = world.start();
    let mut server = world.server.accept().await;
    let (missing, read) = told(&mut server).await;
    assert_eq!((read.was.clone(), read.is.clone(), read.is_touch()), (Sight::None, Sight::Absent, false));
    acknowledge(&mut server, &missing).await;
    until_kept(&world, 1, 1).await;
    agent.stop().await;

    fs::write(&second, BAIT).unwrap();
    let agent = world.start();
    let mut server = world.server.accept().await;
    let path: countersign_trust::words::AbsolutePath = word(second.to_str().unwrap());
    let elsewhere = Watched::Canary(Canary { paths: [path.clone()].into() });
    let policy = world.organization(|org| org.decide(|policy| policy.tripwires[0].what = elsewhere));
    server.bring(&[policy]).await;
    until("it looks elsewhere", || {
        let canaries = read_canaries(&world.data).unwrap()?;
        (canaries.seen.len() == 1 && canaries.seen.get(&path)?.sight == file(BAIT)).then_some(())
    })
    .await;
    fs::write(&first, "nobody looks here any more").unwrap();
    fs::remove_file(&second).unwrap();
    let (_, read) = told(&mut server).await;
    assert_eq!(
        (read.number, read.path, read.is),
        (2, path, Sight::Absent),
        "what was said once is not said again"
    );
    agent.stop().await;
}
