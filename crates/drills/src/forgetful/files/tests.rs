//! What a power cut leaves.

use super::*;

fn text(files: &mut Files, name: &str) -> Option<String> {
    let file = files.find(ROOT, OsStr::new(name)).ok()?;
    Some(String::from_utf8(files.read(file, 0, 4096).unwrap().to_vec()).unwrap())
}

/// `old` is synced, name and all; then whatever `after` does, and the power goes.
fn left(survives: Survives, after: impl FnOnce(&mut Files, u64)) -> Files {
    let mut files = Files::new();
    let file = files.make_file(ROOT, OsStr::new("old"), 0o600).unwrap();
    files.write(file, 0, b"before").unwrap();
    files.sync_all();
    after(&mut files, file);
    files.cut();
    files.after_the_cut(survives)
}

#[test]
fn what_was_not_synced_is_gone_and_what_was_is_there() {
    let mut unsynced = left(Survives::Nothing, |files, old| files.write(old, 0, b"after.").unwrap());
    assert_eq!(text(&mut unsynced, "old").unwrap(), "before");
    let mut synced = left(Survives::Nothing, |files, old| {
        files.write(old, 0, b"after.").unwrap();
        files.sync(old).unwrap();
        files.set_length(old, 1).unwrap();
    });
    assert_eq!(text(&mut synced, "old").unwrap(), "after.");
}

#[test]
fn a_synced_file_without_a_synced_name_is_gone() {
    for folder_synced in [false, true] {
        let mut left = left(Survives::Nothing, |files, _| {
            let new = files.make_file(ROOT, OsStr::new("new"), 0o600).unwrap();
            files.write(new, 0, b"new").unwrap();
            files.sync(new).unwrap();
            if folder_synced {
                files.sync(ROOT).unwrap();
            }
        });
        assert_eq!(text(&mut left, "new").is_some(), folder_synced);
    }
}

#[test]
fn an_unsynced_rename_leaves_the_one_or_the_other_whole() {
    let mut seen = [0, 0];
    for seed in 0..64 {
        let mut left = left(Survives::Some(seed), |files, _| {
            let new = files.make_file(ROOT, OsStr::new("new"), 0o600).unwrap();
            files.write(new, 0, b"after.").unwrap();
            files.sync(new).unwrap();
            files.sync(ROOT).unwrap();
            files.rename(ROOT, OsStr::new("new"), OsStr::new("old")).unwrap();
        });
        let renamed = text(&mut left, "new").is_none();
        assert_eq!(text(&mut left, "old").unwrap(), if renamed { "after." } else { "before" });
        seen[usize::from(renamed)] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_long_write_is_torn_between_sectors() {
    let mut kinds = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let mut left = left(Survives::Some(seed), |files, old| {
            files.write(old, 0, &[b'a'; 1200]).unwrap();
            files.sync(old).unwrap();
            files.write(old, 100, &[b'b'; 1000]).unwrap();
        });
        let text = text(&mut left, "old").unwrap();
        let runs: Vec<char> =
            [0, 100, 511, 512, 1023, 1024, 1099, 1100].map(|at| text.chars().nth(at).unwrap()).into();
        assert_eq!((runs[0], runs[7]), ('a', 'a'));
        assert!(runs[1] == runs[2] && runs[3] == runs[4] && runs[5] == runs[6], "{runs:?}");
        kinds.insert((runs[1], runs[3], runs[5]));
    }
    assert_eq!(kinds.len(), 8, "every way to tear three sectors");
}

#[test]
fn the_operation_that_meets_the_cut_is_begun_and_fails_and_so_do_all_after_it() {
    let mut files = left(Survives::Everything, |_, _| ());
    files.cut_at(2);
    let old = files.find(ROOT, OsStr::new("old")).unwrap();
    assert_eq!(files.write(old, 0, b"one"), Ok(()));
    assert_eq!(files.write(old, 3, b"two"), Err(EIO));
    assert_eq!((files.sync(old), files.list(ROOT)), (Err(EIO), Err(EIO)));
    assert_eq!(text(&mut files.after_the_cut(Survives::Everything), "old").unwrap(), "onetwo");
}
