//! What must hold, said once more and apart from the code that is judged by it.

use weir_core::flow::After;
use weir_core::graph::{Graph, JobKind};
use weir_core::ids::TaskIx;
use weir_core::run::{Cause, Run, RunState, TaskState};

/// How the jobs that a task needs have ended: did their work, failed though that is allowed, kept others from
/// starting, were not due; `None` for one that has not.
fn needs(graph: &Graph, run: &Run, task: TaskIx) -> Vec<Option<&'static str>> {
    let job = run.tasks()[task.at()].job;
    let rules = graph.job(job);
    let scope = graph.scope(rules.scope);
    let of = |place: &u32| {
        let need = run.sibling(task, weir_core::ids::JobIx(scope.first + place));
        let need = run.tasks()[need.expect("a need stands beside").at()];
        let allowed = graph.job(need.job).allow_failure;
        match need.state.name() {
            "succeeded" | "already-done" | "reused" | "disabled" => Some("good"),
            "failed" | "timed-out" | "lost" if allowed => Some("allowed"),
            "failed" | "timed-out" | "lost" | "cancelled" => Some("bad"),
            "skipped" if need.cause == Cause::NeedFailed => Some("bad"),
            "skipped" => Some("neutral"),
            _ => None,
        }
    };
    scope.needs(job.0 - scope.first).iter().map(of).collect()
}

fn holds(after: After, ends: &[&str]) -> bool {
    let any = |kinds: &[&str]| ends.iter().any(|end| kinds.contains(end));
    let all = |kinds: &[&str]| ends.iter().all(|end| kinds.contains(end));
    match after {
        After::AllSuccess => all(&["good", "allowed"]),
        After::AllDone => true,
        After::OneSuccess => any(&["good", "allowed"]),
        After::OneFailed => any(&["bad", "allowed"]),
        After::AllFailed => !ends.is_empty() && all(&["bad", "allowed"]),
        After::NoneFailed => !any(&["bad"]),
    }
}

/// The task may start: all needs have ended as it asks.
pub(crate) fn may_start(graph: &Graph, run: &Run, task: TaskIx) -> Result<(), String> {
    let ends: Option<Vec<&str>> = needs(graph, run, task).into_iter().collect();
    let Some(ends) = ends else {
        return Err(format!("task {} starts before what it needs has ended", task.0));
    };
    if !holds(graph.job(run.tasks()[task.at()].job).after, &ends) {
        return Err(format!("task {} starts, and what it needs ended {ends:?}", task.0));
    }
    Ok(())
}

/// The task is skipped with good reason.
pub(crate) fn may_not_start(graph: &Graph, run: &Run, task: TaskIx) -> Result<(), String> {
    let Some(ends) = needs(graph, run, task).into_iter().collect::<Option<Vec<&str>>>() else {
        return Err(format!("task {} is skipped before what it needs has ended", task.0));
    };
    // What a skipped group holds is skipped with it, and a group of skips is one.
    let is_with_group =
        run.parent(task).is_some_and(|parent| run.tasks()[parent.at()].state == TaskState::Skipped);
    let holds_skips = run.children(task.0).next().is_some();
    if holds(graph.job(run.tasks()[task.at()].job).after, &ends) && !is_with_group && !holds_skips {
        return Err(format!("task {} is skipped, and what it needs ended {ends:?}", task.0));
    }
    Ok(())
}

/// The run's end follows from the ends of its own jobs.
pub(crate) fn ends_as_it_should(graph: &Graph, run: &Run) -> Result<(), String> {
    let own: Vec<_> = run
        .tasks()
        .iter()
        .enumerate()
        .filter(|(ix, task)| {
            let scope = graph.job(task.job).scope;
            let is_main = scope.0 == 0 || Some(scope) == graph.hooks.on_start;
            is_main && run.parent(TaskIx(*ix as u32)).is_none()
        })
        .map(|(_, task)| *task)
        .collect();
    let is_bad = |task: &weir_core::run::Task| {
        let is_failure =
            matches!(task.state, TaskState::Failed | TaskState::TimedOut | TaskState::Lost);
        is_failure && !graph.job(task.job).allow_failure
    };
    let has = |what: &dyn Fn(&weir_core::run::Task) -> bool| own.iter().any(what);
    let by_person = has(&|task| matches!(task.cause, Cause::RunCancelled | Cause::RunKilled));
    let out_of_time = has(&|task| task.cause == Cause::RunTimedOut);
    let swept = has(&|task| matches!(task.cause, Cause::RunFailing | Cause::HookFailed));
    let cancelled = has(&|task| task.state == TaskState::Cancelled);
    // What a person failed in a group counts, even if the group then had no reason to start.
    let failed_by_hand = (0..run.tasks().len() as u32).map(TaskIx).any(|task| {
        let is_by_hand = run.tasks()[task.at()].cause == Cause::ByPerson;
        is_by_hand && is_bad(&run.tasks()[task.at()]) && is_of_run(graph, run, task)
    });
    let wanted = if by_person {
        RunState::Cancelled
    } else if out_of_time || has(&is_bad) || swept || failed_by_hand {
        RunState::Failed
    } else if cancelled {
        RunState::Cancelled
    } else {
        RunState::Succeeded
    };
    if run.state() == wanted {
        Ok(())
    } else {
        Err(format!("the run ends {:?} and should end {wanted:?}", run.state()))
    }
}

/// Whether nothing but groups that pass on a failure stands between a task and the run's own jobs.
fn is_of_run(graph: &Graph, run: &Run, task: TaskIx) -> bool {
    let Some(parent) = run.parent(task) else {
        let scope = graph.job(run.tasks()[task.at()].job).scope;
        return scope.0 == 0 || Some(scope) == graph.hooks.on_start;
    };
    let rules = graph.job(run.tasks()[parent.at()].job);
    let passes_on = match rules.kind {
        JobKind::Group(_) => !rules.allow_failure,
        JobKind::Foreach { .. } | JobKind::Work | JobKind::Instant | JobKind::Asks => false,
    };
    passes_on && is_of_run(graph, run, parent)
}
