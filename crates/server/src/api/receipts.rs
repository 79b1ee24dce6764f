//! Receipts that devices signed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use countersign_wire::http::{Page, ReceiptView, paths};

use super::org_of;
use super::page::{Asked, At, PageQuery, page};
use crate::app::App;
use crate::problem::ApiError;
use crate::store::receipt::{self, ReceiptRow};

/// Pages of receipts, by device and number.
#[utoipa::path(
    get, path = paths::RECEIPTS, operation_id = "receipts", tag = "receipts",
    params(("org" = String, Path, description = "The organization"), PageQuery),
    responses((status = 200, body = Page<ReceiptView>))
)]
pub async fn list(
    app: State<Arc<App>>,
    At(org): At<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<ReceiptView>>, ApiError> {
    let (org, limit) = (org_of(&app, &org)?.id.to_string(), query.limit());
    let rows = receipt::page(&app.db, &org, query.after(), limit).await?;
    Ok(Json(page(rows, limit, ReceiptRow::cursor, ReceiptRow::view)))
}
