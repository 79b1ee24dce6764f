//! Every attack of the catalogue, each named. The list that it must hold is `attacks.txt`.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use countersign_drills::catalogue::{How, all, vectors};

#[test]
fn the_catalogue_holds_every_attack_of_the_list_in_its_order_and_each_name_once() {
    let list = include_str!("../../attacks.txt");
    let names: Vec<&str> = all().iter().map(|attack| attack.name).collect();
    let listed: Vec<&str> = list.lines().collect();
    assert_eq!(names[..listed.len()], listed[..]);
    let mut once = names.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), names.len());
}

#[test]
fn every_attack_that_is_played_ends_as_promised() {
    let mut failed = Vec::new();
    for attack in all() {
        for how in attack.how {
            let How::Virtual(play) = how else { continue };
            match catch_unwind(play) {
                Ok(story) => assert!(!story.lines.is_empty(), "{} tells nothing", attack.name),
                Err(_) => failed.push(attack.name),
            }
        }
    }
    assert_eq!(failed, [""; 0]);
}

#[test]
fn every_vector_that_is_named_comes_out_as_it_says() {
    let mut judged = 0;
    for attack in all() {
        for how in attack.how {
            let How::Vectors(names) = how else { continue };
            for name in names {
                let vector = vectors::judge(name);
                assert_eq!(vector.outcome, vector.expected, "{}: {name}", attack.name);
                judged += 1;
            }
        }
    }
    assert!(judged > 100, "{judged} vectors");
}

/// What a page for three in the morning is made of.
const PARTS: [&str; 7] = [
    "## How you know\n",
    "## Do this now\n",
    "## What it costs\n",
    "## What not to do\n",
    "## How you know that it is over\n",
    "## Afterwards\n",
    "## Rehearse it\n",
];

/// An operating page says what to do when it happens; the drill that it names shows that this works.
#[test]
fn every_operating_page_names_drills_that_can_be_played() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating");
    let mut whole = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (page, text) = (path.display().to_string(), fs::read_to_string(&path).unwrap());
        let said = text.split('`').map(str::trim);
        let named: Vec<&str> = said.filter_map(|said| said.strip_prefix("cargo xtask drill ")).collect();
        for name in named.iter().filter(|name| **name != "--list") {
            let known = all().into_iter().find(|attack| attack.name == *name);
            let attack = known.unwrap_or_else(|| panic!("{page}: no drill is called {name}"));
            assert!(
                !attack.how.iter().any(|how| matches!(how, How::Missing(_))),
                "{page}: {name} is not built"
            );
        }
        if PARTS.iter().any(|part| text.contains(part)) {
            let lacks: Vec<_> = PARTS.iter().filter(|part| !text.contains(**part)).collect();
            assert!(lacks.is_empty() && !named.is_empty(), "{page} lacks {lacks:?}, or a drill");
            whole += 1;
        }
    }
    assert!(whole >= 8, "{whole} pages");
}

/// All Rust below a folder, as one text.
fn source(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&source(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    text
}

#[test]
fn every_test_with_real_parts_that_is_named_is_there() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut missing = Vec::new();
    for attack in all() {
        for how in attack.how {
            let How::Real(tests) = how else { continue };
            for (package, test) in tests {
                let folder = crates.join(package.strip_prefix("countersign-").unwrap());
                let function = format!("fn {}(", test.rsplit("::").next().unwrap());
                if !source(&folder.join("tests")).contains(&function)
                    && !source(&folder.join("src")).contains(&function)
                {
                    missing.push((attack.name, *package, *test));
                }
            }
        }
    }
    assert_eq!(missing, []);
}

#[test]
fn what_is_missing_is_named_in_the_readme() {
    let readme = include_str!("../../../../README.md");
    for attack in all() {
        let missing = attack.how.iter().all(|how| matches!(how, How::Missing(_)));
        assert!(
            !missing || readme.contains(attack.name),
            "README.md does not say that {} is missing",
            attack.name
        );
    }
}
