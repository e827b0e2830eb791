//! The state of one run, and the one function that moves it.
//!
//! A run is a flat list of tasks with counters of what each still waits for; no step looks at more than what it
//! touches. Rows are made from the records that a step leaves; [`Run::restore`] makes the run again from the rows.

mod batch;
mod count;
mod event;
mod fold;
mod hold;
mod owed;
mod path;
mod remedy;
mod rerun;
mod restore;
mod rewind;
mod same;
mod settle;
mod stage;
mod state;
mod step;
mod stop;
mod task;
mod why;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use event::{Act, Command, Ending, Event, Ignored, Out, Record, RecordKind, Verdict};
pub use fold::{AttemptImage, Image, Kept, Mismatch, TaskImage, fold};
pub use owed::{late_times, owed};
pub use rerun::{
    From, Origin, OriginTask, Preview, PreviewLine, Will, did_end_well, plan_rerun, tasks_of,
};
pub use restore::{SavedBlock, SavedHead, SavedTask};
pub use state::RunState;
pub use step::step;
pub use task::{Answer, CancelReason, Cause, Question, TASK_STATES, Task, TaskState};
pub use why::{Waits, waits_since, why};

use crate::graph::{Graph, JobKind};
use crate::ids::{JobIx, RunId, ScopeIx, TaskIx};
use crate::time::Timestamp;
use task::NONE;

/// How a run begins: what of it is not to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Start {
    /// Tasks left out on purpose, with all they hold. What needs them goes on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disabled: Vec<u32>,
    /// Tasks whose result is that of the origin, with all they hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reused: Vec<u32>,
    /// Tasks that the origin skipped, and that would be skipped again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<u32>,
}

/// The five parts of a run, in the order of their blocks of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Main,
    OnStart,
    OnSuccess,
    OnFailure,
    OnExit,
}

const PARTS: [Part; 5] =
    [Part::Main, Part::OnStart, Part::OnSuccess, Part::OnFailure, Part::OnExit];

impl Part {
    /// Whether what happens in it decides how the run ends.
    fn decides_outcome(self) -> bool {
        match self {
            Self::Main | Self::OnStart => true,
            Self::OnSuccess | Self::OnFailure | Self::OnExit => false,
        }
    }
}

/// Parents from here on are parts of the run.
const TOP: u32 = u32::MAX - 8;

/// Stands for the run itself among the late.
const LATE_RUN: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Block {
    base: u32,
    count: u32,
    /// Direct tasks that have not ended.
    left: u32,
}

/// What the run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    Queued,
    OnStart,
    Main,
    Outcome,
    OnExit,
    Ended,
}

/// Tasks that were added while the run moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Added {
    /// The first of them.
    pub first: TaskIx,
    /// The task they belong to.
    pub owner: TaskIx,
    /// The scope they are tasks of.
    pub scope: ScopeIx,
    /// How many items; 1 for a remedy.
    pub count: u32,
    /// The remedy's number in the graph; `None` for a `foreach`.
    pub remedy: Option<u32>,
}

/// One execution of a flow version.
#[derive(Clone, Debug)]
pub struct Run {
    id: RunId,
    graph: Arc<Graph>,
    tasks: Vec<Task>,
    parts: [Block; 5],
    added: Vec<Added>,
    /// For each entry of `added`, which block of its owner for the same remedy it is, from 1.
    added_uses: Vec<u32>,
    /// How many blocks an owner has for a remedy.
    uses: BTreeMap<(u32, u32), u32>,
    stage: Stage,
    paused: bool,
    failing: bool,
    ending: Option<CancelReason>,
    state: RunState,
    counts: [u32; TASK_STATES],
    moving: u32,
    used: BTreeMap<(u32, u32), u32>,
    late: BTreeSet<u32>,
    due_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    settle: VecDeque<u32>,
    ended: Vec<u32>,
}

impl Run {
    /// A run that waits to begin. Leaves a record for each task that will not run.
    ///
    /// # Panics
    /// `start` names a task that the graph does not have.
    pub fn new(
        id: RunId,
        graph: Arc<Graph>,
        start: &Start,
        due_at: Timestamp,
        now: Timestamp,
        out: &mut Out,
    ) -> Self {
        let mut run = Self::bare(id, graph, due_at);
        for (list, state, cause) in [
            (&start.disabled, TaskState::Disabled, Cause::None),
            (&start.skipped, TaskState::Skipped, Cause::SkippedBefore),
            (&start.reused, TaskState::Reused, Cause::None),
        ] {
            for &task in list {
                run.give(task, state, cause, now, out);
            }
        }
        run.count_again();
        run
    }

    fn give(&mut self, ix: u32, state: TaskState, cause: Cause, now: Timestamp, out: &mut Out) {
        if self.tasks[ix as usize].state == TaskState::Waiting {
            let task = &mut self.tasks[ix as usize];
            task.state = state;
            task.cause = cause;
            task.since = now;
            out.records.push(Record {
                kind: RecordKind::Task(state),
                task: Some(TaskIx(ix)),
                attempt: 0,
            });
        }
        for child in self.children(ix) {
            self.give(child, state, cause, now, out);
        }
    }

    /// All tasks of the graph waiting, nothing counted yet.
    fn bare(id: RunId, graph: Arc<Graph>, due_at: Timestamp) -> Self {
        let mut run = Self {
            id,
            tasks: Vec::with_capacity(graph.scopes.first().map_or(0, |scope| scope.block as usize)),
            parts: [Block::default(); 5],
            added: Vec::new(),
            added_uses: Vec::new(),
            uses: BTreeMap::new(),
            stage: Stage::Queued,
            paused: false,
            failing: false,
            ending: None,
            state: RunState::Queued,
            counts: [0; TASK_STATES],
            moving: 0,
            used: BTreeMap::new(),
            late: BTreeSet::new(),
            due_at,
            started_at: None,
            ended_at: None,
            settle: VecDeque::new(),
            ended: Vec::new(),
            graph,
        };
        let hooks = run.graph.hooks;
        let scopes =
            [Some(ScopeIx(0)), hooks.on_start, hooks.on_success, hooks.on_failure, hooks.on_exit];
        for (part, scope) in scopes.into_iter().enumerate() {
            let Some(scope) = scope else { continue };
            let base = run.add_block(scope, TOP + part as u32, NONE);
            run.parts[part] = Block { base, count: run.graph.scope(scope).count, left: 0 };
        }
        run
    }

    /// Keeps what was added, so that a task finds the remedy it belongs to.
    fn keep_added(&mut self, added: Added) {
        let of_owner = added.remedy.map(|remedy| {
            let uses = self.uses.entry((added.owner.0, remedy)).or_insert(0);
            *uses += 1;
            *uses
        });
        self.added.push(added);
        self.added_uses.push(of_owner.unwrap_or(0));
    }

    /// Takes up who was noted as late before a restart, `None` for the run itself: nobody is told twice.
    ///
    /// The events of kind [`RecordKind::Late`] say who.
    pub fn remember_late(&mut self, late: impl IntoIterator<Item = Option<TaskIx>>) {
        self.late.extend(late.into_iter().map(|task| task.map_or(LATE_RUN, |task| task.0)));
    }

    /// Adds the tasks of a scope, and of the groups in it, all waiting.
    fn add_block(&mut self, scope: ScopeIx, parent: u32, item: u32) -> u32 {
        let graph = Arc::clone(&self.graph);
        let rules = graph.scope(scope);
        let base = self.tasks.len() as u32;
        for job in graph.jobs_of(scope) {
            let place = job.0 - rules.first;
            self.tasks.push(Task {
                state: TaskState::Waiting,
                cause: Cause::None,
                tries: 0,
                attempt: 0,
                job,
                since: Timestamp::ZERO,
                until: Timestamp::ZERO,
                parent,
                base,
                item,
                inner: NONE,
                holds: 0,
                open: rules.needs(place).len() as u32,
                held: 0,
                next: 0,
                unopened: 0,
            });
            self.counts[0] += 1;
        }
        for ix in base..base + rules.count {
            if let JobKind::Group(inner) = graph.job(self.tasks[ix as usize].job).kind {
                let first = self.add_block(inner, ix, NONE);
                let count = graph.scope(inner).count;
                let task = &mut self.tasks[ix as usize];
                task.inner = first;
                task.holds = count;
                task.held = count;
            }
        }
        base
    }

    /// Which run it is.
    pub fn id(&self) -> RunId {
        self.id
    }

    /// The rules it moves by.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Where it is.
    pub fn state(&self) -> RunState {
        self.state
    }

    /// Whether nothing new starts until it is resumed.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Why it was or is being ended, if it was asked for.
    pub fn ending(&self) -> Option<CancelReason> {
        self.ending
    }

    /// When its first job could start.
    pub fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    /// The time it was for.
    pub fn due_at(&self) -> Timestamp {
        self.due_at
    }

    /// All its tasks, by number.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// One task.
    pub fn task(&self, task: TaskIx) -> Option<&Task> {
        self.tasks.get(task.at())
    }

    /// What was added while it moved.
    pub fn added(&self) -> &[Added] {
        &self.added
    }

    /// How many tasks are in each state, by the state's number.
    pub fn counts(&self) -> &[u32; TASK_STATES] {
        &self.counts
    }

    /// The task that holds this one: a group, a `foreach`, or the task that a remedy is for.
    pub fn parent(&self, task: TaskIx) -> Option<TaskIx> {
        let parent = self.tasks[task.at()].parent;
        (parent < TOP).then_some(TaskIx(parent))
    }

    /// Which item of its `foreach` a task is, from 0.
    pub fn item(&self, task: TaskIx) -> Option<u32> {
        let item = self.tasks[task.at()].item;
        (item != NONE).then_some(item)
    }

    /// Whether the task is one of a remedy's jobs: the remedy's number, and which use of it for its owner, from 1.
    pub fn remedy_of(&self, task: TaskIx) -> Option<(u32, u32)> {
        let place = self.added.partition_point(|added| added.first <= task).checked_sub(1)?;
        let Added { first, owner, scope, remedy, .. } = self.added[place];
        let count = self.graph.scope(scope).count;
        let is_of_it =
            self.parent(task) == Some(owner) && (first.0..first.0 + count).contains(&task.0);
        remedy.filter(|_| is_of_it).map(|remedy| (remedy, self.added_uses[place]))
    }

    /// The task of the job `other` that stands beside `task`.
    pub fn sibling(&self, task: TaskIx, other: JobIx) -> Option<TaskIx> {
        let at = &self.tasks[task.at()];
        let scope = self.graph.scope(self.graph.job(at.job).scope);
        let place = other.0.checked_sub(scope.first).filter(|place| *place < scope.count)?;
        Some(TaskIx(at.base + place))
    }

    /// The direct tasks that a task holds now: the jobs of a group, the items of a `foreach`, the jobs of the remedy at work.
    pub fn children(&self, task: u32) -> impl Iterator<Item = u32> + use<> {
        let Task { inner, holds, job, .. } = self.tasks[task as usize];
        let stride = match self.graph.job(job).kind {
            JobKind::Foreach { body, .. } => self.graph.scope(body).block,
            JobKind::Work | JobKind::Instant | JobKind::Asks | JobKind::Group(_) => 1,
        };
        (0..holds).map(move |n| inner + n * stride)
    }

    /// How often a remedy was used for a task.
    pub fn used(&self, task: TaskIx, remedy: u32) -> u32 {
        self.used.get(&(task.0, remedy)).copied().unwrap_or(0)
    }

    fn is_foreach(&self, ix: u32) -> bool {
        match self.graph.job(self.tasks[ix as usize].job).kind {
            JobKind::Foreach { .. } => true,
            JobKind::Group(_) | JobKind::Work | JobKind::Instant | JobKind::Asks => false,
        }
    }

    fn is_container(&self, ix: u32) -> bool {
        match self.graph.job(self.tasks[ix as usize].job).kind {
            JobKind::Group(_) | JobKind::Foreach { .. } => true,
            JobKind::Work | JobKind::Instant | JobKind::Asks => false,
        }
    }
}
