//! Schedules that people add: what they wrote, and who.

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

/// `own` is a JSON object with the keys of a schedule in a flow file; where it is NULL the flow's file has the schedule.
const SQLITE: &str = r"
ALTER TABLE schedule ADD COLUMN own TEXT;
ALTER TABLE schedule ADD COLUMN added_by TEXT CHECK ((added_by IS NULL) = (own IS NULL));

UPDATE meta SET value = '4' WHERE key = 'schema';
";
