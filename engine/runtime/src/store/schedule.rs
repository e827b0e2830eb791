//! What can be asked of the store about flows that are loaded, their schedules and due times.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _};
use weir_core::time::Timestamp;

use super::rows::{FireRow, FlowRow, OwnSchedule, ScheduleEventRow, ScheduleRow};
use super::{Error, Store};

/// A fire as its columns.
struct Fire {
    schedule: i64,
    due_at: i64,
    since: i64,
    at: i64,
    outcome: u8,
    run: Option<i64>,
    cause: Option<String>,
    reason: Option<String>,
}

impl FromRow<'_, SqliteRow> for Fire {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            schedule: row.try_get("schedule")?,
            due_at: row.try_get("due_at")?,
            since: row.try_get("since")?,
            at: row.try_get("at")?,
            outcome: row.try_get("outcome")?,
            run: row.try_get("run")?,
            cause: row.try_get("cause")?,
            reason: row.try_get("reason")?,
        })
    }
}

impl From<Fire> for FireRow {
    fn from(row: Fire) -> Self {
        Self {
            schedule: row.schedule,
            due_at: Timestamp::from_millis(row.due_at),
            since: Timestamp::from_millis(row.since),
            at: Timestamp::from_millis(row.at),
            outcome: row.outcome,
            run: row.run,
            cause: row.cause,
            reason: row.reason,
        }
    }
}

/// An event as its columns: seq, at, kind, by, detail.
type Event = (i64, i64, u8, Option<String>, Option<String>);

struct Schedule {
    id: i64,
    project: String,
    flow: String,
    name: String,
    version: String,
    spec: String,
    state: u8,
    paused_by: Option<String>,
    paused_at: Option<i64>,
    up_to: i64,
    next_due: Option<i64>,
    seq: i64,
    at: i64,
    own: Option<String>,
    added_by: Option<String>,
}

impl FromRow<'_, SqliteRow> for Schedule {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            project: row.try_get("project")?,
            flow: row.try_get("flow")?,
            name: row.try_get("name")?,
            version: row.try_get("version")?,
            spec: row.try_get("spec")?,
            state: row.try_get("state")?,
            paused_by: row.try_get("paused_by")?,
            paused_at: row.try_get("paused_at")?,
            up_to: row.try_get("up_to")?,
            next_due: row.try_get("next_due")?,
            seq: row.try_get("seq")?,
            at: row.try_get("at")?,
            own: row.try_get("own")?,
            added_by: row.try_get("added_by")?,
        })
    }
}

impl From<Schedule> for ScheduleRow {
    fn from(row: Schedule) -> Self {
        Self {
            id: row.id,
            project: row.project.into(),
            flow: row.flow.into(),
            name: row.name.into(),
            version: row.version.into(),
            spec: row.spec.into(),
            state: row.state,
            paused_by: row.paused_by,
            paused_at: row.paused_at.map(Timestamp::from_millis),
            up_to: Timestamp::from_millis(row.up_to),
            next_due: row.next_due.map(Timestamp::from_millis),
            seq: row.seq,
            at: Timestamp::from_millis(row.at),
            own: row.own.zip(row.added_by).map(|(text, by)| Arc::new(OwnSchedule { text, by })),
        }
    }
}

impl Store {
    /// Flows that are or were loaded, by project and name.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn loaded_flows(&self) -> Result<Vec<FlowRow>, Error> {
        let rows: Vec<(String, String, String, String, i64, i64)> = sqlx::query_as(
            "SELECT project, flow, version, file, gone, at FROM flow ORDER BY project, flow",
        )
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(project, flow, version, file, gone, at)| FlowRow {
                project,
                flow,
                version,
                file,
                is_gone: gone != 0,
                at: Timestamp::from_millis(at),
            })
            .collect())
    }

    /// Schedules by number, those that are removed among them.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn schedules(&self) -> Result<Vec<ScheduleRow>, Error> {
        let rows: Vec<Schedule> = sqlx::query_as(
            "SELECT id, project, flow, name, version, spec, state, paused_by, paused_at, up_to, next_due, seq, at, own, added_by FROM schedule ORDER BY id",
        )
            .fetch_all(self.inner.reader.get_sqlite_connection_pool())
            .await?;
        Ok(rows.into_iter().map(ScheduleRow::from).collect())
    }

    /// Schedules that are not removed, by project, flow and id, each with what became of its last due time and the
    /// state of that run; all, or one by its number.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn schedules_with_last(
        &self,
        only: Option<i64>,
    ) -> Result<Vec<(ScheduleRow, Option<(FireRow, Option<u8>)>)>, Error> {
        let pool = self.inner.reader.get_sqlite_connection_pool();
        let rows: Vec<Schedule> = sqlx::query_as(
            "SELECT id, project, flow, name, version, spec, state, paused_by, paused_at, up_to, next_due, seq, at, own, added_by FROM schedule
             WHERE state <> 2 AND id = coalesce(?, id) ORDER BY project, flow, name",
        )
        .bind(only)
        .fetch_all(pool)
        .await?;
        let last = sqlx::query(
            "SELECT f.schedule, f.due_at, f.since, f.at, f.outcome, f.run, f.cause, f.reason, run.state AS run_state
             FROM schedule AS s JOIN fire AS f ON f.schedule = s.id
              AND f.due_at = (SELECT max(due_at) FROM fire WHERE schedule = s.id)
             LEFT JOIN run ON run.id = f.run WHERE s.state <> 2 AND s.id = coalesce(?, s.id)",
        )
        .bind(only)
        .fetch_all(pool)
        .await?;
        let mut last: BTreeMap<i64, (FireRow, Option<u8>)> = last
            .iter()
            .map(|row| {
                let fire = FireRow::from(Fire::from_row(row)?);
                Ok((fire.schedule, (fire, row.try_get("run_state")?)))
            })
            .collect::<sqlx::Result<_>>()?;
        let with_last = |row: Schedule| {
            let row = ScheduleRow::from(row);
            let last = last.remove(&row.id);
            (row, last)
        };
        Ok(rows.into_iter().map(with_last).collect())
    }

    /// What became of the due times of a schedule before a time, newest first, at most `limit`.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn fires(
        &self,
        schedule: i64,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<FireRow>, Error> {
        let rows = self.fires_with_runs(schedule, before, limit).await?;
        Ok(rows.into_iter().map(|(fire, _)| fire).collect())
    }

    /// The same, each with the state of its run.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn fires_with_runs(
        &self,
        schedule: i64,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<(FireRow, Option<u8>)>, Error> {
        let rows = sqlx::query(
            "SELECT f.schedule, f.due_at, f.since, f.at, f.outcome, f.run, f.cause, f.reason, run.state AS run_state
             FROM fire AS f LEFT JOIN run ON run.id = f.run
             WHERE f.schedule = ? AND f.due_at < ? ORDER BY f.due_at DESC LIMIT ?",
        )
        .bind(schedule)
        .bind(before.map_or(i64::MAX, Timestamp::millis))
        .bind(limit)
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        let read =
            |row: &SqliteRow| Ok((FireRow::from(Fire::from_row(row)?), row.try_get("run_state")?));
        Ok(rows.iter().map(read).collect::<sqlx::Result<_>>()?)
    }

    /// The due times of a schedule after a time that are settled already.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn fires_after(
        &self,
        schedule: i64,
        after: Timestamp,
    ) -> Result<Vec<Timestamp>, Error> {
        let rows: Vec<i64> =
            sqlx::query_scalar("SELECT due_at FROM fire WHERE schedule = ? AND due_at > ?")
                .bind(schedule)
                .bind(after.millis())
                .fetch_all(self.inner.reader.get_sqlite_connection_pool())
                .await?;
        Ok(rows.into_iter().map(Timestamp::from_millis).collect())
    }

    /// Due times that are settled though they lie behind those up to which their schedule is: the clock was set back.
    ///
    /// # Errors
    /// The store can't be read.
    pub(crate) async fn fires_ahead(&self) -> Result<Vec<(i64, Timestamp)>, Error> {
        let rows: Vec<(i64, i64)> = sqlx::query_as(
            "SELECT fire.schedule, due_at FROM schedule JOIN fire ON fire.schedule = schedule.id AND due_at > up_to",
        )
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(rows.into_iter().map(|(id, due)| (id, Timestamp::from_millis(due))).collect())
    }

    /// Whether what happened has begun a run of a schedule, or was refused.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn has_fired(&self, schedule: i64, cause: &str) -> Result<bool, Error> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM fire WHERE schedule = ?1 AND cause = ?2)
                 OR EXISTS (SELECT 1 FROM past_cause WHERE schedule = ?1 AND cause = ?2)",
        )
        .bind(schedule)
        .bind(cause)
        .fetch_one(self.inner.reader.get_sqlite_connection_pool())
        .await?)
    }

    /// What happened to a schedule, in order.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn schedule_events(&self, schedule: i64) -> Result<Vec<ScheduleEventRow>, Error> {
        let rows: Vec<Event> = sqlx::query_as(
            "SELECT seq, at, kind, \"by\", detail FROM schedule_event WHERE schedule = ? ORDER BY seq",
        )
        .bind(schedule)
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(rows
            .into_iter()
            .map(|(seq, at, kind, by, detail)| ScheduleEventRow {
                schedule,
                seq,
                at: Timestamp::from_millis(at),
                kind,
                by,
                detail,
            })
            .collect())
    }
}
