//! What stays of runs that are removed: how often each signature was met, what has begun a run once and for all, and
//! whose folders are still to go. Lists of notices by state.

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

/// A run is removed with its rows in one transaction, which leaves its number in `removed_run` until its folder is gone.
const SQLITE: &str = r"
CREATE TABLE removed_run (
  run INTEGER PRIMARY KEY CHECK (run > 0)
) STRICT;

CREATE TABLE past_signature (
  signature TEXT PRIMARY KEY CHECK (signature <> ''),
  met       INTEGER NOT NULL CHECK (met >= cured + not_cured),
  cured     INTEGER NOT NULL CHECK (cured >= 0),
  not_cured INTEGER NOT NULL CHECK (not_cured >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE past_cause (
  schedule INTEGER NOT NULL REFERENCES schedule (id),
  cause    TEXT NOT NULL,
  PRIMARY KEY (schedule, cause)
) STRICT, WITHOUT ROWID;

-- The runs of a flow of this name, whatever the project; those of them that failed or were cancelled.
CREATE INDEX run_flow_name ON run (flow, id);
CREATE INDEX run_failed_flow ON run (flow, id) WHERE state = 7;
CREATE INDEX run_cancelled_flow ON run (flow, id) WHERE state = 8;

-- The lists of notices that wait and of those that were given up.
CREATE INDEX notice_waiting_list ON notice (run, seq) WHERE state = 0;
CREATE INDEX notice_given_up_list ON notice (run, seq) WHERE state = 2;

UPDATE meta SET value = '7' WHERE key = 'schema';
";
