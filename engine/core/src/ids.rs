//! Identities. Each is a type of its own, so that one can't be taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A run: 1, 2, 3 ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

/// A task in its run: dense numbers from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskIx(pub u32);

impl TaskIx {
    /// Where it stands in a list.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// A job in its graph: dense numbers from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobIx(pub u32);

impl JobIx {
    /// Where it stands in a list.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// A scope of a graph: the jobs of a flow, of a group, of a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeIx(pub u32);

impl ScopeIx {
    /// Where it stands in a list.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// One try of a task; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The run.
    pub run: RunId,
    /// The task in it.
    pub task: TaskIx,
    /// Which try.
    pub number: u32,
}

impl AttemptId {
    /// Reads what its `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let run = RunId(parts.next()?.parse().ok()?);
        let task = TaskIx(parts.next()?.parse().ok()?);
        let number = parts.next()?.parse().ok()?;
        parts.next().is_none().then_some(Self { run, task, number })
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AttemptId {
    /// `run/task/attempt`, such as `7/12/1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.run.0, self.task.0, self.number)
    }
}
