//! What all requests share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use weir_core::hosts::Lookout;
use weir_core::time::Timestamp;
use weir_engine::engine::{Handle, wall_clock};

use crate::hosts::Found;
use crate::logins::Logins;
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
    /// Goes to hosts for people who look.
    pub(crate) lookout: Option<Arc<dyn Lookout>>,
    /// What was found of hosts, by project and name.
    looked: Mutex<BTreeMap<(String, String), Found>>,
    pub(crate) throttle: Throttle,
    /// Who else vouches for people.
    pub(crate) logins: Logins,
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
        lookout: Option<Arc<dyn Lookout>>,
        logins: Logins,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            handle,
            folders,
            net,
            lookout,
            looked: Mutex::default(),
            throttle: Throttle::default(),
            logins,
            stopping,
            started_at: wall_clock(),
            once: Mutex::default(),
        }
    }

    /// What was found of a host when somebody looked last.
    pub(crate) fn looked(&self, project: &str, host: &str) -> Option<Found> {
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.get(&(project.to_owned(), host.to_owned())).cloned()
    }

    /// Keeps what was found of a host.
    pub(crate) fn keep_looked(&self, project: &str, host: &str, found: Found) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.insert((project.to_owned(), host.to_owned()), found);
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
