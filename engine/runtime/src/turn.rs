//! The heart of the loop, without threads, clocks or files: inputs in, one batch of rows and the actions that may
//! follow it out.
//!
//! A turn takes all inputs that wait, moves the runs in memory, and submits one batch. Memory is ahead of the store
//! by at most the batch that is being committed and the one that gathers behind it; nothing is acted on, and nobody
//! is answered, before its batch is durable. A batch that can't be written now is submitted again, the same.

mod act;
mod begin;
mod command;
mod ended;
mod notices;
mod wish;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use weir_core::flow::ConcurrencyPolicy;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::job_type::JobType;
use weir_core::outcome::{ErrorClass, Failure, Outputs};
use weir_core::run::{Command, Event, Ignored, Out, RecordKind, RunState, TaskState};
use weir_core::secret::Secret;
use weir_core::time::Timestamp;

use crate::gates::{Entry, Gates};
use crate::home::Home;
use crate::input::{Action, Input};
use crate::library::Library;
use crate::limits::{Limits, Who};
use crate::live::{Live, Note};
use crate::store::rows::{Batch, EventRow};
use crate::timers::Timers;
use crate::timetable::Timetable;

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
    /// Values of parameters as they are kept: those that must not be seen are sealed.
    fn seal(&self, values: &weir_core::params::Values) -> String;
    /// The due times of a schedule after a time that are settled, or why that can't be read.
    fn fires_after(&mut self, schedule: i64, after: Timestamp) -> Result<Vec<Timestamp>, String>;
    /// Whether the durable run of a flow before this one that ended by itself ended badly, or why that can't be read.
    fn failed_before(&mut self, project: &str, flow: &str, run: RunId) -> Result<bool, String>;
    /// Somebody is to be told of what is durable now.
    fn tell(&mut self) {}
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
    pub(crate) timetable: Timetable,
    started: VecDeque<(Timestamp, AttemptId)>,
    pub(crate) batch: Batch,
    pub(crate) after: After,
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
    /// Whether the last run of a flow ended badly, where somebody wants to know that it works again.
    ended_badly: BTreeMap<(String, String), bool>,
    /// The version that each flow was begun as last: it is kept already.
    latest: BTreeMap<(String, String), String>,
    /// Why nothing can be written, if so.
    pub(crate) trouble: Option<String>,
    /// Why the engine can't go on, if so.
    pub(crate) broken: Option<String>,
}

/// What may be done once a batch is durable.
#[derive(Default)]
pub(crate) struct After {
    commands: Vec<(RunId, Command)>,
    pub(crate) answers: Vec<Box<dyn FnOnce() + Send>>,
    events: Vec<EventRow>,
    /// Something happened that is not among `events`, as nobody watched then. Who began to watch before it is
    /// durable has not found it in the store, so must be told to look again.
    is_unheard: bool,
    /// Somebody is to be told of something.
    has_notices: bool,
    ended: Vec<RunId>,
}

impl After {
    fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.answers.is_empty() && self.ended.is_empty()
    }
}

/// How long the record that an attempt was seen to begin may wait for company.
const START_MAY_WAIT: std::time::Duration = std::time::Duration::from_millis(25);

impl Turn {
    pub(crate) fn new(slots: u32, last_run: i64) -> Self {
        Self {
            runs: BTreeMap::new(),
            last_run,
            limits: Limits::new(slots),
            gates: Gates::default(),
            timers: Timers::default(),
            timetable: Timetable::default(),
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
            ended_badly: BTreeMap::new(),
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
            Input::Schedule(ask, reply) => self.schedule(ask, reply, world),
            Input::Backfill { ready, blobs, dues, by, reply } => {
                self.keep_version(&ready.version, blobs);
                self.backfill(&ready, &dues, &by, reply, world);
            }
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
            Input::AttemptUnreached { id, why } => {
                // It was seen to begin before: in this order.
                if self.started.iter().any(|(_, started)| *started == id) {
                    self.started.retain(|(_, started)| *started != id);
                    self.attempt_started(id, world);
                }
                let event = Event::Unreached { task: id.task, attempt: id.number };
                let note = Note::of(Failure::new(ErrorClass::Connection, why.clone()));
                if self.apply(id.run, event, note, world) == Err(Ignored::NoChange)
                    && let Some(live) = self.runs.get_mut(&id.run)
                {
                    live.keep_trouble(id.task, id.number, why, &mut self.batch);
                }
            }
            Input::AttemptNotEnded { id, why } => {
                let event = Event::NotEnded { task: id.task, attempt: id.number };
                let note = Note::of(Failure::new(ErrorClass::Lost, why));
                let _ = self.apply(id.run, event, note, world);
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
        self.fire_due(now, world);
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
        let due_at = self.timetable.next();
        self.timers.next().into_iter().chain(due_at).chain(resubmit_at).chain(tell_at).min()
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
        let is_opened = event == Event::Opened;
        weir_core::run::step(&mut live.run, event, now, &mut self.out)?;
        let first_event = self.batch.events.len();
        live.keep(&self.out.records, note, now, &mut self.batch);
        if !live.compiled.flow.notify.is_empty() {
            self.tell_of_step(id, first_event, is_opened, now, world);
        }
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
    let limit = match concurrency.policy {
        ConcurrencyPolicy::Parallel => 0,
        ConcurrencyPolicy::Queue
        | ConcurrencyPolicy::Skip
        | ConcurrencyPolicy::CancelRunning
        | ConcurrencyPolicy::Pipeline => concurrency.limit,
    };
    // One of many that were made together waits its turn: none of them is skipped or ends another.
    let (policy, limit) = match live.parallel {
        None => (concurrency.policy, limit),
        Some(parallel) if limit == 0 => (ConcurrencyPolicy::Queue, parallel),
        Some(parallel) => (ConcurrencyPolicy::Queue, parallel.min(limit)),
    };
    Entry {
        run: live.id(),
        key: format!("{}/{}/{}", live.row.project, live.row.flow, live.row.key),
        policy,
        limit,
    }
}

fn pool_name(project: &str, pool: &str) -> String {
    format!("{project}/{pool}")
}

pub(crate) fn broken(message: String) -> Note {
    Note::of(Failure::new(ErrorClass::Definition, message))
}

/// JSON text of a value that always has one.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("values of ours have a JSON text")
}
