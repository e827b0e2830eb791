//! The schema, step by step. A step that was released never changes; what all of them make together is `schema.sql`.
//!
//! Each step brings its text for every database it knows and leaves its number in `meta`, so that an older program
//! can say that it meets a newer home instead of failing somewhere in the middle.

use sea_orm_migration::prelude::*;

mod m0001_begin;
mod m0002_people;
mod m0003_schedules;
mod m0004_own_schedules;
mod m0005_notices;
mod m0006_sources;
mod m0007_prune;

/// The steps in order.
#[derive(Debug)]
pub struct Migrator;

/// The number of the last step: what `meta` holds under `schema` when all of them are done.
pub const SCHEMA: i64 = 7;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_begin::Migration),
            Box::new(m0002_people::Migration),
            Box::new(m0003_schedules::Migration),
            Box::new(m0004_own_schedules::Migration),
            Box::new(m0005_notices::Migration),
            Box::new(m0006_sources::Migration),
            Box::new(m0007_prune::Migration),
        ]
    }
}

/// Runs a step's text on the database it is for.
///
/// # Errors
/// The database is neither SQLite nor one that the step has a text for, or refuses the text.
async fn run(manager: &SchemaManager<'_>, sqlite: &str) -> Result<(), DbErr> {
    let backend = manager.get_database_backend();
    match backend {
        sea_orm_migration::sea_orm::DbBackend::Sqlite => {
            manager.get_connection().execute_unprepared(sqlite).await?;
            Ok(())
        }
        _ => Err(DbErr::Migration(format!("this schema is not written for {backend:?}"))),
    }
}
