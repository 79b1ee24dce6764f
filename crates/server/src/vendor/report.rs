//! Tells the vendor how far its halts came, where this server's operator has said so: counts and a name of the operator's choice, and
//! nothing that names an organization, a person or a machine.

use std::sync::{Arc, Weak};
use std::time::Duration;

use countersign_trust::chain::VendorHalt;
use countersign_wire::http::FollowerReport;

use super::VERSION;
use crate::app::App;
use crate::config::Report;
use crate::store::{StoreError, counted, device};

/// How often a report is sent though nothing has changed.
const PERIOD: Duration = Duration::from_secs(60);

/// Why a report did not come.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Print(#[from] serde_json::Error),
    #[error(transparent)]
    Peer(#[from] crate::peers::PeerError),
}

/// Reports until the server is gone.
pub async fn follow(app: Weak<App>, report: Report) {
    let mut said = String::new();
    loop {
        let Some(app) = app.upgrade() else { return };
        let changed = tokio::select! {
            () = app.vendor.changed.notified() => true,
            () = tokio::time::sleep(PERIOD) => false,
            () = app.stopping() => return,
        };
        let trouble = send(&app, &report).await.err().map(|error| error.to_string()).unwrap_or_default();
        if trouble != said && !trouble.is_empty() {
            tracing::warn!(why = trouble, changed, "the vendor is not told how far its halts came");
        }
        said = trouble;
    }
}

async fn send(app: &Arc<App>, report: &Report) -> Result<(), Unsent> {
    let body = serde_json::to_string(&counts(app).await?)?;
    Ok(app.peers.report(&report.url, &report.token, body).await?)
}

async fn counts(app: &App) -> Result<FollowerReport, StoreError> {
    let halts = app.vendor.halts();
    let sequence = app.vendor.heard().values().map(|heard| heard.sequence).max().unwrap_or_default();
    let mut report = FollowerReport { version: VERSION.to_owned(), sequence, ..FollowerReport::default() };
    for org in app.orgs.all() {
        let comes_to: Vec<VendorHalt> = {
            let chain = org.chain_now();
            halts.iter().map(|halt| chain.of_vendor(halt)).collect()
        };
        let of = |wanted| comes_to.contains(&wanted);
        let devices = counted(device::count(&app.db, &org.id.to_string()).await?);
        let told = u64::try_from(app.gate.connected(&org.id)).unwrap_or(u64::MAX).min(devices);
        if of(VendorHalt::Stops) {
            report.stopped += 1;
            report.devices_told += told;
            report.devices_away += devices - told;
        } else if of(VendorHalt::Asks) {
            report.asked += 1;
        } else if of(VendorHalt::Off) {
            report.off += 1;
        } else {
            report.others += 1;
        }
    }
    Ok(report)
}
