//! Where agents connect: TLS has been done, the client certificate's key says which device it is.
//!
//! Nothing an agent sends is believed beyond what it signed: a Hello only saves sending what it holds, receipts are notes by the
//! device's key, output is shown as the device's word.
//!
//! Source: docs/spec/8-interfaces.md, "Agent connection".

pub mod connection;
mod hear;
mod incoming;
pub mod join;
mod output;
mod welcome;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_trust::delivery::News;
use countersign_trust::ids::{DeviceId, OrgId};
use countersign_wire::message::{Sorry, from_server};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::app::App;
use crate::dispatch::Work;
use crate::inbox::Inboxes;
use crate::receipts::{self, Letter};
use crate::store::{device, stored};
use connection::{Connection, frame, news_frame};
use incoming::Incoming;
use welcome::Welcome;

/// How long a last sentence may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How many letters of agents wait before agents do.
const ROOM: usize = 1_024;

/// All connections, and the tasks that work off what comes over them.
#[derive(Debug)]
pub struct Gate {
    connections: Mutex<HashMap<(OrgId, DeviceId), Arc<Connection>>>,
    pub(crate) joins: join::Joins,
    pub(crate) letters: Inboxes<Letter>,
    pub(crate) batches: Inboxes<()>,
    pub(crate) work: Inboxes<Work>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// Nobody is connected.
    pub fn new() -> Self {
        Self {
            connections: Mutex::default(),
            joins: join::Joins::default(),
            letters: Inboxes::new(ROOM),
            batches: Inboxes::new(1),
            work: Inboxes::new(ROOM),
        }
    }

    /// Serves one connection of the device with this key, until either side ends it.
    pub async fn serve<S>(app: Arc<App>, stream: S, device_key: [u8; 32])
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (read, mut write) = tokio::io::split(stream);
        let mut incoming = Incoming::new(read);
        match welcome::welcome(&app, &mut incoming, &mut write, device_key).await {
            Ok(welcome) => attend(&app, welcome, incoming, write).await,
            Err(error) => {
                let device = DeviceId::of_key(&device_key);
                tracing::info!(device.id = %device, why = %error, "agent turned away");
                let sorry = frame(from_server::What::Sorry(Sorry { why: error.to_string() }));
                let say = async { write.write_all(&sorry).await.and(write.shutdown().await) };
                // Nobody is owed this sentence.
                let _ = timeout(LAST_WORDS, say).await;
            }
        }
    }

    /// Whether the device is connected.
    pub fn is_connected(&self, org: &OrgId, device: &DeviceId) -> bool {
        self.connections().contains_key(&(*org, *device))
    }

    /// How many devices of `org` are connected.
    pub fn connected(&self, org: &OrgId) -> usize {
        self.connections().keys().filter(|(of, _)| of == org).count()
    }

    /// Ends a device's connection, if it has one, with a sentence: it was retired, for example.
    pub fn dismiss(&self, org: &OrgId, device: &DeviceId, why: &str) {
        if let Some(connection) = self.connection(org, device) {
            connection.dismiss(why.to_owned());
        }
    }

    /// Tells every connected agent of `org`, at once and without waiting for any.
    pub fn push_news(&self, org: &OrgId, news: &[News]) {
        let frame = news_frame(news);
        for connection in self.connections().values().filter(|connection| connection.org == *org) {
            connection.send_news(news, &frame);
        }
    }

    /// The connection of a device.
    pub(crate) fn connection(&self, org: &OrgId, device: &DeviceId) -> Option<Arc<Connection>> {
        self.connections().get(&(*org, *device)).cloned()
    }

    /// Makes it the device's connection; an older one is dismissed.
    fn enter(&self, connection: &Arc<Connection>) {
        let key = (connection.org, connection.device);
        let older = self.connections().insert(key, connection.clone());
        if let Some(older) = older {
            older.dismiss("this device has connected again elsewhere".to_owned());
        }
    }

    fn leave(&self, connection: &Arc<Connection>) {
        let key = (connection.org, connection.device);
        let mut connections = self.connections();
        // By then a newer connection of the same device may stand there.
        if connections.get(&key).is_some_and(|there| Arc::ptr_eq(there, connection)) {
            connections.remove(&key);
        }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<(OrgId, DeviceId), Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leaves when it is dropped, however the connection ends.
struct Entered<'a>(&'a Gate, Arc<Connection>);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.leave(&self.1);
    }
}

/// Reads and writes until one of both ends.
async fn attend<R, W>(app: &Arc<App>, welcome: Welcome, mut incoming: Incoming<R>, mut write: W)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let Welcome { org, connection, mut outgoing, .. } = welcome;
    app.gate.enter(&connection);
    let entered = Entered(&app.gate, connection.clone());
    // What was decided between the Hello and this line is pushed to nobody, so the chain is read only now.
    let news = { connection.lacks(&org.chain()) };
    if !news.is_empty() {
        connection.send(&news_frame(&news));
    }
    // What was kept before a crash is logged once somebody is there to hear of it.
    receipts::log_soon(app, &org);
    let mut writing = std::pin::pin!(outgoing.write_all(&mut write));
    let device = connection.device;
    tokio::select! {
        heard = hear::hear(app, &org, &connection, &mut incoming) => match heard {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(device.id = %device, why = %error, "connection to agent closed");
                connection.dismiss(error.to_string());
                let _ = timeout(LAST_WORDS, &mut writing).await;
            }
        },
        written = &mut writing => if let Err(error) = written {
            tracing::info!(device.id = %device, why = %error, "connection to agent lost");
        },
        () = app.stopping() => {
            connection.dismiss("the server is stopping; connect again in a while".to_owned());
            let _ = timeout(LAST_WORDS, &mut writing).await;
        }
        () = connection.overrun() => {
            tracing::warn!(device.id = %device, "agent cut off: it does not read what it is sent");
        }
    }
    drop(entered);
    let now_ms = stored((app.now_ms)());
    if let Err(error) = device::seen(&app.db, &org.id.to_string(), &device.to_string(), now_ms).await {
        tracing::error!(device.id = %device, %error, "time of the device's leaving not stored");
    }
}
