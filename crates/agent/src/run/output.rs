//! Carries a run's output: from two pipes into one channel, counted, capped and hashed.
//!
//! A reader that is slow for a while makes the script wait, one that takes nothing for [`PATIENCE`] does not:
//! from then on the rest is read, counted and dropped. So every byte is either in an event and in the hash,
//! or counted as dropped.

use std::time::Duration;

use ring::digest;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::{CHUNK, Ending, Event, How, Stream};

/// How long a script may have to wait for the reader of its output.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The two pipes and the one channel.
pub(super) struct Output {
    stdout: Pipe<ChildStdout>,
    stderr: Pipe<ChildStderr>,
    events: mpsc::Sender<Event>,
    /// A piece for which the channel has no room yet, and when waiting for it ends.
    waiting: Option<(Stream, Vec<u8>, Instant)>,
    tally: Tally,
}

impl Output {
    /// Carries at most `cap` bytes to `events`.
    pub(super) fn new(
        stdout: Option<ChildStdout>,
        stderr: Option<ChildStderr>,
        events: mpsc::Sender<Event>,
        cap: u64,
    ) -> Self {
        Self {
            stdout: Pipe::new(stdout),
            stderr: Pipe::new(stderr),
            events,
            waiting: None,
            tally: Tally::new(cap),
        }
    }

    /// Carries one piece. Safe to cancel: nothing is lost. Never ends when both pipes have.
    pub(super) async fn step(&mut self) {
        if self.waiting.is_some() {
            return self.send().await;
        }
        let (stream, bytes) = tokio::select! {
            bytes = self.stdout.read() => (Stream::Stdout, bytes),
            bytes = self.stderr.read() => (Stream::Stderr, bytes),
        };
        let room = self.tally.room().min(bytes.len());
        let (kept, dropped) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.tally.drop(dropped);
        if !kept.is_empty() {
            self.waiting = Some((stream, kept.to_vec(), Instant::now() + PATIENCE));
        }
    }

    async fn send(&mut self) {
        let Some((_, _, until)) = self.waiting else { return };
        let place = timeout_at(until, self.events.reserve()).await;
        let Some((stream, bytes, _)) = self.waiting.take() else { return };
        if let Ok(Ok(place)) = place {
            self.tally.keep(&bytes);
            place.send(Event::Output { stream, bytes });
        } else {
            self.tally.drop(&bytes);
            self.tally.close();
        }
    }

    /// Carries what the pipes still hold, until both end or it is `until`.
    pub(super) async fn drain(&mut self, until: Instant) {
        while !(self.stdout.ended() && self.stderr.ended() && self.waiting.is_none()) {
            if timeout_at(until, self.step()).await.is_err() {
                break;
            }
        }
        if let Some((_, bytes, _)) = self.waiting.take() {
            self.tally.drop(&bytes);
        }
    }

    /// What was carried and what was not.
    pub(super) fn finish(self) -> Total {
        self.tally.finish()
    }
}

/// What the agent itself says of a run, counted, capped and hashed like a program's output.
pub(super) struct Words {
    events: mpsc::Sender<Event>,
    tally: Tally,
}

impl Words {
    /// Carries at most `cap` bytes to `events`.
    pub(super) fn new(events: mpsc::Sender<Event>, cap: u64) -> Self {
        Self { events, tally: Tally::new(cap) }
    }

    /// Says a line; its end is dropped where it does not fit.
    pub(super) async fn say(&mut self, line: &str) {
        let line = format!("{line}\n").into_bytes();
        for bytes in line.chunks(CHUNK) {
            let room = self.tally.room().min(bytes.len());
            let (kept, dropped) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.tally.drop(dropped);
            let event = Event::Output { stream: Stream::Stdout, bytes: kept.to_vec() };
            if !kept.is_empty() && self.events.send(event).await.is_ok() {
                self.tally.keep(kept);
            }
        }
    }

    /// What was carried and what was not.
    pub(super) fn finish(self) -> Total {
        self.tally.finish()
    }
}

/// The sums over a run's output.
pub(super) struct Total {
    pub(super) sha256: [u8; 32],
    pub(super) kept: u64,
    pub(super) dropped: u64,
}

struct Tally {
    hash: digest::Context,
    cap: u64,
    kept: u64,
    dropped: u64,
}

impl Tally {
    fn new(cap: u64) -> Self {
        Self { hash: digest::Context::new(&digest::SHA256), cap, kept: 0, dropped: 0 }
    }

    fn room(&self) -> usize {
        usize::try_from(self.cap.saturating_sub(self.kept)).unwrap_or(usize::MAX)
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.kept = self.kept.saturating_add(length(bytes));
    }

    fn drop(&mut self, bytes: &[u8]) {
        self.dropped = self.dropped.saturating_add(length(bytes));
    }

    /// Keeps nothing more.
    fn close(&mut self) {
        self.cap = self.kept;
    }

    fn finish(self) -> Total {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.finish().as_ref());
        Total { sha256, kept: self.kept, dropped: self.dropped }
    }
}

/// The last event of a run.
pub(super) fn ended(how: How, total: Total, started: Instant) -> Event {
    Event::Ended(Ending {
        how,
        output_sha256: total.sha256,
        output_bytes_kept: total.kept,
        output_bytes_dropped: total.dropped,
        duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

struct Pipe<R> {
    reader: Option<R>,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(reader: Option<R>) -> Self {
        Self { reader, buffer: vec![0; CHUNK] }
    }

    fn ended(&self) -> bool {
        self.reader.is_none()
    }

    /// The next bytes; none at its end, and then never anything again.
    async fn read(&mut self) -> &[u8] {
        let Some(reader) = &mut self.reader else { return std::future::pending().await };
        let count = reader.read(&mut self.buffer).await.unwrap_or(0);
        if count == 0 {
            self.reader = None;
        }
        self.buffer.get(..count).unwrap_or_default()
    }
}
