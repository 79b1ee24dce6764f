//! Devices and how they were enrolled.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use countersign_trust::ids::OrgId;
use countersign_trust::statement::Kind;
use countersign_wire::http::{DeviceFact, DeviceView, EnrollmentEvidence, JoinEvidence, Page, paths};

use super::org_of;
use super::page::{Asked, At, PageQuery, cursor, page};
use crate::app::App;
use crate::problem::ApiError;
use crate::store::device::DeviceRow;
use crate::store::{counted, device, fact, statement, wish};

/// Below every device id: the first page of devices follows the last of statements.
const DEVICES: &str = "dev-";
/// Behind every device id: the joins that made no device, such as those that the log took too late, come last.
const WISHES: &str = "wish-";

/// Pages of enrollments with everything needed to check them: first the statements, then the joins.
#[utoipa::path(
    get, path = paths::ENROLLMENTS, operation_id = "enrollments", tag = "devices",
    params(("org" = String, Path, description = "The organization"), PageQuery),
    responses((status = 200, body = Page<EnrollmentEvidence>))
)]
pub async fn enrollments(
    app: State<Arc<App>>,
    At(org): At<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<EnrollmentEvidence>>, ApiError> {
    let org = org_of(&app, &org)?.id.to_string();
    let (after, limit) = (query.after(), query.limit());
    let found = match (after.strip_prefix(DEVICES), after.strip_prefix(WISHES)) {
        (Some(_), _) => joins(&app, &org, after, limit).await?,
        (None, Some(hash)) => wishes(&app, &org, hash, limit).await?,
        (None, None) => statements(&app, &org, &query).await?,
    };
    Ok(Json(found))
}

async fn statements(app: &App, org: &str, query: &PageQuery) -> Result<Page<EnrollmentEvidence>, ApiError> {
    let (before, hash) = query.number_and_word((i64::MAX, ""))?;
    let kind = Kind::Enroll.to_string();
    let rows = statement::page(&app.db, org, &kind, before, &hash, query.limit()).await?;
    let found = page(rows, query.limit(), |row| cursor(row.received_ms, &row.hash), |row| row.logged());
    let items = found.items.into_iter().flatten().map(|enroll| EnrollmentEvidence { enroll, join: None });
    Ok(Page { items: items.collect(), next: found.next.or(Some(DEVICES.to_owned())) })
}

async fn joins(app: &App, org: &str, after: &str, limit: i64) -> Result<Page<EnrollmentEvidence>, ApiError> {
    let rows = device::page(&app.db, org, after, limit).await?;
    let mut batches: HashMap<String, String> = HashMap::new();
    for id in rows.iter().filter_map(|row| row.batch.as_ref()) {
        if !batches.contains_key(id) {
            let batch = statement::get(&app.db, org, id).await?.and_then(|batch| batch.logged());
            batches.insert(id.clone(), batch.unwrap_or_default());
        }
    }
    let joined = |row: DeviceRow| {
        let join = JoinEvidence { note: row.join_note?, proof: row.join_proof? };
        Some(EnrollmentEvidence { enroll: batches.get(&row.batch?)?.clone(), join: Some(join) })
    };
    let found = page(rows, limit, |row| row.id.clone(), joined);
    let next = found.next.or(Some(WISHES.to_owned()));
    Ok(Page { items: found.items.into_iter().flatten().collect(), next })
}

async fn wishes(app: &App, org: &str, after: &str, limit: i64) -> Result<Page<EnrollmentEvidence>, ApiError> {
    let rows = wish::page(&app.db, org, after, limit).await?;
    let mut shown = Vec::new();
    for row in &rows {
        let batch = statement::get(&app.db, org, &row.batch).await?.and_then(|batch| batch.logged());
        let join = row.proof.clone().map(|proof| JoinEvidence { note: row.note.clone(), proof });
        shown.extend(batch.map(|enroll| EnrollmentEvidence { enroll, join }));
    }
    let next = page(rows, limit, |row| format!("{WISHES}{}", row.hash), |_| ()).next;
    Ok(Page { items: shown, next })
}

/// Pages of devices as the server sees them.
#[utoipa::path(
    get, path = paths::DEVICES, operation_id = "devices", tag = "devices",
    params(("org" = String, Path, description = "The organization"), PageQuery),
    responses((status = 200, body = Page<DeviceView>))
)]
pub async fn list(
    app: State<Arc<App>>,
    At(org): At<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<DeviceView>>, ApiError> {
    let org = org_of(&app, &org)?;
    let rows = device::page(&app.db, &org.id.to_string(), query.after(), query.limit()).await?;
    let mut facts = facts_about(&app, &org.id.to_string(), &rows).await?;
    let found = page(
        rows,
        query.limit(),
        |row| row.id.clone(),
        |row| {
            let facts = facts.remove(&row.id).unwrap_or_default();
            (!row.retired).then(|| view(&app, &org.id, row, facts))
        },
    );
    Ok(Json(Page { items: found.items.into_iter().flatten().collect(), next: found.next }))
}

async fn facts_about(
    app: &App,
    org: &str,
    rows: &[DeviceRow],
) -> Result<HashMap<String, Vec<DeviceFact>>, ApiError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(HashMap::new()) };
    let mut facts: HashMap<String, Vec<DeviceFact>> = HashMap::new();
    for row in fact::between(&app.db, org, &first.id, &last.id).await? {
        let fact = DeviceFact {
            kind: row.kind,
            words: row.words,
            times: counted(row.times),
            first: counted(row.first_ms) / 1_000,
            last: counted(row.last_ms) / 1_000,
            evidence: serde_json::from_str(&row.evidence).unwrap_or_default(),
        };
        facts.entry(row.device).or_default().push(fact);
    }
    Ok(facts)
}

fn view(app: &App, org: &OrgId, row: DeviceRow, facts: Vec<DeviceFact>) -> DeviceView {
    DeviceView {
        stopped: row.id.parse().is_ok_and(|device| app.gate.is_stopped(org, &device)),
        facts,
        connected: row.id.parse().is_ok_and(|device| app.gate.is_connected(org, &device)),
        last_seen: counted(row.last_seen_ms) / 1_000,
        version: row.version,
        hostname: row.hostname,
        system: row.system,
        policy_number: counted(row.policy_number),
        device: row.id,
    }
}
