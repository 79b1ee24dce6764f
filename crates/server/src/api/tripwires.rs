//! Touched tripwires.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use countersign_wire::http::{Page, TouchView, paths};

use super::org_of;
use super::page::{Asked, At, PageQuery, page};
use crate::app::App;
use crate::problem::ApiError;
use crate::store::counted;
use crate::store::touch::{self, TouchRow};

/// Pages of touched tripwires, newest first: those that are not over, and those that were.
#[utoipa::path(
    get, path = paths::TRIPWIRES, operation_id = "tripwires", tag = "organizations",
    params(("org" = String, Path, description = "The organization"), PageQuery),
    responses((status = 200, body = Page<TouchView>))
)]
pub async fn list(
    app: State<Arc<App>>,
    At(org): At<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<TouchView>>, ApiError> {
    let org = org_of(&app, &org)?;
    let (before, _) = query.number_and_word((i64::MAX, ""))?;
    let rows = touch::page(&app.db, &org.id.to_string(), before, query.limit()).await?;
    Ok(Json(page(rows, query.limit(), |row| super::page::cursor(row.number, ""), view)))
}

fn view(row: TouchRow) -> TouchView {
    TouchView {
        number: counted(row.number),
        tripwire: row.tripwire,
        since: counted(row.since_ms) / 1_000,
        last: counted(row.last_ms) / 1_000,
        count: counted(row.count),
        words: row.words,
        evidence: serde_json::from_str(&row.evidence).unwrap_or_default(),
        halt: row.halt,
        unhalted: row.unhalted,
        over: row.over_ms.map(|over_ms| counted(over_ms) / 1_000),
    }
}
