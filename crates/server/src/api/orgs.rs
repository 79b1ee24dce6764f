//! Organizations.
#![expect(unused_qualifications, reason = "utoipa writes them where parameters are a type")]

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use countersign_trust::delivery::{News, write_sequence};
use countersign_trust::ids::Sha256;
use countersign_wire::http::{BeginOrg, OrgView, PrepareOrg, PreparedOrg, paths};
use serde::Deserialize;
use utoipa::IntoParams;

use super::org_of;
use super::page::{Asked, At, Body};
use crate::app::{App, Org};
use crate::auth::new_token;
use crate::orgs::{self, BeginError};
use crate::problem::ApiError;
use crate::statements::settle;
use crate::store::api_token::TokenRow;
use crate::store::org::DraftRow;
use crate::store::{api_token, counted, device, org, stored};

/// How long `begin` waits for the log; the organization begins whether it waits or not.
const BEGIN_TIME: Duration = Duration::from_secs(15);
/// The longest name, in bytes.
const MOST_NAME: usize = 200;

/// Draws the keys that the server holds for an organization to come.
#[utoipa::path(
    post, path = paths::ORGS, operation_id = "prepare_org", tag = "organizations", request_body = PrepareOrg,
    responses((status = 200, body = PreparedOrg))
)]
pub async fn prepare(
    State(app): State<Arc<App>>,
    Body(wish): Body<PrepareOrg>,
) -> Result<Json<PreparedOrg>, ApiError> {
    if wish.name.is_empty() || wish.name.len() > MOST_NAME {
        return Err(ApiError::Unreadable(format!("a name has 1 to {MOST_NAME} bytes")));
    }
    let (row, token) = (draw(&app, wish.name)?, new_token("cs")?);
    let (log, halt) = orgs::keys(&row.log_origin, &row.log_seed, &row.halt_seed).map_err(BeginError::from)?;
    let (hash, of) = (Sha256::of(token.as_bytes()), TokenRow { org: None, draft: Some(row.draft.clone()) });
    let (now_ms, mut tx) = (stored((app.now_ms)()), app.db.begin().await?);
    org::prepare(&mut tx, &row, now_ms).await?;
    api_token::insert(&mut tx, &hash.to_string(), &of, "the one who began", now_ms).await?;
    tx.commit().await?;
    Ok(Json(PreparedOrg {
        draft: row.draft,
        log_key: log.verifier().to_string(),
        halt_key: halt.public_key().to_string(),
        address: app.config.address.clone(),
        pin: app.tls_pin.to_string(),
        token,
    }))
}

/// A draft with new keys. The log's origin names the server and is like no other.
fn draw(app: &App, name: String) -> Result<DraftRow, getrandom::Error> {
    let mut seeds = [[0; 32]; 2];
    for seed in &mut seeds {
        getrandom::fill(seed)?;
    }
    let [log_seed, halt_seed] = seeds.map(|seed| seed.to_vec());
    let draft = new_token("draft")?;
    let log_origin = format!("{}/{}", app.config.address, unlike_any_other(&draft));
    Ok(DraftRow { draft, org: None, name, log_origin, log_seed, halt_seed })
}

fn unlike_any_other(draft: &str) -> String {
    Sha256::of(draft.as_bytes()).to_string().chars().take(16).collect()
}

/// Begins an organization with its genesis policy, and waits until the log has it.
#[utoipa::path(
    post, path = paths::BEGIN, operation_id = "begin_org", tag = "organizations", request_body = BeginOrg,
    responses((status = 200, body = OrgView))
)]
pub async fn begin(
    State(app): State<Arc<App>>,
    Body(wish): Body<BeginOrg>,
) -> Result<Json<OrgView>, ApiError> {
    let org = orgs::begin(&app, &wish.draft, &wish.genesis).await?;
    let settling = settle::spawn(&app, &org, &Sha256(org.id.0).to_string());
    // Without its witnesses it has begun all the same, and says so by its log's size.
    let _ = tokio::time::timeout(BEGIN_TIME, settling).await;
    Ok(Json(view_of(&app, &org).await?))
}

/// An organization as the server sees it.
#[utoipa::path(
    get, path = paths::ORG, operation_id = "org", tag = "organizations", params(("org" = String, Path, description = "Its id")),
    responses((status = 200, body = OrgView))
)]
pub async fn view(app: State<Arc<App>>, At(org): At<String>) -> Result<Json<OrgView>, ApiError> {
    Ok(Json(view_of(&app, &*org_of(&app, &org)?).await?))
}

async fn view_of(app: &App, org: &Org) -> Result<OrgView, ApiError> {
    let devices = counted(device::count(&app.db, &org.id.to_string()).await?);
    let chain = org.chain();
    Ok(OrgView {
        org: org.id.to_string(),
        name: org.name.clone(),
        policy_number: chain.policy().body.number,
        policy: chain.policy().hash.to_string(),
        resume: chain.resume().map(|hash| hash.to_string()),
        halts: chain.active_halts().map(|halt| halt.hash.to_string()).collect(),
        log_size: org.log().newest().map_or(0, |newest| newest.size),
        devices,
        connected: u64::try_from(app.gate.connected(&org.id)).unwrap_or(u64::MAX),
    })
}

/// From where on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct NewsQuery {
    /// Policies with a number above this; 0, or nothing, for all.
    #[serde(default)]
    after: u64,
}

/// Policies, resumes and halts, as a sequence of envelopes.
#[utoipa::path(
    get, path = paths::NEWS, operation_id = "news", tag = "organizations", params(("org" = String, Path, description = "Its id"), NewsQuery),
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub async fn news(
    app: State<Arc<App>>,
    At(org): At<String>,
    Asked(query): Asked<NewsQuery>,
) -> Result<String, ApiError> {
    let org = org_of(&app, &org)?;
    let news = News::since(&org.chain(), query.after);
    Ok(write_sequence(&news))
}
