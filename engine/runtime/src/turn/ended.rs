//! An attempt has ended: what it leaves, what is known of it, and whether the remedy before it helped.

use weir_core::ids::{AttemptId, RunId, TaskIx};
use weir_core::outcome::{Outcome, Outputs};
use weir_core::run::{Ending, Event, RecordKind, TaskState};

use super::{Turn, World, json};
use crate::input::Found;
use crate::live::Note;
use crate::store::rows::ResultRow;

impl Turn {
    pub(crate) fn leave(&mut self, run: RunId, task: TaskIx, outputs: Outputs) {
        if let Some(live) = self.runs.get_mut(&run) {
            self.batch.results.push(ResultRow { run, task, outputs: json(&outputs) });
            live.outputs.insert(task, outputs);
        }
    }

    pub(super) fn attempt_ended(
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
                if let Some(live) = self.runs.get_mut(&id.run) {
                    live.failure =
                        Some(format!("`{}` failed: {}", live.path(task), failure.message));
                }
                note.failure = Some(failure);
                remedy = found.as_ref().map(|found| found.remedy);
                Ending::Failed(class)
            }
            Outcome::Cancelled => Ending::Cancelled,
            Outcome::Ask { message, outputs: left } => {
                outputs = left;
                note.detail = Some(format!("{{\"message\":{}}}", json(&message)));
                // More of it stands in the log.
                note.asked = message.lines().next().map(str::to_owned);
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
        if is_failed && !is_cancelled {
            self.tell_of_failure(id, found.is_some(), world);
        }
        if let Some(found) = found {
            if let Some(live) = self.runs.get_mut(&id.run) {
                live.captures.insert(task, found.captures);
            }
            self.batch.diagnoses.push(found.row);
        }
    }

    /// Whether the remedy of the attempt before helped shows when the next one ends.
    pub(super) fn judge_earlier_remedy(&mut self, id: AttemptId, found: Option<&Found>) {
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
        live.is_cured |= row.result.as_deref() == Some("cured");
        self.batch.diagnoses.push(row);
        if let Some(found) = found {
            live.diagnosed.insert(id.task, found.row.clone());
        }
    }
}
