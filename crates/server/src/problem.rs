//! Every error that a client of the API sees, with its HTTP status: the one place.
//!
//! Source: RFC 9457.

use std::time::Duration;

use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use countersign_wire::http::Problem;

use crate::disk::DiskError;
use crate::dispatch::EvidenceError;
use crate::logs::DrawError;
use crate::orgs::BeginError;
use crate::statements::intake::IntakeError;
use crate::store::StoreError;

/// What a problem is sent as.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Why a request is not answered as wished.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No token, or one that is not known.
    #[error(
        "send a valid API token as `Authorization: Bearer …`; the setup token lies in the server's data folder"
    )]
    Unauthorized,
    /// A token for something else.
    #[error("this token is for another organization")]
    Forbidden,
    /// Nothing there.
    #[error("there is no such {0} here")]
    NotFound(&'static str),
    /// The disk takes nothing.
    #[error("{0}")]
    Disk(String),
    /// A path, query or body that cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// A method that this path does not know.
    #[error("this path does not know this method")]
    Method,
    /// Too large.
    #[error("{0}")]
    TooLarge(String),
    /// A body that dribbles.
    #[error("the body did not come within {} s", .0.as_secs())]
    Slow(Duration),
    /// The token asks too much at once.
    #[error("this token has too many requests under way; wait for some of their answers")]
    TooMany,
    /// The organization has too many tokens.
    #[error("the organization has {0} tokens, which is all it may have")]
    Tokens(i64),
    /// A statement that is not taken.
    #[error(transparent)]
    Intake(Box<IntakeError>),
    /// An organization that cannot begin.
    #[error(transparent)]
    Begin(Box<BeginError>),
    /// No key for a new log.
    #[error(transparent)]
    NewLog(Box<DrawError>),
    /// The records cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The records do not show what a device was sent.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

impl ApiError {
    /// The status, a stable word and a sentence for this kind of error.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "Who are you?"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not with this token"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found", "Not found"),
            Self::Disk(_) => (StatusCode::SERVICE_UNAVAILABLE, "disk", "The server's disk takes nothing"),
            Self::Unreadable(_) => (StatusCode::BAD_REQUEST, "unreadable", "The request cannot be read"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Not in this way"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "The request is too large"),
            Self::Slow(_) => (StatusCode::REQUEST_TIMEOUT, "slow", "The request came too slowly"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many", "Too much at once"),
            Self::Tokens(_) => (StatusCode::CONFLICT, "too_many_tokens", "Too many tokens"),
            Self::Intake(error) => intake(error),
            Self::Begin(error) => begin(error),
            Self::NewLog(error) => new_log(error),
            Self::Store(error) => store(error),
            Self::Evidence(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "evidence_unreadable",
                "The records are not as they were written",
            ),
            Self::Random(_) => (StatusCode::SERVICE_UNAVAILABLE, "no_random_numbers", "Try again later"),
        }
    }

    /// What a client reads of it: of trouble that is the server's own, only what to do.
    fn detail(&self) -> String {
        match self.kind().1 {
            "disk_full" => "the server's disk is full: nothing was changed; free some space and try again".to_owned(),
            "records_unavailable" => {
                "the server's records cannot be reached: nothing is known to have changed; its journal says why".to_owned()
            }
            _ => self.to_string(),
        }
    }
}

impl From<DiskError> for ApiError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error.to_string())
    }
}

impl From<IntakeError> for ApiError {
    fn from(error: IntakeError) -> Self {
        Self::Intake(Box::new(error))
    }
}

impl From<DrawError> for ApiError {
    fn from(error: DrawError) -> Self {
        Self::NewLog(Box::new(error))
    }
}

impl From<BeginError> for ApiError {
    fn from(error: BeginError) -> Self {
        Self::Begin(Box::new(error))
    }
}

fn intake(error: &IntakeError) -> (StatusCode, &'static str, &'static str) {
    match error {
        IntakeError::Envelope(_) => (StatusCode::BAD_REQUEST, "no_envelope", "No signed statement"),
        IntakeError::UnknownSigners => {
            (StatusCode::FORBIDDEN, "unknown_signers", "Nobody who counts has signed it")
        }
        IntakeError::Unfit(_) => (StatusCode::UNPROCESSABLE_ENTITY, "unfit", "The statement cannot be taken"),
        IntakeError::Store(error) => store(error),
    }
}

fn new_log(error: &DrawError) -> (StatusCode, &'static str, &'static str) {
    match error {
        DrawError::TooMany(_) => (StatusCode::CONFLICT, "too_many_logs", "Too many new logs"),
        DrawError::NoCheckpoint => (StatusCode::CONFLICT, "no_checkpoint", "Nothing to replace yet"),
        DrawError::Store(error) => store(error),
        DrawError::Random(_) => (StatusCode::SERVICE_UNAVAILABLE, "no_random_numbers", "Try again later"),
        DrawError::Keys(_) => (StatusCode::INTERNAL_SERVER_ERROR, "keys", "The stored keys cannot be used"),
    }
}

fn begin(error: &BeginError) -> (StatusCode, &'static str, &'static str) {
    match error {
        BeginError::Draft => (StatusCode::NOT_FOUND, "not_found", "Not found"),
        BeginError::Begun => (StatusCode::CONFLICT, "conflict", "It has begun already"),
        BeginError::Envelope(_) => (StatusCode::BAD_REQUEST, "no_envelope", "No signed statement"),
        BeginError::Store(error) => store(error),
        BeginError::Chain(_) | BeginError::LogKey { .. } | BeginError::Keys(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "unfit", "The statement cannot be taken")
        }
    }
}

/// Whether the disk is full, in the words of either engine.
fn store(error: &StoreError) -> (StatusCode, &'static str, &'static str) {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    // SQLITE_FULL; PostgreSQL's disk_full.
    if code == "13" || code == "53100" {
        return (StatusCode::INSUFFICIENT_STORAGE, "disk_full", "The server's disk is full");
    }
    (StatusCode::SERVICE_UNAVAILABLE, "records_unavailable", "The server's records cannot be reached")
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, title) = self.kind();
        if status.is_server_error() {
            tracing::error!(problem.code = code, error = %self, "request failed");
        }
        let problem = Problem {
            code: code.to_owned(),
            title: title.to_owned(),
            detail: self.detail(),
            status: status.as_u16(),
        };
        let kind = HeaderValue::from_static(CONTENT_TYPE);
        // A struct of strings and a number always prints.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        (status, [(header::CONTENT_TYPE, kind)], body).into_response()
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge(rejection.body_text()),
            _ => Self::Unreadable(rejection.body_text()),
        }
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::Unreadable(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::Unreadable(rejection.body_text())
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        Self::Unreadable(rejection.body_text())
    }
}
