//! What was submitted and what was committed, row by row, and what must hold of both at every commit.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;
use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::run::{Run, RunState, TaskState};

use crate::store::rows::{
    AttemptRow, Batch, BlockRow, DiagnosisRow, EventRow, RunRow, SavedRun, TaskRow,
};
use crate::turn::Turn;

#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) run: RunRow,
    pub(super) tasks: BTreeMap<u32, TaskRow>,
    pub(super) blocks: BTreeMap<u32, BlockRow>,
    pub(super) attempts: BTreeMap<(u32, u32), AttemptRow>,
    pub(super) results: BTreeMap<u32, String>,
    pub(super) diagnoses: BTreeMap<(u32, u32), DiagnosisRow>,
    pub(super) events: Vec<EventRow>,
}

#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// As submitted, durable or not.
    pub(super) ahead: BTreeMap<RunId, Rows>,
    /// As committed.
    pub(super) kept: BTreeMap<RunId, Rows>,
    pub(super) commits: u64,
    touched: BTreeSet<RunId>,
    hash: DefaultHasher,
}

fn put(into: &mut BTreeMap<RunId, Rows>, batch: &Batch) -> BTreeSet<RunId> {
    let mut touched = BTreeSet::new();
    for row in &batch.new_runs {
        let before = into.insert(RunId(row.id), Rows { run: row.clone(), ..Rows::default() });
        assert!(before.is_none(), "run {} begins twice", row.id);
        touched.insert(RunId(row.id));
    }
    for row in &batch.runs {
        let run = &mut into.get_mut(&RunId(row.id)).expect("the run is there").run;
        run.state = row.state;
        run.reason.clone_from(&row.reason);
        run.paused = row.paused;
        run.started_at = row.started_at;
        run.ended_at = row.ended_at;
        run.seq = row.seq;
        touched.insert(RunId(row.id));
    }
    for row in &batch.tasks {
        into.get_mut(&row.run).expect("the run is there").tasks.insert(row.task.0, *row);
    }
    for row in &batch.blocks {
        into.get_mut(&row.run).expect("the run is there").blocks.insert(row.first.0, row.clone());
    }
    for row in &batch.attempts {
        let attempts = &mut into.get_mut(&row.run).expect("the run is there").attempts;
        attempts.insert((row.task.0, row.number), row.clone());
    }
    for row in &batch.results {
        let results = &mut into.get_mut(&row.run).expect("the run is there").results;
        results.insert(row.task.0, row.outputs.clone());
    }
    for row in &batch.diagnoses {
        let diagnoses = &mut into.get_mut(&row.run).expect("the run is there").diagnoses;
        diagnoses.insert((row.task.0, row.attempt), row.clone());
    }
    for row in &batch.events {
        let rows = into.get_mut(&row.run).expect("the run is there");
        assert_eq!(row.seq, rows.events.len() as i64 + 1, "events have no gap");
        rows.events.push(row.clone());
    }
    touched
}

/// Where two runs differ, in short.
fn difference(memory: &Run, rows: &Run) -> String {
    let mut lines = Vec::new();
    for (ix, (one, other)) in memory.tasks().iter().zip(rows.tasks()).enumerate() {
        if one != other {
            lines.push(format!("task {ix}\n  memory {one:?}\n  rows   {other:?}"));
        }
    }
    let rest = |run: &Run| {
        let text = format!("{run:?}");
        text.split_once("], parts: ").map(|(_, rest)| rest.to_owned()).unwrap_or_default()
    };
    lines.push(format!("memory {}\nrows   {}", rest(memory), rest(rows)));
    lines.join("\n")
}

impl Rows {
    pub(super) fn saved(&self) -> SavedRun {
        let mut used: BTreeMap<(TaskIx, String), u32> = BTreeMap::new();
        for row in self.diagnoses.values().filter(|row| row.used) {
            *used.entry((row.task, row.signature.clone())).or_default() += 1;
        }
        SavedRun {
            run: self.run.clone(),
            tasks: self.tasks.values().copied().collect(),
            blocks: self.blocks.values().cloned().collect(),
            used: used.into_iter().map(|((task, id), count)| (task, id, count)).collect(),
        }
    }

    pub(super) fn state(&self) -> RunState {
        RunState::from_code(self.run.state).expect("a state has its number")
    }

    pub(super) fn task_state(&self, task: u32) -> TaskState {
        self.tasks.get(&task).map_or(TaskState::Waiting, |row| {
            TaskState::from_code(row.state, row.extra).expect("a state has its number")
        })
    }

    fn late(&self) -> impl Iterator<Item = Option<TaskIx>> {
        self.events.iter().filter(|event| event.kind == 99).map(|event| event.task)
    }
}

impl Mirror {
    pub(super) fn submitted(&mut self, batch: &Batch) {
        self.touched = put(&mut self.ahead, batch);
    }

    /// Durable now: rows are what the events lead to.
    pub(super) fn committed(&mut self, batch: &Batch) {
        self.commits += 1;
        for run in put(&mut self.kept, batch) {
            let rows = &self.kept[&run];
            let attempts: Vec<AttemptRow> = rows.attempts.values().cloned().collect();
            let found = crate::proof::differences(&rows.saved(), &attempts, &rows.events);
            assert_eq!(found, Vec::<String>::new(), "run {run}: events and rows");
        }
        for event in &batch.events {
            let EventRow { run, seq, at, kind, task, attempt, by, detail } = event;
            (run.0, seq, at.millis(), kind, task.map(|task| task.0), attempt, by, detail)
                .hash(&mut self.hash);
        }
    }

    /// The engine is gone, and with it what was not durable.
    pub(super) fn lost(&mut self) {
        self.ahead = self.kept.clone();
    }

    /// The runs in memory are what their rows make.
    pub(super) fn compare_memory(&self, turn: &Turn) {
        for run in &self.touched {
            let Some(live) = turn.runs.get(run) else { continue };
            if live.run.state().is_final() {
                continue;
            }
            let rows = &self.ahead[run];
            let mut again =
                crate::adopt::restore(&live.compiled, &rows.saved()).expect("rows make a run");
            again.remember_late(rows.late());
            assert!(
                again == live.run,
                "run {run}: memory is not what the rows make\n{}",
                difference(&live.run, &again)
            );
        }
    }

    /// The store holds what was committed.
    pub(super) fn compare_store(&self, saved: &[SavedRun]) {
        let mine: Vec<SavedRun> = self
            .kept
            .values()
            .filter(|rows| rows.run.ended_at.is_none())
            .map(Rows::saved)
            .collect();
        assert_eq!(saved, mine, "the store holds what was committed");
    }

    pub(super) fn state(&self, run: RunId) -> RunState {
        self.kept[&run].state()
    }

    /// All that was told of the failures of a run's tasks.
    pub(super) fn details(&self, run: RunId) -> String {
        let rows = &self.kept[&run];
        let of_events = rows.events.iter().filter_map(|event| event.detail.clone());
        let of_attempts = rows.attempts.values().filter_map(|row| row.message.clone());
        of_events.chain(of_attempts).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn outputs(&self, run: RunId, task: u32) -> Option<Value> {
        serde_json::from_str(self.kept.get(&run)?.results.get(&task)?).ok()
    }

    pub(super) fn attempt(&self, id: AttemptId) -> Option<&AttemptRow> {
        self.kept.get(&id.run)?.attempts.get(&(id.task.0, id.number))
    }

    /// A number that follows from all that was committed, in order.
    pub(super) fn print(&self) -> u64 {
        self.hash.finish()
    }
}
