//! A whole installation in miniature: the durable rows of one run, the engine's memory, the commands it is about to
//! carry out, and the processes with their folders. A move is anything that can happen next.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use weir_core::graph::JobKind;
use weir_core::ids::{RunId, TaskIx};
use weir_core::outcome::ErrorClass;
use weir_core::run::{
    Act, Answer, Cause, Command, Ending, Event, From, Ignored, Kept, Origin, OriginTask, Out,
    Question, Record, RecordKind, Run, RunState, Start, TaskState, Verdict, owed, plan_rerun, step,
};
use weir_core::time::Timestamp;

use crate::fault::Fault;
use crate::legal;
use crate::notation::Sketch;
use crate::oracle;
use crate::play::difference;
use crate::rows::{Rows, disagreement, keep_events};

/// Time stands still: spans are 0, and what is due is due when its timer fires.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1);

/// What is explored, and how far.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// What a person may do.
    pub(crate) users: Vec<User>,
    /// How often, in all.
    pub(crate) acts: u8,
    /// How often the engine may crash.
    pub(crate) crashes: u8,
    /// How many attempts may be at work at once.
    pub(crate) slots: usize,
    /// Whether attempts may get lost, besides failing.
    pub(crate) loses: bool,
    /// Whether the start of an attempt and the silence of its other side are noticed, too.
    pub(crate) watches: bool,
    /// What is wrong with the engine, if anything.
    pub(crate) fault: Fault,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            users: Vec::new(),
            acts: 1,
            crashes: 0,
            slots: 2,
            loses: false,
            watches: false,
            fault: Fault::None,
        }
    }
}

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    Cancel,
    Kill,
    Retry,
    Skip,
    Fail,
    Pause,
    Rerun,
}

/// The process of an attempt, as its folder shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Process {
    Alive,
    Exited(bool),
    Killed,
    Lost,
    /// It was cancelled before it was launched, and never may be.
    Fenced,
}

/// Something that can happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    CarryOut(Command),
    Decide(TaskIx, Verdict),
    Expand(TaskIx, u32),
    Exit(u32, u32, Process),
    NoticeStart(u32, u32),
    NoticeSilence(u32, u32),
    NoticeEnd(u32, u32, Option<u32>),
    Answer(TaskIx, Answer),
    Resume,
    Commit,
    User(User, Option<TaskIx>),
    Crash,
}

impl Move {
    /// Whether it happens without a person and without bad luck.
    pub(crate) fn is_fair(&self) -> bool {
        !matches!(self, Self::User(..) | Self::Crash | Self::NoticeSilence(..))
    }
}

/// The events so far, shared between worlds that begin alike.
#[derive(Clone, Debug)]
struct Past {
    before: Option<Rc<Self>>,
    records: Vec<Record>,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) sketch: Rc<Sketch>,
    pub(crate) scope: Rc<Scope>,
    pub(crate) run: Run,
    pub(crate) rows: Rows,
    /// What was done but not yet kept, where the engine acts before it commits.
    uncommitted: Option<Vec<Record>>,
    pub(crate) flight: BTreeSet<Command>,
    pub(crate) processes: BTreeMap<(u32, u32), Process>,
    followed: BTreeSet<(u32, u32)>,
    acts: u8,
    crashes: u8,
    /// Whether a person has paused the run, whatever the run thinks.
    is_held: bool,
    /// How often people let a remedy be used again.
    approvals: u32,
    /// How often a person may still answer in a way that leads to the same question.
    patience: u8,
    /// How often the other side of an attempt may still fall silent.
    silences: u8,
    past: Option<Rc<Past>>,
}

/// What must never be.
pub(crate) type Broken = String;

impl World {
    pub(crate) fn new(sketch: &Rc<Sketch>, scope: &Rc<Scope>) -> Result<Self, Broken> {
        Self::begin(sketch, scope, RunId(1), &Start::default(), scope.acts, scope.crashes)
    }

    fn begin(
        sketch: &Rc<Sketch>,
        scope: &Rc<Scope>,
        id: RunId,
        start: &Start,
        acts: u8,
        crashes: u8,
    ) -> Result<Self, Broken> {
        let mut out = Out::default();
        let graph = scope.fault.graph(&sketch.graph);
        let run = Run::new(id, graph, start, NOW, NOW, &mut out);
        let mut rows = Rows::new(&run);
        rows.apply(&run, &out.records, NOW);
        let past = Some(Rc::new(Past { before: None, records: out.records }));
        let mut world = Self {
            sketch: Rc::clone(sketch),
            scope: Rc::clone(scope),
            run,
            rows,
            uncommitted: None,
            flight: BTreeSet::new(),
            processes: BTreeMap::new(),
            followed: BTreeSet::new(),
            acts,
            crashes,
            is_held: false,
            approvals: 0,
            patience: 1,
            silences: 1,
            past,
        };
        world.send(Event::Opened)?;
        Ok(world)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.rows.state.is_final()
    }

    fn state(&self, task: u32) -> TaskState {
        self.run.tasks()[task as usize].state
    }

    /// Everything that can happen next.
    pub(crate) fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        if self.has_ended() && self.uncommitted.is_none() {
            if self.acts > 0 && self.scope.users.contains(&User::Rerun) {
                moves.push(Move::User(User::Rerun, None));
            }
            // What was to be launched when the end came may still be tried.
            let launches = self.flight.iter().filter(|one| matches!(one, Command::Launch { .. }));
            moves.extend(launches.map(|command| Move::CarryOut(*command)));
            return moves;
        }
        if self.uncommitted.is_some() {
            moves.push(Move::Commit);
        }
        self.engine_moves(&mut moves);
        for (&(task, number), process) in &self.processes {
            if *process == Process::Alive {
                moves.push(Move::Exit(task, number, Process::Exited(true)));
                moves.push(Move::Exit(task, number, Process::Exited(false)));
                if self.scope.loses {
                    moves.push(Move::Exit(task, number, Process::Lost));
                }
            }
        }
        if self.run.is_paused() {
            moves.push(Move::Resume);
        }
        if self.acts > 0 {
            self.user_moves(&mut moves);
        }
        if self.crashes > 0 {
            moves.push(Move::Crash);
        }
        moves
    }

    fn engine_moves(&self, moves: &mut Vec<Move>) {
        let at_work = self.run.tasks().iter().enumerate().filter(|(_, task)| {
            let is_work = match self.sketch.graph.job(task.job).kind {
                JobKind::Work | JobKind::Instant | JobKind::Asks => true,
                JobKind::Group(_) | JobKind::Foreach { .. } => false,
            };
            is_work && task.state.is_active()
        });
        let is_full = at_work.count() >= self.scope.slots;
        for command in &self.flight {
            match *command {
                Command::Decide { task } => {
                    moves.push(Move::Decide(task, Verdict::Go));
                    moves.push(Move::Decide(task, Verdict::NotDue));
                    if self.sketch.graph.job(self.run.tasks()[task.at()].job).destroys {
                        moves.push(Move::Decide(task, Verdict::Unconfirmed));
                    }
                }
                Command::Expand { task } => {
                    let job = self.run.tasks()[task.at()].job.0;
                    let count = self.sketch.items.get(&job).copied().unwrap_or(2);
                    moves.push(Move::Expand(task, count));
                }
                Command::Admit { .. } if is_full => {}
                Command::Admit { .. }
                | Command::Launch { .. }
                | Command::Cancel { .. }
                | Command::Wake { .. }
                | Command::WakeRun { .. }
                | Command::Close => moves.push(Move::CarryOut(*command)),
            }
        }
        for &(task, number) in &self.followed {
            let process = self.processes.get(&(task, number));
            let state = self.state(task);
            let is_last = self.run.tasks()[task as usize].attempt == number;
            if self.scope.watches && is_last && process == Some(&Process::Alive) {
                if matches!(state, TaskState::Launching | TaskState::Unreachable) {
                    moves.push(Move::NoticeStart(task, number));
                }
                if state == TaskState::Running && self.silences > 0 {
                    moves.push(Move::NoticeSilence(task, number));
                }
            }
            if process.is_some_and(|process| *process != Process::Alive) {
                moves.push(Move::NoticeEnd(task, number, None));
                let job = self.run.tasks()[task as usize].job;
                let (first, end) = self.sketch.graph.job(job).remedies;
                if process == Some(&Process::Exited(false)) {
                    let known = (first..end).map(Some);
                    moves.extend(known.map(|remedy| Move::NoticeEnd(task, number, remedy)));
                }
            }
        }
        for (ix, task) in self.run.tasks().iter().enumerate() {
            if let TaskState::Asking(question) = task.state {
                for answer in [Answer::Approve, Answer::Reject, Answer::Retry, Answer::Continue] {
                    if self.patience > 0 || !tries_again(question, answer) {
                        moves.push(Move::Answer(TaskIx(ix as u32), answer));
                    }
                }
            }
        }
    }

    fn user_moves(&self, moves: &mut Vec<Move>) {
        for user in &self.scope.users {
            match user {
                User::Cancel | User::Kill => moves.push(Move::User(*user, None)),
                User::Pause if !self.run.is_paused() => moves.push(Move::User(*user, None)),
                User::Pause | User::Rerun => {}
                User::Retry | User::Skip | User::Fail => {
                    for (ix, task) in self.run.tasks().iter().enumerate() {
                        let is_for = match task.state {
                            TaskState::Retrying => true,
                            TaskState::Waiting
                            | TaskState::Deciding
                            | TaskState::Ready
                            | TaskState::Asking(_) => *user != User::Retry,
                            _ => false,
                        };
                        if is_for {
                            moves.push(Move::User(*user, Some(TaskIx(ix as u32))));
                        }
                    }
                }
            }
        }
    }

    /// The world after a move; `None` if the move changes nothing.
    pub(crate) fn after(&self, next: &Move) -> Result<Option<Self>, Broken> {
        let mut world = self.clone();
        let did = match *next {
            Move::CarryOut(command) => {
                world.flight.remove(&command);
                world.carry_out(command)?;
                true
            }
            Move::Decide(task, verdict) => {
                world.flight.remove(&Command::Decide { task });
                world.send(Event::Decided { task, verdict })?;
                true
            }
            Move::Expand(task, count) => {
                world.flight.remove(&Command::Expand { task });
                world.send(Event::Expanded { task, count, reused: Vec::new() })?;
                true
            }
            Move::Exit(task, number, how) => {
                world.processes.insert((task, number), how);
                true
            }
            Move::NoticeStart(task, attempt) => {
                let task = TaskIx(task);
                world.send(Event::Started { task, attempt })?
            }
            Move::NoticeSilence(task, attempt) => {
                world.silences -= 1;
                let task = TaskIx(task);
                world.send(Event::Unreached { task, attempt })?
            }
            Move::NoticeEnd(task, attempt, remedy) => {
                world.followed.remove(&(task, attempt));
                let process = world.processes[&(task, attempt)];
                let task = TaskIx(task);
                world.send(Event::Ended { task, attempt, ending: ending(process), remedy })?;
                true
            }
            Move::Answer(task, answer) => {
                if let TaskState::Asking(question) = self.state(task.0)
                    && tries_again(question, answer)
                {
                    world.approvals += 1;
                    world.patience -= 1;
                }
                world.send(Event::Answered { task, answer })?
            }
            Move::Resume => {
                world.is_held = false;
                world.send(Event::Resumed)?
            }
            Move::Commit => {
                world.commit()?;
                true
            }
            Move::User(user, task) => {
                world.acts -= 1;
                return world.act(user, task);
            }
            Move::Crash => {
                world.crashes -= 1;
                world.crash()?;
                true
            }
        };
        if did {
            world.check_processes()?;
        }
        Ok(did.then_some(world))
    }

    fn act(mut self, user: User, task: Option<TaskIx>) -> Result<Option<Self>, Broken> {
        let acted = |act| {
            let task = task.expect("acts on tasks name one");
            (Event::Acted { task, act }, Some(act))
        };
        let (event, act) = match user {
            User::Cancel => (Event::Cancelled, None),
            User::Kill => (Event::Killed, None),
            User::Retry => acted(Act::RetryNow),
            User::Skip => acted(Act::Skip),
            User::Fail => acted(Act::Fail),
            User::Pause => {
                self.is_held = true;
                (Event::Paused, None)
            }
            User::Rerun => return self.rerun().map(Some),
        };
        if !self.send(event)? {
            return Ok(None);
        }
        let wanted = act.and_then(|act| match act {
            Act::Skip => Some(TaskState::Disabled),
            Act::Succeed => Some(TaskState::Succeeded),
            Act::Fail => Some(TaskState::Failed),
            Act::RetryNow => None,
        });
        if let Some((task, wanted)) = task.zip(wanted)
            && self.state(task.0) != wanted
        {
            return Err(format!("a person wanted task {} {wanted:?}", task.0));
        }
        self.check_processes()?;
        Ok(Some(self))
    }

    fn rerun(&self) -> Result<Self, Broken> {
        let sketch = &self.sketch;
        let path_of = |run: &Run, task: TaskIx| sketch.path(run, task);
        let mut origin = Origin::default();
        for (ix, task) in self.run.tasks().iter().enumerate() {
            let path = sketch.path(&self.run, TaskIx(ix as u32));
            origin.tasks.insert(path, OriginTask { state: task.state, item: None });
        }
        let planned = plan_rerun(&sketch.graph, &path_of, &origin, &From::Failed);
        let (start, _) = planned.map_err(|mistakes| mistakes.join(", "))?;
        let id = RunId(self.run.id().0 + 1);
        Self::begin(sketch, &self.scope, id, &start, self.acts, self.crashes)
    }

    fn carry_out(&mut self, command: Command) -> Result<(), Broken> {
        match command {
            Command::Decide { .. } | Command::Expand { .. } => {
                unreachable!("these are moves of their own")
            }
            Command::Admit { task } => {
                self.send(Event::Admitted { task })?;
            }
            Command::Launch { task, attempt } => {
                let key = (task.0, attempt);
                self.followed.insert(key);
                let is_there = self.processes.contains_key(&key);
                if is_there && self.scope.fault == Fault::LaunchesTwice {
                    let before = self.processes.insert(key, Process::Alive);
                    if before == Some(Process::Alive) {
                        return Err(format!("attempt {key:?} was started twice"));
                    }
                }
                if !is_there {
                    let others = self.processes.range((task.0, 0)..(task.0, u32::MAX));
                    for (other, process) in others {
                        if *process == Process::Alive {
                            return Err(format!("{other:?} lives when {key:?} is started"));
                        }
                    }
                    self.processes.insert(key, Process::Alive);
                }
            }
            Command::Cancel { task, attempt, .. } => {
                let key = (task.0, attempt);
                self.followed.insert(key);
                let process = self.processes.get(&key).copied();
                let after = match process {
                    None if self.scope.fault == Fault::CancelDoesNotFence => {
                        let (ending, remedy) = (Ending::Cancelled, None);
                        self.send(Event::Ended { task, attempt, ending, remedy })?;
                        return Ok(());
                    }
                    None => Process::Fenced,
                    Some(Process::Alive) => Process::Killed,
                    Some(ended) => ended,
                };
                self.processes.insert(key, after);
            }
            Command::Wake { task, .. } => {
                self.send(Event::Due { task })?;
            }
            Command::WakeRun { .. } => {
                self.send(Event::RunDue)?;
            }
            Command::Close => {}
        }
        Ok(())
    }

    fn crash(&mut self) -> Result<(), Broken> {
        self.uncommitted = None;
        self.flight.clear();
        self.followed.clear();
        let fault = self.scope.fault;
        let rows = fault.rows(&self.rows);
        self.run = rows.restore(self.run.graph());
        self.flight = fault.owed(&self.run, owed(&self.run)).into_iter().collect();
        if fault.changes_rows() {
            self.rows = rows;
        }
        if self.rows.state == RunState::Queued {
            self.send(Event::Opened)?;
        }
        Ok(())
    }

    /// Sends an event. Says whether it changed anything.
    fn send(&mut self, event: Event) -> Result<bool, Broken> {
        let event = self.scope.fault.event(&self.run, event);
        let before = self.run.clone();
        let mut out = Out::default();
        if let Err(ignored) = step(&mut self.run, event.clone(), NOW, &mut out) {
            if before != self.run || out != Out::default() {
                return Err(format!("{event:?} was ignored ({ignored}) and changed something"));
            }
            return match ignored {
                Ignored::NoTask => Err(format!("{event:?} is about no task")),
                _ => Ok(false),
            };
        }
        self.check_records(&before, &out.records)?;
        self.flight.extend(self.scope.fault.commands(&self.run, out.commands));
        if self.scope.fault == Fault::ActsBeforeCommit {
            self.uncommitted.get_or_insert_default().append(&mut out.records);
        } else {
            self.keep(out.records)?;
        }
        Ok(true)
    }

    fn commit(&mut self) -> Result<(), Broken> {
        let records = self.uncommitted.take().unwrap_or_default();
        self.keep(records)
    }

    fn keep(&mut self, records: Vec<Record>) -> Result<(), Broken> {
        let kept = self.scope.fault.kept(&records);
        self.rows.apply(&self.run, &kept, NOW);
        let again = self.rows.restore(self.run.graph());
        if again != self.run {
            return Err(format!(
                "the run made again from its rows differs: {}",
                difference(&self.run, &again)
            ));
        }
        self.past = Some(Rc::new(Past { before: self.past.take(), records }));
        if self.has_ended() {
            self.check_end()?;
        }
        Ok(())
    }

    /// The events of the run, from its past.
    fn events(&self) -> Vec<Kept> {
        let mut steps = Vec::new();
        let mut at = self.past.as_ref();
        while let Some(past) = at {
            steps.push(&past.records);
            at = past.before.as_ref();
        }
        let mut events = Vec::new();
        for records in steps.into_iter().rev() {
            keep_events(&mut events, records, NOW);
        }
        events
    }

    /// Moves are legal, nothing starts before its needs have ended as it asks, nothing starts while a person holds the
    /// run, no remedy is used more often than it may.
    fn check_records(&self, before: &Run, records: &[Record]) -> Result<(), Broken> {
        let mut states: BTreeMap<u32, TaskState> = BTreeMap::new();
        for record in records {
            match record.kind {
                RecordKind::Task(to) => {
                    let task = record.task.expect("a task's record names it");
                    let old = before.task(task).map_or(TaskState::Waiting, |task| task.state);
                    let from = states.insert(task.0, to).unwrap_or(old);
                    if !legal::is_legal(from, to) {
                        return Err(format!("task {} moved from {from:?} to {to:?}", task.0));
                    }
                    let begins = matches!(to, TaskState::Launching | TaskState::Running)
                        && !matches!(from, TaskState::Launching | TaskState::Unreachable);
                    if begins {
                        oracle::may_start(&self.sketch.graph, &self.run, task)?;
                    }
                    let is_held = self.is_held && self.run.ending().is_none();
                    if to == TaskState::Launching && is_held {
                        return Err(format!("task {} starts in a paused run", task.0));
                    }
                    let cause = self.run.tasks()[task.at()].cause;
                    let for_needs =
                        matches!(cause, Cause::NeedFailed | Cause::NeedSkipped | Cause::NeedDone);
                    let is_direct = self.run.tasks()[task.at()].state == to;
                    if to == TaskState::Skipped && for_needs && is_direct {
                        oracle::may_not_start(&self.sketch.graph, &self.run, task)?;
                    }
                }
                RecordKind::Run(to) => {
                    if !legal::is_legal_run(before.state(), to) {
                        return Err(format!("the run moved from {:?} to {to:?}", before.state()));
                    }
                }
                RecordKind::Added { remedy: Some(remedy), .. } => {
                    let task = record.task.expect("a remedy is for a task");
                    let earlier = self.events();
                    let code = record.kind.code();
                    let is_use = |kept: &&Kept| kept.kind == code && kept.task == Some(task.0);
                    let used = earlier.iter().filter(is_use).count() as u32 + 1;
                    let (first, end) =
                        self.sketch.graph.job(self.run.tasks()[task.at()].job).remedies;
                    let limits = (first..end).map(|n| self.sketch.graph.remedies[n as usize].limit);
                    let limit: u32 = limits.sum();
                    if used > limit + self.approvals {
                        return Err(format!("remedy {remedy} was used {used} times"));
                    }
                }
                RecordKind::AttemptEnded(_)
                | RecordKind::Added { remedy: None, .. }
                | RecordKind::Paused
                | RecordKind::Resumed
                | RecordKind::Late
                | RecordKind::NotEnded => {}
            }
        }
        Ok(())
    }

    /// Whoever lives is known to be at work; the end of an earlier attempt is no news.
    fn check_processes(&mut self) -> Result<(), Broken> {
        for (&(task, number), process) in &self.processes {
            let at = self.run.tasks().get(task as usize);
            let is_known = at.is_some_and(|at| at.state.is_active() && at.attempt == number);
            if *process == Process::Alive && !is_known {
                let state = at.map(|at| at.state);
                return Err(format!("attempt {number} of task {task} lives, and it is {state:?}"));
            }
        }
        let old: Vec<(u32, u32, Process)> = self
            .processes
            .iter()
            .filter(|((task, number), process)| {
                let at = self.run.tasks()[*task as usize];
                **process != Process::Alive && at.attempt > *number
            })
            .map(|((task, number), process)| (*task, *number, *process))
            .collect();
        for (task, attempt, process) in old {
            let (ending, remedy) = (ending(process), None);
            if self.send(Event::Ended { task: TaskIx(task), attempt, ending, remedy })? {
                return Err(format!("attempt {attempt} of task {task} ended a later one"));
            }
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), Broken> {
        if let Some(why) = disagreement(&self.events(), &self.rows) {
            return Err(why);
        }
        let open = self.run.tasks().iter().position(|task| !task.state.is_final());
        if let Some(open) = open {
            return Err(format!("the run has ended, and task {open} has not"));
        }
        oracle::ends_as_it_should(&self.sketch.graph, &self.run)
    }

    /// Something happens next without a person and without bad luck, or the run has ended, or it says that it waits
    /// for a person. A process that is to end is not trusted to end by itself.
    pub(crate) fn check_liveness(&self, moves: &[Move]) -> Result<(), Broken> {
        if self.has_ended() {
            return Ok(());
        }
        let moves_on = |next: &&Move| match **next {
            Move::Exit(task, ..) => !matches!(self.state(task), TaskState::Cancelling(_)),
            Move::NoticeStart(..) => false,
            _ => true,
        };
        let mut fair = moves.iter().filter(|next| next.is_fair()).filter(moves_on).peekable();
        if fair.peek().is_none() {
            return Err("stuck: nothing happens any more".to_owned());
        }
        let is_for_person = |next: &Move| matches!(next, Move::Answer(..) | Move::Resume);
        let state = self.rows.state;
        let says_so = matches!(state, RunState::Asking | RunState::Paused);
        if !says_so && fair.all(is_for_person) {
            return Err(format!("only a person can move the run on, and it says {state:?}"));
        }
        Ok(())
    }

    /// The same number for worlds that do not differ but in what interchangeable jobs are called.
    pub(crate) fn print(&self, alike: &[Vec<u32>]) -> u64 {
        let mut whole = Fnv::default();
        let rows = &self.rows;
        (rows.id, rows.state, rows.paused, rows.started_at.is_some()).hash(&mut whole);
        (&rows.blocks, &rows.used, &self.uncommitted.is_some()).hash(&mut whole);
        (self.acts, self.crashes, self.is_held, self.approvals, self.silences).hash(&mut whole);
        if self.uncommitted.is_some() {
            self.run.hash(&mut whole);
        }
        let mut prints: Vec<u64> = Vec::with_capacity(self.run.tasks().len());
        for task in 0..self.run.tasks().len() as u32 {
            let mut one = Fnv::default();
            rows.tasks.get(&task).hash(&mut one);
            for (key, process) in self.processes.range((task, 0)..=(task, u32::MAX)) {
                (key.1, process, self.followed.contains(key)).hash(&mut one);
            }
            prints.push(one.finish());
        }
        for command in &self.flight {
            let mut one = Fnv::default();
            let task = match *command {
                Command::Decide { task }
                | Command::Expand { task }
                | Command::Admit { task }
                | Command::Wake { task, .. } => Some((task, 0, None)),
                Command::Launch { task, attempt } => Some((task, attempt, None)),
                Command::Cancel { task, attempt, reason } => Some((task, attempt, Some(reason))),
                Command::WakeRun { .. } | Command::Close => None,
            };
            std::mem::discriminant(command).hash(&mut one);
            if let Some((task, attempt, reason)) = task {
                (attempt, reason).hash(&mut one);
                let print = &mut prints[task.at()];
                *print = print.wrapping_mul(31).wrapping_add(one.finish());
            } else {
                one.finish().hash(&mut whole);
            }
        }
        for class in alike {
            let mut of_class: Vec<u64> = class.iter().map(|ix| prints[*ix as usize]).collect();
            of_class.sort_unstable();
            for (ix, print) in class.iter().zip(of_class) {
                prints[*ix as usize] = print;
            }
        }
        prints.hash(&mut whole);
        whole.finish()
    }
}

/// Whether the same question may come again after this answer.
fn tries_again(question: Question, answer: Answer) -> bool {
    let is_before_work = matches!(question, Question::Approval | Question::Confirm);
    match answer {
        Answer::Retry => !is_before_work,
        Answer::Approve => !is_before_work && question != Question::Judgement,
        Answer::Reject | Answer::Continue => false,
    }
}

fn ending(process: Process) -> Ending {
    match process {
        Process::Alive => unreachable!("what lives has not ended"),
        Process::Exited(true) => Ending::Done,
        Process::Exited(false) => Ending::Failed(ErrorClass::Exit),
        Process::Killed | Process::Fenced => Ending::Cancelled,
        Process::Lost => Ending::Failed(ErrorClass::Lost),
    }
}

/// A hash that is quick on short input (FNV-1a by words, mixed at the end).
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }

    fn finish(&self) -> u64 {
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }
}

/// Jobs that nobody could tell apart: the same needs, dependents and rules.
pub(crate) fn interchangeable(sketch: &Sketch) -> Vec<Vec<u32>> {
    let graph: &Arc<_> = &sketch.graph;
    let scope = &graph.scopes[0];
    let mut classes: Vec<Vec<u32>> = Vec::new();
    for place in 0..scope.count {
        let is_alike = |other: u32| {
            scope.needs(other) == scope.needs(place)
                && scope.dependents(other) == scope.dependents(place)
                && graph.jobs[other as usize] == graph.jobs[place as usize]
                && graph.jobs[place as usize].kind == JobKind::Work
                && graph.jobs[place as usize].remedies == (0, 0)
        };
        match classes.iter_mut().find(|class| is_alike(class[0])) {
            Some(class) => class.push(place),
            None => classes.push(vec![place]),
        }
    }
    classes.retain(|class| class.len() > 1);
    classes
}
