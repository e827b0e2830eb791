//! Slows down who guesses passwords: by name and by address, in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use weir_core::time::Timestamp;

/// Wrong logins that cost nothing.
const FREE: u32 = 5;
/// The wait after the first that does; it doubles with each.
const FIRST: Duration = Duration::from_secs(2);
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(5);
/// After so long without a wrong login all is forgotten.
const FORGET: Duration = Duration::from_mins(15);
/// Names and addresses that are remembered at most; beyond it the oldest are forgotten.
const MOST: usize = 20_000;

/// Counts wrong logins.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    wrong: Mutex<BTreeMap<String, (u32, Timestamp)>>,
}

impl Throttle {
    /// How long a login must wait for all of `keys`, if at all.
    pub(crate) fn wait(&self, keys: &[String], now: Timestamp) -> Option<Duration> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        keys.iter()
            .filter_map(|key| {
                let (count, last) = wrong.get(key)?;
                let over = count.checked_sub(FREE)?;
                let wait = FIRST.saturating_mul(1 << over.min(16)).min(LONGEST);
                wait.checked_sub(now.since(*last)).filter(|left| !left.is_zero())
            })
            .max()
    }

    /// Counts a login before its password is looked at, so that many at once don't pass together.
    pub(crate) fn count(&self, keys: &[String], now: Timestamp) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() >= MOST {
            wrong.retain(|_, (_, last)| now.since(*last) < FORGET);
        }
        if wrong.len() >= MOST {
            let mut times: Vec<Timestamp> = wrong.values().map(|(_, last)| *last).collect();
            times.sort();
            let middle = times[times.len() / 2];
            wrong.retain(|_, (_, last)| *last > middle);
        }
        for key in keys {
            let entry = wrong.entry(key.clone()).or_insert((0, now));
            if now.since(entry.1) >= FORGET {
                entry.0 = 0;
            }
            *entry = (entry.0.saturating_add(1), now);
        }
    }

    /// Nobody could look at the password: that login does not count.
    pub(crate) fn take_back(&self, keys: &[String]) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if let Some((count, _)) = wrong.get_mut(key) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// The password was right.
    pub(crate) fn forget(&self, keys: &[String]) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            wrong.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_becomes_slow_and_a_right_password_clears_it() {
        let throttle = Throttle::default();
        let key = vec!["name anna".to_owned()];
        let at = |secs: i64| Timestamp::from_millis(secs * 1000);
        for _ in 0..FREE - 1 {
            throttle.count(&key, at(0));
            assert_eq!(throttle.wait(&key, at(0)), None);
        }
        throttle.count(&key, at(0));
        assert_eq!(throttle.wait(&key, at(0)), Some(FIRST));
        assert_eq!(throttle.wait(&key, at(2)), None);
        throttle.count(&key, at(2));
        assert_eq!(throttle.wait(&key, at(2)), Some(FIRST * 2));
        throttle.take_back(&key);
        assert_eq!(throttle.wait(&key, at(2)), Some(FIRST));
        for _ in 0..10_000 {
            throttle.count(&key, at(3));
        }
        assert_eq!(throttle.wait(&key, at(3)), Some(LONGEST));
        assert_eq!(throttle.wait(&["name ben".to_owned()], at(3)), None);
        throttle.forget(&key);
        assert_eq!(throttle.wait(&key, at(3)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        for number in 0..50_000_i64 {
            throttle.count(&[format!("name {number}")], Timestamp::from_millis(number));
        }
        assert!(throttle.wrong.lock().expect("not poisoned").len() <= MOST);
    }
}
