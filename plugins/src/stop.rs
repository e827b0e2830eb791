//! How `cancel` reaches a `follow` that works inside of this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use weir_core::ids::AttemptId;
use weir_core::job_type::{AttemptContext, JobError, Phase};
use weir_core::outcome::Outcome;

type Key = (AttemptId, Phase);

/// Everything that is being followed here and can be asked to stop.
#[derive(Default)]
pub(crate) struct Stops(Mutex<BTreeMap<Key, Vec<Arc<Notify>>>>);

impl Stops {
    /// Registers a follow for as long as the answer lives.
    pub(crate) fn watch(&self, cx: &AttemptContext) -> Stop<'_> {
        let key = (cx.id, cx.phase);
        let asked = Arc::new(Notify::new());
        self.all().entry(key).or_default().push(Arc::clone(&asked));
        Stop { stops: self, key, asked }
    }

    /// Asks whoever follows this attempt to stop.
    pub(crate) fn stop(&self, cx: &AttemptContext) {
        for asked in self.all().get(&(cx.id, cx.phase)).into_iter().flatten() {
            asked.notify_one();
        }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Vec<Arc<Notify>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One follow that can be asked to stop.
pub(crate) struct Stop<'a> {
    stops: &'a Stops,
    key: Key,
    asked: Arc<Notify>,
}

impl Stop<'_> {
    /// Does work until it ends, or until it was asked to stop: then it is cancelled, even if it has just ended.
    pub(crate) async fn or<W>(&self, work: W) -> Result<Outcome, JobError>
    where
        W: Future<Output = Result<Outcome, JobError>>,
    {
        tokio::select! {
            biased;
            () = self.asked() => Ok(Outcome::Cancelled),
            outcome = work => outcome,
        }
    }

    /// Returns when it was asked to stop.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let mut all = self.stops.all();
        if let Some(here) = all.get_mut(&self.key) {
            here.retain(|asked| !Arc::ptr_eq(asked, &self.asked));
            if here.is_empty() {
                all.remove(&self.key);
            }
        }
    }
}
