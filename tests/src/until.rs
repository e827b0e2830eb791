//! Waiting for what other processes do and nobody is told of.

use std::time::{Duration, Instant};

/// So long anything may take that takes a moment: machines that run tests are slow at times.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Waits until `look` finds something.
///
/// # Panics
/// It does not within [`LIMIT`].
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "waited {LIMIT:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
