//! What a script says and sees.

use std::process::Command;

use countersign_agent::run::How;
use countersign_agent::run::script::Body;
use ring::digest::{SHA256, digest};

use crate::world::{Way, World, me, outcome, until};

crate::in_every_way! {
    output_arrives_whole_and_its_hash_is_that_of_sha256sum
    the_code_and_the_signal_of_the_first_program_are_the_runs
    the_environment_is_what_was_given_and_nothing_of_the_agents
    output_beyond_the_cap_is_counted_and_does_not_block
    a_reader_who_never_reads_stops_the_stream_but_not_the_script
    a_text_cannot_be_changed_while_it_runs_and_nothing_else_is_open
}

async fn output_arrives_whole_and_its_hash_is_that_of_sha256sum(way: Way) {
    let world = World::new(way);
    let outcome = world.run(&world.script(&["seq 1 50000"])).await;
    assert_eq!(outcome.ending.how, How::Exit(0));
    assert_eq!(outcome.stdout.len(), 288_894);
    let judge = Command::new("sh").args(["-c", "seq 1 50000 | sha256sum"]).output().unwrap();
    let hash: String = outcome.ending.output_sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(String::from_utf8(judge.stdout).unwrap(), format!("{hash}  -\n"));
    assert_eq!((outcome.ending.output_bytes_kept, outcome.ending.output_bytes_dropped), (288_894, 0));

    let both = world.run(&world.script(&["echo out; echo err >&2"])).await;
    assert_eq!((both.stdout, both.stderr), (b"out\n".to_vec(), b"err\n".to_vec()));
    assert_eq!(both.ending.output_sha256, digest(&SHA256, &both.all).as_ref());
}

async fn the_code_and_the_signal_of_the_first_program_are_the_runs(way: Way) {
    let world = World::new(way);
    for (line, how) in
        [("exit 7", How::Exit(7)), ("kill -SEGV $$", How::Signal(11)), ("kill -9 $$", How::Signal(9))]
    {
        assert_eq!(world.run(&world.script(&[line])).await.ending.how, how, "{line}");
    }
    let mut script = world.script(&[]);
    script.body = Body::Argv(["/usr/bin/printf", "%s|", "a b", "$HOME"].map(str::to_owned).to_vec());
    let outcome = world.run(&script).await;
    assert_eq!((outcome.ending.how, outcome.stdout), (How::Exit(0), b"a b|$HOME|".to_vec()));
}

async fn the_environment_is_what_was_given_and_nothing_of_the_agents(way: Way) {
    let world = World::new(way);
    let mut script = world.script(&[]);
    script.body = Body::Argv(vec!["/usr/bin/env".to_owned()]);
    script.environment =
        [("CS_STORE", "12"), ("HOME", "/elsewhere")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let seen = String::from_utf8(world.run(&script).await.stdout).unwrap();
    let mut seen: Vec<&str> = seen.lines().collect();
    seen.sort_unstable();
    let (me, mark) = (me(), format!("COUNTERSIGN_RUN={}/run-1", world.realm));
    let path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(
        seen,
        [&mark, "CS_STORE=12", "HOME=/elsewhere", &format!("LOGNAME={me}"), path, &format!("USER={me}")]
    );
}

async fn output_beyond_the_cap_is_counted_and_does_not_block(way: Way) {
    let world = World::new(way);
    let mut script = world.script(&["head -c 300000 /dev/zero; exit 3"]);
    script.output_cap = 1000;
    let outcome = world.run(&script).await;
    assert_eq!(outcome.ending.how, How::Exit(3));
    assert_eq!(outcome.all, [0; 1000]);
    assert_eq!((outcome.ending.output_bytes_kept, outcome.ending.output_bytes_dropped), (1000, 299_000));
    assert_eq!(outcome.ending.output_sha256, digest(&SHA256, &outcome.all).as_ref());
}

async fn a_reader_who_never_reads_stops_the_stream_but_not_the_script(way: Way) {
    let world = World::new(way);
    let mut script = world.script(&["head -c 3000000 /dev/zero", "echo >written"]);
    script.output_cap = u64::MAX;
    let running = world.start(&script);
    until("the script writes all it has", || world.path("written").exists().then_some(())).await;
    let outcome = outcome(running).await;
    assert_eq!(outcome.ending.how, How::Exit(0));
    assert_eq!(outcome.ending.output_bytes_kept + outcome.ending.output_bytes_dropped, 3_000_000);
    assert_eq!(outcome.ending.output_bytes_kept, u64::try_from(outcome.all.len()).unwrap());
    assert_eq!(outcome.ending.output_sha256, digest(&SHA256, &outcome.all).as_ref());
}

async fn a_text_cannot_be_changed_while_it_runs_and_nothing_else_is_open(way: Way) {
    let world = World::new(way);
    let lines =
        ["(echo echo evil >$0) 2>/dev/null || echo sealed", "readlink /proc/self/fd/0", "ls /proc/$$/fd"];
    let seen = String::from_utf8(world.run(&world.script(&lines)).await.stdout).unwrap();
    let mut seen = seen.lines();
    assert_eq!((seen.next(), seen.next()), (Some("sealed"), Some("/dev/null")));
    // The shell itself reads its script through another descriptor, from 3 or from 10 on.
    let open: Vec<&str> = seen.filter(|fd| !["3", "10", "255"].contains(fd)).collect();
    assert_eq!(open, ["0", "1", "2", "99"]);
}
