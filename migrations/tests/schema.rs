//! Steps that were released never change, and together they make what `schema.sql` shows.

use std::fmt::Write as _;
use std::path::Path;

use sea_orm_migration::prelude::MigratorTrait as _;
use sea_orm_migration::sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use sha2::{Digest as _, Sha256};
use weir_migrations::{Migrator, SCHEMA};

/// The hash of each step's file. A line is added with its step and never changed after a release.
const STEPS: &[(&str, &str)] = &[
    ("m0001_begin.rs", "5b4da3d0c37e084f9a13f173cb1c6aa867d62d402e529164aa9fef6e21598042"),
    ("m0002_people.rs", "7d9540926fd6636adf812f3a38ab8feded20756f0c7f599ec5bb4c348d225a5f"),
    ("m0003_schedules.rs", "c0650531165bbc6b1ff3aa56cee3ef2010c4fcae454770b829e8fb01b2a8f88d"),
    ("m0004_own_schedules.rs", "f49e8b4ec35c153660084063e9d7648059426095e64c5cfffcb177e682e0d1ee"),
    ("m0005_notices.rs", "b906841c01ea407a4e8e0754b6ed465354cfaf7737f119af13f3fc0c49c44b4a"),
    ("m0006_sources.rs", "d366779f6ecbda04c71bda94fcbe70bb8b9648f1b8901ff3cb978d76d66bddad"),
    ("m0007_prune.rs", "d6f265154f30758358ffdd7fdbf32af4e734ec7c12c089c7ee58da87551c3002"),
];

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn steps_never_change() {
    let mut found: Vec<String> =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
            .expect("the sources are there")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("a plain name"))
            .filter(|name| name.starts_with('m') && name.as_bytes()[1].is_ascii_digit())
            .collect();
    found.sort();
    assert_eq!(found, STEPS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    assert_eq!(STEPS.len(), Migrator::migrations().len());
    for (name, hash) in STEPS {
        let mut now = String::new();
        for byte in Sha256::digest(file(&format!("src/{name}"))) {
            write!(now, "{byte:02x}").expect("a string takes all");
        }
        assert_eq!(&now, hash, "{name} was changed: add a step instead");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn the_schema_is_what_the_steps_make() {
    let db = Database::connect("sqlite::memory:").await.expect("a database in memory");
    Migrator::up(&db, None).await.expect("all steps run");
    let ask = |sql: &str| Statement::from_string(DbBackend::Sqlite, sql.to_owned());
    let version = db
        .query_one_raw(ask("SELECT CAST(value AS INTEGER) AS v FROM meta WHERE key = 'schema'"))
        .await
        .expect("meta is there")
        .expect("it has a schema");
    assert_eq!(version.try_get::<i64>("", "v").expect("a number"), SCHEMA);
    assert_eq!(SCHEMA as usize, STEPS.len());

    let mut schema = String::from(
        "-- What the migrations make, for reading. Written by `UPDATE_SCHEMA=1 cargo test -p weir-migrations`.\n",
    );
    let rows = db
        .query_all_raw(ask(
            "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND tbl_name NOT IN ('seaql_migrations') ORDER BY tbl_name, type = 'index', name",
        ))
        .await
        .expect("the schema can be read");
    for row in rows {
        let sql: String = row.try_get("", "sql").expect("text");
        write!(schema, "\n{sql};\n").expect("a string takes all");
    }
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.sql"), &schema)
            .expect("writable");
    }
    assert_eq!(schema, file("schema.sql"), "run it with UPDATE_SCHEMA=1");
}
