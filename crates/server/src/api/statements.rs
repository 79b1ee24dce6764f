//! Statements that people signed.
#![expect(unused_qualifications, reason = "utoipa writes them where parameters are a type")]

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use countersign_trust::envelope::Signed;
use countersign_trust::ids::{DeviceId, Sha256};
use countersign_wire::http::{Page, PostStatement, StatementView, paths};
use serde::Deserialize;
use utoipa::IntoParams;

use super::org_of;
use super::page::{Asked, At, Body, PageQuery, cursor, page};
use crate::app::App;
use crate::problem::ApiError;
use crate::statements::intake::{self, IntakeError};
use crate::store::statement::StatementRow;
use crate::store::{counted, statement};

/// How long a post waits for the log, so that the answer bears the proof. It is logged whether anybody waits or not.
const SETTLE_TIME: Duration = Duration::from_secs(5);
/// What is said of a statement that nobody needs to sign any more.
const WITNESSES: &str = "waiting until enough witnesses have seen it in the log";

/// Which statements.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct KindQuery {
    /// Only this kind.
    #[serde(default)]
    kind: String,
}

/// Pages of statements, the newest first.
#[utoipa::path(
    get, path = paths::STATEMENTS, operation_id = "statements", tag = "statements",
    params(("org" = String, Path, description = "The organization"), KindQuery, PageQuery),
    responses((status = 200, body = Page<StatementView>))
)]
pub async fn list(
    app: State<Arc<App>>,
    At(org): At<String>,
    Asked(which): Asked<KindQuery>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<StatementView>>, ApiError> {
    let (org, limit) = (org_of(&app, &org)?.id.to_string(), query.limit());
    let (before, hash) = query.number_and_word((i64::MAX, ""))?;
    let rows = statement::page(&app.db, &org, &which.kind, before, &hash, limit).await?;
    Ok(Json(page(rows, limit, |row| cursor(row.received_ms, &row.hash), view)))
}

/// Brings a statement, or more signatures for one.
#[utoipa::path(
    post, path = paths::STATEMENTS, operation_id = "post_statement", tag = "statements", request_body = PostStatement,
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, body = StatementView))
)]
pub async fn post(
    app: State<Arc<App>>,
    At(org): At<String>,
    Body(wish): Body<PostStatement>,
) -> Result<Json<StatementView>, ApiError> {
    let org = org_of(&app, &org)?;
    let signed = Signed::from_text(&wish.signed).map_err(IntakeError::from)?;
    let targets = wish.targets.iter().map(|id| id.parse()).collect::<Result<Vec<DeviceId>, _>>();
    let targets = targets.map_err(|error| ApiError::Unreadable(format!("targets: {error}")))?;
    let (row, settling) = intake::take(&app, &org, &signed, targets).await?;
    let Some(settling) = settling else { return Ok(Json(view(row))) };
    // Who does not want to wait longer asks again.
    let _ = tokio::time::timeout(SETTLE_TIME, settling).await;
    Ok(Json(view(get(&app, &org.id.to_string(), &signed.hash()).await?)))
}

/// One statement.
#[utoipa::path(
    get, path = paths::STATEMENT, operation_id = "statement", tag = "statements",
    params(("org" = String, Path, description = "The organization"), ("hash" = String, Path, description = "Its hash")),
    responses((status = 200, body = StatementView))
)]
pub async fn one(
    app: State<Arc<App>>,
    At((org, hash)): At<(String, String)>,
) -> Result<Json<StatementView>, ApiError> {
    let org = org_of(&app, &org)?.id.to_string();
    Ok(Json(view(get(&app, &org, &hash_of(&hash)?).await?)))
}

/// The hash that a path names.
pub fn hash_of(text: &str) -> Result<Sha256, ApiError> {
    text.parse().map_err(|error| ApiError::Unreadable(format!("{error}")))
}

/// The statement with this hash.
pub async fn get(app: &App, org: &str, hash: &Sha256) -> Result<StatementRow, ApiError> {
    statement::get(&app.db, org, &hash.to_string()).await?.ok_or(ApiError::NotFound("statement"))
}

/// A statement as clients see it.
pub fn view(row: StatementRow) -> StatementView {
    StatementView {
        state: row.state().to_owned(),
        missing: missing(&row),
        envelope: row.logged().unwrap_or_else(|| row.envelope.clone()),
        targets: row.targets(),
        received: counted(row.received_ms) / 1_000,
        hash: row.hash,
        kind: row.kind,
    }
}

/// What a statement waits for, in words; empty once logged.
pub fn missing(row: &StatementRow) -> String {
    let decided = row.missing.is_empty() && row.proof.is_none();
    if decided { WITNESSES.to_owned() } else { row.missing.clone() }
}
