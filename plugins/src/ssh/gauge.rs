//! How much comes over a connection: what else is asked over a flooded one waits behind all that.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much must come within [`PERIOD`] for a flood.
const FLOOD: usize = 2 << 20;
/// How long is looked how much comes.
const PERIOD: Duration = Duration::from_millis(250);

/// Tells whether a connection is flooded.
pub(super) struct Gauge(Mutex<Period>);

struct Period {
    since: Instant,
    bytes: usize,
    was_flooded: bool,
}

impl Gauge {
    /// Nothing has come.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Period { since: Instant::now(), bytes: 0, was_flooded: false }))
    }

    /// So much has come.
    pub(super) fn heard(&self, bytes: usize) {
        let mut period = self.period();
        if period.since.elapsed() >= PERIOD {
            let was_flooded = period.bytes >= FLOOD;
            *period = Period { since: Instant::now(), bytes: 0, was_flooded };
        }
        period.bytes += bytes;
    }

    /// Whether much has come lately.
    pub(super) fn is_flooded(&self) -> bool {
        let period = self.period();
        let is_fresh = period.since.elapsed() < PERIOD * 2;
        is_fresh && (period.was_flooded || period.bytes >= FLOOD)
    }

    fn period(&self) -> MutexGuard<'_, Period> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
