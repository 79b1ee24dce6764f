//! What comes with a request, read; and pages of lists.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use countersign_wire::http::Page;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::problem::ApiError;

/// How many items a page has where nobody asks for another number.
const USUAL: i64 = 100;
/// How many a page has at most.
const MOST: i64 = 1_000;

/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(30);

/// A JSON body.
pub struct Body<T>(pub T);

/// The parts of the path in braces.
pub struct At<T>(pub T);

/// The query.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = tokio::time::timeout(BODY_TIME, Json::from_request(request, state));
        Ok(Self(body.await.map_err(|_| ApiError::Slow(BODY_TIME))??.0))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(Path::from_request_parts(parts, state).await?.0))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Ok(Self(Query::from_request_parts(parts, state).await?.0))
    }
}

/// Which page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// `next` of the page before.
    after: Option<String>,
    /// How many items, at most 1000; 100 if not said.
    limit: Option<u32>,
}

impl PageQuery {
    /// How many items to read.
    pub fn limit(&self) -> i64 {
        self.limit.map_or(USUAL, i64::from).clamp(1, MOST)
    }

    /// The cursor; empty for the first page.
    pub fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    /// A cursor of a number and a word, as [`cursor`] makes it; `first` for the first page.
    ///
    /// # Errors
    /// It was not made here.
    pub fn number_and_word(&self, first: (i64, &str)) -> Result<(i64, String), ApiError> {
        let Some(after) = self.after.as_deref().filter(|after| !after.is_empty()) else {
            return Ok((first.0, first.1.to_owned()));
        };
        let parts =
            after.split_once('.').and_then(|(number, word)| Some((number.parse().ok()?, word.to_owned())));
        parts.ok_or_else(|| ApiError::Unreadable(format!("`{after}` is no `next` of a page")))
    }
}

/// A cursor of a number and a word.
pub fn cursor(number: i64, word: &str) -> String {
    format!("{number}.{word}")
}

/// A page of what was read; there is a next one if it is full.
pub fn page<R, T>(
    rows: Vec<R>,
    limit: i64,
    cursor: impl Fn(&R) -> String,
    view: impl FnMut(R) -> T,
) -> Page<T> {
    let full = i64::try_from(rows.len()).unwrap_or(i64::MAX) >= limit;
    let next = rows.last().filter(|_| full).map(cursor);
    Page { items: rows.into_iter().map(view).collect(), next }
}
