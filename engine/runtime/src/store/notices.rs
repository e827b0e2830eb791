//! What can be asked of the store about notices.

use std::time::Duration;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, Row as _};
use weir_core::ids::RunId;
use weir_core::time::Timestamp;

use super::rows::{NoticeRow, NoticeState};
use super::{Error, Store};

impl FromRow<'_, SqliteRow> for NoticeRow {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let maybe_time = |name: &str| -> sqlx::Result<Option<Timestamp>> {
            Ok(row.try_get::<Option<i64>, _>(name)?.map(Timestamp::from_millis))
        };
        let time = |name: &str| -> sqlx::Result<Timestamp> {
            Ok(Timestamp::from_millis(row.try_get(name)?))
        };
        let window: i64 = row.try_get("span_ms")?;
        Ok(Self {
            run: RunId(row.try_get("run")?),
            seq: row.try_get("seq")?,
            reason: row.try_get("reason")?,
            receiver: row.try_get("receiver")?,
            key: row.try_get("key")?,
            project: row.try_get("project")?,
            window: Duration::from_millis(window.unsigned_abs()),
            message: row.try_get("message")?,
            state: row.try_get("state")?,
            tries: row.try_get("tries")?,
            at: time("at")?,
            due_at: time("due_at")?,
            told_at: maybe_time("told_at")?,
            ended_at: maybe_time("ended_at")?,
            error: row.try_get("error")?,
        })
    }
}

/// Which notices a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeFilter {
    /// Only of this run.
    pub run: Option<RunId>,
    /// Only in this state.
    pub state: Option<NoticeState>,
    /// Only those behind this one in the list.
    pub before: Option<NoticeKey>,
}

/// What tells a notice from all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeKey {
    /// The run.
    pub run: RunId,
    /// The event of the run.
    pub seq: i64,
    /// The reason's number.
    pub reason: u8,
    /// Who is told.
    pub receiver: String,
}

impl NoticeRow {
    /// What tells it from all others.
    pub fn key(&self) -> NoticeKey {
        NoticeKey {
            run: self.run,
            seq: self.seq,
            reason: self.reason,
            receiver: self.receiver.clone(),
        }
    }
}

impl Store {
    /// Where something is due to be sent: projects and receivers, each once.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn notices_due(&self, now: Timestamp) -> Result<Vec<(String, String)>, Error> {
        Ok(sqlx::query_as(
            "SELECT DISTINCT project, receiver FROM notice INDEXED BY notice_due WHERE state = 0 AND due_at <= ?",
        )
        .bind(now.millis())
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?)
    }

    /// When the next notice is due.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn next_notice(&self, after: Timestamp) -> Result<Option<Timestamp>, Error> {
        let next: Option<i64> =
            sqlx::query_scalar("SELECT min(due_at) FROM notice WHERE state = 0 AND due_at > ?")
                .bind(after.millis())
                .fetch_one(self.inner.reader.get_sqlite_connection_pool())
                .await?;
        Ok(next.map(Timestamp::from_millis))
    }

    /// The notice that has been due for somebody the longest.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn notice_due(
        &self,
        now: Timestamp,
        project: &str,
        receiver: &str,
    ) -> Result<Option<NoticeRow>, Error> {
        Ok(sqlx::query_as(
            "SELECT * FROM notice WHERE state = 0 AND due_at <= ? AND project = ? AND receiver = ?
             ORDER BY due_at, run, seq LIMIT 1",
        )
        .bind(now.millis())
        .bind(project)
        .bind(receiver)
        .fetch_optional(self.inner.reader.get_sqlite_connection_pool())
        .await?)
    }

    /// What waits to be told together, oldest first.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn notices_waiting(&self, key: &str) -> Result<Vec<NoticeRow>, Error> {
        Ok(sqlx::query_as(
            "SELECT * FROM notice WHERE state = 0 AND \"key\" = ? ORDER BY at, run, seq",
        )
        .bind(key)
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?)
    }

    /// When somebody was told of the same thing last, or may have been.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn last_told(&self, key: &str) -> Result<Option<Timestamp>, Error> {
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT max(told_at) FROM notice WHERE \"key\" = ? AND told_at IS NOT NULL",
        )
        .bind(key)
        .fetch_one(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(last.map(Timestamp::from_millis))
    }

    /// Notices, newest first.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn notices(
        &self,
        filter: &NoticeFilter,
        limit: u64,
    ) -> Result<Vec<NoticeRow>, Error> {
        let last = filter.before.clone().unwrap_or(NoticeKey {
            run: RunId(i64::MAX),
            seq: i64::MAX,
            reason: u8::MAX,
            receiver: String::new(),
        });
        Ok(sqlx::query_as(AssertSqlSafe(list_of(filter)))
            .bind(last.run.0)
            .bind(last.seq)
            .bind(i64::from(last.reason))
            .bind(last.receiver)
            .bind(filter.run.map(|run| run.0))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(self.inner.reader.get_sqlite_connection_pool())
            .await?)
    }

    /// One notice.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn notice(&self, key: &NoticeKey) -> Result<Option<NoticeRow>, Error> {
        Ok(sqlx::query_as(
            "SELECT * FROM notice WHERE run = ? AND seq = ? AND reason = ? AND receiver = ?",
        )
        .bind(key.run.0)
        .bind(key.seq)
        .bind(i64::from(key.reason))
        .bind(&key.receiver)
        .fetch_optional(self.inner.reader.get_sqlite_connection_pool())
        .await?)
    }

    /// Whether the last run of a flow before this one that ended by itself ended badly.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn failed_before(
        &self,
        project: &str,
        flow: &str,
        run: RunId,
    ) -> Result<bool, Error> {
        let state: Option<i64> = sqlx::query_scalar(
            "SELECT state FROM run WHERE project = ? AND flow = ? AND id < ? AND state IN (6, 7) ORDER BY id DESC LIMIT 1",
        )
        .bind(project)
        .bind(flow)
        .bind(run.0)
        .fetch_optional(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(state == Some(7))
    }
}

/// The list of notices that a filter asks for: from the row behind the last one seen (1 to 4) on, of a run (5), so many
/// (6). States stand in its text, as an index on some rows is only taken if the text says that it wants just those.
pub(super) fn list_of(filter: &NoticeFilter) -> String {
    let state = filter.state.map_or(String::new(), |state| format!("state = {} AND", state.code()));
    let run = filter.run.map_or("?5 IS NULL AND", |_| "run = ?5 AND");
    format!(
        "SELECT * FROM notice WHERE {state} {run} (run, seq) <= (?1, ?2)
           AND ((run, seq) < (?1, ?2) OR (reason, receiver) > (?3, ?4))
         ORDER BY run DESC, seq DESC, reason, receiver LIMIT ?6"
    )
}
