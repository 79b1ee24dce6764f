//! What goes over the wire between an agent and its server.

use std::os::unix::fs::PermissionsExt as _;

use countersign_trust::receipt::Verdict;
use countersign_trust::statement::halt::Scope;
use countersign_wire::frame::ALPN;
use countersign_wire::message::{NewsTexts, from_agent, from_server};

use crate::organization::{Organization, device_id, device_signer, everything, sign};
use crate::world::{TILL, World, until};

#[tokio::test]
async fn a_job_runs_and_its_output_and_receipts_come_back() {
    let world = World::new().await;
    let agent = world.start();
    let mut server = world.server.accept().await;
    assert_eq!(server.protocol().as_deref(), Some(ALPN));
    let key = device_signer(TILL);
    let raw = key.verifier().raw();
    assert!(
        server.certificate().windows(32).any(|window| window == raw),
        "the certificate is of the device's key"
    );
    let Some(from_agent::What::Hello(hello)) = server.next().await else { panic!("a Hello comes first") };
    assert_eq!((hello.org, hello.policy_number), (world.organization(|org| org.org.to_string()), 1));

    let job = world.job(&["echo one", "echo two >&2"]);
    let delivery = world.delivery(&job, server.challenge().await);
    server.deliver(&delivery).await;

    let accepted = server.receipt().await;
    assert_eq!((accepted.verdict, accepted.number, accepted.device), (Verdict::Accepted, 1, device_id(TILL)));
    let ended = server.receipt().await;
    assert_eq!((ended.verdict, ended.because.as_str(), ended.kept), (Verdict::Ended, "exit 0", 8));
    let piece = |what: &from_agent::What| match what {
        from_agent::What::Output(output) => Some(output.clone()),
        _ => None,
    };
    let mut pieces = [server.first(piece).await, server.first(piece).await];
    pieces.sort_by_key(|piece| piece.stream);
    let seen = pieces.each_ref().map(|piece| (piece.stream, piece.bytes.as_slice()));
    assert_eq!(seen, [(1, b"one\n".as_slice()), (2, b"two\n".as_slice())]);
    assert!(pieces.iter().all(|piece| piece.job == delivery.job.signed.hash().0 && piece.step == 0));

    agent.stop().await;
    assert_eq!(world.ledger().spooled(), 2, "nobody has shown that the receipts are logged");
    let mode = |name: &str| std::fs::metadata(world.data.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ledger"), mode("inbox")), (0o600, 0o700));
}

#[tokio::test]
async fn a_halt_kills_what_runs_and_a_stop_kills_the_rest() {
    let world = World::new().await;
    let agent = world.start();
    let mut server = world.server.accept().await;
    let challenge = server.challenge().await;
    for (number, why) in [("1", "halted: the whole organization by bo"), ("2", "the agent was stopped")] {
        let marker = world.path(number);
        let job = world.job(&[&format!("touch {}", marker.display()), "sleep 600"]);
        server.deliver(&world.delivery(&job, challenge)).await;
        assert_eq!(server.receipt().await.verdict, Verdict::Accepted);
        until("the script runs", || marker.exists().then_some(())).await;
        if number == "1" {
            let halt = world.organization(|org| org.halt(everything(), "bo"));
            server.bring(&[halt]).await;
            let ended = server.receipt().await;
            assert_eq!(ended.verdict, Verdict::Ended);
            assert!(ended.because.as_str().starts_with(why), "{}", ended.because);
            let lift = world.organization(lift_all);
            server.bring(&[lift]).await;
        }
    }
    agent.stop().await;
    let ledger = world.ledger();
    let last = ledger.spool().last().unwrap().text();
    assert!(last.contains("verdict ended") && last.contains("because the agent was stopped"), "{last}");
    assert_eq!(ledger.started(), []);
}

fn lift_all(org: &mut Organization) -> countersign_trust::delivery::News {
    use countersign_trust::statement::resume::{Cuts, Lifts};
    use countersign_trust::text::Nothing;
    let halts = org.chain.active_halts().map(|halt| halt.hash).collect();
    org.resume(Lifts::Halts(halts), Cuts::None(Nothing), |_| ())
}

#[tokio::test]
async fn a_server_with_another_key_than_the_pinned_one_is_not_spoken_to() {
    let world = World::with(|policy| {
        let wrong = countersign_trust::ids::Sha256::of(b"another key");
        policy.addresses.servers.values_mut().for_each(|pin| *pin = Some(wrong));
    })
    .await;
    let agent = world.start();
    let error = world.server.turned_down().await;
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    agent.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_ends_the_connection_and_the_agent_comes_back() {
    let world = World::new().await;
    let agent = world.start();
    for garbage in [&[0xff; 64][..], &[0, 0, 0, 2, 0xff, 0xff]] {
        let mut server = world.server.accept().await;
        server.challenge().await;
        server.send_bytes(garbage).await;
        while server.next().await.is_some() {}
    }
    let mut server = world.server.accept().await;
    let job = world.job(&["true"]);
    let challenge = server.challenge().await;
    let empty_delivery = countersign_wire::frame::encode(&countersign_wire::message::FromServer {
        what: Some(from_server::What::Delivery(Default::default())),
    });
    server.send_bytes(&empty_delivery).await;
    assert_eq!(
        server.receipt().await.verdict,
        Verdict::Refused,
        "a delivery that is none is refused like any other"
    );
    server.deliver(&world.delivery(&job, challenge)).await;
    assert_eq!(server.receipt().await.verdict, Verdict::Accepted);
    agent.stop().await;
}

#[tokio::test]
async fn news_that_cannot_be_read_keep_no_others_away_and_the_connection_stays() {
    let world = World::new().await;
    let agent = world.start();
    let mut server = world.server.accept().await;
    let challenge = server.challenge().await;
    // Beacons know nothing of it: it can come from the server only.
    let halt = world.organization(|org| {
        let halt = Scope::Job(countersign_trust::ids::Sha256([9; 32]));
        sign(&org.halt_of(halt), &["bo"])
    });
    let envelopes = vec!["no envelope".to_owned(), halt.to_string(), String::new()];
    server.send(from_server::What::News(NewsTexts { envelopes })).await;
    until("the halt is on disk", || world.ledger().chain().unwrap().halt(&halt.hash()).map(|_| ())).await;
    server.deliver(&world.delivery(&world.job(&["true"]), challenge)).await;
    assert_eq!(server.receipt().await.verdict, Verdict::Accepted);
    agent.stop().await;
}

#[tokio::test]
async fn receipts_that_nobody_acknowledged_are_sent_again() {
    let world = World::new().await;
    let agent = world.start();
    let mut server = world.server.accept().await;
    let job = world.job(&["true"]);
    let challenge = server.challenge().await;
    server.deliver(&world.delivery(&job, challenge)).await;
    let told = [server.receipt().await, server.receipt().await];
    drop(server);
    let mut server = world.server.accept().await;
    assert_eq!([server.receipt().await, server.receipt().await], told);
    agent.stop().await;
}

#[tokio::test]
async fn output_written_while_no_server_is_there_comes_when_one_is() {
    let world = World::new().await;
    let agent = world.start();
    let mut server = world.server.accept().await;
    let (go, done) = (world.path("go"), world.path("done"));
    let wait = format!("while [ ! -e {} ]; do sleep 0.01; done", go.display());
    let job = world.job(&["echo early", &wait, "echo late", &format!("touch {}", done.display())]);
    let challenge = server.challenge().await;
    server.deliver(&world.delivery(&job, challenge)).await;
    let output = |what: &from_agent::What| match what {
        from_agent::What::Output(output) => Some(output.clone()),
        _ => None,
    };
    assert_eq!(server.first(output).await.bytes, b"early\n");

    drop(server);
    std::fs::write(&go, "").unwrap();
    until("the script is through", || done.exists().then_some(())).await;
    let mut server = world.server.accept().await;
    let pieces = [server.first(output).await, server.first(output).await];
    assert_eq!(
        pieces.map(|piece| (piece.offset, piece.bytes)),
        [(0, b"early\n".to_vec()), (6, b"late\n".to_vec())]
    );
    agent.stop().await;
}

#[tokio::test]
async fn output_that_waits_for_a_server_outlives_the_agent() {
    let world = World::new().await;
    let program = world.start_program();
    let mut server = world.server.accept().await;
    let (go, done) = (world.path("go"), world.path("done"));
    let wait = format!("while [ ! -e {} ]; do sleep 0.01; done", go.display());
    let job =
        world.job(&[&wait, "head -c 50000 /dev/zero; echo end >&2", &format!("touch {}", done.display())]);
    let challenge = server.challenge().await;
    let delivery = world.delivery(&job, challenge);
    server.deliver(&delivery).await;
    assert_eq!(server.receipt().await.verdict, Verdict::Accepted);

    drop(server);
    std::fs::write(&go, "").unwrap();
    until("the end is written down", || {
        let ledger = world.ledger();
        let ended = ledger.spool().any(|note| note.text().contains("verdict ended"));
        (done.exists() && ended).then_some(())
    })
    .await;
    drop(program);
    let waits = || std::fs::read_dir(world.data.join("output")).unwrap().count();
    assert_eq!(waits(), 1);

    let agent = world.start();
    let mut server = world.server.accept().await;
    let output = |what: &from_agent::What| match what {
        from_agent::What::Output(output) => Some(output.clone()),
        _ => None,
    };
    let mut both: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    let mut whole = Vec::new();
    while whole.len() < 50_004 {
        let piece = server.first(output).await;
        assert_eq!(
            (piece.job.as_slice(), piece.offset),
            (&delivery.job.signed.hash().0[..], whole.len() as u64)
        );
        both[piece.stream as usize - 1].extend(&piece.bytes);
        whole.extend(piece.bytes);
    }
    assert_eq!(both, [vec![0; 50_000], b"end\n".to_vec()]);
    let ledger = world.ledger();
    let hash = countersign_trust::ids::Sha256::of(&whole).to_string();
    assert!(ledger.spool().any(|note| note.text().contains(&hash)), "the receipt has its hash");
    until("what a server has had is gone", || (waits() == 0).then_some(())).await;
    agent.stop().await;
}
