//! The log, for whoever wants to read all of it.
//!
//! Source: c2sp.org/tlog-tiles, "Merkle Tree" and "Log entries".

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use countersign_trust::ids::Sha256;
use countersign_wire::http::{NewLog, NewLogView, paths};

use super::page::{At, Body};
use super::{Raw, org_of};
use crate::app::{App, Org};
use crate::log::OrgLog;
use crate::log::tiles::WIDTH;
use crate::logs;
use crate::problem::ApiError;
use crate::store::leaf;

/// The checkpoint, a tile of hashes or a bundle of entries, as `checkpoint`, `tile/…` and `tile/entries/…`.
#[utoipa::path(
    get, path = paths::LOG, operation_id = "log", tag = "log",
    params(
        ("org" = String, Path, description = "The organization"),
        ("path" = String, Path, description = "As c2sp.org/tlog-tiles has it")
    ),
    responses(
        (status = 200, body = Raw, content_type = "application/octet-stream")
    )
)]
pub async fn read(app: State<Arc<App>>, At((org, path)): At<(String, String)>) -> Result<Response, ApiError> {
    let org = org_of(&app, &org)?;
    answer_of(&app, &org, &org.log(), &path).await
}

/// The same of a log that policies once named, or name: by the SHA-256 of its origin, in hexadecimal.
#[utoipa::path(
    get, path = paths::LOG_NAMED, operation_id = "log_named", tag = "log",
    params(
        ("org" = String, Path, description = "The organization"),
        ("origin" = String, Path, description = "The SHA-256 of the log's origin"),
        ("path" = String, Path, description = "As c2sp.org/tlog-tiles has it")
    ),
    responses(
        (status = 200, body = Raw, content_type = "application/octet-stream")
    )
)]
pub async fn read_named(
    app: State<Arc<App>>,
    At((org, origin, path)): At<(String, String, String)>,
) -> Result<Response, ApiError> {
    let org = org_of(&app, &org)?;
    let origin: Sha256 = origin.parse().map_err(|error| ApiError::Unreadable(format!("{error}")))?;
    let log = org.logs().named(&origin).ok_or(ApiError::NotFound("log"))?;
    answer_of(&app, &org, &log, &path).await
}

/// Draws the key of a log that is to take the place of the one in force, and says up to where that one counts. The same key is
/// answered until a policy in force names it, unless another is asked for.
#[utoipa::path(
    post, path = paths::NEW_LOG, operation_id = "new_log", tag = "log", request_body = NewLog,
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, body = NewLogView))
)]
pub async fn draw(
    app: State<Arc<App>>,
    At(org): At<String>,
    Body(wish): Body<NewLog>,
) -> Result<Json<NewLogView>, ApiError> {
    Ok(Json(logs::draw(&app, &*org_of(&app, &org)?, wish.anew).await?))
}

async fn answer_of(app: &App, org: &Org, log: &OrgLog, path: &str) -> Result<Response, ApiError> {
    match Place::read(path).ok_or(ApiError::NotFound("part of a log"))? {
        Place::Checkpoint => {
            let newest = log.newest().ok_or(ApiError::NotFound("checkpoint yet"))?;
            Ok(answer("text/plain; charset=utf-8", "no-cache", newest.note.to_string().into_bytes()))
        }
        Place::Hashes { level, place, width } => {
            let hashes = log.tile(level, place, width).ok_or(ApiError::NotFound("tile"))?;
            Ok(lasting(hashes.iter().flat_map(|hash| hash.0).collect()))
        }
        Place::Entries { place, width } => Ok(lasting(entries(app, org, log, place, width).await?)),
    }
}

/// Each entry after its length in two bytes.
async fn entries(
    app: &App,
    org: &Org,
    log: &OrgLog,
    place: usize,
    width: usize,
) -> Result<Vec<u8>, ApiError> {
    let first = u64::try_from(place.saturating_mul(WIDTH)).unwrap_or(u64::MAX);
    let end = first.saturating_add(u64::try_from(width).unwrap_or(u64::MAX));
    if log.newest().is_none_or(|newest| newest.size < end) {
        return Err(ApiError::NotFound("bundle of entries"));
    }
    let (first, end) = (crate::store::stored(first), crate::store::stored(end));
    let mut bundle = Vec::new();
    for entry in leaf::entries(&app.db, &org.id.to_string(), log.which().number, first, end).await? {
        // An entry is some 200 bytes: `envelope::leaf` makes them all.
        bundle.extend_from_slice(&u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
        bundle.extend_from_slice(entry.as_bytes());
    }
    Ok(bundle)
}

/// Tiles never change.
fn lasting(bytes: Vec<u8>) -> Response {
    answer("application/octet-stream", "private, max-age=31536000, immutable", bytes)
}

fn answer(kind: &'static str, keep: &'static str, bytes: Vec<u8>) -> Response {
    let headers: [(HeaderName, &str); 2] = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)];
    (headers, bytes).into_response()
}

/// What a path below the log names.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Checkpoint,
    Hashes { level: usize, place: usize, width: usize },
    Entries { place: usize, width: usize },
}

impl Place {
    fn read(path: &str) -> Option<Self> {
        if path == "checkpoint" {
            return Some(Self::Checkpoint);
        }
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (place, width) = numbered(rest)?;
        match level {
            "entries" => Some(Self::Entries { place, width }),
            level => Some(Self::Hashes { level: plain(level).filter(|level| *level < 8)?, place, width }),
        }
    }
}

/// `x001/x234/067` or `x001/x234/067.p/8`.
fn numbered(path: &str) -> Option<(usize, usize)> {
    let (path, width) = match path.split_once(".p/") {
        Some((path, width)) => (path, plain(width).filter(|width| (1..WIDTH).contains(width))?),
        None => (path, WIDTH),
    };
    let (above, last) = path.rsplit_once('/').map_or(("", path), |(above, last)| (above, last));
    let parts = above.split('/').filter(|_| !above.is_empty());
    let mut place = 0_usize;
    for part in parts {
        place = place.checked_mul(1_000)?.checked_add(three(part.strip_prefix('x')?)?)?;
    }
    place = place.checked_mul(1_000)?.checked_add(three(last)?)?;
    Some((place, width))
}

fn three(digits: &str) -> Option<usize> {
    (digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A number as it prints: no sign, no leading zero.
fn plain(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number: &usize| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use countersign_trust::merkle::{entries_path, tile_path};

    #[test]
    fn every_path_that_is_printed_reads_back() {
        for (index, width) in [(0, 256), (999, 256), (1_000, 1), (1_234_067, 255), (5, 128)] {
            let (place, wide) = (usize::try_from(index).unwrap(), usize::from(width));
            let hashes = Place::Hashes { level: 1, place, width: wide };
            assert_eq!(Place::read(&tile_path(1, index, width)), Some(hashes));
            assert_eq!(Place::read(&entries_path(index, width)), Some(Place::Entries { place, width: wide }));
        }
        assert_eq!(Place::read("checkpoint"), Some(Place::Checkpoint));
    }

    #[test]
    fn a_path_has_one_form() {
        let others = [
            "",
            "tile/0",
            "tile/0/0",
            "tile/0/0000",
            "tile/00/000",
            "tile/+1/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/001/000",
            "tile/0/x001/x000",
            "tile/9/000",
            "tile/0/000/",
        ];
        for path in others {
            assert_eq!(Place::read(path), None, "{path}");
        }
    }
}
