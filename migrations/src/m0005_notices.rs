//! Notices: who is to be told of what, from the moment it happened until they have been told.

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

/// `seq` is the event that is told of. States of a notice: 0 waits, 1 delivered, 2 given up. `told_at`: when it was sent
/// last, unless it surely did not arrive.
const SQLITE: &str = r#"
CREATE TABLE notice (
  run       INTEGER NOT NULL REFERENCES run (id),
  seq       INTEGER NOT NULL CHECK (seq > 0),
  reason    INTEGER NOT NULL CHECK (reason BETWEEN 0 AND 255),
  receiver  TEXT NOT NULL CHECK (receiver <> ''),
  "key"     TEXT NOT NULL,
  project   TEXT NOT NULL,
  span_ms   INTEGER NOT NULL CHECK (span_ms >= 0),
  message   TEXT NOT NULL,
  state     INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2),
  tries     INTEGER NOT NULL CHECK (tries >= 0),
  at        INTEGER NOT NULL,
  due_at    INTEGER NOT NULL,
  told_at   INTEGER,
  ended_at  INTEGER,
  error     TEXT,
  PRIMARY KEY (run, seq, reason, receiver),
  CHECK ((state > 0) = (ended_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
-- What is to be sent next.
CREATE INDEX notice_due ON notice (due_at) WHERE state = 0;
-- What waits to be told together.
CREATE INDEX notice_waiting ON notice ("key") WHERE state = 0;
-- When somebody was told of the same thing last.
CREATE INDEX notice_told ON notice ("key", told_at) WHERE told_at IS NOT NULL;
-- What nobody was told of.
CREATE INDEX notice_given_up ON notice (ended_at) WHERE state = 2;

UPDATE meta SET value = '5' WHERE key = 'schema';
"#;
