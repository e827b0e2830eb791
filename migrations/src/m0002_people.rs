//! People, their roles, sessions and tokens; what was changed by whom; requests that must count once.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::run(manager, SQLITE).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

/// Hashes of sessions and tokens are SHA-256 of what only their owner has. Roles: 1 viewer, 2 operator, 3 author,
/// 4 administrator. An empty project stands for all of them.
const SQLITE: &str = r#"
CREATE TABLE person (
  name     TEXT PRIMARY KEY CHECK (name <> ''),
  password TEXT NOT NULL,
  one_time INTEGER NOT NULL CHECK (one_time IN (0, 1)),
  at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE person_role (
  person  TEXT NOT NULL REFERENCES person (name) ON DELETE CASCADE,
  project TEXT NOT NULL,
  role    INTEGER NOT NULL CHECK (role BETWEEN 1 AND 4),
  PRIMARY KEY (person, project)
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
  hash       TEXT PRIMARY KEY CHECK (length(hash) = 64),
  person     TEXT NOT NULL REFERENCES person (name) ON DELETE CASCADE,
  at         INTEGER NOT NULL,
  expires_at INTEGER NOT NULL CHECK (expires_at > at),
  origin     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
-- A person's sessions, to end them all.
CREATE INDEX session_person ON session (person);
-- Which have run out.
CREATE INDEX session_expiry ON session (expires_at);

CREATE TABLE token (
  hash       TEXT PRIMARY KEY CHECK (length(hash) = 64),
  name       TEXT NOT NULL UNIQUE CHECK (name <> ''),
  project    TEXT NOT NULL,
  role       INTEGER NOT NULL CHECK (role BETWEEN 1 AND 4),
  at         INTEGER NOT NULL,
  expires_at INTEGER,
  "by"       TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  id     INTEGER PRIMARY KEY,
  at     INTEGER NOT NULL,
  "by"   TEXT NOT NULL,
  origin TEXT NOT NULL,
  what   TEXT NOT NULL CHECK (what <> ''),
  target TEXT NOT NULL,
  before TEXT,
  after  TEXT
) STRICT;

CREATE TABLE request (
  "by"        TEXT NOT NULL,
  "key"       TEXT NOT NULL CHECK ("key" <> ''),
  fingerprint TEXT NOT NULL,
  run         INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  PRIMARY KEY ("by", "key")
) STRICT, WITHOUT ROWID;
-- Which are old enough to be forgotten.
CREATE INDEX request_at ON request (at);

UPDATE meta SET value = '2' WHERE key = 'schema';
"#;
