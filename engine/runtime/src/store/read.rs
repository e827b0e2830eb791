//! What can be asked of the store.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Condition, Expr};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction, DbBackend, EntityTrait,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Select, Statement, TransactionTrait as _,
};
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::run::RecordKind;
use weir_core::time::Timestamp;

use super::entity::{attempt, blob, block, diagnosis, event, result, run, secret, task, version};
use super::rows::{
    AttemptRow, BlockRow, DiagnosisRow, EventRow, ResultRow, RunRow, SavedRun, SecretRow,
    SignatureCount, TaskRow, VersionRow,
};
use super::{Error, Store};
use crate::home::Home;

/// Run states from this code on are final.
const FINAL_RUN: u8 = 6;
const FAILED_RUN: u8 = 7;
const CANCELLED_RUN: u8 = 8;

/// Which runs to list. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Only of this project.
    pub project: Option<String>,
    /// Only of this flow.
    pub flow: Option<String>,
    /// Only in this state: `weir_core::run::RunState` as its code.
    pub state: Option<u8>,
    /// Only reruns of this run.
    pub origin: Option<i64>,
}

/// Which diagnoses to list. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiagnosisFilter {
    /// Only of this run.
    pub run: Option<RunId>,
    /// Only of this signature.
    pub signature: Option<String>,
}

/// The list of runs that a filter asks for, newest first.
pub(super) fn runs_of(filter: &RunFilter, before: Option<RunId>) -> Select<run::Entity> {
    let which = Condition::all()
        .add_option(filter.project.as_ref().map(|project| run::Column::Project.eq(project)))
        .add_option(filter.flow.as_ref().map(|flow| run::Column::Flow.eq(flow)))
        .add_option(filter.origin.map(|origin| run::Column::Origin.eq(origin)))
        .add(run::Column::Id.lt(before.map_or(i64::MAX, |before| before.0)));
    let which = match filter.state {
        None => which,
        // An index on some rows is only taken if the statement's text says that it wants just those.
        Some(FAILED_RUN) => which.add(Expr::cust("\"run\".\"state\" = 7")),
        Some(CANCELLED_RUN) => which.add(Expr::cust("\"run\".\"state\" = 8")),
        Some(state) if state < FINAL_RUN => {
            which.add(run::Column::EndedAt.is_null()).add(run::Column::State.eq(i64::from(state)))
        }
        Some(state) => which.add(run::Column::State.eq(i64::from(state))),
    };
    run::Entity::find().filter(which).order_by_desc(run::Column::Id)
}

/// The list of diagnoses that a filter asks for, newest run first.
pub(super) fn diagnoses_of(
    filter: &DiagnosisFilter,
    before: Option<RunId>,
) -> Select<diagnosis::Entity> {
    let signature = filter.signature.as_ref();
    let which = Condition::all()
        .add_option(filter.run.map(|run| diagnosis::Column::Run.eq(run.0)))
        .add_option(signature.map(|signature| diagnosis::Column::Signature.eq(signature)))
        .add(diagnosis::Column::Run.lt(before.map_or(i64::MAX, |before| before.0)));
    diagnosis::Entity::find()
        .filter(which)
        .order_by_desc(diagnosis::Column::Run)
        .order_by_asc(diagnosis::Column::Task)
        .order_by_asc(diagnosis::Column::Attempt)
}

fn rows<M, R: TryFrom<M, Error = Error>>(models: Vec<M>) -> Result<Vec<R>, Error> {
    models.into_iter().map(R::try_from).collect()
}

impl Store {
    /// The run, if there is one with that number.
    pub async fn run(&self, id: RunId) -> Result<Option<RunRow>, Error> {
        run::Entity::find_by_id(id.0)
            .one(&self.inner.reader)
            .await?
            .map(RunRow::try_from)
            .transpose()
    }

    /// The number of the newest run; 0 before the first.
    pub async fn last_run_id(&self) -> Result<RunId, Error> {
        let newest: Option<i64> = run::Entity::find()
            .select_only()
            .column(run::Column::Id)
            .order_by_desc(run::Column::Id)
            .into_tuple()
            .one(&self.inner.reader)
            .await?;
        Ok(RunId(newest.unwrap_or(0)))
    }

    /// The run that an attempt began.
    pub async fn child_of(&self, parent: AttemptId) -> Result<Option<RunRow>, Error> {
        run::Entity::find()
            .filter(run::Column::Parent.eq(parent.to_string()))
            .one(&self.inner.reader)
            .await?
            .map(RunRow::try_from)
            .transpose()
    }

    /// Runs, newest first, at most `limit`, older than `before`. The last one's number is the next page's `before`.
    pub async fn runs(
        &self,
        filter: &RunFilter,
        before: Option<RunId>,
        limit: u64,
    ) -> Result<Vec<RunRow>, Error> {
        rows(runs_of(filter, before).limit(limit).all(&self.inner.reader).await?)
    }

    /// The tasks of a run that have moved, by number.
    pub async fn tasks(&self, run: RunId) -> Result<Vec<TaskRow>, Error> {
        let found = task::Entity::find()
            .filter(task::Column::Run.eq(run.0))
            .order_by_asc(task::Column::Task);
        rows(found.all(&self.inner.reader).await?)
    }

    /// The tasks that were added to a run, by first task.
    pub async fn blocks(&self, run: RunId) -> Result<Vec<BlockRow>, Error> {
        let found = block::Entity::find()
            .filter(block::Column::Run.eq(run.0))
            .order_by_asc(block::Column::First);
        rows(found.all(&self.inner.reader).await?)
    }

    /// The attempts of a run, by task and number.
    pub async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRow>, Error> {
        let found = attempt::Entity::find()
            .filter(attempt::Column::Run.eq(run.0))
            .order_by_asc(attempt::Column::Task)
            .order_by_asc(attempt::Column::Number);
        rows(found.all(&self.inner.reader).await?)
    }

    /// One attempt.
    pub async fn attempt(&self, id: AttemptId) -> Result<Option<AttemptRow>, Error> {
        attempt::Entity::find_by_id((id.run.0, i64::from(id.task.0), i64::from(id.number)))
            .one(&self.inner.reader)
            .await?
            .map(AttemptRow::try_from)
            .transpose()
    }

    /// What the tasks of a run left behind, by task.
    pub async fn results(&self, run: RunId) -> Result<Vec<ResultRow>, Error> {
        let found = result::Entity::find()
            .filter(result::Column::Run.eq(run.0))
            .order_by_asc(result::Column::Task);
        rows(found.all(&self.inner.reader).await?)
    }

    /// The events of a run after number `after`, in order, at most `limit`.
    pub async fn events(&self, run: RunId, after: i64, limit: u64) -> Result<Vec<EventRow>, Error> {
        let found = event::Entity::find()
            .filter(event::Column::Run.eq(run.0))
            .filter(event::Column::Seq.gt(after))
            .order_by_asc(event::Column::Seq)
            .limit(limit);
        rows(found.all(&self.inner.reader).await?)
    }

    /// Diagnoses, newest run first and in a run by task and attempt, at most `limit`, of runs older than `before`.
    pub async fn diagnoses(
        &self,
        filter: &DiagnosisFilter,
        before: Option<RunId>,
        limit: u64,
    ) -> Result<Vec<DiagnosisRow>, Error> {
        rows(diagnoses_of(filter, before).limit(limit).all(&self.inner.reader).await?)
    }

    /// All diagnoses of a run, by task and attempt.
    pub async fn diagnoses_of(&self, run: RunId) -> Result<Vec<DiagnosisRow>, Error> {
        let found = diagnosis::Entity::find()
            .filter(diagnosis::Column::Run.eq(run.0))
            .order_by_asc(diagnosis::Column::Task)
            .order_by_asc(diagnosis::Column::Attempt);
        rows(found.all(&self.inner.reader).await?)
    }

    /// Who was noted as late in a run; `None` is the run itself.
    pub async fn late(&self, run: RunId) -> Result<Vec<Option<TaskIx>>, Error> {
        let events = event::Entity::find()
            .filter(event::Column::Run.eq(run.0))
            .filter(event::Column::Kind.eq(i64::from(RecordKind::Late.code())))
            .order_by_asc(event::Column::Seq);
        let events: Vec<EventRow> = rows(events.all(&self.inner.reader).await?)?;
        Ok(events.into_iter().map(|event| event.task).collect())
    }

    /// How often each signature was met, and how that ended.
    pub async fn signature_counts(&self) -> Result<Vec<SignatureCount>, Error> {
        let counts: Vec<(String, i64, i64, i64)> = sqlx::query_as(
            "SELECT signature, sum(met), sum(cured), sum(not_cured) FROM (
               SELECT signature, count(*) AS met, count(*) FILTER (WHERE result = 'cured') AS cured,
                 count(*) FILTER (WHERE result <> 'cured') AS not_cured FROM diagnosis GROUP BY signature
               UNION ALL SELECT signature, met, cured, not_cured FROM past_signature)
             GROUP BY signature ORDER BY signature",
        )
        .fetch_all(self.inner.reader.get_sqlite_connection_pool())
        .await?;
        Ok(counts
            .into_iter()
            .map(|(signature, met, cured, not_cured)| SignatureCount {
                signature,
                met: met.unsigned_abs(),
                cured: cured.unsigned_abs(),
                not_cured: not_cured.unsigned_abs(),
            })
            .collect())
    }

    /// The flow version with that hash.
    pub async fn version(&self, hash: &str) -> Result<Option<VersionRow>, Error> {
        version::Entity::find_by_id(hash)
            .one(&self.inner.reader)
            .await?
            .map(VersionRow::try_from)
            .transpose()
    }

    /// The version that a flow was loaded as last.
    pub async fn latest_version(
        &self,
        project: &str,
        flow: &str,
    ) -> Result<Option<VersionRow>, Error> {
        version::Entity::find()
            .filter(version::Column::Project.eq(project))
            .filter(version::Column::Flow.eq(flow))
            .order_by_desc(version::Column::SeenAt)
            .one(&self.inner.reader)
            .await?
            .map(VersionRow::try_from)
            .transpose()
    }

    /// The version that a flow of this name was loaded as last, in whichever project.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn latest_version_of(&self, flow: &str) -> Result<Option<VersionRow>, Error> {
        version::Entity::find()
            .filter(version::Column::Flow.eq(flow))
            .order_by_desc(version::Column::SeenAt)
            .one(&self.inner.reader)
            .await?
            .map(VersionRow::try_from)
            .transpose()
    }

    /// The text with that hash.
    pub async fn blob(&self, hash: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(blob::Entity::find_by_id(hash).one(&self.inner.reader).await?.map(|blob| blob.content))
    }

    /// Whether anything was ever sealed under a name.
    pub(crate) async fn has_secrets(&self) -> Result<bool, Error> {
        Ok(secret::Entity::find().one(&self.inner.reader).await?.is_some())
    }

    /// A sealed value.
    pub(crate) async fn secret(&self, scope: &str, name: &str) -> Result<Option<SecretRow>, Error> {
        secret::Entity::find_by_id((scope.to_owned(), name.to_owned()))
            .one(&self.inner.reader)
            .await?
            .map(SecretRow::try_from)
            .transpose()
    }

    /// All sealed values, by scope and name.
    pub(crate) async fn secrets(&self) -> Result<Vec<SecretRow>, Error> {
        let found = secret::Entity::find()
            .order_by_asc(secret::Column::Scope)
            .order_by_asc(secret::Column::Name);
        rows(found.all(&self.inner.reader).await?)
    }

    /// All secrets of a home, whoever holds it: nothing is made, nothing is written. None if there is no database.
    pub(crate) async fn secrets_of(home: &Home) -> Result<Vec<SecretRow>, Error> {
        if !home.database().is_file() {
            return Ok(Vec::new());
        }
        let reader = super::connect::reader(home);
        let found = secret::Entity::find().all(&reader).await;
        reader.close().await?;
        rows(found?)
    }

    /// A run with all that is needed to move it on, as of one moment.
    pub async fn saved_run(&self, id: RunId) -> Result<Option<SavedRun>, Error> {
        let at = self.moment().await?;
        let saved = saved_at(&at, id).await?;
        at.rollback().await?;
        Ok(saved)
    }

    /// A run and all its events, as of one moment.
    pub(super) async fn saved_run_with_events(
        &self,
        id: RunId,
    ) -> Result<Option<(SavedRun, Vec<AttemptRow>, Vec<EventRow>)>, Error> {
        let at = self.moment().await?;
        let saved = saved_at(&at, id).await?;
        let attempts =
            attempt::Entity::find().filter(attempt::Column::Run.eq(id.0)).all(&at).await?;
        let events = event::Entity::find()
            .filter(event::Column::Run.eq(id.0))
            .order_by_asc(event::Column::Seq)
            .all(&at)
            .await?;
        at.rollback().await?;
        let (attempts, events) = (rows(attempts)?, rows(events)?);
        Ok(saved.map(|saved| (saved, attempts, events)))
    }

    /// The home's own name, given when it was made.
    pub async fn home_id(&self) -> Result<String, Error> {
        let found = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'home'")
            .fetch_one(self.inner.reader.get_sqlite_connection_pool())
            .await?;
        Ok(found)
    }

    /// All runs that have not ended, by number, as of one moment. Made for tens of thousands of them: the tasks of a run
    /// come as one text, as each row costs more on its way here than in the database.
    pub async fn unfinished(&self) -> Result<Vec<SavedRun>, Error> {
        let at = self.moment().await?;
        let found = run::Entity::find()
            .filter(run::Column::EndedAt.is_null())
            .order_by_asc(run::Column::Id)
            .all(&at)
            .await?;
        let unfinished = "SELECT id FROM run WHERE ended_at IS NULL";
        let tasks = format!(
            "SELECT run, group_concat(task || ',' || state || ',' || cause || ',' || attempt || ',' || tries || ',' || since
                 || ',' || coalesce(until, '') || ',' || extra, ';')
             FROM task WHERE run IN ({unfinished}) GROUP BY run"
        );
        let tasks = at.query_all_raw(Statement::from_string(DbBackend::Sqlite, tasks)).await?;
        let blocks = block::Entity::find()
            .filter(Expr::cust(format!("run IN ({unfinished})")))
            .order_by_asc(block::Column::Run)
            .order_by_asc(block::Column::First)
            .all(&at)
            .await?;
        let used = format!(
            "SELECT run, task, signature, count(*) FROM diagnosis WHERE run IN ({unfinished}) AND used
             GROUP BY run, task, signature ORDER BY run, task, signature"
        );
        let used = at.query_all_raw(Statement::from_string(DbBackend::Sqlite, used)).await?;
        at.rollback().await?;

        let mut saved: BTreeMap<i64, SavedRun> = BTreeMap::new();
        for run in found {
            saved.insert(run.id, SavedRun { run: run.try_into()?, ..SavedRun::default() });
        }
        let stray = |run: i64| {
            Error::Impossible(format!("run {run} is not among the unfinished ones of that moment"))
        };
        for row in tasks {
            let run: i64 = row.try_get_by_index(0)?;
            let packed: String = row.try_get_by_index(1)?;
            let tasks = unpack_tasks(RunId(run), &packed).ok_or_else(|| {
                Error::Impossible(format!("the tasks of run {run} can't be read: {packed}"))
            })?;
            saved.get_mut(&run).ok_or_else(|| stray(run))?.tasks = tasks;
        }
        for row in blocks {
            let row = BlockRow::try_from(row)?;
            saved.get_mut(&row.run.0).ok_or_else(|| stray(row.run.0))?.blocks.push(row);
        }
        for row in used {
            let run: i64 = row.try_get_by_index(0)?;
            let task: u32 = row.try_get_by_index(1)?;
            let signature: String = row.try_get_by_index(2)?;
            let count: u32 = row.try_get_by_index(3)?;
            saved.get_mut(&run).ok_or_else(|| stray(run))?.used.push((
                TaskIx(task),
                signature,
                count,
            ));
        }
        Ok(saved.into_values().collect())
    }

    /// A transaction for reading: all that it reads is of one moment.
    pub(super) async fn moment(&self) -> Result<DatabaseTransaction, Error> {
        Ok(self.inner.reader.begin().await?)
    }
}

async fn saved_at(at: &DatabaseTransaction, id: RunId) -> Result<Option<SavedRun>, Error> {
    let Some(found) = run::Entity::find_by_id(id.0).one(at).await? else { return Ok(None) };
    let tasks = task::Entity::find()
        .filter(task::Column::Run.eq(id.0))
        .order_by_asc(task::Column::Task)
        .all(at)
        .await?;
    let blocks = block::Entity::find()
        .filter(block::Column::Run.eq(id.0))
        .order_by_asc(block::Column::First)
        .all(at)
        .await?;
    let diagnoses = diagnosis::Entity::find()
        .filter(diagnosis::Column::Run.eq(id.0))
        .filter(diagnosis::Column::Used.eq(true))
        .all(at)
        .await?;
    let mut used: BTreeMap<(TaskIx, String), u32> = BTreeMap::new();
    for found in rows::<_, DiagnosisRow>(diagnoses)? {
        *used.entry((found.task, found.signature)).or_default() += 1;
    }
    let used =
        used.into_iter().map(|((task, signature), count)| (task, signature, count)).collect();
    Ok(Some(SavedRun { run: found.try_into()?, tasks: rows(tasks)?, blocks: rows(blocks)?, used }))
}

/// Tasks as `task,state,cause,attempt,tries,since,until,extra;...`, in whatever order they came; by number after.
fn unpack_tasks(run: RunId, packed: &str) -> Option<Vec<TaskRow>> {
    fn next<T: std::str::FromStr>(parts: &mut std::str::Split<'_, char>) -> Option<T> {
        parts.next()?.parse().ok()
    }
    let mut tasks = Vec::with_capacity(packed.len() / 24);
    for text in packed.split(';') {
        let mut parts = text.split(',');
        tasks.push(TaskRow {
            run,
            task: TaskIx(next(&mut parts)?),
            state: next(&mut parts)?,
            cause: next(&mut parts)?,
            attempt: next(&mut parts)?,
            tries: next(&mut parts)?,
            since: Timestamp::from_millis(next(&mut parts)?),
            until: match parts.next()? {
                "" => None,
                until => Some(Timestamp::from_millis(until.parse().ok()?)),
            },
            extra: next(&mut parts)?,
        });
    }
    tasks.sort_by_key(|task| task.task);
    Some(tasks)
}
