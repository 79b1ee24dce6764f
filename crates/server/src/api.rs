//! Every route of the HTTP interface, a line each. What they answer is described in `openapi/server.json`.

mod about;
mod devices;
mod events;
mod jobs;
mod log;
mod orgs;
mod page;
mod receipts;
mod statements;
mod tokens;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Json, Router};
use countersign_trust::ids::OrgId;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, Org};
use crate::problem::ApiError;

/// Where the description of this interface is.
pub const DESCRIPTION: &str = "/openapi.json";
/// The largest body that is read, in bytes: a job with 50,000 device ids beside it fits.
const MOST_BODY: usize = 4 * 1024 * 1024;

/// The description's frame.
#[derive(OpenApi)]
#[openapi(info(
    title = "Countersign server",
    description = "What a server says here is only what the server says: fields that hold signed texts are for the client to check."
))]
struct Described;

fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(routes!(about::about))
        .routes(routes!(orgs::prepare))
        .routes(routes!(orgs::begin))
        .routes(routes!(orgs::view))
        .routes(routes!(orgs::news))
        .routes(routes!(statements::list, statements::post))
        .routes(routes!(statements::one))
        .routes(routes!(devices::enrollments))
        .routes(routes!(devices::list))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::one))
        .routes(routes!(events::job))
        .routes(routes!(jobs::delivery))
        .routes(routes!(jobs::output))
        .routes(routes!(receipts::list))
        .routes(routes!(tokens::make))
        .routes(routes!(log::read))
}

/// The description as it stands in `openapi/server.json`.
pub fn description() -> String {
    // A description made of strings always prints.
    routes().into_openapi().to_pretty_json().unwrap_or_default() + "\n"
}

/// Everything under HTTP. Every request passes [`crate::auth::check`] first.
pub fn router(app: &Arc<App>) -> Router {
    let (router, description) = routes().split_for_parts();
    router
        .route(DESCRIPTION, get(move || async { Json(description) }))
        .fallback(|| async { ApiError::NotFound("place") })
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(from_fn_with_state(app.clone(), crate::auth::check))
        .with_state(app.clone())
}

/// The organization that a path names. [`crate::auth`] has seen to it that the token is for it.
fn org_of(app: &State<Arc<App>>, id: &str) -> Result<Arc<Org>, ApiError> {
    let id: OrgId = id.parse().map_err(|error| ApiError::Unreadable(format!("{error}")))?;
    app.orgs.get(&id).ok_or(ApiError::NotFound("organization"))
}
