//! How SQLite finds what lists ask for: by an index, in the order of the list. What would read a whole table of a million
//! runs is refused here.

use sea_orm::sea_query::SqliteQueryBuilder;
use sea_orm::{QuerySelect as _, QueryTrait as _};
use weir_core::ids::RunId;

use super::connect;
use super::notices::{NoticeFilter, list_of};
use super::prune::removable;
use super::read::{DiagnosisFilter, RunFilter, diagnoses_of, runs_of};
use super::rows::NoticeState;
use crate::home::Home;

/// Each list with the name that a failure shows.
fn lists() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let text = |is: bool, text: &str| is.then(|| text.to_owned());
    for state in std::iter::once(None).chain((0..=8).map(Some)) {
        for bits in 0..8 {
            let filter = RunFilter {
                project: text(bits & 1 > 0, "tap"),
                flow: text(bits & 2 > 0, "tour"),
                state,
                origin: None,
            };
            let before = (bits & 4 > 0).then_some(RunId(500_000));
            let sql = runs_of(&filter, before).limit(51).into_query().to_string(SqliteQueryBuilder);
            all.push((format!("runs {filter:?} before {before:?}"), sql));
        }
    }
    let reruns = RunFilter { origin: Some(7), ..RunFilter::default() };
    let sql = runs_of(&reruns, None).limit(51).into_query().to_string(SqliteQueryBuilder);
    all.push(("reruns of a run".to_owned(), sql));
    for bits in 0..4 {
        let filter = DiagnosisFilter {
            run: (bits & 1 > 0).then_some(RunId(7)),
            signature: text(bits & 2 > 0, "SYS-02"),
        };
        let sql = diagnoses_of(&filter, None).limit(51).into_query().to_string(SqliteQueryBuilder);
        all.push((format!("diagnoses {filter:?}"), sql));
    }
    let states = [NoticeState::Waiting, NoticeState::Delivered, NoticeState::GivenUp];
    for state in std::iter::once(None).chain(states.map(Some)) {
        for run in [None, Some(RunId(7))] {
            let filter = NoticeFilter { run, state, before: None };
            all.push((format!("notices {filter:?}"), list_of(&filter)));
        }
    }
    all.push(("runs that may go".to_owned(), removable()));
    all
}

#[tokio::test]
async fn no_list_reads_a_whole_table() {
    let dir = tempfile::tempdir().expect("a folder");
    let home = Home::open(dir.path()).expect("a home");
    let connection = connect::prepare(&home).await.expect("a database");
    let mut wrong = Vec::new();
    for (name, sql) in lists() {
        let mut statement =
            connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("it is SQL");
        let steps = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        let steps: Vec<String> = steps.collect::<Result<_, _>>().expect("a plan");
        let is_wrong = |step: &String| {
            // Runs that have not ended are few, and have an index of their own.
            (step.starts_with("SCAN") && !step.ends_with("USING INDEX run_unfinished"))
                || step.contains("AUTOMATIC")
                // A run's own tasks may be put in order; a table of runs must be in order.
                || (name.starts_with("runs") && step.contains("USE TEMP B-TREE"))
        };
        if steps.iter().any(is_wrong) {
            wrong.push(format!("{name}: {steps:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
