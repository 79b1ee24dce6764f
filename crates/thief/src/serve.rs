//! Posing as the server: agents connect, leave challenges, and are brought what the thief prepared.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use countersign_trust::clear::AnsweredClear;
use countersign_trust::delivery::{Delivery, News};
use countersign_trust::ids::DeviceId;
use countersign_trust::merkle::leaf_hash;
use countersign_trust::note::Note;
use countersign_trust::receipt::Receipt;
use countersign_wire::frame::{Decoder, MOST_FROM_AGENT, encode};
use countersign_wire::message::{FromAgent, FromServer, from_agent, from_server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::attempts::Attempt;
use crate::https::post;
use crate::loot::Loot;

/// What the thief has to offer.
pub struct Trade {
    /// What was stolen.
    pub loot: Loot,
    /// What it tries.
    pub attempts: Vec<Attempt>,
    /// Where receipts go.
    pub receipts: PathBuf,
}

/// Serves agents until it is dropped.
pub async fn serve(listener: TcpListener, trade: Trade) -> anyhow::Result<()> {
    let trade = Arc::new(trade);
    let acceptor = TlsAcceptor::from(Arc::new(trade.loot.tls()?));
    loop {
        let (stream, _) = listener.accept().await?;
        let (acceptor, trade) = (acceptor.clone(), trade.clone());
        tokio::spawn(async move {
            if let Err(error) = agent(acceptor, stream, &trade).await {
                eprintln!("an agent left: {error:#}");
            }
        });
    }
}

async fn agent(acceptor: TlsAcceptor, stream: TcpStream, trade: &Trade) -> anyhow::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut decoder = Decoder::new(MOST_FROM_AGENT);
    let (mut device, mut tried) = (None, false);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        decoder.push(buffer.get(..count).unwrap_or_default());
        while let Some(message) = decoder.next_message::<FromAgent>()? {
            match message.what {
                Some(from_agent::What::Hello(_)) => device = Some(device_of(&stream)?),
                Some(from_agent::What::Challenge(challenge)) if !tried => {
                    tried = true;
                    let challenge =
                        challenge.random.as_slice().try_into().context("a challenge that is not 32 bytes")?;
                    for delivery in deliveries(trade, device.context("no hello")?, challenge).await? {
                        let message =
                            FromServer { what: Some(from_server::What::Delivery((&delivery).into())) };
                        stream.write_all(&encode(&message)).await?;
                    }
                }
                Some(from_agent::What::Receipt(receipt)) => keep(trade, &receipt.note)?,
                _ => {}
            }
        }
    }
}

/// Every attempt for one device, with honest Clears that answer its challenge.
async fn deliveries(trade: &Trade, device: DeviceId, challenge: [u8; 32]) -> anyhow::Result<Vec<Delivery>> {
    let chain = &trade.loot.chain;
    let root = leaf_hash(&challenge);
    let mut clears = Vec::new();
    for url in chain.policy().body.addresses.beacons.values() {
        let (status, answer) =
            post(url.as_str(), &format!("/v1/orgs/{}/clear", chain.org()), format!("{root}\n")).await?;
        if status == 200 {
            let clear: Note = answer.parse()?;
            clears.push(AnsweredClear { clear, index: 0, size: 1, path: Vec::new() });
        }
    }
    let news = News::since(chain, 1);
    let bring = |attempt: &Attempt| Delivery {
        job: attempt.logged.clone(),
        news: news.clone(),
        clears: clears.clone(),
        target: attempt.target_of(&device),
        advances: Vec::new(),
    };
    Ok(trade.attempts.iter().map(bring).collect())
}

/// Whose certificate an agent showed.
///
/// # Errors
/// It showed none of an Ed25519 key.
pub fn device_of(stream: &tokio_rustls::server::TlsStream<TcpStream>) -> anyhow::Result<DeviceId> {
    let certificates = stream.get_ref().1.peer_certificates().context("no client certificate")?;
    let der = certificates.first().context("no client certificate")?;
    // The end of a SubjectPublicKeyInfo for Ed25519 is the raw key: RFC 8410.
    const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let at = der.windows(PREFIX.len()).position(|window| window == PREFIX).context("no Ed25519 key")?
        + PREFIX.len();
    let key = der.get(at..).and_then(|rest| rest.first_chunk::<32>()).context("a cut key")?;
    Ok(DeviceId::of_key(key))
}

/// Writes a receipt down as it came, named by its device and number.
fn keep(trade: &Trade, text: &str) -> anyhow::Result<()> {
    let note: Note = text.parse()?;
    let receipt: Receipt = note.text().parse()?;
    let name = format!("{}-{:06}.receipt", receipt.device, receipt.number);
    std::fs::write(trade.receipts.join(name), text).context("cannot write a receipt")
}
