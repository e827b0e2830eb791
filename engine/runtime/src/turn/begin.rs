//! A run begins: its rows, its turn among the runs of its flow, and its locks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::run::{Event, Run, RunState, TaskState};

use super::{Turn, World, entry_of, json, pool_name};
use crate::gates::Verdict as AtGate;
use crate::input::{NewRun, Refusal, Reply};
use crate::live::{Began, Live, Note};
use crate::store::people::RequestRow;
use crate::store::rows::{BlobRow, ResultRow, RunRow, VersionRow};

impl Turn {
    pub(super) fn begin(&mut self, new: NewRun, reply: Reply<RunId>, world: &mut dyn World) {
        if let Some(parent) = new.parent {
            match self.child_of(parent, world) {
                Ok(Some(id)) => {
                    self.after.answers.push(Box::new(move || reply(Ok(id))));
                    return;
                }
                Ok(None) => {}
                Err(refusal) => return reply(Err(refusal)),
            }
        }
        let id = self.start(new, world);
        self.after.answers.push(Box::new(move || reply(Ok(id))));
        self.refuse_deadlock(id, world);
        self.open_gates(world);
    }

    /// Makes a run that waits at its gate.
    pub(crate) fn start(&mut self, new: NewRun, world: &mut dyn World) -> RunId {
        let now = world.now();
        self.last_run += 1;
        let id = RunId(self.last_run);
        let due_at = new.due_at.unwrap_or(now);
        self.out.clear();
        let run =
            Run::new(id, Arc::clone(&new.compiled.graph), &new.start, due_at, now, &mut self.out);
        self.keep_version(&new.version, new.blobs);
        let row = RunRow {
            id: id.0,
            project: new.version.project.clone(),
            flow: new.version.flow.clone(),
            version: new.version.hash.clone(),
            state: RunState::Queued.code(),
            reason: None,
            paused: false,
            origin: new.origin,
            parent: new.parent.map(|parent| parent.to_string()),
            params: new.sealed_params,
            confirm: Value::from(new.confirm.clone()).to_string(),
            start: json(&Began {
                start: new.start.clone(),
                folder: new.folder.clone(),
                reuses_items: new.origin_results.reuses_items,
                parallel: new.parallel,
            }),
            key: new.key,
            by: new.by.clone(),
            due_at,
            created_at: now,
            started_at: None,
            ended_at: None,
            seq: 0,
        };
        self.batch.new_runs.push(row.clone());
        if let Some((key, fingerprint)) = new.request {
            let by = new.by.clone();
            self.batch.requests.push(RequestRow { by, key, fingerprint, run: id.0, at: now });
        }
        let mut live = Live {
            run,
            hosts: Arc::new(new.compiled.project.hosts.clone()),
            compiled: new.compiled,
            row,
            values: new.values,
            confirm: new.confirm,
            locks: new.locks,
            folder: new.folder,
            diagnosed: BTreeMap::new(),
            is_cured: false,
            failure: None,
            outputs: BTreeMap::new(),
            items: BTreeMap::new(),
            captures: BTreeMap::new(),
            open: BTreeMap::new(),
            origin: new.origin_results,
            has_results: true,
            parallel: new.parallel,
            adopted: BTreeSet::new(),
        };
        let records = std::mem::take(&mut self.out.records);
        live.keep(&records, Note { by: Some(new.by), ..Note::default() }, now, &mut self.batch);
        self.take_over_results(&mut live);
        self.size_pools(&live);
        self.gates.queue(&entry_of(&live));
        self.runs.insert(id, live);
        self.set_late_timers(id);
        id
    }

    /// Keeps the texts of a flow version, unless the flow was begun as it last.
    pub(crate) fn keep_version(&mut self, version: &VersionRow, blobs: Vec<BlobRow>) {
        let of_flow = (version.project.clone(), version.flow.clone());
        if self.latest.insert(of_flow, version.hash.clone()).as_ref() != Some(&version.hash) {
            self.batch.versions.push(version.clone());
            self.batch.blobs.extend(blobs);
        }
    }

    /// A run that waits for what its parent holds until it has ended would wait forever: it ends at once.
    pub(super) fn refuse_deadlock(&mut self, id: RunId, world: &mut dyn World) {
        let Some(live) = self.runs.get(&id) else { return };
        let Some(why) = live.locks.iter().find_map(|lock| self.deadlock(id, lock)) else { return };
        if let Some(live) = self.runs.get_mut(&id) {
            live.row.reason = Some(why);
        }
        let note = Note { by: Some("locks".to_owned()), ..Note::default() };
        let _ = self.apply(id, Event::Cancelled, note, world);
    }

    /// Why a run will never have a lock: a run that waits for this one holds it.
    pub(super) fn deadlock(&self, run: RunId, lock: &str) -> Option<String> {
        let (holder, task) = self.limits.holder(lock)?;
        let mut below = run;
        loop {
            let live = self.runs.get(&below)?;
            let parent = AttemptId::parse(live.row.parent.as_deref()?)?;
            if parent.run == holder && task.is_none_or(|task| task == parent.task) {
                let waits = self.runs.get(&parent.run)?.path(parent.task);
                return Some(format!(
                    "run {run} needs the lock `{lock}`, which run {holder} holds until `{waits}` has ended, and that \
                     waits for run {run}: neither could ever go on"
                ));
            }
            below = parent.run;
        }
    }

    /// The run that an attempt has begun. One that has not may begin one only while its end was not asked for: what
    /// is cancelled has seen then whatever it must cancel with it.
    pub(super) fn child_of(
        &self,
        parent: AttemptId,
        world: &mut dyn World,
    ) -> Result<Option<RunId>, Refusal> {
        let text = parent.to_string();
        let known =
            self.runs.values().find(|live| live.row.parent.as_deref() == Some(text.as_str()));
        let known = match known {
            Some(live) => Some(live.id()),
            None => world.child_of(parent).map_err(Refusal::Bad)?,
        };
        if known.is_some() {
            return Ok(known);
        }
        let live = self.runs.get(&parent.run).ok_or(Refusal::NoRun(parent.run))?;
        let is_at_work = live.run.task(parent.task).is_some_and(|task| {
            task.attempt == parent.number
                && matches!(
                    task.state,
                    TaskState::Launching | TaskState::Running | TaskState::Unreachable
                )
        });
        if is_at_work {
            Ok(None)
        } else {
            Err(Refusal::Ignored(format!("attempt {parent} is over, or is to end")))
        }
    }

    /// What reused tasks left behind in the origin is left behind here, too.
    pub(super) fn take_over_results(&mut self, live: &mut Live) {
        if live.origin.tasks.is_empty() {
            return;
        }
        for ix in (0..live.run.tasks().len() as u32).map(TaskIx) {
            if live.run.tasks()[ix.at()].state != TaskState::Reused {
                continue;
            }
            let outputs = live.outputs_of_origin(ix);
            if !outputs.is_empty() {
                self.batch.results.push(ResultRow {
                    run: live.id(),
                    task: ix,
                    outputs: json(&outputs),
                });
                live.outputs.insert(ix, outputs);
            }
        }
    }

    pub(super) fn size_pools(&mut self, live: &Live) {
        for (name, size) in &live.compiled.project.pools {
            self.limits.size_pool(&pool_name(&live.row.project, name), *size);
        }
    }

    /// Lets runs begin whose turn it is.
    pub(crate) fn open_gates(&mut self, world: &mut dyn World) {
        loop {
            let limits = &mut self.limits;
            let runs = &self.runs;
            let next = self.gates.next(|run| limits.lock_run(run, &runs[&run].locks));
            let Some((run, verdict)) = next else { break };
            let result = match verdict {
                AtGate::Open => self.apply(run, Event::Opened, Note::default(), world),
                AtGate::Refuse => {
                    if let Some(live) = self.runs.get_mut(&run) {
                        live.row.reason = Some("another run of this flow was moving, and its concurrency policy is `skip`".to_owned());
                    }
                    self.apply(
                        run,
                        Event::Cancelled,
                        Note { by: Some("concurrency".to_owned()), ..Note::default() },
                        world,
                    )
                }
                AtGate::CancelOldest(oldest) => {
                    let note = Note { by: Some("concurrency".to_owned()), ..Note::default() };
                    self.apply(oldest, Event::Cancelled, note, world)
                }
            };
            debug_assert!(
                result.is_ok() || matches!(verdict, AtGate::CancelOldest(_)),
                "a queued run opens: {result:?}"
            );
        }
    }

    /// Why a run waits to begin, in words.
    pub(crate) fn why_queued(&self, run: RunId) -> Option<String> {
        self.gates.why(run)
    }
}
