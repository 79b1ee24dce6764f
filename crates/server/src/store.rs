//! The database: SQLite in one file, or PostgreSQL. All SQL of the server stands in the files below.
//!
//! Both engines get the same text with `$1` placeholders through [`query!`], and the same rows through [`row!`]. A test
//! has every statement prepared by both.

pub mod api_token;
pub mod batch;
pub mod canary;
pub mod checkpoint;
pub mod device;
pub mod enrollment;
pub mod fact;
pub mod job_device;
pub mod leaf;
mod migrations;
pub mod new_log;
pub mod offered;
pub mod org;
pub mod output;
pub mod receipt;
pub mod recovered;
pub mod refusal;
pub mod round;
pub mod rows;
pub mod statement;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tile;
pub mod touch;
pub mod wish;

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Postgres, Sqlite, Transaction};

/// How many connections read at a time.
const READERS: u32 = 8;
/// How long one waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// What goes wrong with the database: its own words.
pub type StoreError = sqlx::Error;

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No answer, or not the right one.
    #[error("the database {which}: {error}")]
    Connect {
        /// Which database; without a password.
        which: String,
        /// Why not.
        error: StoreError,
    },
    /// Made by a newer version.
    #[error(
        "the database is at version {found}, this server knows versions up to {known}: start the newer server that made it"
    )]
    Newer {
        /// The database's.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// A migration failed; it left nothing behind.
    #[error("bringing the database to version {version}: {error}")]
    Migrate {
        /// Which step.
        version: i64,
        /// Why not.
        error: StoreError,
    },
}

/// The database.
#[derive(Clone, Debug)]
pub enum Db {
    /// One file.
    Lite {
        /// Connections that read.
        read: SqlitePool,
        /// The one connection that writes.
        write: SqlitePool,
    },
    /// A PostgreSQL server, 15 or later.
    Pg(PgPool),
}

/// A transaction that writes. Dropped without [`Tx::commit`], it leaves nothing behind.
#[derive(Debug)]
pub enum Tx {
    /// Of SQLite: the only one at this time.
    Lite(Transaction<'static, Sqlite>),
    /// Of PostgreSQL.
    Pg(Transaction<'static, Postgres>),
}

impl Db {
    /// Opens the SQLite file at `path`, or makes it, and brings it to the newest version.
    ///
    /// # Errors
    /// The disk, or a file of a newer server.
    pub async fn open_file(path: &Path) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Connect { which: path.display().to_string(), error };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What is committed is on the disk: receipts are acknowledged and checkpoints signed on this word.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(PATIENCE);
        let pool = |most| {
            SqlitePoolOptions::new().max_connections(most).min_connections(1).acquire_timeout(PATIENCE)
        };
        // On a full disk SQLite rolls back by itself, and sqlx waits for an end of that transaction for ever.
        let write =
            pool(1).after_release(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }));
        let write = write.connect_with(options.clone()).await.map_err(failed)?;
        let read = pool(READERS).connect_with(options).await.map_err(failed)?;
        Self::Lite { read, write }.migrated().await
    }

    /// Connects to the PostgreSQL database at `url` and brings it to the newest version.
    ///
    /// # Errors
    /// No connection, or a database of a newer server.
    pub async fn open_postgres(url: &str) -> Result<Self, OpenError> {
        let which = url.rsplit('@').next().unwrap_or_default().to_owned();
        let options = PgPoolOptions::new().max_connections(READERS + 8).acquire_timeout(PATIENCE);
        let pool = options.connect(url).await.map_err(|error| OpenError::Connect { which, error })?;
        Self::Pg(pool).migrated().await
    }

    async fn migrated(self) -> Result<Self, OpenError> {
        migrations::run(&self).await?;
        Ok(self)
    }

    /// Begins to write. On SQLite others who write wait here until this one is done.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Lite { write, .. } => Ok(Tx::Lite(write.begin_with("BEGIN IMMEDIATE").await?)),
            Self::Pg(pool) => Ok(Tx::Pg(pool.begin().await?)),
        }
    }

    /// Lets every connection go.
    pub async fn close(&self) {
        match self {
            Self::Lite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Self::Pg(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Makes it true, on the disk.
    ///
    /// # Errors
    /// Nothing of it is true, or the connection broke and nobody knows.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Lite(tx) => tx.commit().await,
            Self::Pg(tx) => tx.commit().await,
        }
    }
}

/// A number of Rust as the database keeps it; what is too large becomes the largest.
pub fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of the database as Rust counts; a negative one, which no statement writes, becomes 0.
pub fn counted(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Runs one statement on either engine: `query!(db: fetch_all Row, "SELECT …", bind, …)`.
///
/// First word: `db` for a [`Db`], `tx` for a [`Tx`] by mutable reference. Second: `execute` (answers the number of rows
/// it touched), `fetch_all`, `fetch_optional` or `fetch_one`, the latter three with the row's type.
///
/// `execute_each` (answers the number of rows it touched) and `fetch_each` (answers all rows) are for one statement about many rows,
/// whose text says `{rows TEXT, BIGINT}` where they stand ([`rows`]). Behind a semicolon stand the rows, and what is bound of each.
macro_rules! query {
    (@rows $query:expr, $rows:expr, |$row:pat_param| $($column:expr),+) => {{
        let mut query = $query;
        for $row in $rows {
            query = query$(.bind($column))+;
        }
        query
    }};
    (db: execute $db:expr, $text:literal $(, $bind:expr)* $(,)?) => {
        match $db {
            $crate::store::Db::Lite { write, .. } => {
                sqlx::query($text)$(.bind($bind))*.execute(write).await.map(|done| done.rows_affected())
            }
            $crate::store::Db::Pg(pool) => {
                sqlx::query($text)$(.bind($bind))*.execute(pool).await.map(|done| done.rows_affected())
            }
        }
    };
    (tx: execute $tx:expr, $text:literal $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Lite(tx) => {
                sqlx::query($text)$(.bind($bind))*.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
            $crate::store::Tx::Pg(tx) => {
                sqlx::query($text)$(.bind($bind))*.execute(&mut **tx).await.map(|done| done.rows_affected())
            }
        }
    };
    (tx: execute_each $tx:expr, $text:literal $(, $bind:expr)*; $rows:expr, |$row:pat_param| $($column:expr),+) => {{
        let mut touched = 0;
        for these in $crate::store::rows::groups($rows) {
            let text = $crate::store::rows::text($text, these.len());
            touched += match &mut *$tx {
                $crate::store::Tx::Lite(tx) => {
                    let query = sqlx::query(text)$(.bind($bind))*;
                    $crate::store::query!(@rows query, these, |$row| $($column),+).execute(&mut **tx).await?.rows_affected()
                }
                $crate::store::Tx::Pg(tx) => {
                    let query = sqlx::query(text)$(.bind($bind))*;
                    $crate::store::query!(@rows query, these, |$row| $($column),+).execute(&mut **tx).await?.rows_affected()
                }
            };
        }
        touched
    }};
    (tx: fetch_each $out:ty, $tx:expr, $text:literal $(, $bind:expr)*; $rows:expr, |$row:pat_param| $($column:expr),+) => {{
        let mut found = Vec::new();
        for these in $crate::store::rows::groups($rows) {
            let text = $crate::store::rows::text($text, these.len());
            found.extend(match &mut *$tx {
                $crate::store::Tx::Lite(tx) => {
                    let query = sqlx::query_as::<_, $out>(text)$(.bind($bind))*;
                    $crate::store::query!(@rows query, these, |$row| $($column),+).fetch_all(&mut **tx).await?
                }
                $crate::store::Tx::Pg(tx) => {
                    let query = sqlx::query_as::<_, $out>(text)$(.bind($bind))*;
                    $crate::store::query!(@rows query, these, |$row| $($column),+).fetch_all(&mut **tx).await?
                }
            });
        }
        found
    }};
    (db: fetch_each $out:ty, $db:expr, $text:literal $(, $bind:expr)*; $rows:expr, |$row:pat_param| $($column:expr),+) => {{
        let mut found = Vec::new();
        for these in $crate::store::rows::groups($rows) {
            let text = $crate::store::rows::text($text, these.len());
            found.extend(match $db {
                $crate::store::Db::Lite { read, .. } => {
                    let query = sqlx::query_as::<_, $out>(text)$(.bind($bind))*;
                    $crate::store::query!(@rows query, these, |$row| $($column),+).fetch_all(read).await?
                }
                $crate::store::Db::Pg(pool) => {
                    let query = sqlx::query_as::<_, $out>(text)$(.bind($bind))*;
                    $crate::store::query!(@rows query, these, |$row| $($column),+).fetch_all(pool).await?
                }
            });
        }
        found
    }};
    (db: $fetch:ident $row:ty, $db:expr, $text:literal $(, $bind:expr)* $(,)?) => {
        match $db {
            $crate::store::Db::Lite { read, .. } => {
                sqlx::query_as::<_, $row>($text)$(.bind($bind))*.$fetch(read).await
            }
            $crate::store::Db::Pg(pool) => sqlx::query_as::<_, $row>($text)$(.bind($bind))*.$fetch(pool).await,
        }
    };
    (tx: $fetch:ident $row:ty, $tx:expr, $text:literal $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::store::Tx::Lite(tx) => {
                sqlx::query_as::<_, $row>($text)$(.bind($bind))*.$fetch(&mut **tx).await
            }
            $crate::store::Tx::Pg(tx) => sqlx::query_as::<_, $row>($text)$(.bind($bind))*.$fetch(&mut **tx).await,
        }
    };
}
pub(crate) use query;

/// A row that both engines can fill, by the names of its columns.
macro_rules! row {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)+ }

        impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for $name
        where
            &'static str: sqlx::ColumnIndex<R>,
            $($type: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,)+
        {
            fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: row.try_get(stringify!($field))?,)+ })
            }
        }
    };
}
pub(crate) use row;
