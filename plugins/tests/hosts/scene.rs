//! A machine, a line to it that can be cut, and an attempt there.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_core::hosts::Route;
use weir_core::job_type::{AttemptContext, Handle, JobType};
use weir_core::outcome::ErrorClass;
use weir_plugins::{Pool, Ssh, SshBounds};

use crate::machine::{Keys, Machine};
use crate::relay::Relay;
use crate::stage::{Stage, in_words};

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A machine, a line to it, and an attempt.
pub(crate) struct Scene {
    pub(crate) keys: Arc<Keys>,
    pub(crate) machine: Machine,
    pub(crate) relay: Relay,
    pub(crate) stage: Stage,
    pub(crate) route: Route,
    /// How often the host could not be reached.
    pub(crate) unreached: AtomicUsize,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let keys = Keys::new();
        let machine = Machine::start("nginx", &keys);
        let relay = Relay::to(machine.port);
        let file = machine.path("known_hosts");
        fs::write(&file, machine.known_by(relay.port)).expect("writes");
        let mut hop = machine.hop();
        hop.port = relay.port;
        let route = Route {
            hops: vec![hop],
            known_hosts: weir_core::hosts::KnownHosts::File(file),
            ..Route::default()
        };
        let mut stage = Stage::new();
        stage.cx.host = Some(Arc::new(route.clone()));
        stage.cx.grace = Duration::from_secs(2);
        Self { keys, machine, relay, stage, route, unreached: AtomicUsize::new(0) }
    }

    /// The job type, as a new engine has it.
    pub(crate) fn ssh(&self) -> Ssh {
        let bounds = SshBounds {
            keep_alive: Duration::from_millis(500),
            connect: Duration::from_secs(3),
            handshake: Duration::from_secs(3),
            ..SshBounds::default()
        };
        Ssh::new(Pool::of_user(bounds, "ubuntu", self.keys.dir.path(), None))
    }

    pub(crate) fn cx(&self) -> &AttemptContext {
        &self.stage.cx
    }

    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.machine.path("ubuntu").join(name)
    }

    pub(crate) fn log(&self) -> Vec<u8> {
        fs::read(self.cx().folder.join("log")).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.log()).expect("the log is text")
    }

    pub(crate) fn processes(&self) -> String {
        self.machine.inside("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    }

    /// Waits until its end is waited for on the host.
    pub(crate) async fn watched(&self) {
        until("somebody watches", || self.processes().contains("tail -s")).await;
    }

    /// As the engine does: asks again while the host can't be reached. Tells how often that was.
    pub(crate) async fn follow(&self, ssh: &Ssh, handle: &Handle, with: &Value) -> (String, usize) {
        let mut unreached = 0;
        let since = Instant::now();
        loop {
            match ssh.follow(handle, with, self.cx()).await {
                Ok(outcome) => return (in_words(&outcome), unreached),
                Err(error) if error.class == ErrorClass::Connection => {
                    assert!(since.elapsed() < SOON * 2, "{}", error.message);
                    unreached += 1;
                    self.unreached.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => {
                    return (
                        format!("no end, {}: {}", error.class.name(), error.message),
                        unreached,
                    );
                }
            }
        }
    }

    pub(crate) async fn play(&self, with: &Value) -> String {
        self.stage.play(&self.ssh(), with).await
    }
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let since = Instant::now();
    while !holds() {
        assert!(since.elapsed() < SOON, "it does not come: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
