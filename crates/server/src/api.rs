//! Every route of the HTTP interface, a line each. What they answer is described in `openapi/server.json`.

mod about;
mod devices;
mod events;
mod feed;
mod halts;
mod jobs;
mod log;
mod orgs;
mod page;
mod receipts;
mod statements;
mod tokens;
mod tripwires;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use countersign_trust::ids::OrgId;
use countersign_wire::http::{Problem, paths};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema, openapi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::{App, Org};
use crate::problem::{self, ApiError};

/// Where the description of this interface is.
pub const DESCRIPTION: &str = "/openapi.json";
/// The largest body that is read, in bytes: a job with 50,000 device ids beside it fits.
const MOST_BODY: usize = 4 * 1024 * 1024;

/// The description's frame.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Countersign server",
        description = "What a server says here is only what the server says: fields that hold signed texts are for the client to check."
    ),
    components(schemas(Problem)),
    security(("token" = [])),
    modifiers(&Token)
)]
struct Described;

/// Bytes as they are.
#[derive(ToSchema)]
#[schema(as = Bytes, value_type = String, format = Binary)]
struct Raw(#[expect(dead_code, reason = "only described")] Vec<u8>);

/// How clients say who they are.
struct Token;

impl Modify for Token {
    fn modify(&self, description: &mut openapi::OpenApi) {
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        description.components.get_or_insert_default().add_security_scheme("token", token);
    }
}

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
        .routes(routes!(halts::list))
        .routes(routes!(halts::devices))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::one))
        .routes(routes!(events::job))
        .routes(routes!(jobs::delivery))
        .routes(routes!(jobs::output))
        .routes(routes!(receipts::list))
        .routes(routes!(tripwires::list))
        .routes(routes!(tokens::list, tokens::make))
        .routes(routes!(tokens::revoke))
        .routes(routes!(log::read))
        .routes(routes!(log::read_named))
        .routes(routes!(log::draw))
        .routes(routes!(feed::file))
        .routes(routes!(feed::view))
        .routes(routes!(feed::report))
        .routes(routes!(feed::followers))
}

/// The description as it stands in `openapi/server.json`.
pub fn description() -> String {
    // A description made of strings always prints.
    described(routes().into_openapi()).to_pretty_json().unwrap_or_default() + "\n"
}

/// In the words of OpenAPI, where a parameter that takes the rest of a path has no star; and every answer may be a problem.
fn described(mut description: openapi::OpenApi) -> openapi::OpenApi {
    for path in [paths::LOG, paths::LOG_NAMED, paths::FEED] {
        if let Some(log) = description.paths.paths.remove(path) {
            description.paths.paths.insert(path.replace("{*", "{"), log);
        }
    }
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem =
        ResponseBuilder::new().description("A problem").content(problem::CONTENT_TYPE, content).build();
    for path in description.paths.paths.values_mut() {
        for operation in [&mut path.get, &mut path.post, &mut path.delete].into_iter().flatten() {
            operation.responses.responses.insert("default".to_owned(), RefOr::T(problem.clone()));
        }
    }
    description
}

/// Everything under HTTP. Every request passes [`crate::auth::check`] first.
pub fn router(app: &Arc<App>) -> Router {
    let (router, description) = routes().split_for_parts();
    // Printed once: whoever asks for it without a token costs no more than the bytes.
    let description = Bytes::from(described(description).to_json().unwrap_or_default());
    let description = move || async { ([(header::CONTENT_TYPE, "application/json")], description) };
    router
        .route(DESCRIPTION, get(description))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_description_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/server.json");
        if std::env::var_os("COUNTERSIGN_WRITE").is_some() {
            std::fs::write(path, description()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap();
        let how =
            "the interface has changed: cargo run -p countersign-server -- openapi > openapi/server.json";
        assert!(committed == description(), "{how}");
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let description = routes().into_openapi();
        let operations =
            description.paths.paths.values().flat_map(|path| [&path.get, &path.post, &path.delete]).flatten();
        let mut names: Vec<_> = operations.map(|operation| operation.operation_id.clone().unwrap()).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_path_that_clients_know_is_served() {
        let known = [
            paths::ABOUT,
            paths::ORGS,
            paths::BEGIN,
            paths::ORG,
            paths::NEWS,
            paths::STATEMENTS,
            paths::STATEMENT,
            paths::ENROLLMENTS,
            paths::DEVICES,
            paths::JOBS,
            paths::JOB,
            paths::JOB_EVENTS,
            paths::JOB_DELIVERY,
            paths::JOB_OUTPUT,
            paths::HALTS,
            paths::HALT_DEVICES,
            paths::RECEIPTS,
            paths::TRIPWIRES,
            paths::TOKENS,
            paths::TOKEN,
            paths::LOG,
            paths::LOG_NAMED,
            paths::NEW_LOG,
            paths::FEED,
            paths::FEED_REPORTS,
            paths::FEED_FOLLOWERS,
            paths::VENDOR,
        ];
        let served = routes().into_openapi().paths.paths;
        assert!(known.iter().all(|path| served.contains_key(*path)));
        assert_eq!(served.len(), known.len());
    }
}
