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
mod pace;
mod places;
mod records;
mod threads;
mod welcome;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_trust::delivery::News;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, OrgId};
use countersign_wire::message::{Sorry, from_server};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::app::App;
use crate::dispatch::Work;
use crate::facts::{self, Fact, Kind};
use crate::guests::Guest;
use crate::queue::Queues;
use crate::receipts::{self, Report};
use crate::statements::anew;
use connection::{Connection, Frame, frame, news_frames};
use incoming::Incoming;
use threads::{Shows, Spoken, Threads};
use welcome::{Visitor, Welcome};

/// How long a last sentence may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How much of what agents say waits before agents do.
const ROOM: usize = 1_024;
/// How many places are remembered from which a clone's key is used.
const MOST_PLACES: usize = 8;
/// What a clone is told.
const STOPPED: &str = "this device's key is used in two places: it gets nothing any more; have it retired, and enroll each machine anew under a new key";

/// All connections, and the tasks that work off what comes over them.
#[derive(Debug)]
pub struct Gate {
    seats: Mutex<Seats>,
    threads: Mutex<HashMap<(OrgId, DeviceId), Threads>>,
    made: AtomicU64,
    pub(crate) joins: join::Joins,
    pub(crate) places: Queues<places::Step>,
    pub(crate) records: Queues<records::Row>,
    pub(crate) reports: Queues<Report>,
    pub(crate) batches: Queues<()>,
    pub(crate) work: Queues<Work>,
}

/// Who is connected, and who may not be.
#[derive(Debug, Default)]
struct Seats {
    connections: HashMap<(OrgId, DeviceId), Arc<Connection>>,
    /// Clones, with the places from which their keys were used since this start.
    stopped: HashMap<(OrgId, DeviceId), Vec<IpAddr>>,
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
            seats: Mutex::default(),
            threads: Mutex::default(),
            made: AtomicU64::new(0),
            joins: join::Joins::default(),
            places: Queues::new(ROOM),
            records: Queues::new(ROOM),
            reports: Queues::new(ROOM),
            batches: Queues::new(1),
            work: Queues::new(ROOM),
        }
    }

    /// Serves one connection of the device with this key, until either side ends it. `guest` is let go as soon as the device
    /// is known.
    pub async fn serve<S>(app: Arc<App>, stream: S, device_key: [u8; 32], guest: Guest)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (read, mut write) = tokio::io::split(stream);
        let mut incoming = Incoming::new(read);
        let made = app.gate.made.fetch_add(1, Ordering::Relaxed);
        let visitor = Visitor { key: device_key, from: guest.from(), connection: made };
        // What only the beginning needs is given back after it.
        match Box::pin(welcome::welcome(&app, &mut incoming, &mut write, visitor)).await {
            Ok(welcome) => {
                drop(guest);
                attend(&app, welcome, incoming, write).await;
            }
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
        self.seats().connections.contains_key(&(*org, *device))
    }

    /// Whether the device is a clone, to which nothing is brought.
    pub fn is_stopped(&self, org: &OrgId, device: &DeviceId) -> bool {
        self.seats().stopped.contains_key(&(*org, *device))
    }

    /// How many devices of `org` are connected.
    pub fn connected(&self, org: &OrgId) -> usize {
        self.seats().connections.keys().filter(|(of, _)| of == org).count()
    }

    /// Everybody of `org` who is connected. Whoever asks each of them something holds up nobody else.
    pub fn there(&self, org: &OrgId) -> Vec<Arc<Connection>> {
        self.seats().connections.values().filter(|there| there.org == *org).cloned().collect()
    }

    /// Which devices of `org` are connected.
    pub fn who_is_connected(&self, org: &OrgId) -> HashSet<DeviceId> {
        self.seats().connections.keys().filter(|(of, _)| of == org).map(|(_, device)| *device).collect()
    }

    /// Ends a device's connection, if it has one, with a sentence: it was retired, for example.
    pub fn dismiss(&self, org: &OrgId, device: &DeviceId, why: &str) {
        if let Some(connection) = self.connection(org, device) {
            connection.dismiss(why.to_owned());
        }
    }

    /// Ends a clone's connection and takes none of it any more. False if that was so before.
    pub(crate) fn stop(&self, org: &OrgId, device: &DeviceId) -> bool {
        let mut seats = self.seats();
        let there = seats.connections.remove(&(*org, *device));
        there.inspect(|connection| connection.dismiss(STOPPED.to_owned()));
        seats.stopped.insert((*org, *device), Vec::new()).is_none()
    }

    /// Remembers from where a clone's key is used; all places known, if this is a new one.
    fn stopped_at(&self, org: &OrgId, device: &DeviceId, from: IpAddr) -> Option<Vec<IpAddr>> {
        let mut seats = self.seats();
        let places = seats.stopped.get_mut(&(*org, *device))?;
        if places.contains(&from) || places.len() >= MOST_PLACES {
            return None;
        }
        places.push(from);
        Some(places.clone())
    }

    /// Hears a Hello of an enrolled device.
    fn hear(&self, org: &OrgId, device: &DeviceId, said: Spoken) -> Shows {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        threads.entry((*org, *device)).or_insert_with(|| Threads::new(now)).hear(said, now)
    }

    /// Tells every connected agent of `org`, at once and without waiting for any.
    pub fn push_news(&self, org: &OrgId, news: &[News]) {
        let frames = news_frames(news);
        for connection in self.seats().connections.values().filter(|connection| connection.org == *org) {
            connection.send_news(news, &frames);
        }
    }

    /// Tells every connected agent of `org` to stop, before all that waits to be written to it. Encoded once, nothing is read or
    /// written on the way, and nobody is waited for.
    pub fn push_halt(&self, org: &OrgId, halt: &Signed) {
        self.push_in_front(org, halt, Connection::send_halt);
    }

    /// The same for those alone who lack it: they came after it was pushed, and before the chain held it.
    pub fn push_halt_to_late(&self, org: &OrgId, halt: &Signed) {
        self.push_in_front(org, halt, Connection::send_halt_if_lacking);
    }

    fn push_in_front(&self, org: &OrgId, halt: &Signed, send: fn(&Connection, &News, &Frame)) {
        let halt = News::Halt(halt.clone());
        let Some(frame) = news_frames(std::slice::from_ref(&halt)).pop() else { return };
        for connection in self.seats().connections.values().filter(|connection| connection.org == *org) {
            send(connection, &halt, &frame);
        }
    }

    /// The connection of a device.
    pub(crate) fn connection(&self, org: &OrgId, device: &DeviceId) -> Option<Arc<Connection>> {
        self.seats().connections.get(&(*org, *device)).cloned()
    }

    /// Makes it the device's connection; an older one is dismissed. So is this one, if the device is a clone.
    fn enter(&self, connection: &Arc<Connection>) {
        let key = (connection.org, connection.device);
        let mut seats = self.seats();
        if seats.stopped.contains_key(&key) {
            return connection.dismiss(STOPPED.to_owned());
        }
        if let Some(older) = seats.connections.insert(key, connection.clone()) {
            older.dismiss("this device has connected again elsewhere".to_owned());
        }
    }

    fn leave(&self, connection: &Arc<Connection>) {
        let key = (connection.org, connection.device);
        let mut seats = self.seats();
        // By then a newer connection of the same device may stand there.
        if seats.connections.get(&key).is_some_and(|there| Arc::ptr_eq(there, connection)) {
            seats.connections.remove(&key);
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
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
    let Welcome { org, connection, mut outgoing, enroll } = welcome;
    app.gate.enter(&connection);
    let entered = Entered(&app.gate, connection.clone());
    // What was decided between the Hello and this line is pushed to nobody, so the chain is read only now.
    let mut news = { connection.lacks(&org.chain()) };
    match anew::lacks(app, &org, &connection.device, enroll).await {
        Ok(later) => news.extend(later),
        // Brought when it connects again.
        Err(error) => {
            tracing::error!(device.id = %connection.device, %error, "a device's newer enrollments not read");
        }
    }
    if let Err(error) = outgoing.write_first(&news_frames(&news), &mut write).await {
        tracing::info!(device.id = %connection.device, why = %error, "connection to agent lost");
        return;
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
                if error.is_no_agents() {
                    Box::pin(facts::note(app, &org, &Fact::new(device, Kind::Frames, &error))).await;
                }
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
    Box::pin(records::write(app, &org, records::Row::Seen(device))).await;
}
