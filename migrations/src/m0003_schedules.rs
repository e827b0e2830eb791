//! Flows that are loaded, their schedules, what becomes of each due time.

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

/// States of a schedule: 0 active, 1 ended (no due time is left), 2 removed (no loaded flow has it). Outcomes of a fire:
/// 0 a run began, 1 missed, 2 refused.
const SQLITE: &str = r#"
CREATE TABLE flow (
  project TEXT NOT NULL,
  flow    TEXT NOT NULL CHECK (flow <> ''),
  version TEXT NOT NULL REFERENCES version (hash),
  file    TEXT NOT NULL,
  gone    INTEGER NOT NULL CHECK (gone IN (0, 1)),
  at      INTEGER NOT NULL,
  PRIMARY KEY (project, flow)
) STRICT, WITHOUT ROWID;

CREATE TABLE schedule (
  id        INTEGER PRIMARY KEY CHECK (id > 0),
  project   TEXT NOT NULL,
  flow      TEXT NOT NULL,
  name      TEXT NOT NULL CHECK (name <> ''),
  version   TEXT NOT NULL REFERENCES version (hash),
  spec      TEXT NOT NULL,
  state     INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  paused_by TEXT,
  paused_at INTEGER,
  up_to     INTEGER NOT NULL,
  next_due  INTEGER,
  seq       INTEGER NOT NULL CHECK (seq > 0),
  at        INTEGER NOT NULL,
  UNIQUE (project, flow, name),
  CHECK ((paused_by IS NULL) = (paused_at IS NULL)),
  CHECK (next_due IS NULL OR state = 0)
) STRICT;

CREATE TABLE schedule_event (
  schedule INTEGER NOT NULL REFERENCES schedule (id),
  seq      INTEGER NOT NULL CHECK (seq > 0),
  at       INTEGER NOT NULL,
  kind     INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 255),
  "by"     TEXT,
  detail   TEXT,
  PRIMARY KEY (schedule, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE fire (
  schedule INTEGER NOT NULL REFERENCES schedule (id),
  due_at   INTEGER NOT NULL,
  since    INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  outcome  INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 2),
  run      INTEGER REFERENCES run (id),
  cause    TEXT,
  reason   TEXT,
  PRIMARY KEY (schedule, due_at),
  CHECK (since <= due_at),
  CHECK ((outcome = 0) = (run IS NOT NULL))
) STRICT, WITHOUT ROWID;
-- The schedule that began a run; a run is begun once.
CREATE UNIQUE INDEX fire_run ON fire (run) WHERE run IS NOT NULL;
-- What begins a run by something that happened does so once.
CREATE UNIQUE INDEX fire_cause ON fire (schedule, cause) WHERE cause IS NOT NULL;

UPDATE meta SET value = '3' WHERE key = 'schema';
"#;
