//! The forgetful disk itself, by real system calls.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;

use countersign_drills::forgetful::{Disk, Survives};

#[test]
fn what_was_synced_is_there_and_what_was_not_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::write(place.join("before"), "it lay here").unwrap();
    let mut disk = Disk::over(place);
    let synced = |name: &str| {
        let mut file = File::create(place.join(name)).unwrap();
        file.write_all(name.as_bytes()).unwrap();
        file.sync_all().unwrap();
        file
    };
    let mut named = synced("named");
    File::open(place).unwrap().sync_all().unwrap();
    named.write_all(b" and more").unwrap();
    synced("nameless");
    fs::rename(place.join("before"), place.join("after")).unwrap();
    assert_eq!(fs::read_dir(place).unwrap().count(), 3);
    assert_eq!(fs::read_to_string(place.join("named")).unwrap(), "named and more");

    disk.cut();
    assert!(named.write_all(b"?").is_err() && named.sync_all().is_err());
    disk.power_returns(Survives::Nothing);
    let names: Vec<_> = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["before", "named"]);
    assert_eq!(fs::read_to_string(place.join("named")).unwrap(), "named");

    drop(disk);
    assert_eq!(fs::read_to_string(place.join("before")).unwrap(), "it lay here");
}

#[test]
fn the_power_goes_at_the_operation_that_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::over(folder.path());
    let append = || OpenOptions::new().create(true).append(true).open(folder.path().join("file"));
    // One operation makes the file, one writes, one syncs.
    for (cut, done) in [(1, [false, false, false]), (2, [true, false, false]), (3, [true, true, false])] {
        let mut disk = Disk::over(folder.path());
        disk.cut_at(cut);
        let file = append();
        let made = file.is_ok();
        let mut file = file.ok();
        let written = file.as_mut().is_some_and(|file| file.write_all(b"text").is_ok());
        let synced = file.is_some_and(|file| file.sync_all().is_ok());
        assert_eq!([made, written, synced], done, "cut at {cut}");
        disk.power_returns(Survives::Everything);
        assert!(append().is_ok(), "the power is back");
    }
    drop(disk);
}
