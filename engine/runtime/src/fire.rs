//! Runs that schedules begin: when they are due, when another flow has ended, when a file has come, for a span of dates.

use std::sync::Arc;

use serde_json::{Map, Value};
use weir_core::ids::RunId;
use weir_core::run::RunState;
use weir_core::schedule::{EndKind, Trigger};
use weir_core::schema::Schema;
use weir_core::template::{self, Context, RunFacts};
use weir_core::time::Timestamp;

use crate::begin::Ready;
use crate::fill;
use crate::input::{Refusal, Reply};
use crate::library::Loaded;
use crate::store::rows::{FireOutcome, FireRow};
use crate::timetable::{Load, Unfit, Wanted, fire};
use crate::turn::{Turn, World};

/// So many schedules are settled in one turn: the first run begins before the last schedule is looked at.
const AT_ONCE: usize = 512;

/// What is asked of the schedules.
pub(crate) enum Ask {
    /// These are a flow's schedules from now on.
    Load { load: Box<Load>, loaded: Box<Loaded> },
    /// A flow's text is gone.
    Unload { project: String, flow: String },
    /// Pause one, or let it go on.
    Pause { project: String, flow: String, name: String, is_paused: bool, by: String },
    /// A person adds one to a flow.
    Add { project: String, flow: String, wanted: Box<Wanted>, by: String },
    /// A person takes one away that was added.
    Remove { project: String, flow: String, name: String, by: String },
    /// A file has come.
    File { id: i64, path: String, cause: String },
}

impl Turn {
    /// Begins what is due by now.
    pub(crate) fn fire_due(&mut self, now: Timestamp, world: &mut dyn World) {
        for id in self.timetable.set_back(now) {
            match world.fires_after(id, now) {
                Ok(taken) => {
                    self.timetable.go_back(id, taken.into_iter().collect(), now, &mut self.batch);
                }
                Err(error) => tracing::error!(
                    "the clock was set back, and schedule {id} waits until it has caught up: {error}"
                ),
            }
        }
        let mut begun = false;
        for _ in 0..AT_ONCE {
            let Some(due) = self.timetable.take_due(now) else { break };
            let mut fires = Vec::new();
            if let Some((since, due_at)) = due.settled.missed {
                let row = FireRow {
                    since,
                    outcome: FireOutcome::Missed.code(),
                    reason: Some("nobody could run it when it was due".to_owned()),
                    ..fire(due.id, due_at, now, None)
                };
                if !due.taken.contains(&due_at) {
                    fires.push(row);
                }
            }
            for at in &due.settled.runs {
                if due.taken.contains(&at.at) {
                    continue;
                }
                let by = self.by_of(due.id);
                fires.push(match &due.wanted.ready {
                    Ok(ready) => {
                        let run = self.start(ready.run(&by, at.at), world);
                        fire(due.id, at.at, now, Some(run.0))
                    }
                    Err(reason) => {
                        FireRow { reason: Some(reason.clone()), ..fire(due.id, at.at, now, None) }
                    }
                });
                begun = true;
            }
            self.timetable.settled(due.id, &due.settled, fires, now, &mut self.batch);
        }
        if begun {
            self.open_gates(world);
            self.settle(world);
        }
    }

    /// Who began a run, where a schedule did.
    fn by_of(&self, id: i64) -> String {
        format!("schedule {}", self.timetable.row(id).name)
    }

    /// Begins a run of a schedule by something that happened, once.
    fn fire_by(
        &mut self,
        id: i64,
        cause: String,
        cx: &Context,
        world: &mut dyn World,
    ) -> Option<RunId> {
        let now = world.now();
        let (due, wanted) = self.timetable.due_by(id, now)?;
        let ready = wanted.ready.clone().and_then(|ready| filled(&ready, cx, world));
        let by = self.by_of(id);
        let run = match &ready {
            Ok(ready) => Some(self.start(ready.run(&by, due), world)),
            Err(_) => None,
        };
        let row = FireRow {
            cause: Some(cause),
            reason: ready.err(),
            ..fire(id, due, now, run.map(|run| run.0))
        };
        let settled =
            weir_core::schedule::Settled { up_to: due, ..weir_core::schedule::Settled::default() };
        self.timetable.settled(id, &settled, vec![row], now, &mut self.batch);
        run
    }

    /// A run has ended: what waits for that begins, in the same transaction.
    pub(crate) fn fire_behind(&mut self, run: RunId, world: &mut dyn World) {
        let Some(live) = self.runs.get(&run) else { return };
        let ids = self.timetable.behind(&live.row.project, &live.row.flow);
        if ids.is_empty() {
            return;
        }
        let ended = match live.run.state() {
            RunState::Succeeded => EndKind::Succeeded,
            RunState::Failed => EndKind::Failed,
            RunState::Cancelled => EndKind::Cancelled,
            RunState::Queued
            | RunState::Running
            | RunState::Paused
            | RunState::Asking
            | RunState::Failing
            | RunState::Cancelling => return,
        };
        let is_wanted = |id: &i64| {
            let due = self.timetable.due_by(*id, Timestamp::ZERO);
            due.is_some_and(|(_, wanted)| match &wanted.schedule.trigger {
                Trigger::AfterFlow { on, .. } => on.contains(&ended),
                Trigger::Cron(_) | Trigger::Every(_) | Trigger::At(_) | Trigger::File(_) => false,
            })
        };
        let ids: Vec<i64> = ids.into_iter().filter(is_wanted).collect();
        if ids.is_empty() {
            return;
        }
        let cx = match self.context_of_run(run, world) {
            Ok(cx) => cx,
            Err(error) => {
                tracing::error!("what run {run} left behind can't be read: {error}");
                Context::default()
            }
        };
        for id in ids {
            self.fire_by(id, format!("run {run}"), &cx, world);
        }
    }

    /// What templates see that are about a run that has ended.
    fn context_of_run(&mut self, run: RunId, world: &mut dyn World) -> Result<Context, String> {
        self.read_results(run, world)?;
        let live = self.runs.get(&run).ok_or("the run has ended")?;
        // Secrets stay with the run that was given them.
        let params = weir_core::params::Values {
            plain: live.values.plain.clone(),
            ..weir_core::params::Values::default()
        };
        Ok(Context {
            params: Arc::new(params),
            run: RunFacts {
                id: run.0,
                due: live.run.due_at(),
                flow: live.row.flow.clone(),
                project: live.row.project.clone(),
                attempt: None,
            },
            jobs: Some(Arc::new(fill::jobs_of(live))),
            item: Some(Value::from(live.run.state().name())),
            ..Context::default()
        })
    }

    /// Does what is asked of the schedules.
    pub(crate) fn schedule(&mut self, ask: Ask, reply: Reply<()>, world: &mut dyn World) {
        let now = world.now();
        let result = match ask {
            Ask::Load { load, loaded } => {
                self.keep_version(&loaded.version, loaded.blobs);
                self.timetable.load(*load, now, &mut self.batch);
                Ok(())
            }
            Ask::Unload { project, flow } => {
                self.timetable.unload(&project, &flow, now, &mut self.batch);
                Ok(())
            }
            Ask::Pause { project, flow, name, is_paused, by } => {
                let of = (project.as_str(), flow.as_str(), name.as_str());
                let paused = self.timetable.pause(of, is_paused, &by, now, &mut self.batch);
                paused.map_err(|unfit| refusal(unfit, of))
            }
            Ask::Add { project, flow, wanted, by } => {
                let name = wanted.schedule.id.clone();
                let of = (project.as_str(), flow.as_str(), name.as_str());
                let added = self.timetable.add((of.0, of.1), *wanted, &by, now, &mut self.batch);
                added.map_err(|unfit| refusal(unfit, of))
            }
            Ask::Remove { project, flow, name, by } => {
                let of = (project.as_str(), flow.as_str(), name.as_str());
                let removed = self.timetable.take_away(of, &by, now, &mut self.batch);
                removed.map_err(|unfit| refusal(unfit, of))
            }
            Ask::File { id, path, cause } => {
                let cx = Context { item: Some(Value::from(path)), ..Context::default() };
                self.fire_by(id, cause, &cx, world);
                self.open_gates(world);
                Ok(())
            }
        };
        match result {
            Ok(()) => self.after.answers.push(Box::new(move || reply(Ok(())))),
            Err(refusal) => reply(Err(refusal)),
        }
    }

    /// Begins a run for each due time, all of them in one transaction.
    pub(crate) fn backfill(
        &mut self,
        ready: &Ready,
        dues: &[Timestamp],
        by: &str,
        reply: Reply<Vec<RunId>>,
        world: &mut dyn World,
    ) {
        let runs: Vec<RunId> =
            dues.iter().map(|due| self.start(ready.run(by, *due), world)).collect();
        self.after.answers.push(Box::new(move || reply(Ok(runs))));
        self.open_gates(world);
    }

    /// Flows whose text is to be watched.
    pub(crate) fn loaded_flows(&self) -> Vec<crate::store::rows::FlowRow> {
        self.timetable.flows().cloned().collect()
    }

    /// Due times of file triggers are known by what happened.
    pub(crate) fn schedule_id(&self, project: &str, flow: &str, name: &str) -> Option<i64> {
        self.timetable.id_of(project, flow, name)
    }
}

/// What is said to whoever wants to change a schedule.
fn refusal(unfit: Unfit, (project, flow, name): (&str, &str, &str)) -> Refusal {
    let of = if project.is_empty() { flow.to_owned() } else { format!("{project}/{flow}") };
    match unfit {
        Unfit::Unknown => Refusal::Bad(format!(
            "there is no schedule `{name}` of {of}\nhelp: `weir schedules` lists them"
        )),
        Unfit::NoFlow => Refusal::Bad(format!(
            "{of} is not in effect\nhelp: name the folder of its file with `weir serve --flows DIR`"
        )),
        Unfit::NoChange(why) => Refusal::Ignored(why),
    }
}

/// The run that a schedule begins, with its parameters filled in from what happened.
fn filled(ready: &Arc<Ready>, cx: &Context, world: &dyn World) -> Result<Arc<Ready>, String> {
    let given = Value::Object(ready.given.clone());
    let schema = Schema::map(Schema::anything());
    let rendered = template::settings(&given, &schema, &weir_core::flow::Places::default(), cx)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let params: Map<String, Value> = match rendered.with {
        Value::Object(params) => params,
        _ => Map::new(),
    };
    if params == ready.given {
        return Ok(Arc::clone(ready));
    }
    ready.with(params, &|values| world.seal(values)).map(Arc::new)
}
