//! What can go wrong with the store, sorted by what to do about it.

use std::path::PathBuf;

use sea_orm::DbErr;

use super::rows::Batch;

/// Why the store can't be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A newer program wrote it.
    #[error(
        "{path} has schema {found}, this program knows schemas up to {known}\nhelp: use the newer weir that wrote it, or restore a backup made before"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The last schema that this program knows.
        known: i64,
    },
    /// The file is no database, or a damaged one.
    #[error(
        "{path} is damaged: {cause}\nhelp: keep a copy of the folder and restore the last backup with `weir restore`"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        cause: sqlx::Error,
    },
    /// The folder can't be used.
    #[error(transparent)]
    Home(#[from] crate::home::Error),
    /// A row that no version of this program could have written.
    #[error(
        "the store holds what can't be: {0}\nhelp: run `weir verify` and restore the last backup if it reports more"
    )]
    Impossible(String),
    /// The database did not answer.
    #[error("the store can't be read: {0}")]
    Unreadable(#[from] DbErr),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Unreadable(DbErr::Query(sea_orm::RuntimeErr::SqlxError(error.into())))
    }
}

/// What kind of failure kept a batch from being committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full.
    Full,
    /// Another program holds the database for longer than can be waited for.
    Busy,
    /// The disk reports errors.
    Io,
    /// The database or its folder can't be reached any more.
    Gone,
    /// The database can't be written.
    ReadOnly,
    /// There is not enough memory.
    Memory,
    /// A batch before this one failed, so this one was not tried: order is kept.
    Held,
    /// The database is damaged.
    Damaged,
    /// A rule of the schema is broken: a bug.
    Refused,
    /// The store was closed.
    Closed,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Wait, then [`super::Store::resume`], and submit the same batches again in the same order.
    Retry,
    /// Trying again will not help: stop, and tell.
    Stop,
}

impl Trouble {
    /// What to do about it.
    pub fn advice(self) -> Advice {
        match self {
            Self::Full
            | Self::Busy
            | Self::Io
            | Self::Gone
            | Self::ReadOnly
            | Self::Memory
            | Self::Held => Advice::Retry,
            Self::Damaged | Self::Refused | Self::Closed => Advice::Stop,
        }
    }

    /// Sorts what sqlx reports.
    pub(super) fn of(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
        match (code.and_then(|code| code.parse().ok()), error) {
            (Some(code), _) => Self::of_code(code),
            (
                None,
                sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed | sqlx::Error::PoolTimedOut,
            ) => Self::Gone,
            (None, sqlx::Error::Io(_)) => Self::Io,
            (None, _) => Self::Refused,
        }
    }

    /// Sorts what the writer's connection reports.
    pub(super) fn of_write(error: &rusqlite::Error) -> Self {
        error.sqlite_error().map_or(Self::Refused, |error| Self::of_code(error.extended_code))
    }

    /// Sorts SQLite's result codes (`sqlite3.h`); the low byte is the kind.
    fn of_code(code: i32) -> Self {
        match code & 0xff {
            5 | 6 | 15 => Self::Busy,
            7 => Self::Memory,
            // SQLITE_READONLY_DBMOVED: the file was moved or removed.
            8 if code == 1032 => Self::Gone,
            8 => Self::ReadOnly,
            10 => Self::Io,
            11 | 26 => Self::Damaged,
            13 => Self::Full,
            14 => Self::Gone,
            _ => Self::Refused,
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::Full => "the disk is full; free some space, nothing that was committed is lost",
            Self::Busy => "the database is held by another program",
            Self::Io => "the disk reports errors",
            Self::Gone => "the database can't be reached any more",
            Self::ReadOnly => "the database can't be written",
            Self::Memory => "there is not enough memory",
            Self::Held => "a change before this one could not be kept",
            Self::Damaged => "the database is damaged; restore the last backup",
            Self::Refused => "the database refuses what breaks its rules; this is a bug in weir",
            Self::Closed => "the store was closed",
        }
    }
}

/// A batch that was not committed: no row of it is there.
#[derive(Debug)]
pub struct CommitError {
    /// What kind of failure it was.
    pub trouble: Trouble,
    /// What the database said.
    pub message: String,
    /// The batch, for trying again.
    pub batch: Box<Batch>,
}

impl std::fmt::Display for CommitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.trouble.told())?;
        if self.message.is_empty() { Ok(()) } else { write!(f, " ({})", self.message) }
    }
}

impl std::error::Error for CommitError {}
