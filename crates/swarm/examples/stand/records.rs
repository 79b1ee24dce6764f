//! The server's database, read from outside, and written alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use countersign_server::disk::Folder;
use countersign_server::store::job_device::{self, Sent, Told};
use countersign_server::store::output::{self, OutputRow};
use countersign_server::store::receipt::{self, NewReceipt};
use countersign_server::store::{Db, round};
use countersign_trust::ids::Sha256;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqliteRow};

/// How many deliveries the server notes in one transaction, and how many reports of machines it keeps in one: of each three, two
/// are receipts.
const AT_ONCE: (usize, usize) = (256, 1_024);

/// A database.
pub struct Records {
    file: PathBuf,
}

impl Records {
    /// That of the server with this data folder.
    pub fn at(folder: &Path) -> Self {
        Self { file: Folder::open(folder).unwrap().database() }
    }

    async fn read(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(&self.file).busy_timeout(Duration::from_secs(10));
        SqlitePool::connect_with(options).await.unwrap()
    }

    /// How long after `began` it held `count` receipts for this job.
    pub async fn wait_for(&self, job: &Sha256, count: u64, began: Instant) -> Duration {
        let pool = self.read().await;
        loop {
            let row =
                sqlx::query("SELECT COUNT(*) FROM receipt WHERE job = $1 AND org = (SELECT id FROM org)");
            let there: i64 = row.bind(job.to_string()).fetch_one(&pool).await.unwrap().get(0);
            let took = began.elapsed();
            if u64::try_from(there).unwrap() >= count {
                pool.close().await;
                return took;
            }
            assert!(took < Duration::from_secs(120), "{there} of {count} receipts");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Takes away what was stored for a job until its last receipt was, and stores it again by the server's own statements, as
    /// fast as they go; how long that took. Nobody else may be there.
    pub async fn write_again(&self, job: &Sha256) -> Duration {
        let stored = self.take_away(&job.to_string()).await;
        let db = Db::open_file(&self.file).await.unwrap();
        let began = Instant::now();
        stored.write(&db, &job.to_string()).await;
        let took = began.elapsed();
        db.close().await;
        took
    }

    async fn take_away(&self, job: &str) -> Stored {
        let pool = self.read().await;
        let all = async |text: &'static str| sqlx::query(text).bind(job).fetch_all(&pool).await.unwrap();
        let sent = all("SELECT org, job, device, challenge, sent_ms FROM job_device WHERE job = $1");
        let rounds = all(
            "SELECT challenges, notes FROM round WHERE number IN (SELECT round FROM job_device WHERE job = $1)",
        );
        let receipts = all(
            "SELECT device, number, hash, job, note, received_ms FROM receipt WHERE job = $1 ORDER BY received_ms, device, number",
        );
        let outputs = all("SELECT device, occurrence, step, place, stream, bytes FROM output WHERE job = $1");
        let (sent, rounds, receipts, outputs) = (sent.await, rounds.await, receipts.await, outputs.await);
        let stored = Stored {
            org: text(&sent[0], "org"),
            sent: sent.iter().map(sent_of).collect(),
            rounds: rounds.iter().map(|row| (row.get("challenges"), text(row, "notes"))).collect(),
            receipts: receipts.iter().map(receipt_of).collect(),
            outputs: outputs.iter().map(|row| (text(row, "device"), output_of(row))).collect(),
        };
        for text in [
            "DELETE FROM receipt WHERE job = $1",
            "DELETE FROM output WHERE job = $1",
            "UPDATE job_device SET verdict = 'waiting', receipt = NULL, challenge = NULL, round = NULL, sent_ms = NULL WHERE job = $1",
        ] {
            sqlx::query(text).bind(job).execute(&pool).await.unwrap();
        }
        pool.close().await;
        stored
    }
}

/// What the server stores of a job.
struct Stored {
    org: String,
    sent: Vec<Sent>,
    rounds: Vec<(Vec<u8>, String)>,
    receipts: Vec<NewReceipt>,
    outputs: Vec<(String, OutputRow)>,
}

impl Stored {
    async fn write(&self, db: &Db, job: &str) {
        let mut number = 0;
        for (challenges, notes) in &self.rounds {
            let mut tx = db.begin().await.unwrap();
            number = round::insert(&mut tx, &self.org, challenges, notes).await.unwrap();
            tx.commit().await.unwrap();
        }
        for rows in self.sent.chunks(AT_ONCE.0) {
            let mut tx = db.begin().await.unwrap();
            job_device::sent(&mut tx, &self.org, number, rows).await.unwrap();
            tx.commit().await.unwrap();
        }
        let mut outputs = self.outputs.chunks(AT_ONCE.1 / 3);
        for receipts in self.receipts.chunks(AT_ONCE.1 * 2 / 3) {
            let mut tx = db.begin().await.unwrap();
            let told: BTreeMap<&str, Told> =
                receipts.iter().map(|row| (row.device.as_str(), told(job, row))).collect();
            let told: Vec<Told> = told.into_values().collect();
            job_device::receipts_came(&mut tx, &self.org, &told).await.unwrap();
            receipt::insert(&mut tx, &self.org, receipts).await.unwrap();
            let pieces = outputs.next().unwrap_or_default().iter();
            let pieces: Vec<_> = pieces.map(|(device, row)| (job.to_owned(), device.clone(), row)).collect();
            output::insert(&mut tx, &self.org, &pieces).await.unwrap();
            tx.commit().await.unwrap();
        }
    }
}

/// What both of a device's receipts change.
fn told(job: &str, row: &NewReceipt) -> Told {
    Told {
        receipts: 2,
        accepted: true,
        newest: (row.number, "ended".to_owned(), String::new()),
        ..Told::nothing((job.to_owned(), row.device.clone()))
    }
}

fn sent_of(row: &SqliteRow) -> Sent {
    Sent {
        job: text(row, "job"),
        device: text(row, "device"),
        challenge: text(row, "challenge"),
        sent_ms: row.get("sent_ms"),
    }
}

fn receipt_of(row: &SqliteRow) -> NewReceipt {
    NewReceipt {
        device: text(row, "device"),
        number: row.get("number"),
        hash: text(row, "hash"),
        previous: None,
        job: row.get("job"),
        note: text(row, "note"),
        received_ms: row.get("received_ms"),
    }
}

fn output_of(row: &SqliteRow) -> OutputRow {
    let number = |column| row.get::<i64, _>(column);
    OutputRow {
        occurrence: number("occurrence"),
        step: number("step"),
        place: number("place"),
        stream: number("stream"),
        bytes: row.get("bytes"),
    }
}

fn text(row: &SqliteRow, column: &str) -> String {
    row.get(column)
}
