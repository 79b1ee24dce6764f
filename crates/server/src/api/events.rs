//! What happens to one job, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use countersign_trust::ids::Sha256;
use countersign_wire::http::{JobEvent, paths};
use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::broadcast;

use super::org_of;
use crate::app::App;
use crate::problem::ApiError;
use crate::store::statement;

/// What happens to a job from this moment on.
///
/// The first event is the job's state. Whoever follows it and then gets the job misses nothing. The stream ends when the
/// watcher has fallen too far behind: follow again and get the job again.
#[utoipa::path(
    get,
    path = paths::JOB_EVENTS, operation_id = "job_events",
    params(
        ("org" = String, Path, description = "The organization"),
        ("hash" = String, Path, description = "The job's hash"),
    ),
    responses((status = 200, description = "Each event's data is a JobEvent", body = JobEvent, content_type = "text/event-stream")),
)]
pub async fn job(
    app: State<Arc<App>>,
    Path((org, hash)): Path<(String, String)>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let org = org_of(&app, &org)?;
    let job: Sha256 = hash.parse().map_err(|_| ApiError::NotFound("job"))?;
    // First the ear, then the look: what happens between the two is heard.
    let watcher = app.events.subscribe(&org.id, &job);
    let row = statement::get(&app.db, &org.id.to_string(), &job.to_string()).await?;
    let row = row.filter(|row| row.kind == "job").ok_or(ApiError::NotFound("job"))?;
    let state = JobEvent::State { state: row.state().to_owned(), missing: row.missing };
    let events = stream::once(async { Arc::new(state) }).chain(stream::unfold(watcher, next));
    let app = app.0;
    let events = events.take_until(async move { app.stopping().await });
    Ok(Sse::new(events.map(|event| Ok(said(&event)))).keep_alive(KeepAlive::default()))
}

/// The next event; none once the watcher has fallen behind.
async fn next(
    mut watcher: broadcast::Receiver<Arc<JobEvent>>,
) -> Option<(Arc<JobEvent>, broadcast::Receiver<Arc<JobEvent>>)> {
    let event = watcher.recv().await.ok()?;
    Some((event, watcher))
}

fn said(event: &JobEvent) -> Event {
    // An event made of strings and numbers always prints.
    Event::default().data(serde_json::to_string(event).unwrap_or_default())
}
