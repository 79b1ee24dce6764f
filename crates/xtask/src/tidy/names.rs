//! What files, folders and modules may not be called: such a name says nothing about what is in it.

use super::{Finding, Tree};

const EMPTY_NAMES: [&str; 11] = [
    "common", "util", "utils", "shared", "core", "types", "services", "manager", "helper", "helpers", "misc",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().filter_map(|path| judge(path)).collect()
}

fn judge(path: &str) -> Option<Finding> {
    if path.ends_with("/mod.rs") {
        return Some(Finding::fault(path, "is a mod.rs; a module `foo` is `foo.rs`, with `foo/` beside it"));
    }
    let mut parts = path.split('/').map(|part| part.split_once('.').map_or(part, |(stem, _)| stem));
    let empty = parts.find(|stem| EMPTY_NAMES.contains(stem))?;
    Some(Finding::fault(path, format!("`{empty}` says nothing; name it for what happens in it")))
}

#[cfg(test)]
mod tests {
    use super::super::{places_of, tree_of};
    use super::*;

    #[test]
    fn a_name_that_says_nothing_is_a_fault_for_a_file_and_a_folder() {
        let files =
            ["crates/trust/src/verify.rs", "crates/x/src/util.rs", "crates/common/src/lib.rs", "a/b/mod.rs"];
        let (_folder, tree) = tree_of(&files.map(|path| (path, "")));
        assert_eq!(places_of(&check(&tree)), files.get(1..).unwrap());
    }
}
