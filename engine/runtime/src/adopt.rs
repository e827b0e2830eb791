//! Runs taken up again: from rows to a run in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use weir_core::graph::{Graph, LateRules};
use weir_core::ids::{RunId, ScopeIx, TaskIx};
use weir_core::run::{Cause, Run, RunState, SavedBlock, SavedHead, SavedTask, TaskState};
use weir_core::time::Timestamp;

use crate::engine::Ground;
use crate::input::Refusal;
use crate::live::{Began, Live, OriginResults};
use crate::store::rows::{AttemptRow, BlockRow, DiagnosisRow, SavedRun, TaskRow};
use crate::store::{self, Store};
use crate::turn::Results;

/// Why a kept run can't be moved on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its version can't be used.
    #[error("run {run}: {cause}")]
    Version {
        /// The run.
        run: i64,
        /// Why.
        cause: crate::library::VersionError,
    },
    /// Its rows do not fit its version.
    #[error("run {run}: {why}")]
    Rows {
        /// The run.
        run: i64,
        /// Why.
        why: String,
    },
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Its values can't be read.
    #[error("run {run}: {cause}")]
    Values {
        /// The run.
        run: i64,
        /// Why.
        cause: Refusal,
    },
}

/// A run in memory as its rows say.
pub(crate) async fn live(ground: &Ground, saved: SavedRun) -> Result<Live, Error> {
    let id = saved.run.id;
    let compiled = ground
        .library
        .version(&ground.store, &saved.run.version)
        .await
        .map_err(|cause| Error::Version { run: id, cause })?;
    let mut run = restore(&compiled, &saved).map_err(|why| Error::Rows { run: id, why })?;
    if has_late_rules(&compiled.graph) {
        run.remember_late(ground.store.late(RunId(id)).await?);
    }
    let (diagnosed, is_cured) = diagnosed(ground, &run).await?;
    let open = open_attempts(ground, &run, &saved).await?;
    let values = |why: String| Error::Values { run: id, cause: Refusal::Bad(why) };
    let given = crate::begin::open_params(ground, &saved.run.params).map_err(values)?;
    let resolved =
        crate::begin::resolve(&compiled, &given).map_err(|faults| values(faults.join("; ")))?;
    let began: Began =
        serde_json::from_str(&saved.run.start).map_err(|error| values(error.to_string()))?;
    let confirm =
        serde_json::from_str(&saved.run.confirm).map_err(|error| values(error.to_string()))?;
    let items = saved.blocks.iter().filter_map(|block| {
        let items: Vec<Value> = serde_json::from_str(block.items.as_ref()?).ok()?;
        Some((block.owner, items))
    });
    let mut live = Live {
        items: items.collect(),
        run,
        values: Arc::new(resolved),
        hosts: Arc::new(compiled.project.hosts.clone()),
        compiled,
        row: saved.run,
        confirm,
        locks: Vec::new(),
        folder: began.folder,
        parallel: began.parallel,
        diagnosed,
        is_cured,
        failure: None,
        outputs: BTreeMap::new(),
        captures: BTreeMap::new(),
        adopted: open.iter().map(|(task, row)| (*task, row.number)).collect(),
        open,
        origin: OriginResults::default(),
        has_results: false,
    };
    live.locks = crate::begin::locks_of(&live.compiled, &live.values).map_err(values)?;
    if let Some(origin) = live.row.origin {
        live.origin = crate::begin::origin_results(ground, RunId(origin)).await.map_err(values)?;
        live.origin.reuses_items = began.reuses_items;
    }
    Ok(live)
}

/// The state of a run as its rows say.
///
/// # Errors
/// The rows do not belong to this flow version.
pub(crate) fn restore(
    compiled: &weir_core::flow::compile::Compiled,
    saved: &SavedRun,
) -> Result<Run, String> {
    let row = &saved.run;
    let head = SavedHead {
        id: RunId(row.id),
        state: RunState::from_code(row.state)
            .ok_or_else(|| format!("no run state has number {}", row.state))?,
        paused: row.paused,
        due_at: row.due_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
    };
    let blocks: Vec<SavedBlock> = saved.blocks.iter().map(saved_block).collect();
    let tasks = saved.tasks.iter().map(saved_task).collect::<Result<Vec<_>, _>>()?;
    let run = |used: &[_]| Run::restore(Arc::clone(&compiled.graph), head, &blocks, &tasks, used);
    if saved.used.is_empty() {
        return run(&[]);
    }
    // Jobs may share a signature's name: which remedy it is goes by the job.
    let bare = run(&[])?;
    let mut used = Vec::new();
    for (task, signature, count) in &saved.used {
        let Some(job) = bare.task(*task).map(|task| task.job) else { continue };
        let (first, end) = compiled.graph.job(job).remedies;
        let of_job = first..end;
        let Some(number) =
            of_job.clone().find(|number| compiled.remedies[*number as usize].id == *signature)
        else {
            continue;
        };
        let scope = compiled.graph.remedies[number as usize].scope;
        let has_jobs = scope.is_some_and(|scope| compiled.graph.scope(scope).count > 0);
        // One diagnosis may have its jobs tried again: each time is a block.
        let blocks = || {
            let of_task = blocks.iter().filter(|block| block.owner == *task);
            of_task.filter(|block| block.remedy == Some(number)).count() as u32
        };
        used.push((*task, number, if has_jobs { blocks() } else { *count }));
    }
    run(&used)
}

fn has_late_rules(graph: &Graph) -> bool {
    let is_some = |late: LateRules| late.start_within.is_some() || late.finish_within.is_some();
    is_some(graph.late) || graph.jobs.iter().any(|job| is_some(job.timing.late))
}

/// The last diagnosis of each task, where it is not known yet what came of it; and whether any failure was cured.
async fn diagnosed(
    ground: &Ground,
    run: &Run,
) -> Result<(BTreeMap<TaskIx, DiagnosisRow>, bool), store::Error> {
    let has_none =
        run.graph().remedies.is_empty() || run.tasks().iter().all(|task| task.attempt == 0);
    if has_none {
        return Ok((BTreeMap::new(), false));
    }
    let rows = ground.store.diagnoses_of(run.id()).await?;
    let is_cured = rows.iter().any(|row| row.result.as_deref() == Some("cured"));
    let open = rows
        .into_iter()
        .map(|row| (row.task, row))
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .filter(|(_, row)| row.result.is_none())
        .collect();
    Ok((open, is_cured))
}

fn saved_block(block: &BlockRow) -> SavedBlock {
    SavedBlock {
        first: block.first,
        owner: block.owner,
        scope: ScopeIx(block.scope),
        count: block.count,
        remedy: block.remedy,
    }
}

fn saved_task(row: &TaskRow) -> Result<SavedTask, String> {
    Ok(SavedTask {
        task: row.task,
        state: TaskState::from_code(row.state, row.extra).ok_or_else(|| {
            format!(
                "task {} is in a state that has number {} ({})",
                row.task.0, row.state, row.extra
            )
        })?,
        cause: Cause::from_code(row.cause)
            .ok_or_else(|| format!("no cause has number {}", row.cause))?,
        attempt: row.attempt,
        tries: row.tries as u16,
        since: row.since,
        until: row.until.unwrap_or(Timestamp::ZERO),
    })
}

async fn open_attempts(
    ground: &Ground,
    run: &Run,
    saved: &SavedRun,
) -> Result<BTreeMap<TaskIx, AttemptRow>, Error> {
    let is_open = run.tasks().iter().any(|task| task.state.is_active() && task.attempt > 0);
    if !is_open {
        return Ok(BTreeMap::new());
    }
    let attempts = ground.store.attempts(RunId(saved.run.id)).await?;
    Ok(attempts
        .into_iter()
        .filter(|attempt| attempt.ended_at.is_none())
        .map(|attempt| (attempt.task, attempt))
        .collect())
}

/// What the tasks of a run left behind so far.
pub(crate) async fn results(store: &Store, run: RunId) -> Result<Results, store::Error> {
    let mut results = Results::default();
    for row in store.results(run).await? {
        results.outputs.insert(row.task, serde_json::from_str(&row.outputs).unwrap_or_default());
    }
    for row in store.diagnoses_of(run).await? {
        let evidence: Value = serde_json::from_str(&row.evidence).unwrap_or_default();
        results.captures.insert(row.task, evidence["captures"].clone());
    }
    Ok(results)
}
