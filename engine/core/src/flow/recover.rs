//! Failures that are known to a job or a project: what each looks like, and what cures it.

use super::{Job, Text};
use crate::mistake::Place;

/// One entry of a job's or a project's `recover`.
#[derive(Clone, Debug, PartialEq)]
pub struct Recover {
    /// An entry of the catalogue by its id. What else is said here overrides it.
    pub catalogue: Option<Text>,
    /// What the failure looks like.
    pub signature: Option<Signature>,
    /// What it means, for people.
    pub diagnosis: Option<String>,
    /// The jobs that cure it.
    pub jobs: Vec<Job>,
    /// What follows.
    pub then: Option<Then>,
    /// How often for one task.
    pub limit: Option<u32>,
    /// Where it stands.
    pub place: Place,
}

/// What a known failure looks like. All that is said must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signature {
    /// A regular expression over a line of the log.
    pub log: Option<String>,
    /// Exit codes.
    pub exit: Vec<i32>,
    /// Classes of failure.
    pub class: Vec<crate::outcome::ErrorClass>,
    /// Job types it may be met in; any if empty. `ssh` also stands for `ssh.*`.
    pub job_types: Vec<String>,
}

/// What follows a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The task is tried again.
    Retry,
    /// An earlier job and all between it and this one run again.
    RetryFrom(Text),
    /// The task counts as done.
    Continue,
    /// A person decides.
    Ask,
    /// The task has failed.
    Fail,
}
