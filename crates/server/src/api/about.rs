//! The server itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use countersign_wire::http::{About, paths};

use crate::app::App;

/// The server's version and time. Needs no token.
#[utoipa::path(get, path = paths::ABOUT, operation_id = "about", tag = "server", security(()), responses((status = 200, body = About)))]
pub async fn about(State(app): State<Arc<App>>) -> Json<About> {
    Json(About { version: env!("CARGO_PKG_VERSION").to_owned(), time: app.now().0 })
}
