//! Before anything: what two people sign runs everywhere, once; and what is written where a page could be made of it.

use std::time::Instant;

use countersign_trust::ids::Sha256;
use countersign_trust::receipt::Verdict;

use super::facts;
use super::stores::Field;
use super::story::{Story, thousands};
use crate::organization::sign;
use crate::part::now;

/// The control: the same road on which the thief will come carries what two people sign.
pub fn control(field: &Field, story: &mut Story) -> Sha256 {
    story.begin("The Tuesday before: two people sign, and every register runs it");
    story.in_2021(facts::REPORTED);
    let nonce = field.world.nonce();
    let all = field.those(|_| true);
    let mut job = field.job(&all, now().0 - 60, &[&["sleep 0"], &[&nonce.line()]]);
    // Still good on Friday, so that not only its age keeps it from running once more.
    job.not_after = job.not_before.plus(6 * 86_400);
    let before = field.ran();
    field.world.post(&sign(&job, &["anna"]), &all).unwrap();
    let approval = sign(&job, &["bo"]);
    let began = Instant::now();
    field.world.post(&approval, &[]).unwrap();
    let (took, receipts) = field.until_ended(&approval.hash(), all.len(), 1, began);
    assert_eq!(receipts.values().filter(|one| one.ended_well()).count(), all.len());
    let simulated = u64::try_from(field.swarm.size()).unwrap();
    assert_eq!(field.ran() - before, 2 * simulated, "both steps, once each");
    assert_eq!(nonce.lines().len(), field.world.machines.len());
    story.holds(format!(
        "Anna asks and Bo approves a job of two steps: {} registers run both, each once, and sign \"exit 0\"; on the {} with a whole agent it is a line in a file. So what follows is not refused because nothing ever runs.",
        thousands(receipts.len().try_into().unwrap()),
        nonce.lines().len()
    ));
    story.measured("from the approval until the server has stored the last register's receipt", took);
    approval.hash()
}

/// What a register prints comes back as bytes, whatever it looks like; and the server starts no program.
pub fn upload(field: &Field, story: &mut Story) {
    story.in_2021(facts::UPLOAD);
    let markup = "<html><script>alert(document.cookie)</script><% eval(request) %></html>";
    let line = format!("echo '{markup}'");
    let real = field.those(|register| register.real);
    let job = field.job(&real, now().0 - 60, &[&[&line]]);
    let hash = field.order(&sign(&job, &["anna", "bo"]), &real);
    field.until_counted(&hash, Verdict::Ended, real.len(), Instant::now());
    for device in &real {
        let path = field.world.path(&format!("jobs/{hash}/output/{device}"));
        let answer = field.world.block_on(field.world.http.whole("GET", &path, String::new())).unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap();
        assert_eq!(header("content-type"), "application/octet-stream");
        assert_eq!(header("x-content-type-options"), "nosniff");
        let body = String::from_utf8_lossy(answer.body());
        assert_eq!(body.lines().next(), Some(markup), "as it was written");
    }
    story.holds(format!(
        "What {} registers printed, an HTML page with a script in it, comes back byte for byte as application/octet-stream with nosniff: no browser makes a page of it, and no part of the server reads it.",
        real.len()
    ));
    let (started, words) = (children(field), programs_in_the_source());
    assert_eq!(started, Vec::<String>::new(), "the server started a program");
    assert_eq!(words, Vec::<String>::new(), "the server's source starts programs");
    story.holds("The server's process has no child, and no file of crates/server/src, crates/wire/src or crates/trust/src names std::process::Command, exec, fork or posix_spawn. That is read in the source (what only tests compile aside), and not enforced by the system: the unit in deploy/ does not forbid execve.");
}

/// Processes that the server's process started and that live.
fn children(field: &Field) -> Vec<String> {
    let pid = field.world.server.pid().unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    children.flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Lines of what the server is made of by which a program could be started.
fn programs_in_the_source() -> Vec<String> {
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut found, mut files) = (Vec::new(), 0);
    for name in ["server", "wire", "trust"] {
        let mut folders = vec![crates.join(name).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("the source lies where this was built") {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    // What is in `testing` is compiled for tests alone.
                    folders.extend((!path.ends_with("testing")).then_some(path));
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    files += 1;
                    let text = std::fs::read_to_string(&path).unwrap();
                    let words =
                        ["process::Command", "Command::new", "execv", "fork(", "posix_spawn", "dlopen"];
                    let lines = text.lines().filter(|line| words.iter().any(|word| line.contains(word)));
                    found.extend(lines.map(|line| format!("{}: {line}", path.display())));
                }
            }
        }
    }
    assert!(files > 100, "{files} files were read");
    found
}
