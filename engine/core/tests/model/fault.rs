//! Faults put into the engine on purpose: the checker that does not find them is worth nothing.

use std::sync::Arc;

use weir_core::graph::{Graph, Scope};
use weir_core::run::{Act, Command, Event, Record, RecordKind, Run, TaskState};

use crate::rows::Rows;

/// What is wrong with the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Commands are carried out before what led to them is kept.
    ActsBeforeCommit,
    /// After a restart nobody launches what was about to be launched.
    OwedForgetsLaunching,
    /// After a restart nobody ends what was to end.
    OwedForgetsCancel,
    /// After a restart nobody asks for slots.
    OwedForgetsReady,
    /// The end of an earlier attempt counts for the last one.
    TakesOldAttempts,
    /// One need of the last job is not counted.
    CountsOneNeedLess,
    /// What is held by a group is not told of the run's end.
    CancelStaysOutsideGroups,
    /// A job that a person leaves out counts as failed.
    SkipIsFailure,
    /// A restart lets a paused run go on.
    RestoreForgetsPaused,
    /// A restart forgets how often remedies were used.
    RestoreForgetsRemedies,
    /// Jobs that wait again on the way back are not kept.
    RewindIsNotKept,
    /// A launch that is repeated starts another process.
    LaunchesTwice,
    /// What is cancelled before it is launched may still be launched.
    CancelDoesNotFence,
}

impl Fault {
    /// The rules that the engine moves by.
    pub(crate) fn graph(self, graph: &Arc<Graph>) -> Arc<Graph> {
        if self != Self::CountsOneNeedLess {
            return Arc::clone(graph);
        }
        let mut graph = (**graph).clone();
        let scope = &graph.scopes[0];
        let mut needs: Vec<Vec<u32>> =
            (0..scope.count).map(|place| scope.needs(place).to_vec()).collect();
        needs.last_mut().expect("there are jobs").pop();
        graph.scopes[0] = Scope::new(scope.first, &needs);
        graph.measure();
        Arc::new(graph)
    }

    pub(crate) fn event(self, run: &Run, event: Event) -> Event {
        match (self, event) {
            (Self::TakesOldAttempts, Event::Ended { task, ending, remedy, .. }) => {
                let attempt = run.tasks()[task.at()].attempt;
                Event::Ended { task, attempt, ending, remedy }
            }
            (Self::SkipIsFailure, Event::Acted { task, act: Act::Skip }) => {
                Event::Acted { task, act: Act::Fail }
            }
            (_, event) => event,
        }
    }

    pub(crate) fn commands(self, run: &Run, mut commands: Vec<Command>) -> Vec<Command> {
        if self == Self::CancelStaysOutsideGroups {
            commands.retain(|command| match command {
                Command::Cancel { task, .. } => run.parent(*task).is_none(),
                _ => true,
            });
        }
        commands
    }

    pub(crate) fn owed(self, run: &Run, mut commands: Vec<Command>) -> Vec<Command> {
        let state = |task: weir_core::ids::TaskIx| run.tasks()[task.at()].state;
        commands.retain(|command| match (self, command) {
            (Self::OwedForgetsLaunching, Command::Launch { task, .. }) => {
                state(*task) != TaskState::Launching
            }
            (Self::OwedForgetsCancel, Command::Cancel { .. })
            | (Self::OwedForgetsReady, Command::Admit { .. }) => false,
            _ => true,
        });
        commands
    }

    /// The rows as a restart reads them.
    pub(crate) fn rows(self, rows: &Rows) -> Rows {
        let mut rows = rows.clone();
        if self == Self::RestoreForgetsPaused {
            rows.paused = false;
        }
        if self == Self::RestoreForgetsRemedies {
            rows.used.clear();
        }
        rows
    }

    /// Whether a restart writes down what it misread, so that rows and run agree again.
    pub(crate) fn changes_rows(self) -> bool {
        matches!(self, Self::RestoreForgetsPaused | Self::RestoreForgetsRemedies)
    }

    pub(crate) fn kept(self, records: &[Record]) -> Vec<Record> {
        let is_kept = |record: &&Record| {
            self != Self::RewindIsNotKept || record.kind != RecordKind::Task(TaskState::Waiting)
        };
        records.iter().filter(is_kept).copied().collect()
    }
}
