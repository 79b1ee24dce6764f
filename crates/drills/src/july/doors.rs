//! An unauthenticated session: every route of the server's interface, asked by somebody who is nobody.

use std::path::Path;
use std::time::Duration;

use countersign_agent::disk::read_seed;
use countersign_agent::link::{Server, greet};
use countersign_agent::tls::Identity;
use countersign_trust::ids::Sha256;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::facts;
use super::stores::Field;
use super::story::Story;
use crate::http::Http;

/// The description of the server's interface, as it is committed.
const DESCRIPTION: &str = include_str!("../../../../openapi/server.json");
/// The two places where anybody may look.
const OPEN: [(&str, &str); 2] = [("get", "/v1/about"), ("get", "/openapi.json")];

/// Asks everything.
pub fn play(field: &Field, story: &mut Story) {
    story.begin("A session without a password (the server is honest, and the thief is outside)");
    story.in_2021(facts::SESSION);
    let routes = routes(field);
    let register = field.registers.values().find(|register| register.real).unwrap();
    let machine = field.world.machines.iter().find(|machine| machine.id == register.id).unwrap();
    let callers = [
        ("without a token", String::new()),
        ("with a token that nobody was given", "cs_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()),
        ("with a device's public key", register.key.to_string()),
        ("with a device's secret key", secret(&machine.agent.folder)),
    ];
    let mut denied = 0;
    for (who, token) in &callers {
        let http = Http { token: token.clone(), ..field.world.http.clone() };
        for (method, path) in &routes {
            let body = if method == "post" { "{}".to_owned() } else { String::new() };
            let (status, said) = field.world.block_on(http.ask(&method.to_uppercase(), path, body));
            let open = OPEN.contains(&(method.as_str(), path.as_str()));
            let expected: &[u16] = match open {
                true => &[200],
                // A vendor's feed is for everybody, and this server serves none.
                false if path.starts_with("/v1/feed/") => &[401, 403, 404],
                false => &[401, 403],
            };
            assert!(expected.contains(&status), "{method} {path} {who}: {status} {said}");
            denied += usize::from(!open);
        }
    }
    story.holds(format!(
        "{} routes of the OpenAPI, each asked without a token, with an invented one, and with a device's public and secret key in its place: {denied} answers, all 401 or 403, of a vendor's feed, which is not here, 404. {} tell anybody something: the version, and the description of the routes.",
        routes.len(),
        OPEN.len()
    ));
    for (_, path) in &routes {
        let said = field.world.block_on(by_tls(field, path));
        assert!(!said.contains("HTTP/1."), "{path} by a device's TLS key: {said}");
    }
    story.holds(format!(
        "The same {} paths asked on the agents' side of the port, by TLS with the key of a register that has joined: cut off each time, and nothing of HTTP comes back.",
        routes.len()
    ));
}

/// Method and path of every operation, with this organization, a statement and a device in it that there are.
fn routes(field: &Field) -> Vec<(String, String)> {
    let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
    let device = field.registers.keys().next().unwrap().to_string();
    let filled = |path: &str| {
        let path = path.replace("{org}", &field.world.org.to_string()).replace("{device}", &device);
        path.replace("{hash}", &field.policy.to_string())
            .replace("{origin}", &field.policy.to_string())
            .replace("{path}", "checkpoint")
    };
    let mut routes = vec![("get".to_owned(), "/openapi.json".to_owned())];
    for (path, operations) in description["paths"].as_object().unwrap() {
        let methods = operations.as_object().unwrap().keys();
        routes.extend(methods.map(|method| (method.clone(), filled(path))));
    }
    routes
}

/// A whole agent's secret key, as one on its machine could read it.
fn secret(folder: &Path) -> String {
    Sha256(read_seed(folder).unwrap().unwrap()).to_string()
}

/// Whether anything is answered by HTTP to somebody who shows a register's key in TLS, where agents do; with the key of a register
/// that has joined.
async fn by_tls(field: &Field, path: &str) -> String {
    let seed = field.swarm.machine(0).seed;
    let server = Server { address: field.world.server.address.to_string(), pin: Some(field.world.pin()) };
    let stream = TcpStream::connect(field.world.server.address).await.unwrap();
    let mut stream = greet(&Identity::new(&seed).unwrap(), &server, stream).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut said = Vec::new();
    // Cut without a farewell is an answer, too.
    let _end =
        timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await.expect("the server cuts it");
    String::from_utf8_lossy(&said).into_owned()
}
