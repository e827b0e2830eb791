//! What all requests share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use weir_core::time::Timestamp;
use weir_engine::engine::{Handle, wall_clock};

use crate::proxies::Proxy;
use crate::throttle::Throttle;

/// How requests come in.
pub(crate) struct Net {
    /// TLS is spoken here.
    pub(crate) has_tls: bool,
    /// The proxies that are believed.
    pub(crate) proxies: Vec<Proxy>,
}

/// What all requests share.
pub(crate) struct Site {
    pub(crate) handle: Handle,
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) net: Net,
    pub(crate) throttle: Throttle,
    /// Becomes true when the server stops: streams end then.
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) started_at: Timestamp,
    /// Held while a request that counts once is looked up and carried out, by who sent it and its key.
    once: Mutex<BTreeMap<(String, String), Turn>>,
}

/// Whoever holds it has the turn.
type Turn = Arc<tokio::sync::Mutex<()>>;

/// What handlers are given.
pub(crate) type Shared = Arc<Site>;

impl Site {
    pub(crate) fn new(
        handle: Handle,
        folders: Vec<PathBuf>,
        net: Net,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            handle,
            folders,
            net,
            throttle: Throttle::default(),
            stopping,
            started_at: wall_clock(),
            once: Mutex::default(),
        }
    }

    /// The lock of a request that counts once.
    pub(crate) fn once(&self, by: &str, key: &str) -> Turn {
        let mut held = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(held.entry((by.to_owned(), key.to_owned())).or_default())
    }
}

/// Returns when the server stops.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error says that the server is gone already.
    let _ = stopping.wait_for(|stops| *stops).await;
}
