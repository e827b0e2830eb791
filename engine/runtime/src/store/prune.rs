//! Removing: runs that nobody is to keep with all that is of them, requests and sessions that have had their time.
//!
//! Which runs may go is looked up here and looked at again where they are removed: what has a rerun that moves, or has
//! not ended, stays whatever was asked. What must outlive a run is added up in the same transaction.

use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::ToSql;
use sqlx::AssertSqlSafe;
use weir_core::ids::RunId;
use weir_core::time::Timestamp;

use super::{CommitError, Error, Store};

/// So long a request counts once.
pub const REQUESTS_COUNT_FOR: Duration = Duration::from_hours(7 * 24);

/// Which runs of a flow are kept: those that either says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Those that ended after this.
    pub after: Option<Timestamp>,
    /// So many of the last.
    pub runs: Option<u32>,
}

/// A change that removes.
pub(super) enum Removal {
    /// These runs, as far as they may go.
    Runs(Vec<i64>),
    /// The folders of these runs are gone.
    Folders(Vec<i64>),
    /// Requests and sessions that have had their time by now.
    Past(Timestamp),
}

/// What must hold of `run` that it may go, whatever was asked: it has ended, no rerun of it moves, nor a run that it
/// began, nor does the run that began it still stand here; nobody is still to be told of it. It is neither the last of
/// its flow (its number must not be given again) nor the last that went well (others are compared with that).
const MAY_GO: &str = "run.ended_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM run AS o WHERE o.ended_at IS NULL AND (o.origin = run.id OR CAST(o.parent AS INTEGER) = run.id))
  AND (run.parent IS NULL OR NOT EXISTS (SELECT 1 FROM run AS o WHERE o.id = CAST(run.parent AS INTEGER)))
  AND NOT EXISTS (SELECT 1 FROM notice AS n WHERE n.run = run.id AND n.state = 0)
  AND run.id < (SELECT max(o.id) FROM run AS o WHERE o.project = run.project AND o.flow = run.flow)
  AND (run.state <> 6 OR EXISTS (SELECT 1 FROM run AS o
    WHERE o.project = run.project AND o.flow = run.flow AND o.id > run.id AND o.state = 6))";

/// Tables whose rows are of a run, those first that need others.
const OF_RUNS: [&str; 8] =
    ["notice", "fire", "event", "diagnosis", "result", "attempt", "block", "task"];

impl Removal {
    pub(super) fn write(&self, to: &Connection) -> Result<(), rusqlite::Error> {
        let run =
            |sql: &str, values: &[&dyn ToSql]| to.prepare_cached(sql)?.execute(values).map(|_| ());
        match self {
            Self::Runs(asked) => {
                let sql = format!(
                    "SELECT run.id FROM run WHERE run.id IN (SELECT value FROM json_each(?)) AND {MAY_GO}"
                );
                let going: Vec<i64> = to
                    .prepare_cached(&sql)?
                    .query_map([list(asked)], |row| row.get(0))?
                    .collect::<Result<_, _>>()?;
                let going = list(&going);
                let these = "IN (SELECT value FROM json_each(?))";
                run(
                    &format!(
                        "INSERT INTO past_signature (signature, met, cured, not_cured)
                         SELECT signature, count(*), count(*) FILTER (WHERE result = 'cured'),
                                count(*) FILTER (WHERE result <> 'cured')
                         FROM diagnosis WHERE run {these} GROUP BY signature
                         ON CONFLICT (signature) DO UPDATE SET met = met + excluded.met,
                           cured = cured + excluded.cured, not_cured = not_cured + excluded.not_cured"
                    ),
                    &[&going],
                )?;
                run(
                    &format!(
                        "INSERT OR IGNORE INTO past_cause (schedule, cause)
                         SELECT schedule, cause FROM fire WHERE run {these} AND cause IS NOT NULL"
                    ),
                    &[&going],
                )?;
                for table in OF_RUNS {
                    run(&format!("DELETE FROM {table} WHERE run {these}"), &[&going])?;
                }
                run(&format!("DELETE FROM run WHERE id {these}"), &[&going])?;
                run("INSERT INTO removed_run (run) SELECT value FROM json_each(?)", &[&going])
            }
            Self::Folders(gone) => run(
                "DELETE FROM removed_run WHERE run IN (SELECT value FROM json_each(?))",
                &[&list(gone)],
            ),
            Self::Past(now) => {
                let before = now.millis() - REQUESTS_COUNT_FOR.as_millis() as i64;
                run("DELETE FROM request WHERE at <= ?", &[&before])?;
                run("DELETE FROM session WHERE expires_at <= ?", &[&now.millis()])
            }
        }
    }
}

fn list(numbers: &[i64]) -> String {
    serde_json::Value::from(numbers).to_string()
}

impl Store {
    /// The flows that have runs: projects and names, in order.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn flows_with_runs(&self) -> Result<Vec<(String, String)>, Error> {
        let pool = self.inner.reader.get_sqlite_connection_pool();
        let mut found: Vec<(String, String)> =
            sqlx::query_as("SELECT project, flow FROM run ORDER BY project, flow LIMIT 1")
                .fetch_all(pool)
                .await?;
        // From one to the next, past all runs of each: a flow may have a million.
        while let Some((project, flow)) = found.last() {
            let next: Option<(String, String)> = sqlx::query_as(
                "SELECT project, flow FROM run WHERE (project, flow) > (?, ?) ORDER BY project, flow LIMIT 1",
            )
            .bind(project)
            .bind(flow)
            .fetch_optional(pool)
            .await?;
            match next {
                Some(next) => found.push(next),
                None => break,
            }
        }
        Ok(found)
    }

    /// Runs of a flow that may go and are not kept, oldest first, after a number, at most `limit`.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn removable_runs(
        &self,
        (project, flow): (&str, &str),
        kept: Kept,
        after: RunId,
        limit: u32,
    ) -> Result<Vec<RunId>, Error> {
        // Nothing is said: all are kept.
        if kept.after.is_none() && kept.runs.is_none() {
            return Ok(Vec::new());
        }
        let found: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(removable()))
            .bind(project)
            .bind(flow)
            .bind(after.0)
            .bind(kept.after.map_or(i64::MAX, Timestamp::millis))
            .bind(kept.runs.map_or(0, |runs| i64::from(runs.max(1)) - 1))
            .bind(limit)
            .fetch_all(self.inner.reader.get_sqlite_connection_pool())
            .await?;
        Ok(found.into_iter().map(RunId).collect())
    }

    /// Removes runs with all that is of them, but for those that may not go. Their folders are left: see
    /// [`Store::removed_runs`].
    ///
    /// # Errors
    /// Nothing was removed.
    pub async fn remove_runs(&self, runs: &[RunId]) -> Result<(), CommitError> {
        self.removal(Removal::Runs(runs.iter().map(|run| run.0).collect())).await
    }

    /// Runs that are removed and whose folders are not known to be gone.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn removed_runs(&self) -> Result<Vec<RunId>, Error> {
        let found: Vec<i64> = sqlx::query_scalar("SELECT run FROM removed_run ORDER BY run")
            .fetch_all(self.inner.reader.get_sqlite_connection_pool())
            .await?;
        Ok(found.into_iter().map(RunId).collect())
    }

    /// Notes that the folders of removed runs are gone.
    ///
    /// # Errors
    /// It was not noted.
    pub async fn folders_are_gone(&self, runs: &[RunId]) -> Result<(), CommitError> {
        self.removal(Removal::Folders(runs.iter().map(|run| run.0).collect())).await
    }

    /// Removes requests and sessions that have had their time.
    ///
    /// # Errors
    /// Nothing was removed.
    pub async fn remove_past(&self, now: Timestamp) -> Result<(), CommitError> {
        self.removal(Removal::Past(now)).await
    }
}

/// Runs of a flow (1, 2) after a number (3) that ended up to a time (4) and are older than so many of the last (5, less
/// one), as far as they may go; so many (6).
pub(super) fn removable() -> String {
    format!(
        "SELECT run.id FROM run
         WHERE run.project = ?1 AND run.flow = ?2 AND run.id > ?3 AND run.ended_at <= ?4
           AND run.id < coalesce((SELECT o.id FROM run AS o WHERE o.project = ?1 AND o.flow = ?2
             ORDER BY o.id DESC LIMIT 1 OFFSET ?5), 0)
           AND {MAY_GO} ORDER BY run.id LIMIT ?6"
    )
}
