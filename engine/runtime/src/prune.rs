//! Removing old runs: which they are by what their flows say, and removing them with their logs.
//!
//! Nothing goes that no flow's `keep` lets go. Rows go first, in one transaction; then the folder. An engine that is
//! killed in between finds the numbers of those whose folders are left, and removes them the next time.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use weir_core::flow::Keep;
use weir_core::ids::RunId;
use weir_core::time::{Timestamp, format_span};

use crate::engine::{Handle, wall_clock};
use crate::store::prune::Kept;
use crate::store::{self, CommitError};

/// So many runs are removed in one transaction.
const AT_ONCE: u32 = 100;
/// The pause between two transactions: others want to write, too.
const PAUSE: Duration = Duration::from_millis(20);
/// It is quiet when nothing was written for so long.
const QUIET: Duration = Duration::from_secs(5);
/// After so many times the pause between two rounds, it need not be quiet.
const PATIENCE: u32 = 2;

/// The runs of a flow that go, or went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The project, or empty.
    pub project: String,
    /// The flow.
    pub flow: String,
    /// How long its runs are kept, as it says.
    pub age: Option<String>,
    /// How many of the last are kept, as it says.
    pub keeps: Option<u32>,
    /// How many go.
    pub runs: u64,
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub last: i64,
    /// What their folders hold.
    pub bytes: u64,
}

/// Why old runs were not removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// It could not be written.
    #[error("{0}")]
    Commit(String),
    /// A folder could not be removed.
    #[error("{path} can't be removed: {cause}")]
    Folder {
        /// The folder.
        path: std::path::PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        Self::Commit(error.to_string())
    }
}

impl Handle {
    /// The old runs that would be removed now, by flow: only those of flows that say which they keep.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn would_prune(&self) -> Result<Vec<Pruned>, Error> {
        let mut found = Vec::new();
        for (name, keep) in self.keeping().await? {
            let mut pruned = Pruned::new(&name, keep);
            let mut after = RunId(0);
            loop {
                let runs = self.old_runs(&name, keep, after).await?;
                let Some(last) = runs.last() else { break };
                after = *last;
                pruned.add(&runs, self.bytes_of(&runs).await);
            }
            if pruned.runs > 0 {
                found.push(pruned);
            }
        }
        Ok(found)
    }

    /// Removes old runs, and requests and sessions that have had their time. Says which runs went.
    ///
    /// # Errors
    /// Something could not be removed; the next time goes on from there.
    pub async fn prune(&self) -> Result<Vec<Pruned>, Error> {
        let store = self.store();
        self.remove_folders().await?;
        store.remove_past(wall_clock()).await?;
        let mut found = Vec::new();
        for (name, keep) in self.keeping().await? {
            let mut pruned = Pruned::new(&name, keep);
            let mut after = RunId(0);
            loop {
                let runs = self.old_runs(&name, keep, after).await?;
                let Some(last) = runs.last() else { break };
                after = *last;
                store.remove_runs(&runs).await?;
                let (gone, bytes) = self.remove_folders().await?;
                pruned.add(&gone, bytes);
                tokio::time::sleep(PAUSE).await;
            }
            if pruned.runs > 0 {
                tracing::info!("{pruned}");
                found.push(pruned);
            }
        }
        Ok(found)
    }

    /// The flows that have runs and say which they keep.
    async fn keeping(&self) -> Result<Vec<((String, String), Keep)>, Error> {
        let store = self.store();
        let mut found = Vec::new();
        for (project, flow) in store.flows_with_runs().await? {
            let in_effect = {
                let (project, flow) = (project.clone(), flow.clone());
                self.look(move |turn| {
                    turn.timetable.flow(&project, &flow).map(|row| row.version.clone())
                })
                .await
                .flatten()
            };
            let version = match in_effect {
                Some(version) => version,
                None => match store.latest_version(&project, &flow).await? {
                    Some(row) => row.hash,
                    None => continue,
                },
            };
            match self.library().version(store, &version).await {
                Ok(compiled) => {
                    let keep = compiled.flow.keep;
                    if keep != Keep::default() {
                        found.push(((project, flow), keep));
                    }
                }
                // What it says is not known: all of its runs are kept.
                Err(error) => tracing::warn!("old runs of {project}/{flow} stay: {error}"),
            }
        }
        Ok(found)
    }

    async fn old_runs(
        &self,
        (project, flow): &(String, String),
        keep: Keep,
        after: RunId,
    ) -> Result<Vec<RunId>, Error> {
        let kept = Kept { after: keep.age.map(|age| before(wall_clock(), age)), runs: keep.runs };
        Ok(self.store().removable_runs((project, flow), kept, after, AT_ONCE).await?)
    }

    /// Removes the folders of runs that are removed. Says of which, and what they held.
    async fn remove_folders(&self) -> Result<(Vec<RunId>, u64), Error> {
        let store = self.store();
        let gone = store.removed_runs().await?;
        if gone.is_empty() {
            return Ok((gone, 0));
        }
        let (home, runs) = (store.home().clone(), gone.clone());
        let removed = tokio::task::spawn_blocking(move || {
            let mut bytes = 0;
            for run in runs {
                let path = home.run(run);
                bytes += size_of(&path);
                match std::fs::remove_dir_all(&path) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(cause) => return Err(Error::Folder { path, cause }),
                }
            }
            Ok(bytes)
        });
        let bytes = removed.await.map_err(|error| Error::Commit(error.to_string()))??;
        store.folders_are_gone(&gone).await?;
        Ok((gone, bytes))
    }

    async fn bytes_of(&self, runs: &[RunId]) -> u64 {
        let (home, runs) = (self.store().home().clone(), runs.to_vec());
        let sizes = move || runs.into_iter().map(|run| size_of(&home.run(run))).sum();
        tokio::task::spawn_blocking(sizes).await.unwrap_or(0)
    }
}

impl Pruned {
    fn new((project, flow): &(String, String), keep: Keep) -> Self {
        Self {
            project: project.clone(),
            flow: flow.clone(),
            age: keep.age.map(format_span),
            keeps: keep.runs,
            ..Self::default()
        }
    }

    fn add(&mut self, runs: &[RunId], bytes: u64) {
        let (Some(first), Some(last)) = (runs.iter().min(), runs.iter().max()) else { return };
        self.first = if self.runs == 0 { first.0 } else { self.first.min(first.0) };
        self.last = self.last.max(last.0);
        self.runs += runs.len() as u64;
        self.bytes += bytes;
    }
}

impl std::fmt::Display for Pruned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { project, flow, runs, first, last, bytes, .. } = self;
        write!(
            f,
            "{project}/{flow}: {runs} old runs are removed ({first} to {last}, {bytes} bytes)"
        )
    }
}

/// A point in time before another. Long ago is the beginning of all times.
fn before(now: Timestamp, span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.millis().saturating_sub(span))
}

/// What a folder and those in it hold. What can't be seen counts nothing; links are not followed.
fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size_of(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Removes old runs now and then, while an engine serves.
#[derive(Debug)]
pub struct Pruner {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Pruner {
    /// Begins: once in `each`, when it is quiet.
    pub fn begin(handle: &Handle, each: Duration) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(now_and_then(handle.clone(), each, stopped)) }
    }

    /// Begins nothing new. What is being removed is removed to the end of its transaction.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

async fn now_and_then(handle: Handle, each: Duration, mut stopped: oneshot::Receiver<()>) {
    let quiet = QUIET.min(each / 2);
    loop {
        tokio::select! {
            () = tokio::time::sleep(each) => {}
            _ = &mut stopped => return,
        }
        let round = async {
            quiet_moment(&handle, quiet, each * PATIENCE).await;
            if let Err(error) = handle.prune().await {
                tracing::warn!("old runs are left for the next time: {error}");
            }
        };
        tokio::select! {
            () = round => {}
            _ = &mut stopped => return,
        }
    }
}

/// Returns when nothing was written for a while, or after very long.
async fn quiet_moment(handle: &Handle, quiet: Duration, longest: Duration) {
    let moment = async {
        loop {
            let before = handle.store().counts().commits;
            tokio::time::sleep(quiet).await;
            if handle.store().counts().commits == before {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(longest, moment).await;
}
