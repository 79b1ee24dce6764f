//! Who may ask what. Every request passes here; what is not listed as open needs a token.
//!
//! A token lets a program look and bring signed texts. It signs nothing: whoever steals one can make nothing run.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_trust::ids::{Name, Sha256};
use countersign_wire::http::paths;

use crate::app::App;
use crate::problem::ApiError;
use crate::store::api_token;

/// Where anybody may look.
const OPEN: [&str; 2] = [paths::ABOUT, crate::api::DESCRIPTION];
/// Likewise, whatever follows: a vendor's feed is for everybody.
const FEED: &str = "/v1/feed/";
/// Where the setup token is asked for: nobody has another yet.
const SETUP: [&str; 3] = [paths::ORGS, paths::BEGIN, paths::FEED_FOLLOWERS];

/// The follower of the feed that is served here whose token came with a request.
#[derive(Clone, Debug)]
pub struct Follower(pub Name);

/// Lets a request pass, or says why not.
pub async fn check(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let path = request.uri().path().to_owned();
    let path = path.as_str();
    let of_feed = path.starts_with(FEED) && path != paths::FEED_FOLLOWERS && path != paths::FEED_REPORTS;
    if OPEN.contains(&path) || of_feed {
        return Ok(next.run(request).await);
    }
    let token = bearer(&request).ok_or(ApiError::Unauthorized)?;
    let hash = Sha256::of(token.as_bytes());
    let revoked = revoked(&request);
    // Whoever runs the server takes back what they like. Of those that have a token, nobody takes away another's.
    if SETUP.contains(&path) || revoked.is_some() && hash == app.setup_hash {
        // Hashes are compared, so the time it takes tells nothing about the token.
        if hash != app.setup_hash {
            return Err(ApiError::Unauthorized);
        }
    } else if path == paths::FEED_REPORTS {
        let follower = app.feed.as_ref().and_then(|feed| feed.reports.follower(&hash).cloned());
        let follower = follower.ok_or(ApiError::Unauthorized)?;
        request.extensions_mut().insert(Follower(follower));
    } else {
        let of = api_token::get(&app.db, &hash.to_string()).await?.ok_or(ApiError::Unauthorized)?;
        if of.org.is_none() || of.org.as_deref() != org_of(path) {
            return Err(ApiError::Forbidden);
        }
        if revoked.is_some_and(|revoked| revoked != hash.to_string()) {
            return Err(ApiError::Forbidden);
        }
    }
    let pass = app.turnstile.enter(hash, request.method()).ok_or(ApiError::TooMany)?;
    Ok(pass.hold(next.run(request).await))
}

fn bearer(request: &Request) -> Option<&str> {
    request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// The hash of the token that a request would take back.
fn revoked(request: &Request) -> Option<&str> {
    let (_, hash) = request.uri().path().split_once("/tokens/")?;
    (request.method() == Method::DELETE).then_some(hash)
}

/// The organization that a path speaks of, as it stands there.
fn org_of(path: &str) -> Option<&str> {
    path.strip_prefix(paths::ORGS)?.strip_prefix('/')?.split('/').next()
}

/// A new token: 32 random bytes, after a word that says what it is.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_token(word: &str) -> Result<String, getrandom::Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(format!("{word}_{}", URL_SAFE_NO_PAD.encode(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_organization_is_read_from_the_path() {
        assert_eq!(org_of("/v1/orgs/org-1/jobs"), Some("org-1"));
        assert_eq!(org_of("/v1/orgs/org-1"), Some("org-1"));
        assert_eq!(org_of("/v1/orgs"), None);
        assert_eq!(org_of("/v1/nothing/org-1"), None);
    }
}
