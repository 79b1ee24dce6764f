//! What a thief of a server does, for its program and for drills. See the program for who it is.

mod attempts;
pub mod forge;
mod https;
pub mod loot;
mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
pub use serve::device_of;

/// A thief who has prepared everything and goes to work.
pub struct Thief {
    listener: tokio::net::TcpListener,
    trade: serve::Trade,
}

impl Thief {
    /// Takes what is in `loot`, the stolen folder of a server, prepares every attempt and takes the server's address.
    /// Receipts of agents will be written to the folder `receipts`.
    ///
    /// # Errors
    /// The loot is not what a server has, the witnesses do not answer, or the address is taken.
    pub async fn prepare(loot: PathBuf, receipts: PathBuf, listen: SocketAddr) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&receipts).context("cannot make the folder for receipts")?;
        let loot = loot::Loot::take(&loot).await?;
        let attempts = attempts::prepare(&loot).await?;
        let listener = tokio::net::TcpListener::bind(listen).await.context("the server's port is taken")?;
        Ok(Self { listener, trade: serve::Trade { loot, attempts, receipts } })
    }

    /// What it will try: the hash of each job, and what it is in words.
    pub fn attempts(&self) -> Vec<(String, &'static str)> {
        let attempts = self.trade.attempts.iter();
        attempts.map(|attempt| (attempt.logged.signed.hash().to_string(), attempt.what)).collect()
    }

    /// Serves agents until it is dropped.
    ///
    /// # Errors
    /// It can take no more connections.
    pub async fn work(self) -> anyhow::Result<()> {
        serve::serve(self.listener, self.trade).await
    }
}
