//! Jobs and what became of them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use countersign_trust::clear::Clear;
use countersign_trust::ids::Sha256;
use countersign_trust::note::Note;
use countersign_trust::statement::Kind;
use countersign_wire::http::{
    ClearEvidence, DeliveryEvidence, JobDevice, JobSummary, JobView, Page, VerdictCount, paths,
};

use super::page::{Asked, At, PageQuery, cursor, page};
use super::statements::{get, hash_of, missing, view};
use super::{Raw, org_of};
use crate::app::App;
use crate::problem::ApiError;
use crate::statements::intake;
use crate::store::job_device::{self, JobDeviceRow};
use crate::store::{counted, output, statement};
use crate::{dispatch, logs};

/// Pages of jobs, the newest first.
#[utoipa::path(
    get, path = paths::JOBS, operation_id = "jobs", tag = "jobs",
    params(("org" = String, Path, description = "The organization"), PageQuery),
    responses((status = 200, body = Page<JobSummary>))
)]
pub async fn list(
    app: State<Arc<App>>,
    At(org): At<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<JobSummary>>, ApiError> {
    let (org, limit) = (org_of(&app, &org)?.id.to_string(), query.limit());
    let (before, hash) = query.number_and_word((i64::MAX, ""))?;
    let rows = statement::page(&app.db, &org, &Kind::Job.to_string(), before, &hash, limit).await?;
    let mut counts = HashMap::new();
    for row in &rows {
        counts.insert(row.hash.clone(), counts_of(&app, &org, &row.hash).await?);
    }
    let found = page(
        rows,
        limit,
        |row| cursor(row.received_ms, &row.hash),
        |row| JobSummary {
            state: row.state().to_owned(),
            missing: missing(&row),
            received: counted(row.received_ms) / 1_000,
            counts: counts.remove(&row.hash).unwrap_or_default(),
            hash: row.hash,
        },
    );
    Ok(Json(found))
}

async fn counts_of(app: &App, org: &str, job: &str) -> Result<Vec<VerdictCount>, ApiError> {
    let counts = job_device::counts(&app.db, org, job).await?;
    Ok(counts.into_iter().map(|(verdict, count)| VerdictCount { verdict, count: counted(count) }).collect())
}

/// One job with what became of it on each device.
#[utoipa::path(
    get, path = paths::JOB, operation_id = "job", tag = "jobs",
    params(("org" = String, Path, description = "The organization"), ("hash" = String, Path, description = "The job")),
    responses((status = 200, body = JobView))
)]
pub async fn one(
    app: State<Arc<App>>,
    At((org, hash)): At<(String, String)>,
) -> Result<Json<JobView>, ApiError> {
    let (org, hash) = (org_of(&app, &org)?.id.to_string(), hash_of(&hash)?);
    let row = get(&app, &org, &hash).await?;
    if row.kind != Kind::Job.to_string() {
        return Err(ApiError::NotFound("job"));
    }
    let devices = job_device::of_job(&app.db, &org, &row.hash).await?;
    let devices = devices.into_iter().map(on_device).collect();
    let advances = intake::advances(&app.db, &org, &hash).await?;
    let advances = advances.into_iter().map(|(_, row)| view(row)).collect();
    Ok(Json(JobView { statement: view(row), devices, advances }))
}

fn on_device(row: JobDeviceRow) -> JobDevice {
    JobDevice { device: row.device, verdict: row.verdict, because: row.because, receipt: row.note }
}

/// What was sent to one device for one job.
#[utoipa::path(
    get, path = paths::JOB_DELIVERY, operation_id = "delivery", tag = "jobs",
    params(
        ("org" = String, Path, description = "The organization"),
        ("hash" = String, Path, description = "The job"),
        ("device" = String, Path, description = "The device")
    ),
    responses((status = 200, body = DeliveryEvidence))
)]
pub async fn delivery(
    app: State<Arc<App>>,
    At((org, hash, device)): At<(String, String, String)>,
) -> Result<Json<DeliveryEvidence>, ApiError> {
    let org = org_of(&app, &org)?;
    let row = job_device::evidence(&app.db, &org.id.to_string(), &hash, &device).await?;
    let row = row.ok_or(ApiError::NotFound("delivery"))?;
    let clears = dispatch::clears_sent(&row)?;
    let statement = statement::get(&app.db, &org.id.to_string(), &hash).await?;
    let proof = match statement.zip(policy_then(&clears)) {
        Some((statement, policy)) => logs::proof_under(&app.db, &org, &statement, &policy).await?,
        None => None,
    };
    let sent = counted(row.sent_ms) / 1_000;
    Ok(Json(DeliveryEvidence { device, challenge: row.challenge, clears, sent, proof }))
}

/// The policy that Clears name.
fn policy_then(clears: &[ClearEvidence]) -> Option<Sha256> {
    let note: Note = clears.first()?.note.parse().ok()?;
    note.text().parse::<Clear>().ok().map(|clear| clear.policy)
}

/// What a job wrote on a device, its steps one after the other.
#[utoipa::path(
    get, path = paths::JOB_OUTPUT, operation_id = "output", tag = "jobs",
    params(
        ("org" = String, Path, description = "The organization"),
        ("hash" = String, Path, description = "The job"),
        ("device" = String, Path, description = "The device")
    ),
    responses(
        (status = 200, body = Raw, content_type = "application/octet-stream")
    )
)]
pub async fn output(
    app: State<Arc<App>>,
    At((org, hash, device)): At<(String, String, String)>,
) -> Result<impl IntoResponse, ApiError> {
    let org = org_of(&app, &org)?.id.to_string();
    let rows = output::of(&app.db, &org, &hash, &device).await?;
    let bytes: Vec<u8> = rows.into_iter().flat_map(|row| row.bytes).collect();
    // What a machine wrote must never be taken for a page of this server.
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((headers, bytes))
}
