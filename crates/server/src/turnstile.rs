//! How many requests one token has under way: a request is one until its answer has been read to the end.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::Method;
use axum::response::Response;
use countersign_trust::ids::Sha256;
use hyper::body::{Frame, SizeHint};

/// How many requests a token may have under way.
const MOST_AT_ONCE: usize = 32;
/// For how many a request counts that brings a body: the body is held in memory until it is whole.
const WITH_BODY: usize = 8;

/// Requests under way, by the hashes of their tokens.
#[derive(Clone, Debug, Default)]
pub struct Turnstile(Arc<Mutex<HashMap<Sha256, usize>>>);

/// One request under way; no longer once this is dropped.
#[derive(Debug)]
pub struct Pass {
    token: Sha256,
    weight: usize,
    turnstile: Turnstile,
}

impl Turnstile {
    /// Lets a request of `token` pass, unless it has too many under way.
    pub fn enter(&self, token: Sha256, method: &Method) -> Option<Pass> {
        let weight = if method.is_safe() { 1 } else { WITH_BODY };
        let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.get(&token).copied().unwrap_or(0) + weight;
        if count > MOST_AT_ONCE {
            return None;
        }
        under_way.insert(token, count);
        Some(Pass { token, weight, turnstile: self.clone() })
    }
}

impl Pass {
    /// Keeps the pass until the answer has been read, or given up.
    pub fn hold(self, answer: Response) -> Response {
        answer.map(|body| Body::new(Held { body, _pass: self }))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut under_way = self.turnstile.0.lock().unwrap_or_else(PoisonError::into_inner);
        match under_way.get(&self.token).copied() {
            Some(count) if count > self.weight => drop(under_way.insert(self.token, count - self.weight)),
            _ => drop(under_way.remove(&self.token)),
        }
    }
}

/// A body with its pass.
struct Held {
    body: Body,
    _pass: Pass,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_so_many_requests_under_way_and_no_other_token_waits_for_it() {
        let (turnstile, token) = (Turnstile::default(), Sha256([1; 32]));
        let mut passes: Vec<Pass> =
            (0..MOST_AT_ONCE).map(|_| turnstile.enter(token, &Method::GET).unwrap()).collect();
        assert!(turnstile.enter(token, &Method::GET).is_none());
        assert!(turnstile.enter(Sha256([2; 32]), &Method::GET).is_some());
        let answer = passes.pop().unwrap().hold(Response::new(Body::from("read me")));
        assert!(turnstile.enter(token, &Method::GET).is_none(), "the answer has not been read");
        drop(answer);
        assert!(turnstile.enter(token, &Method::GET).is_some());
        drop(passes);
        let bodies: Vec<Pass> = (0..4).map(|_| turnstile.enter(token, &Method::POST).unwrap()).collect();
        assert!(turnstile.enter(token, &Method::POST).is_none());
        drop(bodies);
        assert!(turnstile.0.lock().unwrap().is_empty());
    }
}
