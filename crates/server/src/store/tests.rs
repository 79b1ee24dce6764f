//! Every statement on both engines: each is prepared, and each function of this folder is called.

use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};
use tempfile::TempDir;

use super::testing::{Postgres, sqlite};
use super::*;

const ORG: &str = "org-1";

/// A new database of each engine.
struct Both {
    folder: TempDir,
    postgres: Postgres,
}

impl Both {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), postgres: Postgres::start() }
    }

    async fn open(&self) -> [Db; 2] {
        [sqlite(self.folder.path()).await, self.postgres.db().await]
    }
}

/// The texts of all statements in a file of this folder.
fn texts(source: &str) -> Vec<String> {
    let calls = source.split("query!(").skip(1);
    calls.map(|call| rows::expanded(call.split('"').nth(1).expect("a literal"), 8)).collect()
}

#[tokio::test]
async fn both_engines_prepare_every_statement() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.is_file() && !file.ends_with("tests.rs"));
    let texts: Vec<String> = files.flat_map(|file| texts(&std::fs::read_to_string(file).unwrap())).collect();
    assert!(texts.len() > 40, "only {} statements found", texts.len());
    let both = Both::new();
    for db in both.open().await {
        for text in &texts {
            let sql = AssertSqlSafe(text.clone()).into_sql_str();
            let prepared = match &db {
                Db::Lite { read, .. } => read.acquire().await.unwrap().prepare(sql).await.map(|_| ()),
                Db::Pg(pool) => pool.acquire().await.unwrap().prepare(sql).await.map(|_| ()),
            };
            assert!(prepared.is_ok(), "{prepared:?}\n{text}");
        }
        db.close().await;
    }
}

/// SQLite takes `org = $1` for so rare that it may begin with it, and read all that an organization has.
#[tokio::test]
async fn statements_about_many_rows_find_each_by_its_whole_key() {
    let folder = tempfile::tempdir().unwrap();
    let Db::Lite { read, .. } = sqlite(folder.path()).await else { panic!("SQLite") };
    let files = [include_str!("receipt.rs"), include_str!("job_device.rs"), include_str!("device.rs")];
    let texts = files.into_iter().flat_map(texts);
    let texts: Vec<String> = texts
        .filter(|text| ["FROM (", "IN (CAST", "LIMIT 3"].iter().any(|part| text.contains(part)))
        .collect();
    assert_eq!(texts.len(), 8, "{texts:#?}");
    for text in texts {
        let plan =
            sqlx::query_as::<_, (i64, i64, i64, String)>(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}")));
        let plan = plan.fetch_all(&read).await.unwrap();
        let reads_all = |step: &str| {
            step.ends_with("(org=?)") || step.starts_with("SCAN receipt") || step.starts_with("SCAN at")
        };
        assert!(!plan.iter().any(|(.., step)| reads_all(step)), "{plan:#?}\n{text}");
    }
}

#[tokio::test]
async fn both_engines_keep_the_same_records() {
    let both = Both::new();
    for db in both.open().await {
        organizations_and_tokens(&db).await;
        the_log(&db).await;
        statements(&db).await;
        wishes(&db).await.unwrap();
        tripwires(&db).await.unwrap();
        db.close().await;
    }
}

fn draft() -> org::DraftRow {
    org::DraftRow {
        draft: "draft-1".to_owned(),
        org: None,
        name: "Exämple".to_owned(),
        log_origin: "example/log".to_owned(),
        log_seed: vec![0, 1, 255],
        halt_seed: vec![2; 32],
    }
}

async fn organizations_and_tokens(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    org::prepare(&mut tx, &draft(), 5).await.unwrap();
    let of_draft = api_token::TokenRow { org: None, draft: Some("draft-1".to_owned()) };
    api_token::insert(&mut tx, "hash", &of_draft, "me", 5).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(org::draft(db, "draft-1").await.unwrap(), Some(draft()));
    assert_eq!(org::draft(db, "draft-2").await.unwrap(), None);
    assert_eq!(api_token::get(db, "hash").await.unwrap(), Some(of_draft));
    assert_eq!(org::all(db).await.unwrap(), []);

    let mut tx = db.begin().await.unwrap();
    org::begin(&mut tx, ORG, &draft(), 6).await.unwrap();
    api_token::begin(&mut tx, "draft-1", ORG).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(api_token::get(db, "hash").await.unwrap().unwrap().org.as_deref(), Some(ORG));
    assert_eq!(api_token::count(db, ORG).await.unwrap(), 1);
    let org::DraftRow { name, log_origin, log_seed, halt_seed, .. } = draft();
    let begun = org::OrgRow { id: ORG.to_owned(), name, log_origin, log_seed, halt_seed };
    assert_eq!(org::all(db).await.unwrap(), [begun]);

    // Dropped: it leaves nothing behind.
    let mut tx = db.begin().await.unwrap();
    api_token::begin(&mut tx, "draft-1", ORG).await.unwrap();
    let another = org::DraftRow { draft: "draft-9".to_owned(), log_origin: "other".to_owned(), ..draft() };
    org::prepare(&mut tx, &another, 5).await.unwrap();
    drop(tx);
    assert_eq!(org::draft(db, "draft-9").await.unwrap(), None);
}

async fn the_log(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    leaf::insert(&mut tx, ORG, 1, 0, "h0", "first\n").await.unwrap();
    leaf::insert(&mut tx, ORG, 1, 1, "h1", "second\n").await.unwrap();
    assert_eq!(leaf::place(&mut tx, ORG, 1, "h1").await.unwrap(), Some(1));
    assert_eq!(leaf::place(&mut tx, ORG, 1, "h2").await.unwrap(), None);
    for hashes in [vec![1, 2], vec![1, 2, 0, 255]] {
        tile::put(&mut tx, ORG, 1, &tile::TileRow { level: 0, place: 0, hashes }).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(leaf::entries(db, ORG, 1, 1, 9).await.unwrap(), ["second\n"]);
    let row = tile::TileRow { level: 0, place: 0, hashes: vec![1, 2, 0, 255] };
    assert_eq!(tile::all(db, ORG, 1).await.unwrap(), [row]);

    assert_eq!(checkpoint::newest(db, ORG, 1).await.unwrap(), None);
    for (size, note, newest) in [(2, "two", "two"), (5, "five", "five"), (3, "three", "five")] {
        checkpoint::put(db, ORG, 1, size, note).await.unwrap();
        assert_eq!(checkpoint::newest(db, ORG, 1).await.unwrap().unwrap().1, newest);
    }

    for _ in 0..2 {
        let mut tx = db.begin().await.unwrap();
        recovered::put(&mut tx, ORG, "h", "a beacon's word").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(recovered::all(db, ORG).await.unwrap(), [("a beacon's word".to_owned(),)]);
    }

    for hash in ["second", "first", "second", "third"] {
        let mut tx = db.begin().await.unwrap();
        offered::append(&mut tx, ORG, hash).await.unwrap();
        tx.commit().await.unwrap();
    }
    let offered = offered::all(db, ORG).await.unwrap();
    assert_eq!(
        offered,
        ["second", "first", "third"].map(|hash| (hash.to_owned(),)),
        "each once, where it came first"
    );

    let mut tx = db.begin().await.unwrap();
    let twice = leaf::insert(&mut tx, ORG, 1, 2, "h1", "second\n").await;
    assert!(twice.is_err(), "an entry stands in a log once");
}

fn statement(hash: &str, missing: &str, received_ms: i64) -> statement::StatementRow {
    statement::StatementRow {
        hash: hash.to_owned(),
        kind: "job".to_owned(),
        envelope: format!("{missing} signatures\n"),
        targets: "[]".to_owned(),
        missing: missing.to_owned(),
        leaf: None,
        nth_log: 0,
        proof: None,
        received_ms,
    }
}

async fn put(db: &Db, row: &statement::StatementRow) -> u64 {
    let mut tx = db.begin().await.unwrap();
    let count = statement::put(&mut tx, ORG, row).await.unwrap();
    tx.commit().await.unwrap();
    count
}

async fn wishes(db: &Db) -> Result<(), sqlx::Error> {
    let row = |hash: &str, device: &str| wish::WishRow {
        hash: hash.to_owned(),
        device: device.to_owned(),
        batch: "of wishes".to_owned(),
        note: "note".to_owned(),
        proof: None,
    };
    let mut tx = db.begin().await?;
    let three = [row("a", "dev-8"), row("b", "dev-8"), row("c", "dev-9")];
    assert_eq!(wish::insert(&mut tx, ORG, &three).await?, 3);
    assert_eq!(wish::insert(&mut tx, ORG, &three[..1]).await?, 0);
    let mut of_devices = wish::of_devices(&mut tx, ORG, &["dev-8".to_owned(), "dev-7".to_owned()]).await?;
    of_devices.sort_unstable();
    let of_dev_8 = |hash: &str| ("dev-8".to_owned(), hash.to_owned());
    assert_eq!(of_devices, [of_dev_8("a"), of_dev_8("b")]);
    assert_eq!(wish::waiting(&mut tx, ORG, "of wishes").await?.len(), 2, "devices, not joins");
    wish::proved(&mut tx, ORG, "c", "proof").await?;
    assert_eq!(wish::delete(&mut tx, ORG, &["b".to_owned()]).await?, 1);
    assert_eq!(wish::waiting(&mut tx, ORG, "of wishes").await?, [("dev-8".to_owned(),)], "one is decided");
    tx.commit().await?;
    assert_eq!(wish::open(db, ORG).await?, [row("a", "dev-8")]);
    let shown = wish::WishRow { proof: Some("proof".to_owned()), ..row("c", "dev-9") };
    assert_eq!(wish::page(db, ORG, "", 9).await?, [shown]);
    assert_eq!(wish::page(db, ORG, "c", 9).await?, []);
    Ok(())
}

async fn statements(db: &Db) {
    let hashes =
        |rows: Vec<statement::StatementRow>| rows.into_iter().map(|row| row.hash).collect::<Vec<_>>();
    for (hash, missing, at) in [("a", "two", 1), ("b", "one", 2), ("c", "one", 2)] {
        assert_eq!(put(db, &statement(hash, missing, at)).await, 1);
    }
    assert_eq!(put(db, &statement("a", "", 1)).await, 1);
    assert_eq!(put(db, &statement("a", "two", 1)).await, 0, "what is decided does not change");
    assert_eq!(statement::get(db, ORG, "a").await.unwrap().unwrap().missing, "");
    assert_eq!(hashes(statement::open(db, ORG).await.unwrap()), ["a", "b", "c"]);

    let mut tx = db.begin().await.unwrap();
    assert_eq!(statement::logged(&mut tx, ORG, "a", (0, 7), "proof").await.unwrap(), 1);
    assert_eq!(statement::logged(&mut tx, ORG, "a", (0, 8), "another").await.unwrap(), 0);
    tx.commit().await.unwrap();
    let row = statement::get(db, ORG, "a").await.unwrap().unwrap();
    assert_eq!((row.leaf, row.logged().as_deref()), (Some(7), Some(" signatures\nproof")));
    assert_eq!(hashes(statement::open(db, ORG).await.unwrap()), ["b", "c"]);
    assert_eq!(hashes(statement::standing(db, ORG, "job").await.unwrap()), ["a"]);
    assert_eq!(hashes(statement::of_kind(db, ORG, "job").await.unwrap()), ["a", "b", "c"]);

    let first = statement::page(db, ORG, "", i64::MAX, "", 2).await.unwrap();
    assert_eq!(hashes(first), ["c", "b"]);
    assert_eq!(hashes(statement::page(db, ORG, "job", 2, "b", 2).await.unwrap()), ["a"]);
    assert_eq!(hashes(statement::page(db, ORG, "halt", i64::MAX, "", 2).await.unwrap()), [""; 0]);
}

#[tokio::test]
async fn a_database_of_a_newer_server_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open_file(&folder.path().join("test.db")).await.unwrap();
    query!(db: execute &db, "INSERT INTO schema_version (version) VALUES ($1)", 99_i64).unwrap();
    db.close().await;
    let error = Db::open_file(&folder.path().join("test.db")).await.unwrap_err().to_string();
    assert!(error.contains("version 99") && error.contains("newer server"), "{error}");
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_named_without_its_password() {
    let error = Db::open_postgres("postgres://me:secret@%2Fnowhere/none").await.unwrap_err().to_string();
    assert!(error.contains("%2Fnowhere/none") && !error.contains("secret"), "{error}");
}

async fn tripwires(db: &Db) -> Result<(), StoreError> {
    let refused = |device: &str, number, times| refusal::NewRefusal {
        device: device.to_owned(),
        number,
        code: "log".to_owned(),
        times,
    };
    let mut tx = db.begin().await?;
    refusal::insert(&mut tx, ORG, &[refused("dev-1", 1, 3), refused("dev-1", 2, i64::MAX)], 1_000, 0).await?;
    // The same again counts once, and what is too old is forgotten.
    refusal::insert(&mut tx, ORG, &[refused("dev-1", 1, 3), refused("dev-2", 1, 5)], 2_000, 500).await?;
    tx.commit().await?;
    let times = async |after_ms| {
        let rows = refusal::after(db, ORG, after_ms).await.unwrap();
        rows.into_iter().map(|row| (row.device, row.times)).collect::<Vec<_>>()
    };
    let (one, two) = (("dev-1".to_owned(), 1_000_003), ("dev-2".to_owned(), 5));
    assert_eq!(times(999).await, [one, two.clone()]);
    assert_eq!(times(1_000).await, std::slice::from_ref(&two));
    let mut tx = db.begin().await?;
    refusal::insert(&mut tx, ORG, &[refused("dev-3", 1, 1)], 3_000, 1_500).await?;
    tx.commit().await?;
    assert_eq!(times(0).await, [two, ("dev-3".to_owned(), 1)]);

    let note = |hash: &str, touched, received_ms| canary::CanaryRow {
        device: "dev-1".to_owned(),
        hash: hash.to_owned(),
        path: "/srv/a".to_owned(),
        touched,
        note: "a note".to_owned(),
        received_ms,
    };
    let mut tx = db.begin().await?;
    for row in [note("h1", true, 1), note("h1", true, 9), note("h2", false, 2), note("h3", true, 3)] {
        canary::insert(&mut tx, ORG, &row, 2).await?;
    }
    tx.commit().await?;
    assert_eq!(canary::known(db, ORG, "dev-1", "h3", 2).await?, (1, 1));
    assert_eq!(canary::known(db, ORG, "dev-1", "h1", 0).await?, (2, 0), "the oldest made room");
    assert_eq!(canary::known(db, ORG, "dev-9", "h1", 0).await?, (0, 0));
    assert_eq!(canary::touched(db, ORG, 0, 9).await?, [note("h3", true, 3)]);

    let touch = |number, over_ms| touch::TouchRow {
        number,
        tripwire: "refusals:5/60s:halt".to_owned(),
        since_ms: 1,
        last_ms: 2,
        count: 3,
        words: "words".to_owned(),
        evidence: "[]".to_owned(),
        halt: None,
        unhalted: String::new(),
        until_ms: Some(9),
        over_ms,
    };
    let mut tx = db.begin().await?;
    for row in [touch(1, None), touch(2, None), touch(1, Some(7)), touch(3, Some(8))] {
        touch::put(&mut tx, ORG, &row, 2).await?;
    }
    tx.commit().await?;
    assert_eq!(touch::open(db, ORG).await?, [touch(2, None)]);
    assert_eq!(touch::over(db, ORG).await?, [("refusals:5/60s:halt".to_owned(), 8)]);
    assert_eq!(touch::last(db, ORG).await?, 3);
    assert_eq!(
        touch::page(db, ORG, 3, 9).await?,
        [touch(2, None)],
        "of those that are over the newest are kept"
    );
    Ok(())
}
