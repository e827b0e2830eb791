//! `ssh`: a script or a program on a host, in a session of its own there, that no cut line and no restart can lose.

mod asked;
mod client;
mod exec;
mod gauge;
mod known_hosts;
mod login;
mod mirror;
mod pool;
mod reach;
mod record;
mod remote;
mod session;
mod sudo;
mod tcp;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_core::hosts::{Become, Route};
use weir_core::ids::AttemptId;
use weir_core::job_type::{
    AttemptContext, Fault, Handle, JobError, JobType, Phase, Plan, PlanContext, ProcessEnd,
};
use weir_core::log_index::LIMIT;
use weir_core::outcome::{ErrorClass, Failure, Outcome};
use weir_core::schema::Schema;

use crate::{output, process_end, script, settings};
use asked::Settings;
use mirror::Mirror;
use record::Record;
use remote::{Came, Launched, Loss, Remote, Stand};
use session::{Ended, Waiting};

pub(crate) use asked::become_of;
pub use client::Bounds;
pub(crate) use exec::{Exec, Piece};
pub(crate) use pool::NOT_CONNECTED;
pub use pool::{Pool, Ran};
pub(crate) use sudo::quoted;
pub(crate) use trouble::Trouble;

/// How long a host that could not be reached may take to answer again.
const AGAIN: Duration = Duration::from_mins(1);
/// How often what is long over is swept up on a host.
const SWEEP: Duration = Duration::from_hours(1);

/// The job type `ssh`.
pub struct Ssh {
    pool: Arc<Pool>,
    followed: Mutex<BTreeSet<(AttemptId, Phase)>>,
    waiting: Waiting,
    /// When what was long over was swept up where.
    swept: Mutex<BTreeMap<String, Instant>>,
}

/// What finds the work again.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    /// What the attempt is called on the host; none if it runs on the connection itself.
    id: String,
    /// The boot of the host in which it began; empty if the answer to its launch was lost.
    boot: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    attached: bool,
}

impl Ssh {
    /// Over the connections of `pool`.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            followed: Mutex::default(),
            waiting: Waiting::default(),
            swept: Mutex::default(),
        }
    }

    fn remote<'a>(
        &'a self,
        route: &'a Route,
        user: Option<&'a Become>,
        id: &'a str,
        cx: &AttemptContext,
    ) -> Remote<'a> {
        let limit = cx.limits.log_size.unwrap_or(LIMIT);
        Remote { pool: &self.pool, route, user, id, limit }
    }

    /// Work in its own session on the host, from where it stands to its end.
    async fn watch(
        &self,
        found: &Found,
        settings: &Settings,
        route: &Route,
        cx: &AttemptContext,
    ) -> Result<Outcome, Trouble> {
        let user = settings.user(route, cx.run_as.as_deref());
        let remote = self.remote(route, user.as_ref(), &found.id, cx);
        let mut mirror = Mirror::open(cx).map_err(|error| no_room(&error))?;
        let mut boot = found.boot.clone();
        let mut session = self.waiting.take((cx.id, cx.phase));
        let (stand, size) = loop {
            // Whoever has begun it tells of it from its first byte on.
            if let Some(session) = session.take().filter(|_| mirror.read() == 0) {
                let follow = session.follow(|bytes| take(&mut mirror, Came::Bytes(bytes)));
                if let Some(mut ended) = Box::pin(follow).await? {
                    let output = std::mem::take(&mut ended.output);
                    let outcome = judged(ended.code, output, settings, cx);
                    let outcome = keep(mirror, cx, outcome).await?;
                    self.swept_up(ended, &remote).await;
                    return Ok(outcome);
                }
            }
            let stand = remote.attach(mirror.read(), |came| take(&mut mirror, came)).await?;
            match stand {
                Stand::Ended(_, size) | Stand::Lost(_, size) => break (stand, size),
                Stand::Fenced => return Ok(Outcome::Cancelled),
                Stand::Absent(_) if boot.is_empty() => {
                    // The launch never arrived, so this is the first.
                    let work = match settings.work(cx) {
                        Ok(work) => work,
                        Err(failure) => return Ok(Outcome::Failed(failure)),
                    };
                    match remote.launch(&work).await {
                        Ok(Launched::Begun(began, line)) => {
                            boot = began;
                            session = Some(line);
                        }
                        Ok(Launched::Found(began)) => boot = began,
                        Ok(Launched::Fenced) => return Ok(Outcome::Cancelled),
                        Err(trouble) if trouble.class == ErrorClass::Internal => {
                            return Ok(Outcome::Failed(trouble.about(route.host())));
                        }
                        Ok(Launched::Unknown(trouble)) | Err(trouble) => return Err(trouble),
                    }
                }
                Stand::Absent(now) => {
                    let message = if now == boot {
                        "its folder on the host is gone: nobody knows how it ended"
                    } else {
                        "the host was rebooted, and its folder there is gone"
                    };
                    return Ok(lost(message));
                }
            }
        };
        let output = remote
            .collect(mirror.read(), size, |bytes| {
                mirror.push(bytes).map_err(|error| no_room(&error))
            })
            .await?;
        let outcome = match stand {
            Stand::Ended(code, _) => judged(code, output, settings, cx),
            Stand::Lost(Loss::Rebooted, _) => lost("the host was rebooted while it ran"),
            Stand::Lost(Loss::Killed, _) => {
                lost("what watched it on the host was killed; nothing of it is left running")
            }
            Stand::Lost(Loss::Stuck, _) => {
                lost("what watched it on the host was killed, and what is left of it would not end")
            }
            Stand::Fenced | Stand::Absent(_) => unreachable!("both were answered above"),
        };
        let outcome = keep(mirror, cx, outcome).await?;
        // Its end is kept here: if the line breaks now, a folder stays there until it is swept.
        let _unreached = remote.remove().await;
        Ok(outcome)
    }

    /// Leaves nothing of it on the host. Its end is kept here: if the line breaks now, a folder stays there for a while.
    async fn swept_up(&self, ended: Ended, remote: &Remote<'_>) {
        let user = remote.user.map_or("", |user| &user.user);
        let place = format!("{} {user}", trouble::place(remote.route.host()));
        let now = Instant::now();
        let all = {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            let is_due = swept.get(&place).is_none_or(|at| now.duration_since(*at) >= SWEEP);
            if is_due {
                swept.insert(place, now);
            }
            is_due
        };
        let _unreached = ended.sweep(all).await;
    }

    /// Work on the connection itself, for hosts that forbid anything else.
    async fn carry(
        &self,
        found: &Found,
        settings: &Settings,
        route: &Route,
        cx: &AttemptContext,
    ) -> Result<Outcome, Trouble> {
        let user = settings.user(route, cx.run_as.as_deref());
        let work = match settings.work(cx) {
            Ok(work) => work,
            Err(failure) => return Ok(Outcome::Failed(failure)),
        };
        let mut mirror = Mirror::open(cx).map_err(|error| no_room(&error))?;
        let folder = cx.folder.clone();
        let claimed = aside(move || record::claim(&folder)).await;
        if !claimed.map_err(|error| no_room(&error))? {
            // What is left of it there must not go on unseen.
            self.remote(route, user.as_ref(), &found.id, cx).cut(cx.grace).await?;
            let outcome =
                lost("the connection that carried it broke; nothing of it is left running");
            record::end_of_carried(&cx.folder, &outcome).map_err(|error| no_room(&error))?;
            return Ok(outcome);
        }
        let script = work.on_connection(&found.id);
        let mut exec = match self.pool.start(route, user.as_ref(), &script).await {
            Ok(exec) => exec,
            Err(trouble) => {
                let outcome = Outcome::Failed(trouble.about(route.host()));
                record::end_of_carried(&cx.folder, &outcome).map_err(|error| no_room(&error))?;
                return Ok(outcome);
            }
        };
        let writer = exec.writer();
        let stdin = work.stdin.clone().unwrap_or_default().into_bytes();
        let feed = async {
            if !stdin.is_empty() {
                writer.send(stdin).await?;
            }
            writer.finish().await
        };
        let read = async {
            loop {
                match exec.next().await {
                    Ok(Piece::Out(bytes) | Piece::Err(bytes)) => {
                        // A full disk must not end the work.
                        let _no_room = mirror.push(&bytes);
                    }
                    Ok(Piece::Exit(code)) => return Ok(judged(code, Vec::new(), settings, cx)),
                    Err(trouble) => return Err(trouble),
                }
            }
        };
        let (_fed, outcome): (Result<(), Trouble>, Result<Outcome, Trouble>) =
            tokio::join!(feed, read);
        let folder = cx.folder.clone();
        let kept = aside(move || {
            // Nor must it fail for that.
            let _no_room = mirror.finish();
            let Ok(outcome) = outcome else { return Ok(outcome) };
            record::end_of_carried(&folder, &outcome).map(|()| Ok(outcome))
        });
        kept.await.map_err(|error| no_room(&error))?
    }
}

fn judged(code: i32, output: Vec<u8>, settings: &Settings, cx: &AttemptContext) -> Outcome {
    let code = match process_end::judge(&ProcessEnd::Exited(code), &settings.codes(), &cx.limits) {
        Ok(code) => code,
        Err(outcome) => return outcome,
    };
    match output::of_bytes(output, settings.output_format, &cx.secrets) {
        Ok(outputs) => Outcome::Done { outputs, exit_code: Some(code) },
        Err(mut failure) => {
            failure.exit_code = Some(code);
            Outcome::Failed(failure)
        }
    }
}

fn lost(message: &str) -> Outcome {
    Outcome::Failed(Failure::new(ErrorClass::Lost, message))
}

/// Keeps the end of the log, and how it ended.
async fn keep(
    mut mirror: Mirror,
    cx: &AttemptContext,
    outcome: Outcome,
) -> Result<Outcome, Trouble> {
    let folder = cx.folder.clone();
    let kept = aside(move || {
        mirror.finish()?;
        record::end(&folder, &outcome).map(|()| outcome)
    });
    kept.await.map_err(|error| no_room(&error))
}

/// What waits for a disk holds up nobody else.
async fn aside<T: Send + 'static>(
    step: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(step).await.map_err(io::Error::other)?
}

/// Takes in more of the host's log; how much of it need not stay there.
fn take(mirror: &mut Mirror, came: Came<'_>) -> Result<Option<u64>, Trouble> {
    let kept = match came {
        Came::Bytes(bytes) => mirror.push(bytes),
        Came::Gap(to) => mirror.skip(to),
    };
    kept.and_then(|()| mirror.release()).map_err(|error| no_room(&error))
}

/// Nothing is lost by a full disk here: the host keeps the log until it was taken.
fn no_room(error: &io::Error) -> Trouble {
    Trouble::unreachable(format!("its log can't be kept here: {error}"))
}

fn route(host: Option<&Arc<Route>>) -> Result<&Route, JobError> {
    host.map(|route| &**route).ok_or_else(|| {
        settings::wrong("no host was chosen\n  help: name some in `with.hosts`, and describe them in project.yaml")
    })
}

#[async_trait]
impl JobType for Ssh {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn about(&self) -> &'static str {
        "Runs a script or a program on hosts. It goes on there whatever becomes of the connection or of Weir, and its \
         end and its whole log are found again."
    }

    fn works_on_hosts(&self) -> bool {
        true
    }

    fn schema(&self) -> Schema {
        asked::schema()
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        asked::check(with)
    }

    async fn plan(&self, with: &Value, cx: &PlanContext) -> Result<Plan, JobError> {
        let settings: Settings = settings::read(with, &[])?;
        let mut steps = Vec::new();
        let by = settings.words();
        let by = if by.is_empty() { "/bin/sh -eu".to_owned() } else { by.join(" ") };
        let at = cx.host.as_ref().map_or_else(
            || "the hosts".to_owned(),
            |route| {
                let user = settings.user(route, None);
                let user = user.map_or_else(String::new, |user| format!(" as {}", user.user));
                format!("{}{user}", trouble::place(route.host()))
            },
        );
        match (&settings.script, &settings.command) {
            (Some(script), _) => {
                steps.push(format!("run with {by} on {at}:"));
                steps.extend(script.trim_end().lines().map(|line| format!("  {line}")));
            }
            (None, command) => {
                let words: Vec<_> =
                    command.iter().flatten().map(|word| script::shown(&word.0)).collect();
                steps.push(format!("run on {at}: {}", words.join(" ")));
            }
        }
        let unknown = vec!["what it changes: it is not run".to_owned()];
        Ok(Plan { steps, unknown, ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let route = route(cx.host.as_ref())?;
        let work = settings.work(cx)?;
        let user = settings.user(route, cx.run_as.as_deref());
        let context = cx.clone();
        let record = aside(move || Record::of(&context.folder, &context)).await;
        let record = record.map_err(|error| internal(&error))?;
        let mut found = Found { id: record.id, boot: String::new(), attached: settings.attached.0 };
        let is_over = record.is_fenced || record::ended(&cx.folder).is_some();
        if !found.attached && !is_over {
            let remote = self.remote(route, user.as_ref(), &found.id, cx);
            match Box::pin(remote.launch(&work))
                .await
                .map_err(|trouble| trouble.about(route.host()))?
            {
                Launched::Begun(boot, session) => {
                    found.boot = boot;
                    self.waiting.put((cx.id, cx.phase), session);
                }
                Launched::Found(boot) => found.boot = boot,
                // Whoever follows it finds out.
                Launched::Fenced | Launched::Unknown(_) => {}
            }
        }
        serde_json::to_string(&found).map(Handle).map_err(|error| internal(&error.into()))
    }

    async fn follow(
        &self,
        handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let route = route(cx.host.as_ref())?;
        let found: Found =
            serde_json::from_str(&handle.0).map_err(|error| internal(&error.into()))?;
        if let Some(outcome) = record::ended(&cx.folder) {
            return Ok(outcome);
        }
        if record::is_fenced(&cx.folder) {
            return Ok(Outcome::Cancelled);
        }
        let _here = Followed::new(self, cx);
        let followed = if found.attached {
            Box::pin(self.carry(&found, &settings, route, cx)).await
        } else {
            Box::pin(self.watch(&found, &settings, route, cx)).await
        };
        followed.map_err(|trouble| {
            let mut error = trouble.about(route.host());
            // Whatever stands between us and it, a changed key or a lost file: the work may go on, and its end is
            // still to be learnt.
            error.class = ErrorClass::Connection;
            error
        })
    }

    async fn is_reachable(&self, _handle: &Handle, with: &Value, cx: &AttemptContext) -> bool {
        let (Ok(settings), Ok(route)) =
            (settings::read::<Settings>(with, &cx.secrets), route(cx.host.as_ref()))
        else {
            return false;
        };
        let user = settings.user(route, cx.run_as.as_deref());
        self.pool.look(route, user.as_ref(), "exit 0", AGAIN).await.is_ok()
    }

    async fn cancel(
        &self,
        handle: Option<&Handle>,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError> {
        if record::ended(&cx.folder).is_some() {
            return Ok(());
        }
        let found: Option<Found> = handle.and_then(|handle| serde_json::from_str(&handle.0).ok());
        // From here on nothing begins from here, whatever the host says.
        let known = record::fence(&cx.folder).map_err(|error| internal(&error))?;
        let attached = found.as_ref().is_some_and(|found| found.attached);
        let Some(id) = found.map(|found| found.id).or(known) else { return Ok(()) };
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let route = route(cx.host.as_ref())?;
        let user = settings.user(route, cx.run_as.as_deref());
        let remote = self.remote(route, user.as_ref(), &id, cx);
        let ended = if attached || settings.attached.0 {
            remote.cut(cx.grace).await
        } else {
            remote.cancel(cx.grace).await
        };
        ended.map_err(|trouble| trouble.about(route.host()))?;
        drop(self.waiting.take((cx.id, cx.phase)));
        let is_followed = self.followed().contains(&(cx.id, cx.phase));
        if !is_followed && !attached {
            // Nobody else takes its last words, and sweeps up after it.
            let taken = async {
                let mut mirror = Mirror::open(cx).map_err(|error| no_room(&error))?;
                let stand = remote.attach(mirror.read(), |came| take(&mut mirror, came)).await?;
                if let Stand::Ended(_, size) | Stand::Lost(_, size) = stand {
                    remote
                        .collect(mirror.read(), size, |bytes| {
                            mirror.push(bytes).map_err(|error| no_room(&error))
                        })
                        .await?;
                }
                mirror.finish().map_err(|error| no_room(&error))?;
                remote.remove().await
            };
            // It has ended; its last words are worth one try.
            let _unreached: Result<(), Trouble> =
                tokio::time::timeout(Duration::from_mins(1), Box::pin(taken))
                    .await
                    .unwrap_or_else(|_| Err(Trouble::unreachable("")));
        }
        Ok(())
    }
}

impl Ssh {
    fn followed(&self) -> std::sync::MutexGuard<'_, BTreeSet<(AttemptId, Phase)>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// That an attempt is being followed here.
struct Followed<'a>(&'a Ssh, (AttemptId, Phase));

impl<'a> Followed<'a> {
    fn new(ssh: &'a Ssh, cx: &AttemptContext) -> Self {
        ssh.followed().insert((cx.id, cx.phase));
        Self(ssh, (cx.id, cx.phase))
    }
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.0.followed().remove(&self.1);
    }
}

fn internal(error: &io::Error) -> JobError {
    JobError::new(ErrorClass::Internal, error.to_string())
}
