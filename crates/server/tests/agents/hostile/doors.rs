//! Connections that say nothing, or too slowly.

use std::time::{Duration, Instant};

use countersign_wire::frame::ALPN;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::served;
use crate::agent::seed;
use crate::wire::{PATIENCE, Wire, client, connect, tcp_from};
use crate::world::World;

/// As many as one address may have.
const ROOM: usize = 1_024;

/// Whether the server closes within a moment what it was handed.
async fn is_closed(mut stream: TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut [0; 16])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_handshakes_from_one_address_leave_room_for_all_others() {
    let world = World::new().await;
    let [honest] = world.tills(["honest"]).await;
    let mut silent = Vec::new();
    for _ in 0..ROOM + 100 {
        silent.push(tcp_from([127, 0, 0, 66], world.server.address).await);
    }
    assert!(is_closed(silent.pop().unwrap()).await, "beyond its room an address is not let in");
    served(&world, &honest).await;
    let mut other = connect(world.server.address, client(None, b"http/1.1")).await;
    other.write_all(b"GET /v1/about HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    other.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_are_known_take_no_room_at_the_door() {
    let world = World::new().await;
    let [mut honest] = world.tills(["honest"]).await;
    honest.disconnect().await;
    honest.from = [127, 0, 0, 67];
    honest.connect().await;
    world.until_connected(1).await;
    let mut silent = Vec::new();
    for _ in 0..ROOM {
        silent.push(tcp_from([127, 0, 0, 67], world.server.address).await);
    }
    assert!(!is_closed(silent.pop().unwrap()).await, "the agent is no guest any more");
    served(&world, &honest).await;
}

mod long {
    use super::*;

    /// Until the server has closed, or patience is over.
    async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin), most: Duration) -> Duration {
        let begun = Instant::now();
        let mut piece = [0; 1_024];
        while begun.elapsed() < most {
            let read = tokio::time::timeout(most, stream.read(&mut piece)).await;
            if !matches!(read, Ok(Ok(1..))) {
                break;
            }
        }
        begun.elapsed()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn handshakes_heads_and_first_words_that_do_not_come_end_by_themselves() {
        let world = World::new().await;
        let server = world.server.address;
        let handshake = async { until_closed(&mut tcp_from([127, 0, 0, 1], server).await, PATIENCE).await };
        let hello = async {
            let begun = Instant::now();
            let why = Wire::connect(server, &seed("stranger")).await.sorry().await;
            assert!(why.contains("no message came within 10 s"), "{why}");
            begun.elapsed()
        };
        let silent = async |protocol: &'static [u8], said: &'static [u8]| {
            let mut stream = connect(server, client(None, protocol)).await;
            stream.write_all(said).await.unwrap();
            until_closed(&mut stream, Duration::from_secs(90)).await
        };
        let dribbled = async {
            let mut stream = connect(server, client(None, b"http/1.1")).await;
            let begun = Instant::now();
            stream.write_all(b"GET /v1/about HTTP/1.1\r\n").await.unwrap();
            while begun.elapsed() < Duration::from_secs(90) {
                if stream.write_all(b"x: y\r\n").await.and(stream.flush().await).is_err() {
                    break;
                }
                if let Ok(Ok(0) | Err(_)) =
                    tokio::time::timeout(Duration::from_secs(1), stream.read(&mut [0; 64])).await
                {
                    break;
                }
            }
            begun.elapsed()
        };
        let (handshake, hello, nothing, half, h2, dribbled) = tokio::join!(
            handshake,
            hello,
            silent(b"http/1.1", b""),
            silent(b"http/1.1", b"GET /v1/about HT"),
            silent(b"h2", b""),
            dribbled,
        );
        println!(
            "handshake {handshake:?}, hello {hello:?}, no head {nothing:?}, half a head {half:?}, h2 {h2:?}, dribbled {dribbled:?}"
        );
        assert!(handshake < Duration::from_secs(12) && hello < Duration::from_secs(12));
        for slow in [nothing, half, dribbled] {
            assert!(slow < Duration::from_secs(60), "{slow:?}");
        }
        assert!(!ALPN.is_empty());
    }
}
