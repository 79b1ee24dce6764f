//! The program's other commands.

use countersign_trust::receipt::Verdict;
use countersign_trust::statement::halt::Scope;

use crate::organization::{everything, sign, word};
use crate::world::{World, until};

#[tokio::test]
async fn a_halt_from_a_file_reaches_the_agent_without_any_network() {
    let world = World::new().await;
    let agent = world.start();
    let mut server = world.server.accept().await;
    let marker = world.path("runs");
    let job = world.job(&[&format!("touch {}", marker.display()), "sleep 600"]);
    let challenge = server.challenge().await;
    server.deliver(&world.delivery(&job, challenge)).await;
    until("the script runs", || marker.exists().then_some(())).await;

    let halt = world.organization(|org| org.halt(everything(), "cia"));
    let file = world.path("halt");
    std::fs::write(&file, halt.to_string()).unwrap();
    let output = world.program(&["halt", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("taken {}\n", halt.hash()));

    assert_eq!(server.receipt().await.verdict, Verdict::Accepted);
    let ended = server.receipt().await;
    assert_eq!(ended.verdict, Verdict::Ended);
    assert!(ended.because.as_str().starts_with("halted"), "{}", ended.because);
    let output = world.program(&["halt", file.to_str().unwrap()]).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("known {}\n", halt.hash()));
    let output = world.program(&["status"]).output().unwrap();
    let status = String::from_utf8(output.stdout).unwrap();
    let line = format!("halt          {} by cia: Something is wrong.", halt.hash());
    assert!(status.contains(&line), "{status}");
    agent.stop().await;
}

#[tokio::test]
async fn a_halt_by_nobody_who_may_is_not_taken() {
    let world = World::new().await;
    let halt = world.organization(|org| org.halt_of(Scope::Person(word("anna"))));
    let file = world.path("halt");
    std::fs::write(&file, sign(&halt, &["mallory"]).to_string()).unwrap();
    let output = world.program(&["halt", file.to_str().unwrap()]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("signed by nobody who may halt"), "{output:?}");
}

#[tokio::test]
async fn a_machine_that_is_not_enrolled_says_what_to_do() {
    let mut world = World::new().await;
    world.data = world.path("nothing");
    for command in ["run", "status"] {
        let output = world.program(&[command]).output().unwrap();
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("run `countersign-agent enroll -`"), "{said}");
    }
}
