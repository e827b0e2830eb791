//! An attempt that is being followed here, or that was asked to end.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// What those who follow an attempt and those who end it know of each other.
pub(crate) struct Flight {
    is_cancelled: AtomicBool,
    has_landed: watch::Sender<bool>,
}

impl Flight {
    /// Somebody follows it.
    pub(super) fn followed() -> Self {
        Self { is_cancelled: AtomicBool::new(false), has_landed: watch::Sender::new(false) }
    }

    /// Nobody follows it, nor will: its end was asked for first.
    pub(super) fn not_followed() -> Self {
        Self { is_cancelled: AtomicBool::new(true), has_landed: watch::Sender::new(true) }
    }

    /// Its end is asked for: who asks reports it.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// It is followed no longer.
    pub(super) fn lands(&self) {
        self.has_landed.send_replace(true);
    }

    /// Returns when nobody follows it any longer.
    pub(super) async fn landed(&self) {
        let mut landed = self.has_landed.subscribe();
        // The sender is ours, so it can't be gone.
        let _ = landed.wait_for(|landed| *landed).await;
    }
}
