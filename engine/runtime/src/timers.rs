//! What is due when: one list of absolute times, in order.

use std::collections::BTreeSet;

use weir_core::ids::{RunId, TaskIx};
use weir_core::time::Timestamp;

/// An alarm: when, and for whom; `None` is the run itself.
pub(crate) type Alarm = (Timestamp, RunId, Option<TaskIx>);

/// Times at which something must be looked at. An alarm that is no longer wanted is found out when it rings, or when
/// there are too many of them.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    alarms: BTreeSet<Alarm>,
    /// How many there were after the last look for those that nobody wants.
    wanted: usize,
}

/// So many are never too many.
const FEW: usize = 256;

impl Timers {
    pub(crate) fn set(&mut self, at: Timestamp, run: RunId, task: Option<TaskIx>) {
        self.alarms.insert((at, run, task));
    }

    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, ..)| *at)
    }

    pub(crate) fn take_due(&mut self, now: Timestamp) -> Option<Alarm> {
        if self.next()? > now {
            return None;
        }
        self.alarms.pop_first()
    }

    /// Forgets the alarms that nobody wants, once in a while: what it costs is spread over those that were set.
    pub(crate) fn clean(&mut self, mut is_wanted: impl FnMut(&Alarm) -> bool) {
        if self.alarms.len() < FEW + 2 * self.wanted {
            return;
        }
        self.alarms.retain(|alarm| is_wanted(alarm));
        self.wanted = self.alarms.len();
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.alarms.len()
    }
}
