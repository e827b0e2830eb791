//! The line on which an attempt was begun, held on to until its end: its log is followed, its end is told, what it leaves
//! is taken, and all of that takes one command on the host. Who comes later, after a cut or a restart, asks anew.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use weir_core::ids::AttemptId;
use weir_core::job_type::Phase;
use weir_core::outcome::ErrorClass;

use super::client::within;
use super::exec::{Exec, Piece, find};
use super::remote::{SHORTLY, Says};
use super::trouble::Trouble;

/// What ends within this is not followed: all it leaves comes at its end.
const CALM: Duration = Duration::from_millis(30);
/// How often is looked whether what watches over the work on the host is still there.
const LOOK: Duration = Duration::from_secs(5);

/// How long the line of an attempt is held that nobody follows.
const FORGOTTEN: Duration = Duration::from_mins(1);

/// The shell that has begun an attempt.
pub(crate) struct Session {
    exec: Exec,
    says: Says,
    /// What stands on its output after the log that was followed. Nobody else knows it.
    mark: String,
}

/// How the work ended.
pub(crate) struct Ended {
    /// The exit code of its first process.
    pub(crate) code: i32,
    /// What it wrote into the file of outputs.
    pub(crate) output: Vec<u8>,
    session: Session,
}

/// What is still to come of the log and the outputs.
#[derive(Clone, Copy)]
struct Left {
    log: u64,
    output: u64,
}

/// The lines of attempts that have begun and are not followed yet.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<BTreeMap<(AttemptId, Phase), (Instant, Session)>>);

impl Waiting {
    /// Keeps a line for whoever follows the attempt.
    pub(crate) fn put(&self, attempt: (AttemptId, Phase), session: Session) {
        let mut waiting = self.locked();
        waiting.retain(|_, (since, _)| since.elapsed() < FORGOTTEN);
        waiting.insert(attempt, (Instant::now(), session));
    }

    /// The line of an attempt, once.
    pub(crate) fn take(&self, attempt: (AttemptId, Phase)) -> Option<Session> {
        self.locked().remove(&attempt).map(|(_, session)| session)
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<(AttemptId, Phase), (Instant, Session)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(super) fn new(exec: Exec, says: Says, mark: String) -> Self {
        Self { exec, says, mark }
    }

    /// Waits for the end, handing out the log as it grows. Who takes it may answer how much of it need not be kept there
    /// any longer. `None` if nobody is there any more who could tell the end: who asks the host anew finds out.
    ///
    /// # Errors
    /// The line broke, or what takes the log takes no more.
    pub(crate) async fn follow(
        mut self,
        mut take: impl FnMut(&[u8]) -> Result<Option<u64>, Trouble> + Send,
    ) -> Result<Option<Ended>, Trouble> {
        let (mut come, mut is_followed) = (0, false);
        let mut look = Instant::now() + CALM;
        let code = loop {
            if let Some(told) = self.says.pop() {
                match told.strip_prefix("ended code ").map(str::parse::<i32>) {
                    Some(Ok(code)) => break code,
                    Some(Err(_)) | None => return Ok(None),
                }
            }
            // Not only while nothing comes.
            let is_due = Instant::now() >= look;
            let next = if is_due { None } else { timeout_at(look, self.exec.next()).await.ok() };
            match next.transpose()? {
                None => {
                    self.tell(if is_followed { "look" } else { "follow" }).await?;
                    is_followed = true;
                    look = Instant::now() + LOOK;
                }
                Some(Piece::Out(bytes)) => {
                    come += bytes.len() as u64;
                    if let Some(taken) = take(&bytes)? {
                        self.tell(&format!("drop {taken}")).await?;
                    }
                }
                Some(Piece::Err(bytes)) => self.says.push(&bytes),
                Some(Piece::Exit(_)) => return Ok(None),
            }
        };
        let output = self.rest(come, is_followed, |bytes| take(bytes).map(|_| ())).await?;
        Ok(output.map(|output| Ended { code, output, session: self }))
    }

    /// What is left of the log after the `come` bytes that have come, and the outputs.
    async fn rest(
        &mut self,
        mut come: u64,
        is_followed: bool,
        mut take: impl FnMut(&[u8]) -> Result<(), Trouble> + Send,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        self.tell("rest").await?;
        let (mut held, mut output) = (Vec::new(), Vec::new());
        let mut is_marked = !is_followed;
        let mut left: Option<Left> = None;
        loop {
            if !is_marked {
                let mark = find(&held, self.mark.as_bytes());
                // Of what may be the mark's beginning nobody knows yet.
                let sure = mark.unwrap_or(held.len().saturating_sub(self.mark.len() - 1));
                if sure > 0 {
                    take(&held[..sure])?;
                    come += sure as u64;
                }
                held.drain(..sure + mark.map_or(0, |_| self.mark.len()));
                if mark.is_some() {
                    is_marked = true;
                    self.tell(&format!("at {come}")).await?;
                }
            }
            if left.is_none()
                && let Some(told) = self.says.pop()
            {
                let Some((size, output)) = sizes(&told) else { return Ok(None) };
                left = Some(Left { log: size.saturating_sub(come), output });
            }
            if let Some(left) = left.as_mut().filter(|_| is_marked) {
                let log = held.len().min(usize::try_from(left.log).unwrap_or(usize::MAX));
                if log > 0 {
                    take(&held[..log])?;
                    left.log -= log as u64;
                    held.drain(..log);
                }
                output.append(&mut held);
                if left.log == 0 && output.len() as u64 >= left.output {
                    return Ok(Some(output));
                }
            }
            match self.exec.next().await? {
                Piece::Out(bytes) => held.extend_from_slice(&bytes),
                Piece::Err(bytes) => self.says.push(&bytes),
                Piece::Exit(_) => return Ok(None),
            }
        }
    }

    async fn tell(&self, word: &str) -> Result<(), Trouble> {
        self.exec.writer().send(format!("{word}\n").into_bytes()).await
    }
}

impl Ended {
    /// Leaves nothing of it there but a tombstone; with `all` also nothing of what is long over.
    ///
    /// # Errors
    /// The line broke.
    pub(crate) async fn sweep(mut self, all: bool) -> Result<(), Trouble> {
        let step = async {
            self.session.tell(if all { "done all" } else { "done" }).await?;
            loop {
                match self.session.exec.next().await? {
                    Piece::Out(_) | Piece::Err(_) => {}
                    Piece::Exit(_) => return Ok(()),
                }
            }
        };
        within(SHORTLY, "the host did not answer", step).await
    }
}

/// The sizes of log and outputs.
fn sizes(told: &str) -> Option<(u64, u64)> {
    let (log, output) = told.strip_prefix("rest ")?.split_once(' ')?;
    Some((log.parse().ok()?, output.parse().ok()?))
}

/// Words that nobody can guess.
pub(super) fn mark() -> Result<String, Trouble> {
    let mut noise = [0; 16];
    let filled = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut noise);
    filled.map_err(|_| {
        Trouble::new(ErrorClass::Internal, "the system gives no random numbers", "")
    })?;
    Ok(format!("weir:{:032x}", u128::from_le_bytes(noise)))
}
