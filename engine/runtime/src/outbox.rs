//! Notices on their way: each is sent again and again until somebody has taken it, and what is the same is told once
//! within its window.
//!
//! What waits stands in the store, written with what it tells of; this only looks, sends and notes what came of it.
//! Before each try the row says when the next one may be, as if nobody were to hear of this one: an engine that is
//! killed meanwhile leaves nothing to be put right. So whatever happens nobody is told twice within a window; beyond
//! it, of what may have arrived, they are.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use weir_core::ids::RunId;
use weir_core::mask::mask;
use weir_core::notice::{Channel, Message, Messenger, Reason, Receiver, Undelivered};
use weir_core::secret::Secret;
use weir_core::time::{Timestamp, format_span};

use crate::engine::{Handle, wall_clock};
use crate::input::Refusal;
use crate::store::NoticeKey;
use crate::store::rows::{Batch, NoticeRow, NoticeState};

/// So long it is tried to deliver a notice, if nothing else is said.
pub const PATIENCE: Duration = Duration::from_hours(72);

/// The pause after the first try; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);

/// The longest that one try may take.
const TRY: Duration = Duration::from_secs(30);

/// A clock that is set forward, and a hint that was lost, are noticed after so long.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What was on its way when the engine is asked to stop may take so long.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How notices are sent.
#[derive(Clone, Debug)]
pub struct Terms {
    /// So long it is tried.
    pub patience: Duration,
    /// Where the pages are, for links: `https://weir.example.org`.
    pub pages: Option<String>,
}

/// What delivers. Lives while an engine serves.
#[derive(Debug)]
pub struct Outbox {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Outbox {
    /// Begins to deliver what waits and what comes.
    pub fn begin(handle: &Handle, messenger: Arc<dyn Messenger>, terms: Terms) -> Self {
        let (stop, stopped) = oneshot::channel();
        let post = Post { handle: handle.clone(), messenger, terms };
        Self { stop, task: tokio::spawn(deliver(Arc::new(post), stopped)) }
    }

    /// Begins nothing new. What is on its way may take a moment.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

impl Handle {
    /// Has a notice that was given up tried once more; it is given up again if that fails. It is durable when this
    /// returns.
    ///
    /// # Errors
    /// There is no such notice, or it was not given up.
    pub async fn send_again(&self, key: &NoticeKey) -> Result<(), Refusal> {
        let unread = |error: crate::store::Error| Refusal::Bad(error.to_string());
        // Asked for twice, it may have arrived when the second one looks.
        let _turn = self.shared().sending_again.lock().await;
        let store = self.store();
        let row = store.notice(key).await.map_err(unread)?;
        let row = row.ok_or_else(|| Refusal::Bad("there is no such notice".to_owned()))?;
        if row.state != NoticeState::GivenUp.code() {
            let state = NoticeState::name(row.state);
            return Err(Refusal::Ignored(format!("the notice is not given up: it is {state}")));
        }
        let waiting = NoticeRow {
            state: NoticeState::Waiting.code(),
            due_at: wall_clock(),
            ended_at: None,
            ..row
        };
        let batch = Batch { notices: vec![waiting], ..Batch::default() };
        if let Err(error) = store.commit(batch).await {
            store.resume();
            return Err(Refusal::Bad(error.to_string()));
        }
        self.shared().notices.notify_one();
        Ok(())
    }
}

/// Where something goes: a project and a receiver. One notice at a time is on its way there.
type Way = (String, String);

struct Post {
    handle: Handle,
    messenger: Arc<dyn Messenger>,
    terms: Terms,
}

async fn deliver(post: Arc<Post>, mut stopped: oneshot::Receiver<()>) {
    let mut at_work: JoinSet<Way> = JoinSet::new();
    let mut busy: BTreeSet<Way> = BTreeSet::new();
    loop {
        let sleep = match post.begin_due(&mut at_work, &mut busy).await {
            Ok(sleep) => sleep,
            Err(error) => {
                tracing::warn!("notices wait: {error}");
                FIRST_PAUSE
            }
        };
        tokio::select! {
            () = post.handle.shared().notices.notified() => {}
            Some(done) = at_work.join_next() => match done {
                Ok(way) => drop(busy.remove(&way)),
                // It panicked: which one is not known, so all are looked at anew.
                Err(_) if at_work.is_empty() => busy.clear(),
                Err(_) => {}
            },
            () = tokio::time::sleep(sleep) => {}
            _ = &mut stopped => break,
        }
    }
    let rest = async { while at_work.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_WORDS, rest).await;
}

impl Post {
    /// Sends what is due wherever nothing is on its way. Says how long nothing else will be due.
    async fn begin_due(
        self: &Arc<Self>,
        at_work: &mut JoinSet<Way>,
        busy: &mut BTreeSet<Way>,
    ) -> Result<Duration, crate::store::Error> {
        let store = self.handle.store();
        let now = wall_clock();
        for way in store.notices_due(now).await? {
            if busy.contains(&way) {
                continue;
            }
            let Some(row) = store.notice_due(now, &way.0, &way.1).await? else { continue };
            busy.insert(way.clone());
            let post = Arc::clone(self);
            at_work.spawn(async move {
                if let Err(why) = post.deliver(row).await {
                    tracing::warn!("notices wait: {why}");
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
                way
            });
        }
        let next = store.next_notice(now).await?;
        let sleep = next.map_or(LONGEST_SLEEP, |at| at.since(wall_clock()));
        Ok(sleep.clamp(Duration::from_millis(1), LONGEST_SLEEP))
    }

    /// Tries to deliver all that is the same as a notice that is due.
    async fn deliver(&self, due: NoticeRow) -> Result<(), String> {
        let store = self.handle.store();
        let unread = |error: crate::store::Error| error.to_string();
        let told_at = store.last_told(&due.key).await.map_err(unread)?;
        let mut rows = store.notices_waiting(&due.key).await.map_err(unread)?;
        let now = wall_clock();
        if let Some(until) = told_at.and_then(|told_at| window_end(told_at, due.window, now)) {
            for row in &mut rows {
                row.due_at = until;
            }
            return self.keep(rows).await;
        }
        let Some(newest) = rows.last() else { return Ok(()) };
        let Ok(mut message) = serde_json::from_str::<Message>(&newest.message) else {
            return Err(format!("the message of a notice of run {} can't be read", newest.run));
        };
        message.more = rows.len() as u64 - 1;
        message.link =
            self.terms.pages.as_ref().map(|pages| format!("{pages}/runs/{}", newest.run));
        let tries = rows.iter().map(|row| row.tries).max().unwrap_or(0) + 1;
        let before: Vec<Option<Timestamp>> = rows.iter().map(|row| row.told_at).collect();
        let pause = pause_after(tries);
        for row in &mut rows {
            row.tries = tries;
            row.told_at = Some(now);
            row.due_at = now.plus(pause.max(row.window));
        }
        self.keep(rows.clone()).await?;
        let sent = self.send(&due, &message).await;
        let now = wall_clock();
        for (row, before) in rows.iter_mut().zip(before) {
            match &sent {
                Ok(()) => {
                    row.state = NoticeState::Delivered.code();
                    row.ended_at = Some(now);
                    row.error = None;
                    continue;
                }
                Err(Undelivered::Refused(_)) => {
                    row.told_at = before;
                    row.due_at = now.plus(pause);
                }
                Err(Undelivered::Unknown(_)) => {}
            }
            row.error = sent.as_ref().err().map(ToString::to_string);
            if now.since(row.at) >= self.terms.patience {
                row.state = NoticeState::GivenUp.code();
                row.ended_at = Some(now);
            }
        }
        tell(&rows, &message, self.terms.patience);
        self.keep(rows).await
    }

    /// Sends one message, in the time it may take.
    async fn send(&self, row: &NoticeRow, message: &Message) -> Result<(), Undelivered> {
        let refused = |why: String| Err(Undelivered::Refused(why));
        let Some(receiver) = Receiver::parse(&row.receiver) else {
            return refused(format!("`{}` names no receiver", row.receiver));
        };
        let name = receiver.secret();
        let address = match self.secret(&row.project, &name).await {
            Ok(Some(address)) => address,
            Ok(None) => {
                return refused(format!(
                    "no secret `{name}` says where it goes: set it with `weir secret set {name}`"
                ));
            }
            Err(why) => return refused(why),
        };
        let sign = match receiver.signing_secret() {
            Some(name) => match self.secret(&row.project, &name).await {
                Ok(sign) => sign,
                Err(why) => return refused(why),
            },
            None => None,
        };
        let secrets: Vec<Secret> = std::iter::once(&address).chain(&sign).cloned().collect();
        let channel = Channel { address, sign };
        let sent = tokio::time::timeout(TRY, self.messenger.send(receiver, &channel, message));
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Undelivered::Refused(why))) => refused(mask(&why, &secrets)),
            Ok(Err(Undelivered::Unknown(why))) => Err(Undelivered::Unknown(mask(&why, &secrets))),
            Err(_) => {
                let span = format_span(TRY);
                Err(Undelivered::Unknown(format!("the other side does not answer within {span}")))
            }
        }
    }

    /// A secret of the project, or of all projects.
    async fn secret(&self, project: &str, name: &str) -> Result<Option<Secret>, String> {
        for scope in [project, ""] {
            let found = self.handle.secrets().get(scope, name).await;
            if let Some(value) = found.map_err(|error| error.to_string())? {
                let text = String::from_utf8_lossy(&value).trim().to_owned();
                return Ok(Some(Secret::new(name, text)));
            }
        }
        Ok(None)
    }

    /// Keeps what is known of these notices now.
    async fn keep(&self, rows: Vec<NoticeRow>) -> Result<(), String> {
        let store = self.handle.store();
        let mut batch = Batch { notices: rows, ..Batch::default() };
        // What has been delivered must be known to be: it is written as soon as anything can be.
        loop {
            match store.commit(batch).await {
                Ok(()) => return Ok(()),
                Err(error) if error.trouble.advice() == crate::store::Advice::Retry => {
                    tracing::debug!("{error}");
                    tokio::time::sleep(FIRST_PAUSE).await;
                    store.resume();
                    batch = *error.batch;
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }
}

/// When the window in which somebody was told ends, if it has not. A clock that was set back is not waited for.
fn window_end(told_at: Timestamp, window: Duration, now: Timestamp) -> Option<Timestamp> {
    let end = told_at.plus(window);
    (end > now && end.since(now) <= window).then_some(end)
}

fn pause_after(tries: u32) -> Duration {
    let doubled = FIRST_PAUSE.checked_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    doubled.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
}

/// Says in the server's log what came of a try.
fn tell(rows: &[NoticeRow], message: &Message, patience: Duration) {
    let Some(newest) = rows.last() else { return };
    let (receiver, subject) = (&newest.receiver, message.subject());
    let error = newest.error.as_deref().unwrap_or_default();
    for row in rows.iter().filter(|row| row.state == NoticeState::GivenUp.code()) {
        let span = format_span(patience);
        let reason = Reason::from_code(row.reason).map_or("?", Reason::name);
        let RunId(run) = row.run;
        tracing::error!(
            "a notice to {receiver} is given up after {span}: {reason}, run {run}: {error}"
        );
    }
    if newest.state == NoticeState::Waiting.code() {
        tracing::warn!(
            "{receiver} could not be told: {subject}: {error}; next try at {}",
            newest.due_at
        );
    } else if newest.state == NoticeState::Delivered.code() {
        tracing::debug!("{receiver} was told: {subject}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_quarter_of_an_hour() {
        let pauses: Vec<u64> = (1..=12).map(|tries| pause_after(tries).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(pause_after(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn a_window_is_waited_for_unless_the_clock_was_set_back() {
        let at = Timestamp::from_millis;
        let window = Duration::from_secs(5);
        assert_eq!(window_end(at(10_000), window, at(12_000)), Some(at(15_000)));
        assert_eq!(window_end(at(10_000), window, at(15_000)), None);
        assert_eq!(window_end(at(10_000), window, at(9_000)), None);
        assert_eq!(window_end(at(10_000), Duration::ZERO, at(10_000)), None);
    }
}
