//! What is stopped now, and which devices know.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use countersign_trust::chain::HeldHalt;
use countersign_trust::ids::Sha256;
use countersign_wire::http::{HaltDevice, HaltView, Page, paths};

use super::org_of;
use super::page::{Asked, At, PageQuery, page};
use crate::app::App;
use crate::gate::connection::Connection;
use crate::problem::ApiError;
use crate::store::{counted, device, statement};

/// Every halt that stops something, as the server sees it.
#[utoipa::path(
    get, path = paths::HALTS, operation_id = "halts", tag = "halts", params(("org" = String, Path, description = "The organization")),
    responses((status = 200, body = Page<HaltView>))
)]
pub async fn list(app: State<Arc<App>>, At(org): At<String>) -> Result<Json<Page<HaltView>>, ApiError> {
    let org = org_of(&app, &org)?;
    let id = org.id.to_string();
    let devices = counted(device::count(&app.db, &id).await?);
    let there = app.gate.there(&org.id);
    let mut items: Vec<HaltView> =
        { org.chain().active_halts().map(|halt| view(halt, devices, &there)).collect() };
    for item in &mut items {
        let row = statement::get(&app.db, &id, &item.halt).await?;
        item.received = row.map_or(0, |row| counted(row.received_ms) / 1_000);
    }
    Ok(Json(Page { items, next: None }))
}

fn view(halt: &HeldHalt, devices: u64, there: &[Arc<Connection>]) -> HaltView {
    let have = there.iter().filter(|connection| connection.says_it_has(&halt.hash)).count();
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    HaltView {
        halt: halt.hash.to_string(),
        since: halt.body.made.0,
        by: halt.by.to_string(),
        key: halt.by.keys(),
        covers: halt.body.scope.to_string(),
        reason: halt.body.reason.to_string(),
        envelope: halt.signed.to_string(),
        received: 0,
        devices,
        have: number(have),
        lack: number(there.len().saturating_sub(have)),
    }
}

/// Pages of devices, and whether each has one halt.
#[utoipa::path(
    get, path = paths::HALT_DEVICES, operation_id = "halt_devices", tag = "halts",
    params(("org" = String, Path, description = "The organization"), ("hash" = String, Path, description = "The halt"), PageQuery),
    responses((status = 200, body = Page<HaltDevice>))
)]
pub async fn devices(
    app: State<Arc<App>>,
    At((org, hash)): At<(String, String)>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<HaltDevice>>, ApiError> {
    let org = org_of(&app, &org)?;
    let halt: Sha256 = hash.parse().map_err(|error| ApiError::Unreadable(format!("{error}")))?;
    if org.chain().active_halts().all(|held| held.hash != halt) {
        return Err(ApiError::NotFound("active halt"));
    }
    let rows = device::page(&app.db, &org.id.to_string(), query.after(), query.limit()).await?;
    let found = page(
        rows,
        query.limit(),
        |row| row.id.clone(),
        |row| {
            let there = row.id.parse().ok().and_then(|device| app.gate.connection(&org.id, &device));
            (!row.retired).then(|| HaltDevice {
                connected: there.is_some(),
                has: there.is_some_and(|connection| connection.says_it_has(&halt)),
                last_seen: counted(row.last_seen_ms) / 1_000,
                device: row.id,
            })
        },
    );
    Ok(Json(Page { items: found.items.into_iter().flatten().collect(), next: found.next }))
}
