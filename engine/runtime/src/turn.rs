//! The heart of the loop, without threads, clocks or files: inputs in, one batch of rows and the actions that may
//! follow it out.
//!
//! A turn takes all inputs that wait, moves the runs in memory, and submits one batch. Memory is ahead of the store
//! by at most the batch that is being committed and the one that gathers behind it; nothing is acted on, and nobody
//! is answered, before its batch is durable. A batch that can't be written now is submitted again, the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use weir_core::flow::ConcurrencyPolicy;
use weir_core::graph::JobKind;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::job_type::{JobType, Nature};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::run::{
    Answer, CancelReason, Command, Ending, Event, Ignored, Out, Question, RecordKind, Run,
    RunState, TaskState, Verdict,
};
use weir_core::secret::Secret;
use weir_core::time::Timestamp;

use crate::gates::{Entry, Gates, Verdict as AtGate};
use crate::home::Home;
use crate::input::{Action, CommitFailure, Found, Input, NewRun, Refusal, Reply, Wish};
use crate::library::Library;
use crate::limits::{Limits, Wants, Who};
use crate::live::{Began, Live, Note};
use crate::store::rows::{Batch, EventRow, ResultRow, RunRow};
use crate::timers::Timers;

/// What a turn needs of the world.
pub(crate) trait World {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Writes a batch; [`Input::Committed`] with this number tells when it is durable.
    fn submit(&mut self, number: u64, batch: Batch);
    /// Carries out what is durable.
    fn act(&mut self, action: Action);
    /// What the tasks of a run left behind so far (asked once for a run that was taken up again), or why that can't
    /// be read.
    fn results(&mut self, run: RunId) -> Result<Results, String>;
    /// The durable run that an attempt began, ended or not; or why that can't be read.
    fn child_of(&mut self, parent: AttemptId) -> Result<Option<RunId>, String>;
    /// A secret by its name.
    fn secret(&mut self, project: &str, name: &str) -> Option<Secret>;
    /// A job type by its name.
    fn job_type(&self, name: &str) -> Option<Arc<dyn JobType>>;
    /// Whether somebody wants to know of events.
    fn is_watched(&self) -> bool;
    /// The job types and the catalogue.
    fn library(&self) -> Arc<Library>;
    /// The data folder.
    fn home(&self) -> Home;
}

/// What the tasks of a run left behind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    /// Outputs by task.
    pub(crate) outputs: BTreeMap<TaskIx, Outputs>,
    /// What the diagnosis of a task's last failure caught, by task.
    pub(crate) captures: BTreeMap<TaskIx, Value>,
}

/// All runs that have not ended, and who waits for what.
pub(crate) struct Turn {
    pub(crate) runs: BTreeMap<RunId, Live>,
    last_run: i64,
    limits: Limits,
    gates: Gates,
    timers: Timers,
    started: VecDeque<(Timestamp, AttemptId)>,
    batch: Batch,
    after: After,
    committing: Option<(u64, After)>,
    handed_back: Option<(Timestamp, Box<Batch>)>,
    number: u64,
    queue: Vec<(RunId, Command)>,
    out: Out,
    /// A task gave back a lock that a queued run may wait for.
    frees_locks: bool,
    closed: BTreeSet<RunId>,
    waiting: BTreeMap<RunId, Vec<Box<dyn FnOnce() + Send>>>,
    pipeline: BTreeMap<RunId, BTreeSet<Who>>,
    /// The version that each flow was begun as last: it is kept already.
    latest: BTreeMap<(String, String), String>,
    /// Why nothing can be written, if so.
    pub(crate) trouble: Option<String>,
    /// Why the engine can't go on, if so.
    pub(crate) broken: Option<String>,
}

/// What may be done once a batch is durable.
#[derive(Default)]
struct After {
    commands: Vec<(RunId, Command)>,
    answers: Vec<Box<dyn FnOnce() + Send>>,
    events: Vec<EventRow>,
    /// Something happened that is not among `events`, as nobody watched then. Who began to watch before it is
    /// durable has not found it in the store, so must be told to look again.
    is_unheard: bool,
    ended: Vec<RunId>,
}

impl After {
    fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.answers.is_empty() && self.ended.is_empty()
    }
}

/// How long the record that an attempt was seen to begin may wait for company.
const START_MAY_WAIT: std::time::Duration = std::time::Duration::from_millis(25);

/// How long to wait before a batch that could not be written is submitted again.
const RESUBMIT: std::time::Duration = std::time::Duration::from_millis(500);

impl Turn {
    pub(crate) fn new(slots: u32, last_run: i64) -> Self {
        Self {
            runs: BTreeMap::new(),
            last_run,
            limits: Limits::new(slots),
            gates: Gates::default(),
            timers: Timers::default(),
            started: VecDeque::new(),
            batch: Batch::default(),
            after: After::default(),
            committing: None,
            handed_back: None,
            number: 0,
            queue: Vec::new(),
            out: Out::default(),
            frees_locks: false,
            closed: BTreeSet::new(),
            waiting: BTreeMap::new(),
            pipeline: BTreeMap::new(),
            latest: BTreeMap::new(),
            trouble: None,
            broken: None,
        }
    }

    /// Takes up a run that an earlier engine left unfinished. Call [`Turn::resume`] when all are there.
    pub(crate) fn adopt(&mut self, live: Live) {
        self.last_run = self.last_run.max(live.id().0);
        self.size_pools(&live);
        self.runs.insert(live.id(), live);
    }

    /// Carries out what the adopted runs owe.
    pub(crate) fn resume(&mut self, world: &mut dyn World) {
        let ids: Vec<RunId> = self.runs.keys().copied().collect();
        for id in &ids {
            let live = &self.runs[id];
            let state = live.run.state();
            if state != RunState::Queued {
                self.gates.enter_again(&entry_of(live));
                let locks = live.locks.clone();
                self.limits.lock_run(*id, &locks);
            }
            let active: Vec<TaskIx> = live
                .run
                .tasks()
                .iter()
                .enumerate()
                .map(|(ix, _)| TaskIx(ix as u32))
                .filter(|task| live.is_at_work(*task))
                .collect();
            for task in active {
                if let Ok(wants) = self.wants(*id, task, world) {
                    self.limits.hold((*id, task), wants);
                }
            }
        }
        for id in ids {
            let live = &self.runs[&id];
            if live.run.state() == RunState::Queued {
                self.gates.queue(&entry_of(live));
            } else {
                let commands = weir_core::run::owed(&live.run);
                self.queue.extend(commands.into_iter().map(|command| (id, command)));
            }
            self.set_late_timers(id);
        }
        self.open_gates(world);
        self.settle(world);
        self.flush(world);
    }

    fn set_late_timers(&mut self, id: RunId) {
        for command in weir_core::run::late_times(&self.runs[&id].run) {
            self.queue.push((id, command));
        }
    }

    /// Takes what came in, as far as it goes without waiting.
    pub(crate) fn take(&mut self, input: Input, world: &mut dyn World) {
        match input {
            Input::Begin(new, reply) => self.begin(*new, reply, world),
            Input::Wish { run, wish, by, reply } => self.wish(run, wish, by, reply, world),
            Input::AttemptStarted { id, handle } if handle.is_folder() => {
                self.started.push_back((world.now().plus(START_MAY_WAIT), id));
            }
            Input::AttemptStarted { id, handle } => {
                if let Some(live) = self.runs.get_mut(&id.run) {
                    live.keep_handle(id.task, id.number, &handle, &mut self.batch);
                }
                self.attempt_started(id, world);
            }
            Input::AttemptUnreached { id } => {
                // It was seen to begin before: in this order.
                if self.started.iter().any(|(_, started)| *started == id) {
                    self.started.retain(|(_, started)| *started != id);
                    self.attempt_started(id, world);
                }
                let event = Event::Unreached { task: id.task, attempt: id.number };
                let _ = self.apply(id.run, event, Note::default(), world);
            }
            Input::AttemptEnded { id, outcome, found } => {
                self.attempt_ended(id, outcome, found, world);
            }
            Input::Committed { number, result } => self.committed(number, result, world),
            Input::Ask(ask) => ask(self),
            Input::Stop => {}
            Input::Wait { run, done } => {
                if self.runs.contains_key(&run) {
                    self.waiting.entry(run).or_default().push(done);
                } else {
                    done();
                }
            }
        }
        self.settle(world);
    }

    /// What is due by now, and then the batch. Call it when all inputs that wait are taken.
    pub(crate) fn finish(&mut self, world: &mut dyn World) {
        let now = world.now();
        let mut early = Vec::new();
        while let Some((at, run, task)) = self.timers.take_due(now) {
            let event = task.map_or(Event::RunDue, |task| Event::Due { task });
            if self.apply(run, event, Note::default(), world) == Err(Ignored::NotDue)
                && world.now() < at
            {
                early.push((at, run, task));
            }
            self.settle(world);
        }
        // A clock that was set back just now makes an alarm ring early: it is set again.
        for (at, run, task) in early {
            self.timers.set(at, run, task);
        }
        let runs = &self.runs;
        self.timers.clean(|(at, run, task)| is_wanted(runs.get(run), *at, *task));
        self.tell_started(now, world);
        self.flush(world);
    }

    fn attempt_started(&mut self, id: AttemptId, world: &mut dyn World) {
        let event = Event::Started { task: id.task, attempt: id.number };
        let _ = self.apply(id.run, event, Note::default(), world);
    }

    /// That an attempt was seen to begin is worth no commit of its own where its folder tells all: it goes along with the
    /// next batch, or waits a moment. Most short jobs have ended by then.
    fn tell_started(&mut self, now: Timestamp, world: &mut dyn World) {
        let is_due = self.started.front().is_some_and(|(at, _)| is_past(*at, now, START_MAY_WAIT));
        if is_due || !self.batch.is_empty() {
            for (_, id) in std::mem::take(&mut self.started) {
                self.attempt_started(id, world);
            }
        }
    }

    /// When [`Turn::finish`] must be called even if nothing comes in.
    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        let resubmit_at = self.handed_back.as_ref().map(|(at, _)| *at);
        let tell_at = self.started.front().map(|(at, _)| *at);
        self.timers.next().into_iter().chain(resubmit_at).chain(tell_at).min()
    }

    /// How many alarms are set, wanted or not.
    #[cfg(test)]
    pub(crate) fn timers_kept(&self) -> usize {
        self.timers.len()
    }

    /// Whether nothing waits to be written or acted on.
    pub(crate) fn is_settled(&self) -> bool {
        self.committing.is_none() && self.batch.is_empty() && self.after.is_empty()
    }

    fn begin(&mut self, new: NewRun, reply: Reply<RunId>, world: &mut dyn World) {
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
        let now = world.now();
        self.last_run += 1;
        let id = RunId(self.last_run);
        let due_at = new.due_at.unwrap_or(now);
        self.out.clear();
        let run =
            Run::new(id, Arc::clone(&new.compiled.graph), &new.start, due_at, now, &mut self.out);
        let of_flow = (new.version.project.clone(), new.version.flow.clone());
        if self.latest.insert(of_flow, new.version.hash.clone()).as_ref() != Some(&new.version.hash)
        {
            self.batch.versions.push(new.version.clone());
            self.batch.blobs.extend(new.blobs);
        }
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
            outputs: BTreeMap::new(),
            items: BTreeMap::new(),
            captures: BTreeMap::new(),
            open: BTreeMap::new(),
            origin: new.origin_results,
            has_results: true,
            adopted: BTreeSet::new(),
        };
        let records = std::mem::take(&mut self.out.records);
        live.keep(&records, Note { by: Some(new.by), ..Note::default() }, now, &mut self.batch);
        self.take_over_results(&mut live);
        self.size_pools(&live);
        self.gates.queue(&entry_of(&live));
        self.runs.insert(id, live);
        self.set_late_timers(id);
        self.after.answers.push(Box::new(move || reply(Ok(id))));
        self.refuse_deadlock(id, world);
        self.open_gates(world);
    }

    /// A run that waits for what its parent holds until it has ended would wait forever: it ends at once.
    fn refuse_deadlock(&mut self, id: RunId, world: &mut dyn World) {
        let Some(live) = self.runs.get(&id) else { return };
        let Some(why) = live.locks.iter().find_map(|lock| self.deadlock(id, lock)) else { return };
        if let Some(live) = self.runs.get_mut(&id) {
            live.row.reason = Some(why);
        }
        let note = Note { by: Some("locks".to_owned()), ..Note::default() };
        let _ = self.apply(id, Event::Cancelled, note, world);
    }

    /// Why a run will never have a lock: a run that waits for this one holds it.
    fn deadlock(&self, run: RunId, lock: &str) -> Option<String> {
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
    fn child_of(&self, parent: AttemptId, world: &mut dyn World) -> Result<Option<RunId>, Refusal> {
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
    fn take_over_results(&mut self, live: &mut Live) {
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

    fn size_pools(&mut self, live: &Live) {
        for (name, size) in &live.compiled.project.pools {
            self.limits.size_pool(&pool_name(&live.row.project, name), *size);
        }
    }

    /// Lets runs begin whose turn it is.
    fn open_gates(&mut self, world: &mut dyn World) {
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

    fn wish(&mut self, id: RunId, wish: Wish, by: String, reply: Reply<()>, world: &mut dyn World) {
        let result = self.grant(id, wish, by, world);
        match result {
            Ok(()) => self.after.answers.push(Box::new(move || reply(Ok(())))),
            Err(refusal) => reply(Err(refusal)),
        }
    }

    fn grant(
        &mut self,
        id: RunId,
        wish: Wish,
        by: String,
        world: &mut dyn World,
    ) -> Result<(), Refusal> {
        let live = self.runs.get(&id).ok_or(Refusal::NoRun(id))?;
        let find = |path: &str| {
            live.find(path).ok_or_else(|| Refusal::NoTask { run: id, path: path.to_owned() })
        };
        let mut note = Note { by: Some(by), ..Note::default() };
        let mut outputs = None;
        let event = match wish {
            Wish::Cancel => Event::Cancelled,
            Wish::Kill => Event::Killed,
            Wish::Pause => Event::Paused,
            Wish::Resume => Event::Resumed,
            Wish::Task { path, act } => {
                note.detail = Some(format!("{{\"act\":{}}}", json(&act)));
                Event::Acted { task: find(&path)?, act }
            }
            Wish::Answer { path, answer, values } => {
                let task = find(&path)?;
                note.detail = Some(format!("{{\"answer\":{}}}", json(&answer)));
                let is_confirmed = live.run.task(task).is_some_and(|task| {
                    task.state == TaskState::Asking(Question::Confirm) && values.is_empty()
                });
                if matches!(answer, Answer::Approve | Answer::Continue) && !is_confirmed {
                    outputs = Some((task, self.form_of(id, task, values, world)?));
                }
                Event::Answered { task, answer }
            }
        };
        self.apply(id, event, note, world)
            .map_err(|ignored| Refusal::Ignored(ignored.to_string()))?;
        self.note_used(id);
        if let Some((task, outputs)) = outputs.filter(|(_, outputs)| !outputs.is_empty()) {
            self.leave(id, task, outputs);
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self, run: RunId, task: TaskIx, outputs: Outputs) {
        if let Some(live) = self.runs.get_mut(&run) {
            self.batch.results.push(ResultRow { run, task, outputs: json(&outputs) });
            live.outputs.insert(task, outputs);
        }
    }

    fn attempt_ended(
        &mut self,
        id: AttemptId,
        outcome: Outcome,
        found: Option<Box<Found>>,
        world: &mut dyn World,
    ) {
        let (task, attempt) = (id.task, id.number);
        let mut note = Note::default();
        let mut outputs = Outputs::new();
        let mut remedy = None;
        let is_success = found.as_ref().is_some_and(|found| found.is_success);
        let ending = match outcome {
            Outcome::Done { outputs: left, exit_code } => {
                outputs = left;
                note.exit_code = exit_code;
                Ending::Done
            }
            Outcome::AlreadyDone { outputs: left } => {
                outputs = left;
                Ending::AlreadyDone
            }
            Outcome::Failed(failure) if is_success => {
                note.exit_code = failure.exit_code;
                Ending::AlreadyDone
            }
            Outcome::Failed(failure) => {
                let class = failure.class;
                note.detail = Some(format!(
                    "{{\"class\":{},\"message\":{}}}",
                    json(&class),
                    json(&failure.message)
                ));
                note.failure = Some(failure);
                remedy = found.as_ref().map(|found| found.remedy);
                Ending::Failed(class)
            }
            Outcome::Cancelled => Ending::Cancelled,
            Outcome::Ask { message, outputs: left } => {
                outputs = left;
                note.detail = Some(format!("{{\"message\":{}}}", json(&message)));
                Ending::Ask
            }
        };
        let event = Event::Ended { task, attempt, ending, remedy };
        let is_failed = matches!(ending, Ending::Failed(_));
        if self.apply(id.run, event, note, world).is_err() {
            return;
        }
        // An attempt that leaves nothing takes away what one before it left.
        let left_before = self.runs.get(&id.run).is_some_and(|live| {
            if live.has_results { live.outputs.contains_key(&task) } else { attempt > 1 }
        });
        if !outputs.is_empty() || (left_before && !is_failed) {
            self.leave(id.run, task, outputs);
        }
        let is_used = self.out.records.iter().any(|record| {
            matches!(record.kind, RecordKind::Added { remedy: Some(_), .. })
                && record.task == Some(task)
        });
        // What was ended for another reason in the end needs no diagnosis.
        let is_cancelled = self.runs.get(&id.run).is_some_and(|live| {
            live.run.task(task).is_some_and(|task| task.state == TaskState::Cancelled)
        });
        let found = found.filter(|_| !is_cancelled).map(|mut found| {
            found.row.used = is_used;
            found
        });
        self.judge_earlier_remedy(id, found.as_deref());
        if let Some(found) = found {
            if let Some(live) = self.runs.get_mut(&id.run) {
                live.captures.insert(task, found.captures);
            }
            self.batch.diagnoses.push(found.row);
        }
    }

    /// A person let a remedy go on: it counts from now on.
    fn note_used(&mut self, run: RunId) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        for record in &self.out.records {
            let (RecordKind::Added { remedy: Some(_), .. }, Some(task)) =
                (record.kind, record.task)
            else {
                continue;
            };
            if let Some(row) = live.diagnosed.get_mut(&task).filter(|row| !row.used) {
                row.used = true;
                self.batch.diagnoses.push(row.clone());
            }
        }
    }

    /// Whether the remedy of the attempt before helped shows when the next one ends.
    fn judge_earlier_remedy(&mut self, id: AttemptId, found: Option<&Found>) {
        let Some(live) = self.runs.get_mut(&id.run) else { return };
        let Some(mut row) = live.diagnosed.remove(&id.task) else {
            if let Some(found) = found {
                live.diagnosed.insert(id.task, found.row.clone());
            }
            return;
        };
        let state = live.run.task(id.task).map(|task| task.state);
        let again = found.is_some_and(|found| found.row.signature == row.signature);
        row.result = Some(
            match state {
                _ if again => "again",
                Some(TaskState::Succeeded | TaskState::AlreadyDone) => "cured",
                _ => "failed",
            }
            .to_owned(),
        );
        self.batch.diagnoses.push(row);
        if let Some(found) = found {
            live.diagnosed.insert(id.task, found.row.clone());
        }
    }

    /// One event into one run, and its rows into the batch.
    pub(crate) fn apply(
        &mut self,
        id: RunId,
        event: Event,
        note: Note,
        world: &mut dyn World,
    ) -> Result<(), Ignored> {
        let now = world.now();
        let live = self.runs.get_mut(&id).ok_or(Ignored::RunEnded)?;
        self.out.clear();
        weir_core::run::step(&mut live.run, event, now, &mut self.out)?;
        let first_event = self.batch.events.len();
        live.keep(&self.out.records, note, now, &mut self.batch);
        if world.is_watched() {
            self.after.events.extend_from_slice(&self.batch.events[first_event..]);
        } else {
            self.after.is_unheard = true;
        }
        for record in &self.out.records {
            let (RecordKind::Task(state), Some(task)) = (record.kind, record.task) else {
                continue;
            };
            if state != TaskState::Ready && !state.is_active() {
                self.frees_locks |= self.limits.release((id, task));
            }
            if state.is_final()
                && let Some(held) = self.pipeline.remove(&id)
            {
                self.queue
                    .extend(held.into_iter().map(|(run, task)| (run, Command::Admit { task })));
            }
        }
        self.queue.extend(self.out.commands.drain(..).map(|command| (id, command)));
        Ok(())
    }

    /// Carries out the commands that need no durability, and admits whom it can, until nothing more follows.
    fn settle(&mut self, world: &mut dyn World) {
        loop {
            while !self.queue.is_empty() {
                for (run, command) in std::mem::take(&mut self.queue) {
                    self.command(run, command, world);
                }
            }
            match self.limits.next() {
                Some((run, task)) => {
                    if self.apply(run, Event::Admitted { task }, Note::default(), world).is_err() {
                        self.frees_locks |= self.limits.release((run, task));
                    }
                }
                None if std::mem::take(&mut self.frees_locks) => {
                    self.open_gates(world);
                    if self.queue.is_empty() {
                        break;
                    }
                }
                None => break,
            }
        }
    }

    fn command(&mut self, run: RunId, command: Command, world: &mut dyn World) {
        match command {
            Command::Decide { task } => {
                let (verdict, note) = self.decide(run, task, world);
                let _ = self.apply(run, Event::Decided { task, verdict }, note, world);
            }
            Command::Expand { task } => match self.expand(run, task, world) {
                Ok((items, reused)) => {
                    let count = items.len() as u32;
                    let note = Note { items: Some(items), ..Note::default() };
                    let first = self.runs.get(&run).map_or(0, |live| live.run.tasks().len() as u32);
                    if self
                        .apply(
                            run,
                            Event::Expanded { task, count, reused: reused.clone() },
                            note,
                            world,
                        )
                        .is_ok()
                    {
                        self.take_over_items(run, first, &reused);
                    }
                }
                Err(message) => {
                    let note = broken(message);
                    let _ = self.apply(
                        run,
                        Event::Decided { task, verdict: Verdict::Broken },
                        note,
                        world,
                    );
                }
            },
            Command::Admit { task } => self.admit(run, task, world),
            Command::Launch { task, attempt } => {
                let is_instant = self.runs.get(&run).is_some_and(|live| {
                    let job = live.run.tasks()[task.at()].job;
                    live.run.graph().job(job).kind == JobKind::Instant
                });
                if is_instant {
                    self.launch_instant(run, task, attempt, world);
                } else {
                    self.after.commands.push((run, command));
                }
            }
            Command::Cancel { .. } => self.after.commands.push((run, command)),
            Command::Wake { task, at } => self.timers.set(at, run, Some(task)),
            Command::WakeRun { at } => self.timers.set(at, run, None),
            Command::Close => {
                self.closed.insert(run);
                self.after.ended.push(run);
                self.gates.leave(run);
                self.limits.unlock_run(run);
                if let Some(held) = self.pipeline.remove(&run) {
                    self.queue
                        .extend(held.into_iter().map(|(run, task)| (run, Command::Admit { task })));
                }
                self.open_gates(world);
            }
        }
    }

    fn admit(&mut self, run: RunId, task: TaskIx, world: &mut dyn World) {
        if let Some(before) = self.held_by(run, task) {
            self.pipeline.entry(before).or_default().insert((run, task));
            return;
        }
        let wants = match self.wants(run, task, world) {
            Ok(wants) => wants,
            Err(message) => {
                let failure = Failure::new(ErrorClass::Definition, message);
                return self.fail_before_launch(run, task, failure, world);
            }
        };
        match wants.locks.iter().find_map(|lock| self.deadlock(run, lock)) {
            Some(why) => {
                let failure = Failure::new(ErrorClass::Refused, why);
                self.fail_before_launch(run, task, failure, world);
            }
            None => self.limits.ask((run, task), wants),
        }
    }

    /// A task that can't be launched fails as an attempt of its own, so that all can see why.
    fn fail_before_launch(
        &mut self,
        run: RunId,
        task: TaskIx,
        failure: Failure,
        world: &mut dyn World,
    ) {
        if self.apply(run, Event::Admitted { task }, Note::default(), world).is_err() {
            return;
        }
        let number = self.runs.get(&run).and_then(|live| live.run.task(task)).map(|at| at.attempt);
        let id = AttemptId { run, task, number: number.unwrap_or_default() };
        self.attempt_ended(id, Outcome::Failed(failure), None, world);
    }

    /// The run before this one in a pipeline that has not ended this job yet. Where it has no such task (yet), what
    /// would hold the task counts.
    fn held_by(&self, run: RunId, task: TaskIx) -> Option<RunId> {
        let live = self.runs.get(&run)?;
        let earlier = self.gates.before(&entry_of(live));
        let mut paths = None;
        earlier.into_iter().rev().filter(|before| !self.closed.contains(before)).find(|before| {
            let Some(before) = self.runs.get(before) else { return false };
            let paths = paths.get_or_insert_with(|| {
                let mut above = vec![live.path(task)];
                let mut at = task;
                while let Some(parent) = live.run.parent(at) {
                    above.push(live.path(parent));
                    at = parent;
                }
                above
            });
            let twin = paths.iter().find_map(|path| before.find(path));
            twin.and_then(|twin| before.run.task(twin)).is_some_and(|twin| !twin.state.is_final())
        })
    }

    fn wants(&mut self, run: RunId, task: TaskIx, world: &mut dyn World) -> Result<Wants, String> {
        let live = self.runs.get(&run).ok_or("the run has ended")?;
        let job = Arc::clone(&live.compiled.jobs[live.run.tasks()[task.at()].job.at()]);
        let nature = job
            .uses
            .as_ref()
            .and_then(|uses| world.job_type(&uses.job_type))
            .map_or(Nature::Waits, |kind| kind.nature());
        let project = live.row.project.clone();
        let mut locks = Vec::new();
        for lock in &job.locks {
            locks.push(self.text(run, task, lock, world)?);
        }
        Ok(Wants {
            slot: nature == Nature::Work,
            pools: job
                .pools
                .iter()
                .map(|pool| (pool_name(&project, &pool.name), pool.slots))
                .collect(),
            locks,
            priority: job.pools.iter().map(|pool| pool.priority).max().unwrap_or(0),
        })
    }

    fn launch_instant(&mut self, run: RunId, task: TaskIx, attempt: u32, world: &mut dyn World) {
        let id = AttemptId { run, task, number: attempt };
        let outcome = match self.instant(run, task, world) {
            Ok(outputs) => Outcome::Done { outputs, exit_code: None },
            Err(message) => Outcome::Failed(Failure::new(ErrorClass::Definition, message)),
        };
        self.attempt_ended(id, outcome, None, world);
    }

    /// Submits what has gathered, unless a batch is on its way.
    fn flush(&mut self, world: &mut dyn World) {
        let now = world.now();
        if let Some((_, batch)) = self.handed_back.take_if(|(at, _)| is_past(*at, now, RESUBMIT)) {
            let (number, _) =
                self.committing.as_ref().expect("what is submitted again was submitted");
            world.submit(*number, *batch);
            return;
        }
        if self.committing.is_some() || self.broken.is_some() {
            return;
        }
        // What is done may show that it can't be done: then there is something to write after all.
        while self.batch.is_empty() {
            if self.after.is_empty() {
                return;
            }
            let after = std::mem::take(&mut self.after);
            self.act(after, world);
            self.settle(world);
        }
        self.number += 1;
        self.committing = Some((self.number, std::mem::take(&mut self.after)));
        world.submit(self.number, std::mem::take(&mut self.batch));
    }

    fn committed(&mut self, number: u64, result: Result<(), CommitFailure>, world: &mut dyn World) {
        assert!(
            self.committing.as_ref().is_some_and(|(at, _)| *at == number),
            "batch {number} was not on its way"
        );
        match result {
            Ok(()) => {
                self.trouble = None;
                let (_, after) = self.committing.take().expect("it is on its way");
                self.act(after, world);
            }
            Err(CommitFailure::Later(message, batch)) => {
                self.trouble = Some(message);
                self.handed_back = Some((world.now().plus(RESUBMIT), batch));
            }
            Err(CommitFailure::Never(message)) => self.broken = Some(message),
        }
    }

    fn act(&mut self, after: After, world: &mut dyn World) {
        if !after.events.is_empty() {
            world.act(Action::Publish(after.events.into()));
        }
        if after.is_unheard && world.is_watched() {
            world.act(Action::Publish(Arc::default()));
        }
        for (run, command) in after.commands {
            match command {
                Command::Launch { task, attempt } => {
                    self.carry_out(AttemptId { run, task, number: attempt }, None, world);
                }
                Command::Cancel { task, attempt, reason } => {
                    self.carry_out(AttemptId { run, task, number: attempt }, Some(reason), world);
                }
                Command::Decide { .. }
                | Command::Expand { .. }
                | Command::Admit { .. }
                | Command::Wake { .. }
                | Command::WakeRun { .. }
                | Command::Close => unreachable!("only launches and cancels wait for their batch"),
            }
        }
        for run in after.ended {
            self.runs.remove(&run);
            self.closed.remove(&run);
            for done in self.waiting.remove(&run).unwrap_or_default() {
                done();
            }
        }
        for answer in after.answers {
            answer();
        }
    }

    fn carry_out(&mut self, id: AttemptId, cancel: Option<CancelReason>, world: &mut dyn World) {
        // What was decided since may have made it void: a launch whose end was asked for meanwhile is only cancelled.
        let Some(task) = self.runs.get(&id.run).and_then(|live| live.run.task(id.task)) else {
            return;
        };
        let is_wanted = match (task.state, cancel) {
            (TaskState::Launching | TaskState::Running | TaskState::Unreachable, None)
            | (TaskState::Cancelling(_), Some(_)) => task.attempt == id.number,
            _ => false,
        };
        if !is_wanted {
            return;
        }
        match self.make_order(id, world) {
            Ok(order) => world.act(match cancel {
                None => Action::Launch(order),
                Some(reason) => Action::Cancel(order, reason),
            }),
            Err(message) => self.give_up(id, cancel, message, world),
        }
    }

    /// An attempt whose settings can't be filled in can't be begun or followed. If it may be at work it must end first.
    fn give_up(
        &mut self,
        id: AttemptId,
        cancel: Option<CancelReason>,
        message: String,
        world: &mut dyn World,
    ) {
        let failure = Failure::new(ErrorClass::Definition, message);
        let may_work = cancel.is_some()
            || self
                .runs
                .get(&id.run)
                .is_some_and(|live| live.adopted.contains(&(id.task, id.number)));
        match self.bare_order(id, world).filter(|_| may_work) {
            Some(order) => world.act(match cancel {
                Some(reason) => Action::Cancel(order, reason),
                None => Action::Abandon(order, failure),
            }),
            None => self.attempt_ended(id, Outcome::Failed(failure), None, world),
        }
    }

    /// Why a run waits to begin, in words.
    pub(crate) fn why_queued(&self, run: RunId) -> Option<String> {
        self.gates.why(run)
    }

    /// Why a ready task does not start, in words.
    pub(crate) fn why_ready(&self, who: Who) -> Option<String> {
        let held_by =
            self.pipeline.iter().find(|(_, held)| held.contains(&who)).map(|(run, _)| *run);
        match held_by {
            Some(run) => Some(format!("run {run} has not ended this job (pipeline)")),
            None => self.limits.why(who),
        }
    }
}

/// Whether a moment that was at most `wait` away when it was set has come. A clock that was set back is not waited for.
fn is_past(at: Timestamp, now: Timestamp, wait: std::time::Duration) -> bool {
    at <= now || at.since(now) > wait
}

/// Whether an alarm may still mean something to its run.
fn is_wanted(live: Option<&Live>, at: Timestamp, task: Option<TaskIx>) -> bool {
    let Some(live) = live else { return false };
    let Some(task) = task else { return true };
    let Some(task) = live.run.task(task) else { return false };
    let late = live.run.graph().job(task.job).timing.late;
    let is_late = [late.start_within, late.finish_within]
        .into_iter()
        .flatten()
        .any(|within| live.run.due_at().plus(within) == at);
    !task.state.is_final() && (task.until == at || is_late)
}

fn entry_of(live: &Live) -> Entry {
    let concurrency = &live.compiled.flow.concurrency;
    Entry {
        run: live.id(),
        key: format!("{}/{}/{}", live.row.project, live.row.flow, live.row.key),
        policy: concurrency.policy,
        limit: match concurrency.policy {
            ConcurrencyPolicy::Parallel => 0,
            ConcurrencyPolicy::Queue
            | ConcurrencyPolicy::Skip
            | ConcurrencyPolicy::CancelRunning
            | ConcurrencyPolicy::Pipeline => concurrency.limit,
        },
    }
}

fn pool_name(project: &str, pool: &str) -> String {
    format!("{project}/{pool}")
}

pub(crate) fn broken(message: String) -> Note {
    let detail = Some(format!("{{\"message\":{}}}", json(&message)));
    Note { detail, failure: Some(Failure::new(ErrorClass::Definition, message)), ..Note::default() }
}

/// JSON text of a value that always has one.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("values of ours have a JSON text")
}
