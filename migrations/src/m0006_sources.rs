//! Where people come from: from here, or from a place that vouches for them.

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

/// `source`: empty for people whose password is kept here. `subject` is what the other place calls them, for good.
const SQLITE: &str = r"
ALTER TABLE person ADD COLUMN source TEXT NOT NULL DEFAULT '' CHECK (source IN ('', 'ldap', 'oidc'));
ALTER TABLE person ADD COLUMN subject TEXT NOT NULL DEFAULT '' CHECK ((subject = '') = (source = ''));
-- Nobody of another place is two people here.
CREATE UNIQUE INDEX person_subject ON person (source, subject) WHERE source <> '';

UPDATE meta SET value = '6' WHERE key = 'schema';
";
