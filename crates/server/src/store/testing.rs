//! A fresh database of each engine for tests.

mod server;

use std::path::Path;

use super::Db;
pub use server::Postgres;

impl Postgres {
    /// A new empty database, brought to the newest version.
    pub async fn db(&self) -> Db {
        Db::open_postgres(&self.database()).await.unwrap()
    }
}

/// A new SQLite database in `folder`.
pub async fn sqlite(folder: &Path) -> Db {
    Db::open_file(&folder.join("test.db")).await.unwrap()
}
