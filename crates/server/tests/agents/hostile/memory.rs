//! What all of it together costs: the memory of the real program while everybody attacks it at once.

mod long {
    use countersign_wire::http::NewToken;
    use countersign_wire::message::{Challenge, Hello, from_agent};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;
    use tokio_rustls::client::TlsStream;

    use crate::agent::{Agent, frame, receipt_frame, seed};
    use crate::hostile::served;
    use crate::receipts::chain_of;
    use crate::wire::{Wire, client, connect, tcp_from};
    use crate::world::World;

    /// By how many MiB the program may grow: what each attack is allowed to cost, and a third more for what the allocator does
    /// not give back. Measured as it is built for tests: 51, of which 14 for handshakes, 9 for strangers, 16 for bodies, 12 for
    /// the flood. Without the limit of bodies under way it would be 40 of 4 MiB.
    const MOST_GROWTH: u64 = (HANDSHAKES + STRANGERS + BODIES + FLOOD) * 4 / 3;
    /// 1,024 connections of one address that say nothing, 16 KiB each.
    const HANDSHAKES: u64 = 16;
    /// 500 keys nobody enrolled, with a frame of 16 KiB and a TLS record of as much each, and what they need to live.
    const STRANGERS: u64 = 18;
    /// Four bodies under way of one token, 4 MiB each.
    const BODIES: u64 = 16;
    /// A device's unread frames, 8 MiB, and the receipts of it that wait.
    const FLOOD: u64 = 12;

    #[tokio::test(flavor = "multi_thread")]
    async fn memory_stays_bounded_while_everybody_attacks_and_an_honest_device_is_served() {
        let world = World::new().await;
        let [mut honest, mut liar] = world.tills(["honest", "liar"]).await;
        honest.disconnect().await;
        liar.disconnect().await;
        let world = world.into_program().await;
        for till in [&mut honest, &mut liar] {
            till.server = world.server.address;
            till.connect().await;
        }
        served(&world, &honest).await;
        let (before, _) = world.server.memory();

        let handshakes = half_open(&world).await;
        let (with_handshakes, _) = world.server.memory();
        served(&world, &honest).await;
        let strangers = strangers(&world).await;
        let (with_strangers, _) = world.server.memory();
        served(&world, &honest).await;
        let bodies = bodies(&world).await;
        let (with_bodies, _) = world.server.memory();
        served(&world, &honest).await;
        flood(&liar);
        for _ in 0..5 {
            served(&world, &honest).await;
        }
        let (most, after) = world.server.memory();
        println!(
            "server_mib before {before}, half-open handshakes {with_handshakes}, strangers {with_strangers}, bodies {with_bodies}, flood {most}, after it {after}"
        );
        assert!(most - before < MOST_GROWTH, "it grew from {before} to {most} MiB");
        drop((handshakes, strangers, bodies));
        served(&world, &honest).await;
    }

    /// Connections from one address that say nothing at all.
    async fn half_open(world: &World) -> Vec<TcpStream> {
        let mut silent = Vec::new();
        for _ in 0..3_000 {
            silent.push(tcp_from([127, 0, 0, 70], world.server.address).await);
        }
        silent
    }

    /// Keys that nobody enrolled, each with most of a frame.
    async fn strangers(world: &World) -> Vec<Wire> {
        let mut all = Vec::new();
        for number in 0..500_u32 {
            let mut wire = Wire::connect_from(
                [127, 0, 0, 71],
                world.server.address,
                &seed(&format!("stranger {number}")),
            )
            .await;
            let announced = if number % 2 == 0 { 16_000_u32 } else { 250_000 };
            wire.send_bytes(&announced.to_be_bytes()).await;
            wire.send_bytes(&[0; 15_000]).await;
            all.push(wire);
        }
        all
    }

    /// Bodies of almost 4 MiB that do not end, by one who holds a token.
    async fn bodies(world: &World) -> Vec<TlsStream<TcpStream>> {
        let path = format!("/v1/orgs/{}/tokens", world.org);
        let wish = NewToken { name: "viewer".to_owned(), token: String::new() };
        let viewer: NewToken = world.http.post(&path, &wish).await;
        let head = format!(
            "POST /v1/orgs/{}/statements HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 4100000\r\n\r\n",
            world.org, viewer.token
        );
        let mut all = Vec::new();
        for _ in 0..40 {
            let mut stream = connect(world.server.address, client(None, b"http/1.1")).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            // Those beyond the room of the token are answered, and closed.
            let _ = stream.write_all(&[b' '; 4_000_000]).await;
            let _ = stream.flush().await;
            all.push(stream);
        }
        all
    }

    /// Receipts nobody asked for, and challenges without end.
    fn flood(liar: &Agent) {
        chain_of(liar, 2_000).iter().for_each(|note| liar.send(receipt_frame(note)));
        for number in 0..50_000_u32 {
            let random = [number.to_be_bytes(); 8].concat();
            liar.send(frame(from_agent::What::Challenge(Challenge { random })));
        }
        liar.send(frame(from_agent::What::Hello(Hello::default())));
    }
}
