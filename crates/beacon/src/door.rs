//! The door: whose connection is taken, how long it may keep an answer waiting, and what bodies take of the room there is.

use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum_server::accept::Accept;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::room::{Room, Share};

/// How long who asked may take nothing of what is answered.
const STUCK: Duration = Duration::from_secs(30);

/// Takes a connection if there is room for it, and closes it at once if not.
#[derive(Clone, Debug)]
pub struct Door(pub Room);

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Seat;
    type Service = S;
    type Future = Ready<io::Result<(Seat, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.seat(stream).map(|seat| (seat, service)))
    }
}

impl Door {
    fn seat(&self, stream: TcpStream) -> io::Result<Seat> {
        let mut share = self.0.share(stream.peer_addr()?.ip());
        if !share.grow(1) {
            return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        }
        stream.set_nodelay(true)?;
        Ok(Seat { stream, stuck: None, _share: share })
    }
}

/// A connection that was taken.
#[derive(Debug)]
pub struct Seat {
    stream: TcpStream,
    /// When it ends, while nothing can be written to it.
    stuck: Option<Pin<Box<Sleep>>>,
    _share: Share,
}

impl Seat {
    fn written<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stuck = None;
            return write;
        }
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(STUCK)));
        ready!(stuck.as_mut().poll(cx));
        // Who asks again is told again.
        stuck.as_mut().reset(Instant::now());
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Seat {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Seat {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, write)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, shutdown)
    }
}

/// Why a body is not read.
#[derive(Debug)]
pub enum Unread {
    /// It is larger than it may be.
    TooLarge,
    /// There is no room for it.
    NoRoom,
    /// It broke off, or is no text.
    NotText,
}

/// Reads a body of at most `most` bytes; each that has come takes room of `share`.
pub async fn read(mut body: Body, most: usize, share: &mut Share) -> Result<String, Unread> {
    let said = body.size_hint().lower();
    if usize::try_from(said).map_or(true, |said| said > most) {
        return Err(Unread::TooLarge);
    }
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| Unread::NotText)?.into_data() else { continue };
        if whole.len() + piece.len() > most {
            return Err(Unread::TooLarge);
        }
        if !share.grow(piece.len()) {
            return Err(Unread::NoRoom);
        }
        whole.extend_from_slice(&piece);
    }
    String::from_utf8(whole).map_err(|_| Unread::NotText)
}

/// The body of an answer that takes room until it has gone; none if there is none.
pub fn answer(text: String, room: &Room, to: IpAddr) -> Option<Body> {
    let mut share = room.share(to);
    share.grow(text.len()).then(|| Body::new(Held { rest: text.into(), _share: share }))
}

/// How much of an answer is handed on at once: the connection copies it.
const PIECE: usize = 16 * 1024;

struct Held {
    rest: Bytes,
    _share: Share,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        u64::try_from(self.rest.len()).map_or_else(|_| SizeHint::default(), SizeHint::with_exact)
    }
}
