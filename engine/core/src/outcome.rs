//! How an attempt ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What kind of failure it was; retries and signatures go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum ErrorClass {
    /// The work ended with another code than 0, or by a signal.
    Exit = 1,
    /// It took longer than it may.
    Timeout = 2,
    /// The other side could not be reached, or the line broke before the work began.
    Connection = 3,
    /// Nobody knows how it ended; nothing of it is left running.
    Lost = 4,
    /// A quota or capacity was used up.
    Quota = 5,
    /// The work was asked for, and no answer came: it may or may not have been done.
    UnknownOutcome = 6,
    /// `verify` did not hold after the work.
    Verify = 7,
    /// A declared output is missing or does not match its pattern.
    Output = 8,
    /// A template or setting could not be worked out.
    Definition = 9,
    /// The other side refused: no right to, or not found. Trying again will not help.
    Refused = 10,
    /// Weir or the machine under it could not do its part (no space, no process).
    Internal = 11,
}

impl ErrorClass {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Exit,
        Self::Timeout,
        Self::Connection,
        Self::Lost,
        Self::Quota,
        Self::UnknownOutcome,
        Self::Verify,
        Self::Output,
        Self::Definition,
        Self::Refused,
        Self::Internal,
    ];

    /// The name in flow files, JSON and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Lost => "lost",
            Self::Quota => "quota",
            Self::UnknownOutcome => "unknown-outcome",
            Self::Verify => "verify",
            Self::Output => "output",
            Self::Definition => "definition",
            Self::Refused => "refused",
            Self::Internal => "internal",
        }
    }

    /// The class with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// Names and values that a job leaves behind.
pub type Outputs = BTreeMap<String, Value>;

/// How an attempt ended, as its job type tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Outcome {
    /// The work is done.
    Done {
        /// What it leaves behind.
        outputs: Outputs,
        /// The exit code, where there is one.
        exit_code: Option<i32>,
    },
    /// There was nothing to do.
    AlreadyDone {
        /// What was found.
        outputs: Outputs,
    },
    /// It failed.
    Failed(Failure),
    /// It was ended because somebody asked for it.
    Cancelled,
    /// A person must decide.
    Ask {
        /// What the person must know: what was found, what each answer will do.
        message: String,
        /// What it leaves behind if a person lets it pass.
        outputs: Outputs,
    },
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure.
    pub class: ErrorClass,
    /// The exit code, where there is one.
    pub exit_code: Option<i32>,
    /// The signal that ended it, where there is one.
    pub signal: Option<i32>,
    /// What a person must know: lower case, no full stop.
    pub message: String,
}

impl Failure {
    /// A failure that has no exit code.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self { class, exit_code: None, signal: None, message: message.into() }
    }
}
