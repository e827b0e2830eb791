//! The handle of work that is nothing but looking: when it began. Whoever takes it up goes on from there.

use serde::{Deserialize, Serialize};
use weir_core::job_type::{AttemptContext, Handle, JobError};
use weir_core::outcome::ErrorClass;
use weir_core::time::Timestamp;

/// When it began.
#[derive(Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) at: Timestamp,
}

impl Begun {
    /// The handle of what begins now.
    pub(crate) fn now(cx: &AttemptContext) -> Handle {
        let begun = Self { at: cx.clock.now() };
        Handle(serde_json::to_string(&begun).expect("a time is JSON"))
    }

    /// Reads a handle of `what`.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn read(handle: &Handle, what: &str) -> Result<Self, JobError> {
        serde_json::from_str(&handle.0).map_err(|_| {
            JobError::new(ErrorClass::Internal, format!("`{}` is no handle of a {what}", handle.0))
        })
    }
}
