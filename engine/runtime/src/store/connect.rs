//! Opening the database: how it is connected to, migrated, and found to be ours.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use rusqlite::OpenFlags;
use sea_orm::{DatabaseConnection, SqlxSqliteConnector};
use sea_orm_migration::MigratorTrait as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlitePool};
use weir_migrations::{Migrator, SCHEMA};

use super::{Error, Trouble};
use crate::home::{self, Home};

/// How long another program may hold the database before a commit fails.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// The log keeps this length when it begins anew. It is longer than the log of an idle system gets, and shorter than one
/// that is to be copied.
pub(super) const LOG_KEEPS: u64 = 4 << 20;
/// The length that a new log is given.
const LOG_BEGINS: u64 = 2 << 20;
/// How many can read at once.
const READERS: u32 = 4;

/// What a connection of sqlx is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Reading, for as long as the store is open.
    Read,
    /// Making and copying the database.
    Care,
}

/// Connects to the home's database through sqlx.
pub(super) fn options(home: &Home, purpose: Use) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new()
        .filename(home.database())
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY)
        .foreign_keys(true)
        .pragma("wal_autocheckpoint", "0")
        .disable_statement_logging();
    match purpose {
        Use::Read => options
            .pragma("query_only", "1")
            .row_buffer_size(512)
            .thread_name(|_| "weir-reads".to_owned()),
        Use::Care => options,
    }
}

/// Connections for a purpose, made when they are first needed. No timer runs for them.
pub(super) fn pool(home: &Home, purpose: Use) -> SqlitePool {
    let most = match purpose {
        Use::Care => 1,
        Use::Read => READERS,
    };
    SqlitePoolOptions::new()
        .max_connections(most)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(30))
        .connect_lazy_with(options(home, purpose))
}

/// The writer's own connection. Without sqlx: that has a thread for each connection, and the two hops of each statement
/// cost more than the statement.
pub(super) fn writer(home: &Home) -> Result<rusqlite::Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(home.database(), flags)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {LOG_KEEPS};",
    ))?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// Fills the log up with zeros, which SQLite takes for its end. To sync a file that was written over takes two thirds of
/// the time that it takes where the file has grown, and a commit is little else.
fn make_room(home: &Home) {
    let made = || -> io::Result<()> {
        let mut log = OpenOptions::new().append(true).open(home.log())?;
        let missing = LOG_BEGINS.saturating_sub(log.metadata()?.len());
        io::copy(&mut io::repeat(0).take(missing), &mut log)?;
        Ok(())
    };
    if let Err(error) = made() {
        tracing::debug!(%error, "the log of the database has less room than it should");
    }
}

/// The connection for reading, as the entities want it.
pub(super) fn reader(home: &Home) -> DatabaseConnection {
    SqlxSqliteConnector::from_sqlx_sqlite_pool(pool(home, Use::Read))
}

/// Makes the database if it is not there, brings it to the newest schema and gives the home its name.
pub(super) async fn prepare(home: &Home) -> Result<rusqlite::Connection, Error> {
    let path = home.database();
    let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    made.map_err(|error| home::Error::of(&path, error))?;
    let writer = pool(home, Use::Care);
    let found = schema(&writer).await.map_err(|error| sort(home, error))?;
    match found {
        Some(found) if found > SCHEMA => return Err(Error::Newer { path, found, known: SCHEMA }),
        Some(found) if found == SCHEMA => {}
        Some(_) | None => migrate(home, &writer).await?,
    }
    // Opened before the other is closed: the last to close would copy and remove the log for nothing.
    let connection = self::writer(home).map_err(|error| unopened(home, error))?;
    writer.close().await;
    make_room(home);
    Ok(connection)
}

async fn migrate(home: &Home, writer: &SqlitePool) -> Result<(), Error> {
    let connection = SqlxSqliteConnector::from_sqlx_sqlite_pool(writer.clone());
    Migrator::up(&connection, None).await?;
    let mut id = [0; 8];
    getrandom::fill(&mut id).expect("the system gives random numbers");
    sqlx::query("INSERT INTO meta (key, value) VALUES ('home', ?) ON CONFLICT (key) DO NOTHING")
        .bind(weir_core::hex::encode(&id))
        .execute(writer)
        .await
        .map_err(|error| sort(home, error))?;
    Ok(())
}

/// The schema that the database has; `None` if it is empty.
async fn schema(pool: &SqlitePool) -> Result<Option<i64>, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'")
        .fetch_one(pool)
        .await?;
    if tables == 0 {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'schema'")
        .fetch_optional(pool)
        .await
}

fn unopened(home: &Home, error: rusqlite::Error) -> Error {
    home::Error::Io { path: home.database(), cause: std::io::Error::other(error) }.into()
}

/// Gives an error met while opening the name under which it can be helped.
fn sort(home: &Home, error: sqlx::Error) -> Error {
    let path = home.database();
    match Trouble::of(&error) {
        Trouble::Damaged => Error::Damaged { path, cause: error },
        Trouble::Full => home::Error::Full { path }.into(),
        Trouble::ReadOnly => {
            home::Error::ReadOnly { path, cause: std::io::Error::other(error) }.into()
        }
        Trouble::Io | Trouble::Gone => {
            home::Error::Io { path, cause: std::io::Error::other(error) }.into()
        }
        Trouble::Busy | Trouble::Memory | Trouble::Held | Trouble::Refused | Trouble::Closed => {
            error.into()
        }
    }
}
