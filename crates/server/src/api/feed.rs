//! A vendor's feed: as this server serves one, and what an organization's people should know of the one that it follows.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use countersign_trust::ids::{Name, Sha256};
use countersign_wire::http::{FeedView, FollowerReport, FollowerView, VendorHaltView, VendorView, paths};
use serde::Deserialize;

use super::page::{Asked, At, Body};
use super::{Raw, org_of};
use crate::app::App;
use crate::auth::Follower;
use crate::feed::{Answered, Served};
use crate::problem::ApiError;
use crate::vendor::{VERSION, stops_this_server};

/// The longest version in a report, in bytes.
const MOST_VERSION: usize = 64;

/// From where on.
#[derive(Debug, Deserialize)]
pub struct After {
    /// The number of the index that is known.
    after: Option<u64>,
}

/// The index of the feed that this server serves, a halt or an advisory, as `index`, `halts/<hash>` and `advisories/<name>`. Needs no
/// token. With `after`, the index is answered once it has another number, or with status 304 after a while.
#[utoipa::path(
    get, path = paths::FEED, operation_id = "feed", tag = "feed", security(()),
    params(
        ("path" = String, Path, description = "As docs/spec/8-interfaces.md has it"),
        ("after" = Option<u64>, Query, description = "The number of the index that is known")
    ),
    responses((status = 200, body = Raw, content_type = "application/octet-stream"), (status = 304, description = "No newer index"))
)]
pub async fn file(
    app: State<Arc<App>>,
    At(path): At<String>,
    Asked(After { after }): Asked<After>,
) -> Result<Response, ApiError> {
    let served = app.feed.as_ref().ok_or(ApiError::NotFound("feed"))?;
    if path == "index" {
        return match served.index(after).await {
            Answered::Index(text) => Ok(answer(text.as_bytes().to_vec())),
            Answered::NothingNew => Ok(StatusCode::NOT_MODIFIED.into_response()),
            Answered::None => Err(ApiError::NotFound("index yet")),
        };
    }
    let bytes = beside(served, &path).await.ok_or(ApiError::NotFound("file of the feed"))?;
    Ok(answer(bytes))
}

/// Only names that cannot lead out of the folder are looked for.
async fn beside(served: &Served, path: &str) -> Option<Vec<u8>> {
    match path.split_once('/')? {
        ("halts", hash) => served.file("halts", hash.parse::<Sha256>().ok()?.to_string()).await,
        ("advisories", name) => served.file("advisories", name.parse::<Name>().ok()?.to_string()).await,
        _ => None,
    }
}

fn answer(bytes: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, bytes).into_response()
}

/// The vendor's feeds that this server follows, and what their halts come to in an organization.
#[utoipa::path(
    get, path = paths::VENDOR, operation_id = "vendor", tag = "organizations",
    params(("org" = String, Path, description = "Its id")),
    responses((status = 200, body = VendorView))
)]
pub async fn view(app: State<Arc<App>>, At(org): At<String>) -> Result<Json<VendorView>, ApiError> {
    let org = org_of(&app, &org)?;
    let chain = org.chain_now();
    let feeds = app.vendor.heard().into_iter().map(|(url, heard)| FeedView {
        url,
        sequence: heard.sequence,
        heard: heard.at,
        trouble: heard.trouble,
    });
    let halts = app.vendor.halts().into_iter().map(|halt| VendorHaltView {
        hash: halt.hash().to_string(),
        comes_to: chain.of_vendor(&halt).to_string(),
        why: app.vendor.refusal(&org.id, &halt.hash()).unwrap_or_default(),
        envelope: halt.to_string(),
    });
    Ok(Json(VendorView {
        feeds: feeds.collect(),
        halts: halts.collect(),
        server_version: VERSION.to_owned(),
        server_stopped_by: stops_this_server(&chain).map(|halt| halt.hash.to_string()),
    }))
}

/// How far the halts of the feed that this server serves came with one who follows it. Needs the token that the vendor gave this one.
#[utoipa::path(
    post, path = paths::FEED_REPORTS, operation_id = "feed_report", tag = "feed", request_body = FollowerReport,
    responses((status = 204, description = "Kept"))
)]
pub async fn report(
    app: State<Arc<App>>,
    Extension(Follower(name)): Extension<Follower>,
    Body(report): Body<FollowerReport>,
) -> Result<StatusCode, ApiError> {
    let served = app.feed.as_ref().ok_or(ApiError::NotFound("feed"))?;
    if report.version.len() > MOST_VERSION {
        return Err(ApiError::Unreadable(format!("a version has at most {MOST_VERSION} bytes")));
    }
    served.reports.keep(&name, report, app.now().0)?;
    Ok(StatusCode::NO_CONTENT)
}

/// The followers on the vendor's list, with what each reported last. Needs the setup token.
#[utoipa::path(
    get, path = paths::FEED_FOLLOWERS, operation_id = "feed_followers", tag = "feed",
    responses((status = 200, body = [FollowerView]))
)]
pub async fn followers(app: State<Arc<App>>) -> Result<Json<Vec<FollowerView>>, ApiError> {
    Ok(Json(app.feed.as_ref().ok_or(ApiError::NotFound("feed"))?.reports.all()))
}
