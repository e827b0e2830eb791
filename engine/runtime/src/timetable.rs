//! The schedules of all loaded flows, and what is due when. Knows no runs and begins none.
//!
//! A due time is settled once: as a run, as missed, or as refused. What is settled is a row before anybody acts on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use weir_core::schedule::{Schedule, Settled, Trigger, settle};
use weir_core::time::Timestamp;

use crate::begin::Ready;
use crate::store::rows::{
    Batch, FireOutcome, FireRow, FlowRow, OwnSchedule, ScheduleEvent, ScheduleEventRow,
    ScheduleRow, ScheduleState,
};

/// A schedule as its flow's text has it or a person wrote it, and the run that it begins, or why none can begin.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) ready: Result<Arc<Ready>, String>,
    /// What a person wrote who added it.
    pub(crate) own: Option<Arc<OwnSchedule>>,
}

/// A flow's schedules, as they shall be from now on: those of its text, and those that people have added to it.
pub(crate) struct Load {
    pub(crate) flow: FlowRow,
    pub(crate) wanted: Vec<Wanted>,
}

/// A clock that is set back by less is not noticed: what it repeats is not due again anyway.
const SET_BACK: Duration = Duration::from_mins(1);

/// A project and a flow.
type OfFlow = (Arc<str>, Arc<str>);

#[derive(Default)]
pub(crate) struct Timetable {
    known: BTreeMap<i64, Box<Known>>,
    /// By flow, then by id.
    by_name: BTreeMap<OfFlow, BTreeMap<Arc<str>, i64>>,
    flows: BTreeMap<(String, String), FlowRow>,
    /// Which schedules wait for the end of a flow.
    behind: BTreeMap<(String, String), BTreeSet<i64>>,
    alarms: BTreeSet<(Timestamp, i64)>,
    last: i64,
    seen: Option<Timestamp>,
}

struct Known {
    row: ScheduleRow,
    /// What it does, while its flow is loaded.
    wanted: Option<Wanted>,
    alarm: Option<Timestamp>,
    /// Due times ahead that were settled before the clock was set back.
    taken: BTreeSet<Timestamp>,
    chance: u64,
}

/// The flow that schedules are of, in texts that all of them share.
struct Of {
    project: Arc<str>,
    flow: Arc<str>,
    version: Arc<str>,
}

impl Of {
    fn new(flow: &FlowRow) -> Self {
        Self {
            project: flow.project.as_str().into(),
            flow: flow.flow.as_str().into(),
            version: flow.version.as_str().into(),
        }
    }
}

/// A schedule of which something is due.
pub(crate) struct Due {
    pub(crate) id: i64,
    pub(crate) settled: Settled,
    pub(crate) wanted: Wanted,
    /// Those of its due times that were settled before.
    pub(crate) taken: BTreeSet<Timestamp>,
}

/// Why a schedule is not changed as a person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Unknown,
    NoChange(String),
    /// Its flow is not loaded.
    NoFlow,
}

impl Timetable {
    /// Takes up what an earlier engine kept.
    pub(crate) fn adopt(
        &mut self,
        flows: Vec<FlowRow>,
        schedules: Vec<ScheduleRow>,
        ahead: Vec<(i64, Timestamp)>,
    ) {
        for row in flows {
            self.flows.insert((row.project.clone(), row.flow.clone()), row);
        }
        for row in schedules {
            self.last = self.last.max(row.id);
            let of_flow = (Arc::clone(&row.project), Arc::clone(&row.flow));
            self.by_name.entry(of_flow).or_default().insert(Arc::clone(&row.name), row.id);
            self.known.insert(row.id, Box::new(Known::new(row)));
        }
        for (id, due) in ahead {
            if let Some(known) = self.known.get_mut(&id) {
                known.taken.insert(due);
            }
        }
    }

    /// Flows that are loaded, or were when an earlier engine ended.
    pub(crate) fn flows(&self) -> impl Iterator<Item = &FlowRow> {
        self.flows.values().filter(|flow| !flow.is_gone)
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// A flow that is loaded.
    pub(crate) fn flow(&self, project: &str, flow: &str) -> Option<&FlowRow> {
        let row = self.flows.get(&(project.to_owned(), flow.to_owned()))?;
        (!row.is_gone).then_some(row)
    }

    /// What people have added to a flow: ids and texts.
    pub(crate) fn own_of(&self, project: &str, flow: &str) -> Vec<(String, OwnSchedule)> {
        let rows = self.of_flow(project, flow).map(|id| &self.known[&id].row);
        rows.filter(|row| row.state != ScheduleState::Removed.code())
            .filter_map(|row| Some((row.name.to_string(), OwnSchedule::clone(row.own.as_ref()?))))
            .collect()
    }

    /// Puts a flow's schedules in effect, in place of those it had. What people have added stays in any case.
    pub(crate) fn load(&mut self, load: Load, now: Timestamp, batch: &mut Batch) {
        let Load { flow, wanted } = load;
        let of_flow = (flow.project.clone(), flow.flow.clone());
        let before = self.flows.get(&of_flow);
        if before.is_none_or(|before| {
            (&before.version, &before.file, before.is_gone)
                != (&flow.version, &flow.file, flow.is_gone)
        }) {
            batch.flows.push(flow.clone());
            self.flows.insert(of_flow.clone(), flow.clone());
        }
        let names: BTreeSet<&str> =
            wanted.iter().map(|wanted| wanted.schedule.id.as_str()).collect();
        let gone: Vec<i64> = self
            .of_flow(&flow.project, &flow.flow)
            .filter(|id| self.known[id].row.own.is_none())
            .filter(|id| !names.contains(&*self.known[id].row.name))
            .collect();
        for id in gone {
            self.remove(id, None, now, batch);
        }
        let of = Of::new(&flow);
        for wanted in wanted {
            self.put(&of, wanted, None, now, batch);
        }
    }

    /// Puts in effect what a person adds to a flow that is loaded.
    pub(crate) fn add(
        &mut self,
        (project, flow): (&str, &str),
        wanted: Wanted,
        by: &str,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<(), Unfit> {
        let of = Of::new(self.flow(project, flow).ok_or(Unfit::NoFlow)?);
        let known = self
            .id_of(project, flow, &wanted.schedule.id)
            .map(|id| &self.known[&id].row)
            .filter(|row| row.state != ScheduleState::Removed.code());
        if let Some(known) = known {
            let whose = match &known.own {
                Some(own) => format!("{} has added it", own.by),
                None => "it stands in the flow's file".to_owned(),
            };
            return Err(Unfit::NoChange(format!(
                "there is a schedule `{}` already: {whose}\nhelp: take another `id`, or remove that one first",
                known.name
            )));
        }
        // One of that name that was removed before may have been paused: this is another one.
        let removed = self.id_of(project, flow, &wanted.schedule.id);
        if let Some(known) = removed.and_then(|id| self.known.get_mut(&id))
            && known.row.paused_by.take().is_some()
        {
            known.row.paused_at = None;
            known.tell(ScheduleEvent::Resumed, Some(by), now, batch);
        }
        self.put(&of, wanted, Some(by), now, batch);
        Ok(())
    }

    /// Takes away what a person has added.
    pub(crate) fn take_away(
        &mut self,
        (project, flow, name): (&str, &str, &str),
        by: &str,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<(), Unfit> {
        let id = self.id_of(project, flow, name).ok_or(Unfit::Unknown)?;
        let row = &self.known[&id].row;
        if row.state == ScheduleState::Removed.code() {
            return Err(Unfit::Unknown);
        }
        if row.own.is_none() {
            return Err(Unfit::NoChange(
                "it stands in the flow's file\nhelp: remove it there, or pause it here".to_owned(),
            ));
        }
        self.remove(id, Some(by), now, batch);
        Ok(())
    }

    /// A flow's text is gone: its schedules end. Those that people have added rest until it is back.
    pub(crate) fn unload(&mut self, project: &str, flow: &str, now: Timestamp, batch: &mut Batch) {
        let of_flow = (project.to_owned(), flow.to_owned());
        if let Some(row) = self.flows.get_mut(&of_flow).filter(|row| !row.is_gone) {
            row.is_gone = true;
            row.at = now;
            batch.flows.push(row.clone());
        }
        for id in self.of_flow(project, flow).collect::<Vec<_>>() {
            if self.known[&id].row.own.is_some() {
                self.rest(id, batch);
            } else {
                self.remove(id, None, now, batch);
            }
        }
    }

    fn of_flow(&self, project: &str, flow: &str) -> impl Iterator<Item = i64> + use<'_> {
        let ids = self.by_name.get(&(project.into(), flow.into()));
        ids.into_iter().flat_map(BTreeMap::values).copied()
    }

    fn put(
        &mut self,
        of: &Of,
        wanted: Wanted,
        by: Option<&str>,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let spec = wanted.schedule.spec().to_string();
        let of_flow = (Arc::clone(&of.project), Arc::clone(&of.flow));
        let ids = self.by_name.entry(of_flow).or_default();
        let id = ids.get(wanted.schedule.id.as_str()).copied().unwrap_or(self.last + 1);
        let is_new = !self.known.contains_key(&id);
        let known = self.known.entry(id).or_insert_with(|| {
            self.last = id;
            let name: Arc<str> = wanted.schedule.id.as_str().into();
            ids.insert(Arc::clone(&name), id);
            Box::new(Known::new(ScheduleRow {
                id,
                project: Arc::clone(&of.project),
                flow: Arc::clone(&of.flow),
                name,
                version: Arc::clone(&of.version),
                spec: spec.as_str().into(),
                state: ScheduleState::Active.code(),
                paused_by: None,
                paused_at: None,
                up_to: now,
                next_due: None,
                seq: 0,
                at: now,
                own: None,
            }))
        });
        let before = known.row.clone();
        let was_removed = before.state == ScheduleState::Removed.code();
        if is_new || was_removed {
            known.tell(ScheduleEvent::Added, by, now, batch);
        } else if *before.spec != *spec {
            known.tell(ScheduleEvent::Changed, by, now, batch);
        }
        if is_new || was_removed || *before.spec != *spec {
            // What would have been due under another text was not missed under this one.
            known.row.up_to = known.row.up_to.max(now);
            known.row.state = ScheduleState::Active.code();
        }
        if *before.spec != *spec {
            known.row.spec = spec.into();
        }
        known.row.own.clone_from(&wanted.own);
        // Those that an earlier engine kept came with texts of their own.
        known.row.project = Arc::clone(&of.project);
        known.row.flow = Arc::clone(&of.flow);
        known.row.version = Arc::clone(&of.version);
        if let Trigger::AfterFlow { project, flow: other, .. } = &wanted.schedule.trigger {
            let project = project.as_deref().unwrap_or(&of.project).to_owned();
            self.behind.entry((project, other.clone())).or_default().insert(id);
        }
        known.wanted = Some(wanted);
        let next = known.next();
        self.set_next(id, next, now, batch);
        let known = &self.known[&id];
        if is_new || known.row != before {
            batch.schedules.push(known.row.clone());
        }
    }

    fn remove(&mut self, id: i64, by: Option<&str>, now: Timestamp, batch: &mut Batch) {
        self.rest(id, batch);
        let Some(known) = self.known.get_mut(&id) else { return };
        if known.row.state == ScheduleState::Removed.code() {
            return;
        }
        known.row.state = ScheduleState::Removed.code();
        known.tell(ScheduleEvent::Removed, by, now, batch);
        batch.schedules.push(known.row.clone());
    }

    /// It begins no runs as long as nobody puts it in effect again.
    fn rest(&mut self, id: i64, batch: &mut Batch) {
        self.set_alarm(id, None);
        for ids in self.behind.values_mut() {
            ids.remove(&id);
        }
        let Some(known) = self.known.get_mut(&id) else { return };
        known.wanted = None;
        if known.row.next_due.take().is_some() {
            batch.schedules.push(known.row.clone());
        }
    }

    /// Pauses a schedule, or lets it go on: what was due meanwhile was not missed.
    pub(crate) fn pause(
        &mut self,
        (project, flow, name): (&str, &str, &str),
        is_paused: bool,
        by: &str,
        now: Timestamp,
        batch: &mut Batch,
    ) -> Result<(), Unfit> {
        let id = self.id_of(project, flow, name).ok_or(Unfit::Unknown)?;
        let known = self.known.get_mut(&id).ok_or(Unfit::Unknown)?;
        match (&known.row.paused_by, is_paused) {
            (Some(by), true) => {
                return Err(Unfit::NoChange(format!("it is paused already, by {by}")));
            }
            (None, false) => {
                let by_text = known.wanted.as_ref().is_some_and(|wanted| wanted.schedule.paused);
                return Err(Unfit::NoChange(if by_text {
                    "its text says `paused: true`\nhelp: remove that from the flow's file"
                        .to_owned()
                } else {
                    "it is not paused".to_owned()
                }));
            }
            (None, true) => {
                known.row.paused_by = Some(by.to_owned());
                known.row.paused_at = Some(now);
                known.tell(ScheduleEvent::Paused, Some(by), now, batch);
            }
            (Some(_), false) => {
                known.row.paused_by = None;
                known.row.paused_at = None;
                known.row.up_to = known.row.up_to.max(now);
                known.tell(ScheduleEvent::Resumed, Some(by), now, batch);
            }
        }
        let next = known.next();
        self.set_next(id, next, now, batch);
        batch.schedules.push(self.known[&id].row.clone());
        Ok(())
    }

    /// The next schedule of which something is due, with what becomes of it. Tell [`Timetable::settled`] afterwards.
    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<Due> {
        loop {
            let (at, id) = *self.alarms.first()?;
            if at > now {
                return None;
            }
            self.alarms.pop_first();
            let known = self.known.get_mut(&id)?;
            known.alarm = None;
            let Some(wanted) = known.wanted.clone() else { continue };
            let settled = settle(&wanted.schedule, known.chance, known.row.up_to, now);
            let later = known.taken.split_off(&Timestamp::from_millis(settled.up_to.millis() + 1));
            let taken = std::mem::replace(&mut known.taken, later);
            return Some(Due { id, settled, wanted, taken });
        }
    }

    /// What was due is settled, with these rows.
    pub(crate) fn settled(
        &mut self,
        id: i64,
        settled: &Settled,
        fires: Vec<FireRow>,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        batch.fires.extend(fires);
        if let Some(known) = self.known.get_mut(&id) {
            known.row.up_to = settled.up_to;
        }
        self.set_next(id, settled.next, now, batch);
        batch.schedules.push(self.known[&id].row.clone());
    }

    /// Something happened that begins a run of a schedule: the due time that stands for it.
    pub(crate) fn due_by(&self, id: i64, now: Timestamp) -> Option<(Timestamp, Wanted)> {
        let known = self.known.get(&id)?;
        let wanted = known.wanted.clone()?;
        if known.is_paused() {
            return None;
        }
        // One millisecond for each, as two may happen at once.
        let next = Timestamp::from_millis(known.row.up_to.millis() + 1);
        Some((next.max(now), wanted))
    }

    /// Schedules that wait for the end of a flow's runs.
    pub(crate) fn behind(&self, project: &str, flow: &str) -> Vec<i64> {
        let ids = self.behind.get(&(project.to_owned(), flow.to_owned()));
        ids.into_iter().flatten().copied().collect()
    }

    /// The number of a schedule.
    pub(crate) fn id_of(&self, project: &str, flow: &str, name: &str) -> Option<i64> {
        self.by_name.get(&(project.into(), flow.into()))?.get(name).copied()
    }

    /// Schedules whose flow is loaded; all, or one by its number.
    pub(crate) fn in_effect(&self, only: Option<i64>) -> Vec<(i64, Arc<Schedule>)> {
        let all = only.map_or(self.known.range(..), |id| self.known.range(id..=id));
        let wanted = |known: &Known| Some(Arc::clone(&known.wanted.as_ref()?.schedule));
        all.filter_map(|(id, known)| Some((*id, wanted(known)?))).collect()
    }

    /// A schedule as it is kept.
    pub(crate) fn row(&self, id: i64) -> &ScheduleRow {
        &self.known[&id].row
    }

    /// Schedules whose settled times lie ahead, as the clock was set back since the last call.
    pub(crate) fn set_back(&mut self, now: Timestamp) -> Vec<i64> {
        let seen = self.seen.replace(now);
        if seen.is_none_or(|seen| seen.since(now) <= SET_BACK) {
            return Vec::new();
        }
        let is_ahead = |known: &Known| known.wanted.is_some() && known.row.up_to > now;
        self.known.iter().filter(|(_, known)| is_ahead(known)).map(|(id, _)| *id).collect()
    }

    /// Goes on from now, leaving out the due times ahead that are settled.
    pub(crate) fn go_back(
        &mut self,
        id: i64,
        taken: BTreeSet<Timestamp>,
        now: Timestamp,
        batch: &mut Batch,
    ) {
        let Some(known) = self.known.get_mut(&id) else { return };
        known.taken.extend(taken);
        known.row.up_to = now;
        known.row.state = ScheduleState::Active.code();
        known.tell(ScheduleEvent::SetBack, None, now, batch);
        let next = known.next();
        self.set_next(id, next, now, batch);
        batch.schedules.push(self.known[&id].row.clone());
    }

    fn set_next(&mut self, id: i64, next: Option<Timestamp>, now: Timestamp, batch: &mut Batch) {
        let Some(known) = self.known.get_mut(&id) else { return };
        let Some(wanted) = &known.wanted else {
            // Only whoever has its text knows.
            known.row.next_due = None;
            return;
        };
        let is_over = next.is_none() && wanted.schedule.trigger.is_time() && !known.is_paused();
        let alarm = next.map(|next| wanted.schedule.begins_at(next, known.chance));
        known.row.next_due = next;
        let state = if is_over { ScheduleState::Ended } else { ScheduleState::Active };
        if known.row.state != state.code() {
            known.row.state = state.code();
            if is_over {
                known.tell(ScheduleEvent::Ended, None, now, batch);
            }
        }
        self.set_alarm(id, alarm);
    }

    fn set_alarm(&mut self, id: i64, at: Option<Timestamp>) {
        let Some(known) = self.known.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut known.alarm, at) {
            self.alarms.remove(&(before, id));
        }
        self.alarms.extend(at.map(|at| (at, id)));
    }
}

impl Known {
    fn new(row: ScheduleRow) -> Self {
        // FNV-1a: the same schedule has the same chance, wherever and whenever.
        let text = format!("{}/{}/{}", row.project, row.flow, row.name);
        let chance = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Self { row, wanted: None, alarm: None, taken: BTreeSet::new(), chance }
    }

    fn is_paused(&self) -> bool {
        self.row.paused_by.is_some()
            || self.wanted.as_ref().is_some_and(|wanted| wanted.schedule.paused)
    }

    fn next(&self) -> Option<Timestamp> {
        if self.is_paused() {
            return None;
        }
        self.wanted.as_ref().and_then(|wanted| wanted.schedule.next_after(self.row.up_to))
    }

    fn tell(&mut self, event: ScheduleEvent, by: Option<&str>, now: Timestamp, batch: &mut Batch) {
        self.row.seq += 1;
        batch.schedule_events.push(ScheduleEventRow {
            schedule: self.row.id,
            seq: self.row.seq,
            at: now,
            kind: event.code(),
            by: by.map(str::to_owned),
            detail: (event == ScheduleEvent::Added || event == ScheduleEvent::Changed)
                .then(|| format!("{{\"version\":\"{}\"}}", self.row.version)),
        });
    }
}

/// What is kept of a due time.
pub(crate) fn fire(id: i64, due_at: Timestamp, now: Timestamp, run: Option<i64>) -> FireRow {
    let outcome = if run.is_some() { FireOutcome::Run } else { FireOutcome::Refused };
    FireRow {
        schedule: id,
        due_at,
        since: due_at,
        at: now,
        outcome: outcome.code(),
        run,
        cause: None,
        reason: None,
    }
}
