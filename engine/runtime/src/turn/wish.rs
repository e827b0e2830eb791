//! What people ask of runs and tasks.

use weir_core::ids::RunId;
use weir_core::run::{Answer, Event, Question, RecordKind, TaskState};

use super::{Turn, World, json};
use crate::input::{Refusal, Reply, Wish};
use crate::live::Note;

impl Turn {
    pub(super) fn wish(
        &mut self,
        id: RunId,
        wish: Wish,
        by: String,
        reply: Reply<()>,
        world: &mut dyn World,
    ) {
        let result = self.grant(id, wish, by, world);
        match result {
            Ok(()) => self.after.answers.push(Box::new(move || reply(Ok(())))),
            Err(refusal) => reply(Err(refusal)),
        }
    }

    pub(super) fn grant(
        &mut self,
        id: RunId,
        wish: Wish,
        by: String,
        world: &mut dyn World,
    ) -> Result<(), Refusal> {
        let live = self.runs.get(&id).ok_or(Refusal::NoRun(id))?;
        let find = |path: &str| {
            live.find(path).ok_or_else(|| Refusal::NoTask { run: id, path: path.to_owned() })
        };
        let mut note = Note { by: Some(by), ..Note::default() };
        let mut outputs = None;
        let event = match wish {
            Wish::Cancel => Event::Cancelled,
            Wish::Kill => Event::Killed,
            Wish::Pause => Event::Paused,
            Wish::Resume => Event::Resumed,
            Wish::Task { path, act } => {
                note.detail = Some(format!("{{\"act\":{}}}", json(&act)));
                Event::Acted { task: find(&path)?, act }
            }
            Wish::Answer { path, answer, values } => {
                let task = find(&path)?;
                note.detail = Some(format!("{{\"answer\":{}}}", json(&answer)));
                let is_confirmed = live.run.task(task).is_some_and(|task| {
                    task.state == TaskState::Asking(Question::Confirm) && values.is_empty()
                });
                if matches!(answer, Answer::Approve | Answer::Continue) && !is_confirmed {
                    outputs = Some((task, self.form_of(id, task, values, world)?));
                }
                Event::Answered { task, answer }
            }
        };
        self.apply(id, event, note, world)
            .map_err(|ignored| Refusal::Ignored(ignored.to_string()))?;
        self.note_used(id);
        if let Some((task, outputs)) = outputs.filter(|(_, outputs)| !outputs.is_empty()) {
            self.leave(id, task, outputs);
        }
        Ok(())
    }

    /// A person let a remedy go on: it counts from now on.
    pub(super) fn note_used(&mut self, run: RunId) {
        let Some(live) = self.runs.get_mut(&run) else { return };
        for record in &self.out.records {
            let (RecordKind::Added { remedy: Some(_), .. }, Some(task)) =
                (record.kind, record.task)
            else {
                continue;
            };
            if let Some(row) = live.diagnosed.get_mut(&task).filter(|row| !row.used) {
                row.used = true;
                self.batch.diagnoses.push(row.clone());
            }
        }
    }
}
