//! As whom a script starts, and why one does not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use countersign_agent::os;
use countersign_agent::run::How;
use countersign_agent::run::script::{Body, start};
use ring::digest::{SHA256, digest};

use crate::world::{Way, World, me, outcome};

crate::in_every_way! {
    a_script_runs_as_the_user_it_names
    what_cannot_start_says_why
}

async fn a_script_runs_as_the_user_it_names(way: Way) {
    let world = World::new(way);
    let mut script = world.script(&["id -un; id -G; echo $HOME; pwd; umask; touch made"]);
    script.user = if me() == "nobody" { "daemon" } else { "nobody" }.to_owned();
    let outcome = world.run(&script).await;
    if me() == "root" {
        let expected = format!("nobody\n65534\n/nonexistent\n{}\n0022\n", script.folder);
        assert_eq!(String::from_utf8(outcome.all).unwrap(), expected);
        let closed =
            tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o700)).tempdir().unwrap();
        script.folder = closed.path().to_str().unwrap().to_owned();
        let how = world.run(&script).await.ending.how;
        let why = format!(
            "`/bin/sh` cannot be started as `nobody` in `{}`: Permission denied (os error 13)",
            script.folder
        );
        assert_eq!(how, How::NotStarted(why));
    } else {
        let How::NotStarted(why) = outcome.ending.how else { panic!("started as another user") };
        assert!(
            why.contains(&format!("cannot run anything as `{}`", script.user))
                && why.ends_with("it needs root for that"),
            "{why}"
        );
    }
}

async fn what_cannot_start_says_why(way: Way) {
    let world = World::new(way);
    let argv = |program: &str| Body::Argv(vec![program.to_owned()]);
    fs::write(world.path("plain"), "no program").unwrap();
    let plain = world.path("plain").to_str().unwrap().to_owned();
    let good = world.script(&["true"]);
    let missing = "No such file or directory (os error 2)";
    let cases = [
        ((argv("/no/such"), "root", "/"), format!("the program `/no/such` cannot be run: {missing}")),
        (
            (argv("sh"), "root", "/"),
            "the program `sh` is not absolute: write it from the root of the file system".to_owned(),
        ),
        (
            (argv(&plain), "root", "/"),
            format!("the program `{plain}` cannot be run: it is not an executable file"),
        ),
        ((good.body.clone(), "root", "/no/such"), format!("the folder `/no/such` cannot be used: {missing}")),
        (
            (good.body.clone(), "nobody-knows", "/"),
            "the user `nobody-knows` is not known on this machine".to_owned(),
        ),
    ];
    for ((body, user, folder), why) in cases {
        let mut script = good.clone();
        (script.body, script.user, script.folder) = (body, user.to_owned(), folder.to_owned());
        let outcome = world.run(&script).await;
        assert_eq!(outcome.ending.how, How::NotStarted(why));
        assert_eq!(outcome.ending.output_sha256, digest(&SHA256, b"").as_ref());
    }
    let running = start(&good, "../out", &world.config);
    let why = "`../out` is no run id: use 1 to 128 of A-Z, a-z, 0-9, `_` and `-`";
    assert_eq!(outcome(running).await.ending.how, How::NotStarted(why.to_owned()));
    assert_eq!(os::sweep(&world.config), [""; 0]);
}
