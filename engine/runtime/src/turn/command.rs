//! Commands that need no durability: deciding, expanding, and admitting whom the limits let go.

use std::sync::Arc;

use weir_core::graph::JobKind;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::job_type::Nature;
use weir_core::outcome::{ErrorClass, Failure, Outcome};
use weir_core::run::{Command, Event, Verdict};

use super::{Turn, World, broken, entry_of, pool_name};
use crate::limits::{Wants, Who};
use crate::live::Note;

impl Turn {
    /// Carries out the commands that need no durability, and admits whom it can, until nothing more follows.
    pub(crate) fn settle(&mut self, world: &mut dyn World) {
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

    pub(super) fn command(&mut self, run: RunId, command: Command, world: &mut dyn World) {
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
                self.fire_behind(run, world);
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

    pub(super) fn admit(&mut self, run: RunId, task: TaskIx, world: &mut dyn World) {
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
    pub(super) fn fail_before_launch(
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
    pub(super) fn held_by(&self, run: RunId, task: TaskIx) -> Option<RunId> {
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

    pub(super) fn wants(
        &mut self,
        run: RunId,
        task: TaskIx,
        world: &mut dyn World,
    ) -> Result<Wants, String> {
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

    pub(super) fn launch_instant(
        &mut self,
        run: RunId,
        task: TaskIx,
        attempt: u32,
        world: &mut dyn World,
    ) {
        let id = AttemptId { run, task, number: attempt };
        let outcome = match self.instant(run, task, world) {
            Ok(outputs) => Outcome::Done { outputs, exit_code: None },
            Err(message) => Outcome::Failed(Failure::new(ErrorClass::Definition, message)),
        };
        self.attempt_ended(id, outcome, None, world);
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
