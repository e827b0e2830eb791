//! What a handle says about schedules and does to them: how they are shown, which are in effect, adding and removing
//! those of people, pausing, making up for a span of dates.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use weir_core::flow;
use weir_core::ids::RunId;
use weir_core::mistake::Mistake;
use weir_core::params::Values;
use weir_core::run::RunState;
use weir_core::schedule::{Schedule, Trigger, local, zone_named};
use weir_core::time::Timestamp;

use crate::begin::{BeginError, Ready, same, seal_params};
use crate::engine::{Ground, Handle, stopped, wall_clock};
use crate::fire::Ask;
use crate::folders::with_calendars;
use crate::input::{Input, Refusal};
use crate::library::Loaded;
use crate::store;
use crate::store::rows::{
    FireOutcome, FireRow, FlowRow, OwnSchedule, ScheduleRow, ScheduleState, VersionRow,
};
use crate::timetable::Wanted;

/// A schedule, as people and programs see it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// Its number.
    pub id: i64,
    /// The project, or empty.
    pub project: String,
    /// The flow.
    pub flow: String,
    /// Its id within the flow.
    pub schedule: String,
    /// What it says, in the keys of the flow file.
    pub spec: Value,
    /// `active`, `paused`, `ended`, `flow-gone`.
    pub state: &'static str,
    /// Who paused it.
    pub paused_by: Option<String>,
    /// Since when.
    pub paused_at: Option<Timestamp>,
    /// The next due time.
    pub next_due: Option<Timestamp>,
    /// The same on the schedule's clock.
    pub next_local: Option<String>,
    /// The flow version that says so.
    pub version: String,
    /// What became of its last due time.
    pub last: Option<Fired>,
    /// Who has added it; `None` if the flow's file has it.
    pub added_by: Option<String>,
    /// What they wrote, in the keys of the flow file.
    pub own: Option<Value>,
}

/// What became of a due time, as people and programs see it.
#[derive(Clone, Debug, Serialize)]
pub struct Fired {
    /// The due time; the last of a span.
    pub due: Timestamp,
    /// The first of a span; else the due time.
    pub since: Timestamp,
    /// When it was settled.
    pub at: Timestamp,
    /// `run`, `missed`, `refused`.
    pub outcome: &'static str,
    /// The run that began.
    pub run: Option<i64>,
    /// What happened, where time alone does not tell.
    pub cause: Option<String>,
    /// Why there is no run.
    pub reason: Option<String>,
    /// The state of the run.
    pub run_state: Option<&'static str>,
}

impl Shown {
    fn new(row: ScheduleRow, last: Option<Fired>) -> Self {
        let spec: Value = serde_json::from_str(&row.spec).unwrap_or_default();
        let zone = spec["timezone"].as_str().and_then(|name| zone_named(name).ok());
        let is_paused_by_text = spec["paused"] == true;
        let state = match (ScheduleState::name(row.state), &row.paused_by) {
            ("active", Some(_)) => "paused",
            ("active", None) if is_paused_by_text => "paused",
            // The file of the flow is gone, or no folder of flows is watched.
            ("active", None) if row.own.is_some() && row.next_due.is_none() && zone.is_some() => {
                "flow-gone"
            }
            (state, _) => state,
        };
        Self {
            id: row.id,
            next_local: zone.zip(row.next_due).map(|(zone, due)| local(zone, due)),
            project: row.project.to_string(),
            flow: row.flow.to_string(),
            schedule: row.name.to_string(),
            spec,
            state,
            paused_by: row.paused_by.or_else(|| is_paused_by_text.then(|| "its text".to_owned())),
            paused_at: row.paused_at,
            next_due: row.next_due,
            version: row.version.to_string(),
            last,
            own: row.own.as_ref().and_then(|own| serde_json::from_str(&own.text).ok()),
            added_by: row.own.map(|own| own.by.clone()),
        }
    }
}

impl Fired {
    pub(crate) fn new((row, state): (FireRow, Option<u8>)) -> Self {
        Self {
            due: row.due_at,
            since: row.since,
            at: row.at,
            outcome: FireOutcome::name(row.outcome),
            run: row.run,
            cause: row.cause,
            reason: row.reason,
            run_state: state.and_then(RunState::from_code).map(RunState::name),
        }
    }
}

/// The runs that the schedules of one flow begin, worked out as far as they can be. Schedules that give the same values
/// begin the same: it is worked out and held in memory once.
pub(crate) struct Readies<'a> {
    ground: &'a Ground,
    loaded: &'a Loaded,
    version: Arc<VersionRow>,
    known: BTreeMap<String, Result<Arc<Ready>, String>>,
}

impl<'a> Readies<'a> {
    pub(crate) fn new(ground: &'a Ground, loaded: &'a Loaded) -> Self {
        let version = Arc::new(loaded.version.clone());
        Self { ground, loaded, version, known: BTreeMap::new() }
    }

    /// A schedule with the run that it begins.
    pub(crate) fn wanted(&mut self, schedule: Arc<Schedule>, own: Option<OwnSchedule>) -> Wanted {
        let is_time = schedule.trigger.is_time();
        let (given, confirm) = (&schedule.params, &schedule.confirm);
        let same = json!([given, confirm, is_time]).to_string();
        let ready = if let Some(known) = self.known.get(&same) {
            known.clone()
        } else {
            let ready = self.work_out(given.clone(), confirm.clone(), is_time).map(Arc::new);
            self.known.insert(same, ready.clone());
            ready
        };
        Wanted { schedule, ready, own: own.map(Arc::new) }
    }

    fn work_out(
        &self,
        given: Map<String, Value>,
        confirm: Vec<String>,
        is_time: bool,
    ) -> Result<Ready, String> {
        let seal = |values: &Values| seal_params(self.ground, values);
        let ready = Ready::new(self.loaded, given.clone(), confirm.clone(), &seal);
        let mut ready = ready.or_else(|why| {
            // Templates have no value yet.
            let unfilled = (!is_time).then(|| Ready::unfilled(self.loaded, given, confirm));
            unfilled.ok_or_else(|| why.join("; "))
        })?;
        ready.version = Arc::clone(&self.version);
        Ok(ready)
    }
}

/// What a person has added to a flow, as it is with the flow's version of now. What does not fit any more is kept: its
/// due times are refused with the reason, and another version may mend it.
pub(crate) fn own_wanted(
    readies: &mut Readies<'_>,
    file: &Path,
    own: OwnSchedule,
) -> Option<Wanted> {
    let (schedule, _) = flow::load_schedule(&own.text, &readies.loaded.compiled.flow.params);
    let schedule = Arc::new(schedule?);
    match with_calendars(&schedule, file) {
        Ok(whole) => Some(readies.wanted(whole, Some(own))),
        Err(mistakes) => {
            let ready = Err(lines(&mistakes).join("; "));
            Some(Wanted { schedule, ready, own: Some(Arc::new(own)) })
        }
    }
}

/// Mistakes in what has no lines that a person would know.
pub(crate) fn lines(mistakes: &[Mistake]) -> Vec<String> {
    let line = |mistake: &Mistake| match &mistake.help {
        Some(help) => format!("{}\nhelp: {help}", mistake.message),
        None => mistake.message.clone(),
    };
    mistakes.iter().map(line).collect()
}

/// Reads what a person writes to add a schedule to a flow, in the version that is in effect.
fn read_for(
    row: &FlowRow,
    loaded: &Loaded,
    said: &Map<String, Value>,
) -> Result<Arc<Schedule>, BeginError> {
    let text = Value::from(said.clone()).to_string();
    let (schedule, mistakes) = flow::load_schedule(&text, &loaded.compiled.flow.params);
    let schedule = schedule.filter(|_| mistakes.is_empty());
    let schedule = Arc::new(schedule.ok_or_else(|| BeginError::Bad(lines(&mistakes)))?);
    if let Trigger::File(_) = schedule.trigger {
        return Err(BeginError::Bad(vec![
            "a schedule that waits for files stands in its flow's file\nhelp: write it there, or give this one `cron`, `every` or `at`".to_owned(),
        ]));
    }
    // Who may add a schedule may not look about on this machine.
    if let Some(name) = schedule.calendars.iter().find(|name| name.source.contains('/')) {
        return Err(BeginError::Bad(vec![format!(
            "`{}` is no file beside the flow's\nhelp: write the name alone of an iCalendar file that lies there",
            name.source
        )]));
    }
    let whole = with_calendars(&schedule, Path::new(&row.file))
        .map_err(|mistakes| BeginError::Bad(lines(&mistakes)))?;
    let seal = |_: &Values| String::new();
    if whole.trigger.is_time() {
        if whole.next_after(wall_clock()).is_none() {
            return Err(BeginError::Bad(vec![
                "all its times have passed\nhelp: write a time that is still to come".to_owned(),
            ]));
        }
        Ready::new(loaded, whole.params.clone(), whole.confirm.clone(), &seal)
            .map_err(BeginError::Bad)?;
    }
    Ok(whole)
}

impl Handle {
    /// Reads what a person writes to add a schedule to a flow that is in effect: one object with the keys of a schedule
    /// in a flow file.
    ///
    /// # Errors
    /// The flow is not in effect; or all that does not fit.
    pub async fn read_schedule(
        &self,
        project: &str,
        flow: &str,
        said: &Map<String, Value>,
    ) -> Result<Arc<Schedule>, BeginError> {
        let (row, loaded) = self.in_effect(project, flow).await?;
        read_for(&row, &loaded, said)
    }

    /// Adds a schedule to a flow that is in effect; no new text of the flow takes it away. It is durable when this
    /// returns its number.
    ///
    /// # Errors
    /// As for reading it; or there is one of that id.
    pub async fn add_schedule(
        &self,
        project: &str,
        flow: &str,
        said: &Map<String, Value>,
        by: &str,
    ) -> Result<i64, BeginError> {
        // Nobody puts another version in effect meanwhile.
        let _turn = self.shared().loading.lock().await;
        let (row, loaded) = self.in_effect(project, flow).await?;
        let schedule = read_for(&row, &loaded, said)?;
        let own = OwnSchedule { text: Value::from(said.clone()).to_string(), by: by.to_owned() };
        let name = schedule.id.clone();
        let wanted = Readies::new(self.shared(), &loaded).wanted(schedule, Some(own));
        self.ask_schedules(Ask::Add {
            project: project.to_owned(),
            flow: flow.to_owned(),
            wanted: Box::new(wanted),
            by: by.to_owned(),
        })
        .await?;
        let id = self.schedule_id((project.to_owned(), flow.to_owned(), name)).await;
        id.ok_or_else(|| stopped().into())
    }

    /// Takes away a schedule that a person has added. It is durable when this returns.
    ///
    /// # Errors
    /// There is none, or the flow's file has it.
    pub async fn remove_schedule(
        &self,
        (project, flow, name): (&str, &str, &str),
        by: &str,
    ) -> Result<(), Refusal> {
        self.ask_schedules(Ask::Remove {
            project: project.to_owned(),
            flow: flow.to_owned(),
            name: name.to_owned(),
            by: by.to_owned(),
        })
        .await
    }

    /// A flow that is in effect, in the version that is.
    ///
    /// # Errors
    /// It is not; or its version can't be read.
    pub async fn flow_in_effect(&self, project: &str, flow: &str) -> Result<Loaded, BeginError> {
        Ok(self.in_effect(project, flow).await?.1)
    }

    async fn in_effect(&self, project: &str, flow: &str) -> Result<(FlowRow, Loaded), BeginError> {
        let (of_project, of_flow) = (project.to_owned(), flow.to_owned());
        let row = self.look(move |turn| turn.timetable.flow(&of_project, &of_flow).cloned()).await;
        let row = row.flatten().ok_or_else(|| {
            let of = if project.is_empty() { flow.to_owned() } else { format!("{project}/{flow}") };
            BeginError::Bad(vec![format!(
                "{of} is not in effect\nhelp: name the folder of its file with `weir serve --flows DIR`"
            )])
        })?;
        let ground = self.shared();
        let compiled = ground.library.version(&ground.store, &row.version).await?;
        let loaded = same(ground, &row.version, &compiled).await?;
        Ok((row, loaded))
    }

    /// What people have added to a flow.
    pub(crate) async fn own_schedules(
        &self,
        project: &str,
        flow: &str,
    ) -> Vec<(String, OwnSchedule)> {
        let (project, flow) = (project.to_owned(), flow.to_owned());
        self.look(move |turn| turn.timetable.own_of(&project, &flow)).await.unwrap_or_default()
    }

    /// Schedules that are not removed, by project, flow and id; all, or one by its number.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn schedules_shown(&self, only: Option<i64>) -> Result<Vec<Shown>, store::Error> {
        let rows = self.store().schedules_with_last(only).await?;
        Ok(rows.into_iter().map(|(row, last)| Shown::new(row, last.map(Fired::new))).collect())
    }

    /// What became of the due times of a schedule before a time, newest first, at most `limit`.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn fired(
        &self,
        schedule: i64,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<Fired>, store::Error> {
        let rows = self.store().fires_with_runs(schedule, before, limit).await?;
        Ok(rows.into_iter().map(Fired::new).collect())
    }

    /// The schedules that are in effect, with the days off of their calendars; all, or one by its number.
    pub async fn schedules_in_effect(&self, only: Option<i64>) -> Vec<(i64, Arc<Schedule>)> {
        self.look(move |turn| turn.timetable.in_effect(only)).await.unwrap_or_default()
    }

    /// The number of a schedule, by its project, flow and id.
    pub(crate) async fn schedule_id(&self, name: (String, String, String)) -> Option<i64> {
        self.look(move |turn| turn.schedule_id(&name.0, &name.1, &name.2)).await.flatten()
    }

    /// Pauses a schedule, or lets it go on. It is durable when this returns.
    ///
    /// # Errors
    /// There is no such schedule, or nothing would change.
    pub async fn pause_schedule(
        &self,
        (project, flow, name): (&str, &str, &str),
        is_paused: bool,
        by: &str,
    ) -> Result<(), Refusal> {
        self.ask_schedules(Ask::Pause {
            project: project.to_owned(),
            flow: flow.to_owned(),
            name: name.to_owned(),
            is_paused,
            by: by.to_owned(),
        })
        .await
    }

    /// Asks the loop; it is durable when this returns.
    pub(crate) async fn ask_schedules(&self, ask: Ask) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        let reply = Box::new(move |result| drop(reply.send(result)));
        if !self.send(Input::Schedule(ask, reply)) {
            return Err(stopped());
        }
        answer.await.map_err(|_| stopped())?
    }

    /// Begins a run for each due time of a schedule, all or none. They are durable when this returns.
    ///
    /// # Errors
    /// The schedule's parameters do not fit its flow.
    pub async fn backfill(
        &self,
        loaded: &Loaded,
        schedule: &Schedule,
        dues: Vec<Timestamp>,
        parallel: u32,
        by: &str,
    ) -> Result<Vec<RunId>, BeginError> {
        let seal = |values: &Values| seal_params(self.shared(), values);
        let (given, confirm) = (schedule.params.clone(), schedule.confirm.clone());
        let mut ready = Ready::new(loaded, given, confirm, &seal).map_err(BeginError::Bad)?;
        ready.parallel = Some(parallel.max(1));
        let (reply, answer) = oneshot::channel();
        let input = Input::Backfill {
            ready: Box::new(ready),
            blobs: loaded.blobs.clone(),
            dues,
            by: by.to_owned(),
            reply: Box::new(move |result| drop(reply.send(result))),
        };
        if !self.send(input) {
            return Err(stopped().into());
        }
        Ok(answer.await.map_err(|_| stopped())??)
    }
}
