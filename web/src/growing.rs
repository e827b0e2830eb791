//! A log that is read while it grows, until its work or its task has ended.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use weir_engine::logs::Follow;

use crate::pages::task;
use crate::site::{Shared, stopped};

/// How often to ask whether the task has ended: work without processes leaves no end in its folder.
const LOOK: Duration = Duration::from_secs(1);

/// A log that grows.
pub(crate) struct Growing {
    site: Shared,
    folder: PathBuf,
    follow: Follow,
    /// Run, path and number of the attempt.
    attempt: (i64, String, u32),
    stopping: watch::Receiver<bool>,
}

impl Growing {
    /// The log in the folder of an attempt, from its beginning.
    pub(crate) fn new(site: Shared, folder: &Path, attempt: (i64, String, u32)) -> Self {
        let stopping = site.stopping.clone();
        let follow = Follow::new(folder, 0);
        Self { site, folder: folder.to_owned(), follow, attempt, stopping }
    }

    /// Begins at another place.
    pub(crate) fn begin_at(&mut self, at: u64) {
        self.follow = Follow::new(&self.folder, at);
    }

    /// Waits for more, and says from which place on; `None` when there will be no more. Nothing is lost if the future
    /// is dropped.
    ///
    /// # Errors
    /// The log can't be read, or the server stops.
    pub(crate) async fn next(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        let (run, path, number) = &self.attempt;
        loop {
            let at = self.follow.offset();
            let piece = tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => {
                    return Err(io::Error::new(io::ErrorKind::Interrupted, "the server stops"));
                }
                piece = self.follow.next() => piece?,
                () = tokio::time::sleep(LOOK) => {
                    if let Ok((_, _, true)) = task::folder(&self.site, *run, path, Some(*number)).await {
                        continue;
                    }
                    Some(self.follow.rest()?).filter(|rest| !rest.is_empty())
                }
            };
            return Ok(piece.map(|bytes| (at, bytes)));
        }
    }
}
