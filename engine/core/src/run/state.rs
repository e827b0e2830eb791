//! Where a run is.

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunState {
    /// It waits until it may begin.
    Queued,
    /// It moves.
    Running,
    /// Nothing new starts until a person resumes it.
    Paused,
    /// Nothing moves until a person decides.
    Asking,
    /// Something failed; what still may run is finished.
    Failing,
    /// Its end was asked for.
    Cancelling,
    /// All went well.
    Succeeded,
    /// Something failed.
    Failed,
    /// It was ended because somebody asked for it.
    Cancelled,
}

impl RunState {
    const ALL: [Self; 9] = [
        Self::Queued,
        Self::Running,
        Self::Paused,
        Self::Asking,
        Self::Failing,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Its number in the store. Never changes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The state with that number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The name in JSON, events and pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Asking => "asking",
            Self::Failing => "failing",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state with that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether it has ended for good.
    pub fn is_final(self) -> bool {
        self >= Self::Succeeded
    }
}
