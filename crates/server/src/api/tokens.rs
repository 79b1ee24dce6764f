//! API tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use countersign_trust::ids::Sha256;
use countersign_wire::http::{NewToken, paths};

use super::org_of;
use super::page::{At, Body};
use crate::app::App;
use crate::auth::new_token;
use crate::problem::ApiError;
use crate::store::api_token::{self, TokenRow};
use crate::store::stored;

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
