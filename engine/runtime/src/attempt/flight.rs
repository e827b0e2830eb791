//! An attempt that is being followed here, or that was asked to end.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// What those who follow an attempt and those who end it know of each other.
pub(crate) struct Flight {
    is_cancelled: AtomicBool,
    is_given_up: AtomicBool,
    has_landed: watch::Sender<bool>,
}

impl Flight {
    /// Somebody follows it.
    pub(super) fn followed() -> Self {
        Self::new(false)
    }

    /// Nobody follows it, nor will: its end was asked for first.
    pub(super) fn not_followed() -> Self {
        Self::new(true)
    }

    fn new(is_over: bool) -> Self {
        Self {
            is_cancelled: AtomicBool::new(is_over),
            is_given_up: AtomicBool::new(false),
            has_landed: watch::Sender::new(is_over),
        }
    }

    /// Its end is asked for: who asks reports it.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Its end can't be confirmed, and is asked for no longer. Whether that is news: who says so first reports it.
    pub(super) fn gives_up(&self) -> bool {
        !self.is_given_up.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
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
