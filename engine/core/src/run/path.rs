//! What a task is called: `group/job[0]/inner`, `job/recover.1/stop`, `on-exit/report`.

use super::{PARTS, Part, Run, TOP};
use crate::ids::{JobIx, TaskIx};

impl Run {
    /// The task's path. `name` names the graph's jobs.
    pub fn path<'n>(&self, task: TaskIx, name: &dyn Fn(JobIx) -> &'n str) -> String {
        let at = &self.tasks[task.at()];
        let own = name(at.job);
        if at.parent >= TOP {
            return match PARTS[(at.parent - TOP) as usize] {
                Part::Main => own.to_owned(),
                Part::OnStart => format!("on-start/{own}"),
                Part::OnSuccess => format!("on-success/{own}"),
                Part::OnFailure => format!("on-failure/{own}"),
                Part::OnExit => format!("on-exit/{own}"),
            };
        }
        let above = self.path(TaskIx(at.parent), name);
        if let Some(item) = self.item(task) {
            return format!("{above}[{item}]");
        }
        match self.remedy_of(task) {
            Some((_, uses)) => format!("{above}/recover.{uses}/{own}"),
            None => format!("{above}/{own}"),
        }
    }

    /// The task with that path. A path without items finds jobs outside of every `foreach`.
    pub fn find<'n>(&self, path: &str, name: &dyn Fn(JobIx) -> &'n str) -> Option<TaskIx> {
        (0..self.tasks.len() as u32).rev().map(TaskIx).find(|task| {
            let own = name(self.tasks[task.at()].job);
            let last = path.rsplit('/').next().unwrap_or(path);
            let bare = last.split('[').next().unwrap_or(last);
            bare == own && self.path(*task, name) == path
        })
    }
}
