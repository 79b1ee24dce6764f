//! Clients of the server's HTTP interface: one request a connection, and one stream of events.

use std::net::SocketAddr;

use countersign_wire::http::{JobEvent, Problem};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::{PATIENCE, client, connect};

/// Who asks, and whom.
#[derive(Clone)]
pub struct Http {
    /// The server.
    pub server: SocketAddr,
    /// The token it is asked with.
    pub token: String,
}

impl Http {
    async fn ask(&self, method: &str, path: &str, body: String) -> Response<Incoming> {
        let stream = connect(self.server, client(None, b"http/1.1")).await;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(body))
            .unwrap();
        tokio::time::timeout(PATIENCE, sender.send_request(request)).await.expect("no answer").unwrap()
    }

    /// Any request: the status, the content type and the body of the answer, whatever it is.
    pub async fn raw(&self, method: &str, path: &str, body: &str) -> (u16, String, Vec<u8>) {
        let response = self.ask(method, path, body.to_owned()).await;
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, kind.unwrap_or_default(), body.to_vec())
    }

    /// The problem with which a request is refused.
    pub async fn refused(&self, method: &str, path: &str, body: &str) -> Problem {
        let (status, kind, body) = self.raw(method, path, body).await;
        let text = String::from_utf8_lossy(&body);
        assert_eq!(kind, "application/problem+json", "{path}: {status}: {text}");
        let problem: Problem = serde_json::from_str(&text).unwrap();
        assert_eq!(problem.status, status);
        problem
    }

    /// GET of a JSON body.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        read(path, self.ask("GET", path, String::new()).await).await
    }

    /// POST of a JSON body.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> T {
        read(path, self.ask("POST", path, serde_json::to_string(body).unwrap()).await).await
    }

    /// The events of a job from this moment on.
    pub async fn events(&self, path: &str) -> Events {
        let response = self.ask("GET", path, String::new()).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { body: response.into_body(), text: String::new() }
    }
}

async fn read<T: DeserializeOwned>(path: &str, response: Response<Incoming>) -> T {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body);
    assert!(status.is_success(), "{path}: {status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// A stream of server-sent events.
pub struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    /// The next event.
    pub async fn next(&mut self) -> JobEvent {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data: String = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                self.text = rest.to_owned();
                if !data.is_empty() {
                    return serde_json::from_str(&data).unwrap();
                }
                continue;
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("no event");
            let frame = frame.expect("the stream ended").unwrap();
            self.text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        }
    }

    /// Events until one is found for which `last` is true; that one comes last.
    pub async fn until(&mut self, last: impl Fn(&JobEvent) -> bool) -> Vec<JobEvent> {
        let mut events = Vec::new();
        loop {
            events.push(self.next().await);
            if events.last().is_some_and(&last) {
                return events;
            }
        }
    }
}
