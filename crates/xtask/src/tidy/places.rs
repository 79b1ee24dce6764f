//! One obvious place: code that may stand in some files only.

use super::{Finding, Tree};

/// Something that has one place in the house.
struct Rule {
    /// Any of these in a line of code.
    code: &'static [&'static str],
    /// File or folder names where it may stand.
    only_in: &'static [&'static str],
    /// Crates that the rule leaves alone.
    not_for: &'static [&'static str],
    why: &'static str,
}

const RULES: [Rule; 4] = [
    Rule {
        code: &["SystemTime::now(", "Timestamp::now(", "Zoned::now("],
        only_in: &["main.rs", "clock.rs", "os.rs", "os"],
        not_for: &["drills", "swarm", "thief", "xtask"],
        why: "the clock is read in main; below it, `now` is an argument",
    },
    Rule {
        code: &["fs::write(", "File::create(", "OpenOptions::new("],
        // What `os` writes are the kernel's own files, such as a cgroup's.
        only_in: &["disk.rs", "disk", "os"],
        not_for: &["cli", "drills", "swarm", "thief", "xtask"],
        why: "durable writes stand in disk.rs, which syncs file and folder",
    },
    Rule {
        code: &["cfg(target_os", "cfg(windows)", "cfg(unix)", "unsafe {", "unsafe fn"],
        only_in: &["os.rs", "os"],
        not_for: &["drills", "swarm", "thief", "xtask"],
        why: "differences between systems and `unsafe` stand in agent/src/os",
    },
    Rule {
        code: &["sqlx::query"],
        only_in: &["store.rs", "store"],
        // The thief reads a stolen database; it shares no code with its victim.
        not_for: &["drills", "thief"],
        why: "SQL stands beside its function in server/src/store",
    },
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.texts().filter(|(path, _)| path.starts_with("crates/") && path.ends_with(".rs"));
    let sources = sources.filter(|(path, _)| !path.starts_with("crates/xtask/src/tidy/"));
    sources.flat_map(|(path, text)| check_source(path, &text)).collect()
}

fn check_source(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_tests = is_test(path);
    for (number, line) in (1..).zip(text.lines()) {
        let code = line.split("//").next().unwrap_or(line);
        let at = format!("{path}:{number}");
        if code.contains("#[ignore") {
            findings.push(Finding::fault(
                &at,
                "a test that is ignored proves nothing; put slow ones in `mod long`",
            ));
        }
        in_tests = in_tests || code.trim_start().starts_with("#[cfg(test)]");
        if !in_tests {
            let broken = RULES.iter().filter(|rule| rule.is_broken(path, code));
            findings.extend(broken.map(|rule| Finding::fault(&at, rule.why)));
        }
    }
    findings
}

/// Tests make files and read clocks as they like. In a source file they stand at the end.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let folders = ["tests", "benches", "examples", "fuzz"];
    name == "tests.rs" || name == "build.rs" || path.split('/').any(|part| folders.contains(&part))
}

impl Rule {
    fn is_broken(&self, path: &str, code: &str) -> bool {
        let mut parts = path.split('/');
        let free = parts.nth(1).is_some_and(|folder| self.not_for.contains(&folder));
        let at_home = parts.any(|part| self.only_in.contains(&part));
        !free && !at_home && self.code.iter().any(|pattern| code.contains(pattern))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{places_of, tree_of};
    use super::*;

    #[test]
    fn each_thing_may_stand_in_its_place_only() {
        let clock = "let now = SystemTime::now();\n";
        let write = "fs::write(path, bytes)?;\n";
        let sql = "sqlx::query(\"SELECT 1\")\n";
        let (_folder, tree) = tree_of(&[
            ("crates/agent/src/drive.rs", clock),
            ("crates/agent/src/main.rs", clock),
            ("crates/agent/src/disk.rs", write),
            ("crates/beacon/src/serve.rs", write),
            ("crates/server/src/store/jobs.rs", sql),
            ("crates/server/src/api/jobs.rs", sql),
            ("crates/agent/src/os/linux.rs", "unsafe { libc::getuid() }"),
            ("crates/agent/src/os/linux/cgroup.rs", write),
            ("crates/agent/src/run.rs", "#[cfg(target_os = \"linux\")]"),
            ("crates/xtask/src/bench.rs", clock),
        ]);
        let expected = [
            "crates/agent/src/drive.rs:1",
            "crates/beacon/src/serve.rs:1",
            "crates/server/src/api/jobs.rs:1",
            "crates/agent/src/run.rs:1",
        ];
        assert_eq!(places_of(&check(&tree)), expected);
    }

    #[test]
    fn comments_and_tests_are_free_of_the_rules() {
        let text = "// not SystemTime::now()\n#[cfg(test)]\nmod tests { let now = SystemTime::now(); }\n";
        let (_folder, tree) = tree_of(&[
            ("crates/agent/src/drive.rs", text),
            ("crates/agent/tests/all.rs", "fs::write(path, bytes)"),
            ("docs/example.rs", "fs::write(path, bytes)"),
        ]);
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn an_ignored_test_is_a_fault_everywhere() {
        let (_folder, tree) = tree_of(&[("crates/agent/tests/all.rs", "#[test]\n#[ignore = \"slow\"]\n")]);
        assert_eq!(places_of(&check(&tree)), ["crates/agent/tests/all.rs:2"]);
    }
}
