//! A run as the engine shows it, read back from its JSON: what is drawn and told comes from here.

use serde::Deserialize;
use serde_json::{Map, Value};
use weir_core::time::Timestamp;

/// A run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Run {
    pub(crate) id: i64,
    pub(crate) project: String,
    pub(crate) flow: String,
    pub(crate) version: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    pub(crate) origin: Option<i64>,
    pub(crate) parent: Option<String>,
    pub(crate) by: String,
    pub(crate) params: Map<String, Value>,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) tasks: Vec<Task>,
}

/// A task of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Task {
    pub(crate) job: String,
    pub(crate) path: String,
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    /// What `approve` does, if it asks.
    pub(crate) approve: Option<String>,
    /// The job type; none for a group.
    pub(crate) uses: Option<String>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) outputs: Map<String, Value>,
    pub(crate) diagnoses: Vec<Diagnosis>,
    pub(crate) number: u32,
    pub(crate) depth: u32,
}

/// A try of a task.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) state: String,
    pub(crate) message: Option<String>,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
}

/// A known failure that was met.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Diagnosis {
    pub(crate) signature: String,
    pub(crate) attempt: u32,
    pub(crate) then: String,
    pub(crate) result: Option<String>,
    pub(crate) evidence: Evidence,
}

/// What a diagnosis rests on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Evidence {
    pub(crate) diagnosis: String,
    pub(crate) advice: Vec<String>,
    pub(crate) line: Option<u64>,
    pub(crate) text: Option<String>,
}

/// An event of a run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    pub(crate) seq: i64,
    pub(crate) at: Timestamp,
    pub(crate) kind: String,
    pub(crate) path: Option<String>,
    pub(crate) attempt: Option<u32>,
    pub(crate) by: Option<String>,
    pub(crate) detail: Value,
}

impl Run {
    /// Reads the object of `weir show --json`.
    ///
    /// # Errors
    /// It is no run.
    pub(crate) fn read(shown: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(&shown["run"])
    }

    /// The name people know the flow by.
    pub(crate) fn flow_name(&self) -> String {
        if self.project.is_empty() || self.project == self.flow {
            self.flow.clone()
        } else {
            format!("{}/{}", self.project, self.flow)
        }
    }

    /// The tasks whose failure is theirs: no groups, which fail because of what they hold.
    pub(crate) fn failed(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.has_failed() && !task.is_group())
    }

    /// The tasks that ask a person.
    pub(crate) fn asking(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.state == "asking")
    }
}

impl Task {
    /// Whether it can't change any more.
    pub(crate) fn is_over(&self) -> bool {
        is_final(&self.state)
    }

    /// Whether it works now.
    pub(crate) fn is_active(&self) -> bool {
        matches!(self.state.as_str(), "launching" | "running" | "unreachable" | "cancelling")
    }

    /// Whether it failed.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.state.as_str(), "failed" | "timed-out" | "lost")
    }

    /// Whether it stands for other tasks.
    pub(crate) fn is_group(&self) -> bool {
        self.attempts.is_empty() && self.uses.is_none()
    }

    /// The last part of its path: what it is called where it stands.
    pub(crate) fn last_name(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        match name.rfind('[') {
            Some(at) if name.ends_with(']') && self.depth > 0 => &name[at..],
            _ => name,
        }
    }

    /// How long it has worked, all tries together, in milliseconds; `None` if it has not.
    pub(crate) fn worked_ms(&self, now: Timestamp) -> Option<u64> {
        let spans = self
            .attempts
            .iter()
            .map(|attempt| attempt.ended_at.unwrap_or(now).since(attempt.started_at));
        let spans: Vec<_> = spans.collect();
        (!spans.is_empty()).then(|| {
            spans
                .iter()
                .map(std::time::Duration::as_millis)
                .sum::<u128>()
                .try_into()
                .unwrap_or(u64::MAX)
        })
    }
}

/// Whether a task's state is one that does not change.
fn is_final(state: &str) -> bool {
    matches!(
        state,
        "succeeded"
            | "failed"
            | "timed-out"
            | "cancelled"
            | "lost"
            | "skipped"
            | "already-done"
            | "reused"
            | "disabled"
    )
}

/// A span as people read it at a glance: `0.3 s`, `42 s`, `3m 05s`, `2h 10m`.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {:02}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// A point in time in the time zone of the person: `2026-03-01 12:00:03`.
pub(crate) fn local(at: Timestamp) -> String {
    in_zone(at, "%Y-%m-%d %H:%M:%S")
}

/// The time of day in the time zone of the person.
pub(crate) fn time_of_day(at: Timestamp) -> String {
    in_zone(at, "%H:%M:%S")
}

fn in_zone(at: Timestamp, form: &str) -> String {
    chrono::DateTime::from_timestamp_millis(at.millis()).map_or_else(
        || at.to_string(),
        |at| at.with_timezone(&chrono::Local).format(form).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let shown = [0, 340, 9_999, 42_000, 185_000, 7_800_000, 200_000_000].map(span);
        assert_eq!(shown, ["0.0 s", "0.3 s", "9.9 s", "42 s", "3m 05s", "2h 10m", "2d 07h"]);
    }

    #[test]
    fn what_is_final_for_the_engine_is_final_here() {
        for code in 0..weir_core::run::TASK_STATES as u8 {
            let state = weir_core::run::TaskState::from_code(code, 4).expect("a state");
            assert_eq!(is_final(state.name()), state.is_final(), "{}", state.name());
        }
    }
}
