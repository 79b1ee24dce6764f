//! The folders under `crates/trust/vectors`: that they are what the table says, and what they say when read again.
//!
//! `CS_BLESS=1 cargo nextest run -p countersign-trust vectors` writes them anew.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::bundle::Refused;
use crate::cases;
use crate::folder::{self, Files};
use crate::scene::Scene;

fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

fn folders() -> BTreeSet<String> {
    let entries = std::fs::read_dir(vectors()).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.path().is_dir());
    folders.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

/// Every row of the table as a folder.
fn generated() -> Vec<(String, Files)> {
    let generate = |case: crate::scene::Case| {
        let bundle = (case.bend)(&mut Scene::good());
        let mut files = folder::to_files(&bundle, &bundle.judge());
        files.insert("about".to_owned(), format!("{}\n", case.says));
        (case.name.to_owned(), files)
    };
    cases::all().into_iter().map(generate).collect()
}

#[test]
fn the_folders_are_what_the_table_makes() {
    let generated = generated();
    if std::env::var_os("CS_BLESS").is_some() {
        folders().iter().for_each(|name| std::fs::remove_dir_all(vectors().join(name)).unwrap());
        generated.iter().for_each(|(name, files)| folder::write(&vectors().join(name), files));
    }
    let names: BTreeSet<String> = generated.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(folders(), names);
    for (name, files) in generated {
        let found = folder::read(&vectors().join(&name));
        for (path, text) in &files {
            assert_eq!(found.get(path), Some(text), "{name}/{path}; CS_BLESS=1 writes the folders anew");
        }
        assert_eq!(found.len(), files.len(), "{name} holds other files");
    }
}

#[test]
fn each_folder_read_from_disk_gives_what_it_expects() {
    for name in folders() {
        let files = folder::read(&vectors().join(&name));
        let outcome = folder::from_files(&files).judge();
        let words = match &outcome.job {
            Ok(()) => "accepted\n".to_owned(),
            Err(refused) => format!("refused\n{}\n{}\n", Refused::sentence(refused), refused.code()),
        };
        assert_eq!(files.get("expected"), Some(&words), "{name}");
        let again = folder::to_files(&folder::from_files(&files), &outcome);
        assert_eq!(again.get("chain/expected"), files.get("chain/expected"), "{name}");
    }
}
