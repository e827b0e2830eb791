//! Who is to be told of what has just happened: rows of the batch in which it is kept.

use weir_core::flow::LateThen;
use weir_core::graph::{JobKind, LateRules};
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::notice::{Message, Reason};
use weir_core::run::{RecordKind, RunState, TaskState};
use weir_core::time::{Timestamp, format_span};

use super::{Turn, World, json};
use crate::live::Live;
use crate::store::rows::{NoticeRow, NoticeState};

/// So many failed tasks are named.
const NAMED: usize = 5;

/// Something to tell: why, by which event, about which task, and more in words.
type Told = (Reason, i64, Option<TaskIx>, Vec<String>);

impl Turn {
    /// Notes who is to be told of the last step of a run, whose events begin at `first` in the batch.
    pub(super) fn tell_of_step(
        &mut self,
        id: RunId,
        first: usize,
        is_opened: bool,
        now: Timestamp,
        world: &mut dyn World,
    ) {
        let Some(live) = self.runs.get(&id) else { return };
        let mut told: Vec<Told> = Vec::new();
        let mut end = None;
        for (record, event) in self.out.records.iter().zip(&self.batch.events[first..]) {
            let said = || message_of(event.detail.as_deref());
            match record.kind {
                RecordKind::Run(state) => match state {
                    RunState::Running if is_opened => {
                        told.push((Reason::Started, event.seq, None, Vec::new()));
                    }
                    RunState::Succeeded => {
                        told.push((Reason::Succeeded, event.seq, None, Vec::new()));
                        end = Some((event.seq, false));
                    }
                    RunState::Failed => {
                        told.push((Reason::Failed, event.seq, None, failures(live)));
                        end = Some((event.seq, true));
                    }
                    RunState::Cancelled => {
                        let why = live.row.reason.iter().cloned();
                        let by = event.by.iter().map(|by| format!("cancelled by {by}"));
                        told.push((Reason::Cancelled, event.seq, None, why.chain(by).collect()));
                    }
                    RunState::Queued
                    | RunState::Running
                    | RunState::Paused
                    | RunState::Asking
                    | RunState::Failing
                    | RunState::Cancelling => {}
                },
                RecordKind::Late => {
                    let why = late_words(live, record.task, now);
                    told.push((Reason::Late, event.seq, record.task, why));
                }
                RecordKind::Task(TaskState::Asking(_)) => {
                    let mut words = said();
                    if words.is_empty() {
                        words.extend(record.task.and_then(|task| question(live, task)));
                    }
                    told.push((Reason::Asking, event.seq, record.task, words));
                }
                RecordKind::Task(_)
                | RecordKind::AttemptEnded(_)
                | RecordKind::Added { .. }
                | RecordKind::NotEnded
                | RecordKind::Paused
                | RecordKind::Resumed => {}
            }
        }
        if let Some((seq, is_bad)) = end {
            let why = self.recovery(id, is_bad, world);
            told.extend(why.map(|why| (Reason::Recovered, seq, None, vec![why])));
        }
        self.note_told(id, told, now);
    }

    /// Notes who is to be told that a task has failed for good, if nobody knows its failure.
    pub(super) fn tell_of_failure(&mut self, id: AttemptId, is_known: bool, world: &mut dyn World) {
        let Some(live) = self.runs.get(&id.run) else { return };
        if is_known || live.compiled.flow.notify.is_empty() {
            return;
        }
        let is_end = |kind| matches!(kind, RecordKind::Task(state) if state.is_failure());
        let place = self
            .out
            .records
            .iter()
            .rposition(|record| record.task == Some(id.task) && is_end(record.kind));
        let Some(place) = place else { return };
        let job = live.run.tasks()[id.task.at()].job;
        if live.run.graph().job(job).allow_failure {
            return;
        }
        let seq = live.row.seq - (self.out.records.len() - place) as i64 + 1;
        let words = live.failure.clone().into_iter().collect();
        let told = vec![(Reason::Undiagnosed, seq, Some(id.task), words)];
        self.note_told(id.run, told, world.now());
    }

    /// Why a run that ended well is more than that, if it is.
    fn recovery(&mut self, id: RunId, is_bad: bool, world: &mut dyn World) -> Option<String> {
        let live = self.runs.get(&id)?;
        if !live.compiled.flow.notify.iter().any(|entry| entry.on.contains(&Reason::Recovered)) {
            return None;
        }
        let (project, flow) = (live.row.project.clone(), live.row.flow.clone());
        let ended_well = |task: &TaskIx| {
            live.run.task(*task).is_some_and(|task| {
                matches!(task.state, TaskState::Succeeded | TaskState::AlreadyDone)
            })
        };
        let is_cured = live.is_cured || live.diagnosed.keys().any(ended_well);
        let before = self.ended_badly.insert((project.clone(), flow.clone()), is_bad);
        if is_bad {
            return None;
        }
        let had_failed = match before {
            Some(is_bad) => is_bad,
            None => world.failed_before(&project, &flow, id).unwrap_or_else(|error| {
                tracing::warn!("whether the run before run {id} failed can't be read: {error}");
                false
            }),
        };
        match (had_failed, is_cured) {
            (true, _) => Some("the run before it had failed".to_owned()),
            (false, true) => Some("a known failure was met in it and cured".to_owned()),
            (false, false) => None,
        }
    }

    /// Rows for all who want to know.
    fn note_told(&mut self, id: RunId, told: Vec<Told>, now: Timestamp) {
        let Some(live) = self.runs.get(&id) else { return };
        let rows = &mut self.batch.notices;
        let before = rows.len();
        for (reason, seq, task, details) in told {
            let mut message = None;
            let flow = &live.compiled.flow;
            for entry in flow.notify.iter().filter(|entry| entry.on.contains(&reason)) {
                for receiver in &entry.to {
                    let is_told = rows[before..].iter().any(|row| {
                        row.seq == seq && row.reason == reason.code() && row.receiver == *receiver
                    });
                    if is_told {
                        continue;
                    }
                    let path = task.map(|task| live.path(task));
                    let job = path.as_deref().map(without_items).unwrap_or_default();
                    let message = message.get_or_insert_with(|| {
                        json(&Message {
                            id: format!("{id}-{seq}-{}", reason.name()),
                            reason,
                            project: live.row.project.clone(),
                            flow: live.row.flow.clone(),
                            title: flow.title.clone(),
                            run: id.0,
                            task: path.clone(),
                            at: now,
                            due: live.row.due_at,
                            by: live.row.by.clone(),
                            details: details.clone(),
                            more: 0,
                            link: None,
                        })
                    });
                    rows.push(NoticeRow {
                        run: id,
                        seq,
                        reason: reason.code(),
                        receiver: receiver.clone(),
                        key: format!(
                            "{}/{}/{}/{job} {receiver}",
                            live.row.project,
                            live.row.flow,
                            reason.name()
                        ),
                        project: live.row.project.clone(),
                        window: entry.window,
                        message: message.clone(),
                        state: NoticeState::Waiting.code(),
                        tries: 0,
                        at: now,
                        due_at: now,
                        told_at: None,
                        ended_at: None,
                        error: None,
                    });
                }
            }
        }
        self.after.has_notices |= rows.len() > before;
    }
}

/// The message in what is known of an event.
fn message_of(detail: Option<&str>) -> Vec<String> {
    let detail: Option<serde_json::Value> = detail.and_then(|text| serde_json::from_str(text).ok());
    let message = detail.as_ref().and_then(|detail| detail["message"].as_str());
    message.map(str::to_owned).into_iter().collect()
}

/// What a task that only asks says to the person, if that needs no filling in.
fn question(live: &Live, task: TaskIx) -> Option<String> {
    let job = live.compiled.job(live.run.tasks()[task.at()].job);
    let words = job.uses.as_ref()?.with.get("message")?.as_str()?;
    (!words.contains('{')).then(|| words.to_owned())
}

/// Why a run has failed: its reason, its first failure, the names of what failed.
fn failures(live: &Live) -> Vec<String> {
    let mut words: Vec<String> = live.row.reason.iter().chain(&live.failure).cloned().collect();
    let failed = live.run.tasks().iter().enumerate().filter(|(_, task)| {
        task.state.is_failure()
            && match live.run.graph().job(task.job).kind {
                JobKind::Work | JobKind::Instant | JobKind::Asks => true,
                JobKind::Group(_) | JobKind::Foreach { .. } => false,
            }
    });
    let paths: Vec<String> = failed
        .clone()
        .take(NAMED)
        .map(|(ix, task)| format!("{} {}", live.path(TaskIx(ix as u32)), task.state.name()))
        .collect();
    let more = failed.count() - paths.len();
    if !paths.is_empty() && (more > 0 || paths.len() > 1 || live.failure.is_none()) {
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        words.push(format!("{}{more}", paths.join(", ")));
    }
    words
}

/// Which time was not kept, and what follows.
fn late_words(live: &Live, task: Option<TaskIx>, now: Timestamp) -> Vec<String> {
    let rules: LateRules = match task {
        Some(task) => live.run.graph().job(live.run.tasks()[task.at()].job).timing.late,
        None => live.run.graph().late,
    };
    let due = live.run.due_at();
    let is_past = |within: &std::time::Duration| due.plus(*within) <= now;
    let words = match (rules.finish_within.filter(is_past), rules.start_within) {
        (Some(within), _) => format!("it was to end within {} of {due}", format_span(within)),
        (None, Some(within)) => format!("it was to start within {} of {due}", format_span(within)),
        (None, None) => return Vec::new(),
    };
    let then = match rules.then {
        LateThen::Notify => None,
        LateThen::Cancel => Some("it is cancelled".to_owned()),
    };
    std::iter::once(words).chain(then).collect()
}

/// A task's path without the numbers of items: all items of a job are the same to who is told.
fn without_items(path: &str) -> String {
    let mut job = String::with_capacity(path.len());
    let mut depth = 0_u32;
    for letter in path.chars() {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            letter if depth == 0 => job.push(letter),
            _ => {}
        }
    }
    job
}
