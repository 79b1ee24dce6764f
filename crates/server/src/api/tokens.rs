//! API tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use countersign_trust::ids::Sha256;
use countersign_wire::http::{NewToken, TokenView, paths};

use super::org_of;
use super::page::{At, Body};
use crate::app::App;
use crate::auth::new_token;
use crate::problem::ApiError;
use crate::store::api_token::{self, ListedRow, TokenRow};
use crate::store::{counted, stored};

/// The longest name, in bytes.
const MOST_NAME: usize = 200;
/// How many tokens an organization may have.
const MOST_TOKENS: i64 = 1_000;

/// Makes a token by which a colleague or a program may look and bring signed texts; shown once.
#[utoipa::path(
    post, path = paths::TOKENS, operation_id = "make_token", tag = "tokens", request_body = NewToken,
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, body = NewToken))
)]
pub async fn make(
    app: State<Arc<App>>,
    At(org): At<String>,
    Body(wish): Body<NewToken>,
) -> Result<Json<NewToken>, ApiError> {
    let org = org_of(&app, &org)?;
    if wish.name.is_empty() || wish.name.len() > MOST_NAME {
        return Err(ApiError::Unreadable(format!("a name has 1 to {MOST_NAME} bytes")));
    }
    let there = api_token::count(&app.db, &org.id.to_string()).await?;
    if there >= MOST_TOKENS {
        return Err(ApiError::Tokens(there));
    }
    let token = new_token("cs")?;
    let of = TokenRow { org: Some(org.id.to_string()), draft: None };
    let (hash, mut tx) = (Sha256::of(token.as_bytes()), app.db.begin().await?);
    api_token::insert(&mut tx, &hash.to_string(), &of, &wish.name, stored((app.now_ms)())).await?;
    tx.commit().await?;
    Ok(Json(NewToken { name: wish.name, token }))
}

/// The tokens that there are, without what they are.
#[utoipa::path(
    get, path = paths::TOKENS, operation_id = "list_tokens", tag = "tokens",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, body = Vec<TokenView>))
)]
pub async fn list(app: State<Arc<App>>, At(org): At<String>) -> Result<Json<Vec<TokenView>>, ApiError> {
    let org = org_of(&app, &org)?;
    let rows = api_token::all(&app.db, &org.id.to_string()).await?;
    let view = |row: ListedRow| TokenView {
        hash: row.hash,
        name: row.name,
        created: counted(row.created_ms) / 1_000,
    };
    Ok(Json(rows.into_iter().map(view).collect()))
}

/// Takes a token back. Under the setup token any; under a token of the organization that one itself.
#[utoipa::path(
    delete, path = paths::TOKEN, operation_id = "revoke_token", tag = "tokens",
    params(
        ("org" = String, Path, description = "The organization"),
        ("hash" = String, Path, description = "The SHA-256 of the token")
    ),
    responses((status = 204, description = "It is taken back"))
)]
pub async fn revoke(
    app: State<Arc<App>>,
    At((org, hash)): At<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let org = org_of(&app, &org)?;
    let mut tx = app.db.begin().await?;
    let gone = api_token::delete(&mut tx, &org.id.to_string(), &hash).await?;
    tx.commit().await?;
    if gone > 0 { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::NotFound("token")) }
}
