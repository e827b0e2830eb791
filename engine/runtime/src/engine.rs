//! The engine: the loop's thread, and the handle by which everybody else speaks to it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{broadcast, oneshot};
use weir_core::ids::{AttemptId, RunId};
use weir_core::job_type::{Clock, JobError, JobType, Runs};
use weir_core::outcome::{ErrorClass, Failure, Outputs};
use weir_core::run::RunState;
use weir_core::secret::Secret;
use weir_core::time::Timestamp;

use crate::attempt::Attempts;
use crate::begin::{Begin, BeginError};
use crate::home::Home;
use crate::input::{Action, CommitFailure, Input, Refusal, Wish};
use crate::library::Library;
use crate::processes::{Client, Program};
use crate::secrets::Secrets;
use crate::set_off::set_off;
use crate::store::backup::{self, Part};
use crate::store::rows::{Batch, EventRow};
use crate::store::{Advice, Store};
use crate::turn::{Results, Turn, World};

/// What an engine is started with.
pub struct Config {
    /// The data folder. The caller holds its lock.
    pub home: Home,
    /// How many jobs may work on this machine at once.
    pub slots: u32,
    /// The job types and the catalogue.
    pub library: Arc<Library>,
    /// The program that is the supervisor.
    pub program: Program,
    /// Whether unfinished runs are taken up and moved on.
    pub takes_up: bool,
}

/// Why an engine can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be opened.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The home can't be used.
    #[error(transparent)]
    Home(#[from] crate::home::Error),
    /// The secrets can't be opened.
    #[error(transparent)]
    Secrets(#[from] crate::secrets::Error),
    /// A thread or the supervisor could not be started.
    #[error("the engine can't start: {0}")]
    Start(#[from] std::io::Error),
}

/// A running engine.
pub struct Engine {
    handle: Handle,
    thread: Option<std::thread::JoinHandle<()>>,
    stop: Sender<Input>,
}

/// Speaks to the engine. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    inputs: Sender<Input>,
    shared: Arc<Shared>,
}

/// What runs are begun from and taken up with.
pub(crate) struct Ground {
    pub(crate) store: Store,
    pub(crate) secrets: Secrets,
    pub(crate) library: Arc<Library>,
}

pub(crate) struct Shared {
    ground: Ground,
    pub(crate) processes: Arc<Client>,
    events: broadcast::Sender<Arc<[EventRow]>>,
    known_secrets: Mutex<BTreeMap<(String, String), String>>,
    folders: Mutex<Option<crate::folders::Folders>>,
    /// Held while a flow's schedules are worked out and put in effect.
    pub(crate) loading: tokio::sync::Mutex<()>,
    /// Rung when there is something to tell somebody.
    pub(crate) notices: tokio::sync::Notify,
    /// Held while a notice that was given up is put among those that wait.
    pub(crate) sending_again: tokio::sync::Mutex<()>,
    /// What was submitted last could not be written, and waits.
    is_stuck: Arc<AtomicBool>,
}

impl std::ops::Deref for Shared {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Engine {
    /// Opens the store, takes up every unfinished run and begins to move them.
    ///
    /// # Errors
    /// The store, the secrets or the supervisor can't be used.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let processes = Arc::new(Client::new(config.home.path(), config.program)?);
        let store = Store::open(&config.home).await?;
        let secrets = Secrets::open(&config.home, store.clone()).await?;
        let (inputs, queue) = channel();
        let shared = Arc::new(Shared {
            known_secrets: Mutex::new(known_secrets(&secrets).await?),
            ground: Ground { store: store.clone(), secrets, library: config.library },
            processes: Arc::clone(&processes),
            events: broadcast::channel(1024).0,
            folders: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            notices: tokio::sync::Notify::new(),
            sending_again: tokio::sync::Mutex::default(),
            is_stuck: Arc::default(),
        });
        let handle = Handle { inputs: inputs.clone(), shared: Arc::clone(&shared) };
        let children = Arc::new(Children { handle: OnceLock::new() });
        let report = inputs.clone();
        let attempts = Arc::new(Attempts {
            home: config.home.path().to_owned(),
            processes,
            runs: Arc::clone(&children) as Arc<dyn Runs>,
            clock: Arc::new(WallClock),
            report: Box::new(move |input| drop(report.send(input))),
            flights: Mutex::default(),
        });
        let mut turn = Turn::new(config.slots, store.last_run_id().await?.0);
        turn.timetable.adopt(
            store.loaded_flows().await?,
            store.schedules().await?,
            store.fires_ahead().await?,
        );
        let unfinished = if config.takes_up { store.unfinished().await? } else { Vec::new() };
        for saved in unfinished {
            match crate::adopt::live(&shared, saved).await {
                Ok(live) => turn.adopt(live),
                Err(error) => tracing::error!("a run is left alone: {error}"),
            }
        }
        let _ = children.handle.set(handle.clone());
        let world = RealWorld {
            shared,
            attempts,
            inputs: inputs.clone(),
            runtime: tokio::runtime::Handle::current(),
        };
        let thread = std::thread::Builder::new()
            .name("weir-loop".to_owned())
            .spawn(move || move_runs(turn, world, &queue))?;
        Ok(Self { handle, thread: Some(thread), stop: inputs })
    }

    /// Speaks to it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Stops moving runs once all that has happened is durable. Jobs that work go on; the next engine takes them up.
    pub async fn stop(mut self) {
        drop(self.handle.shared.folders.lock().unwrap_or_else(PoisonError::into_inner).take());
        let _ = self.stop.send(Input::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        self.handle.shared.processes.shutdown_if_idle();
        self.handle.shared.store.close().await;
    }
}

/// Inputs that are taken into one turn at most.
const TURN_MAX: usize = 4096;

/// A clock that is set forward is noticed after so long: a sleep does not follow it.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

fn move_runs(mut turn: Turn, mut world: RealWorld, queue: &Receiver<Input>) {
    turn.resume(&mut world);
    let mut is_stopping = false;
    loop {
        let mut next = match turn.next_wake() {
            Some(at) => queue.recv_timeout(
                (at.since(world.now()) + Duration::from_micros(500)).min(LONGEST_SLEEP),
            ),
            None => queue.recv().map_err(RecvTimeoutError::from),
        };
        let mut taken = 0;
        loop {
            match next {
                Ok(Input::Stop) => is_stopping = true,
                Ok(input) => turn.take(input, &mut world),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            taken += 1;
            if taken == TURN_MAX {
                break;
            }
            match queue.try_recv() {
                Ok(input) => next = Ok(input),
                Err(_) => break,
            }
        }
        turn.finish(&mut world);
        if let Some(why) = &turn.broken {
            tracing::error!("the engine stops: {why}");
            return;
        }
        if is_stopping && turn.is_settled() {
            return;
        }
    }
}

struct RealWorld {
    shared: Arc<Shared>,
    attempts: Arc<Attempts>,
    inputs: Sender<Input>,
    runtime: tokio::runtime::Handle,
}

impl World for RealWorld {
    fn now(&self) -> Timestamp {
        wall_clock()
    }

    fn submit(&mut self, number: u64, batch: Batch) {
        let inputs = self.inputs.clone();
        let is_stuck = Arc::clone(&self.shared.is_stuck);
        self.shared.store.resume();
        self.shared.store.submit_and_wait(
            batch,
            Box::new(move |result| {
                is_stuck.store(result.is_err(), Ordering::Relaxed);
                let result = result.map_err(|error| match error.trouble.advice() {
                    Advice::Retry => {
                        tracing::warn!("{error}; what has happened waits and is written again");
                        CommitFailure::Later(error.to_string(), error.batch)
                    }
                    Advice::Stop => CommitFailure::Never(error.to_string()),
                });
                let _ = inputs.send(Input::Committed { number, result });
            }),
        );
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Launch(order) => {
                let begins_at_once = order.begins_at_once();
                let launch = Arc::clone(&self.attempts).launch(*order);
                if begins_at_once {
                    set_off(&self.runtime, launch);
                } else {
                    drop(self.runtime.spawn(launch));
                }
            }
            Action::Cancel(order, reason) => {
                drop(self.runtime.spawn(Arc::clone(&self.attempts).cancel(*order, reason)));
            }
            Action::Abandon(order, failure) => {
                drop(self.runtime.spawn(Arc::clone(&self.attempts).abandon(*order, failure)));
            }
            Action::Publish(events) => drop(self.shared.events.send(events)),
        }
    }

    fn results(&mut self, run: RunId) -> Result<Results, String> {
        self.runtime
            .block_on(crate::adopt::results(&self.shared.store, run))
            .map_err(|error| error.to_string())
    }

    fn child_of(&mut self, parent: AttemptId) -> Result<Option<RunId>, String> {
        let found = self.runtime.block_on(self.shared.store.child_of(parent));
        found.map(|row| row.map(|row| RunId(row.id))).map_err(|error| error.to_string())
    }

    fn secret(&mut self, project: &str, name: &str) -> Option<Secret> {
        let known = self.shared.known_secrets.lock().unwrap_or_else(PoisonError::into_inner);
        let value = known
            .get(&(project.to_owned(), name.to_owned()))
            .or_else(|| known.get(&(String::new(), name.to_owned())))?;
        Some(Secret::new(name, value.clone()))
    }

    fn job_type(&self, name: &str) -> Option<Arc<dyn JobType>> {
        self.shared.library.job_types.get(name)?.work().cloned()
    }

    fn library(&self) -> Arc<Library> {
        Arc::clone(&self.shared.library)
    }

    fn home(&self) -> Home {
        self.shared.store.home().clone()
    }

    fn seal(&self, values: &weir_core::params::Values) -> String {
        crate::begin::seal_params(&self.shared, values)
    }

    fn fires_after(&mut self, schedule: i64, after: Timestamp) -> Result<Vec<Timestamp>, String> {
        self.runtime
            .block_on(self.shared.store.fires_after(schedule, after))
            .map_err(|error| error.to_string())
    }

    fn failed_before(&mut self, project: &str, flow: &str, run: RunId) -> Result<bool, String> {
        self.runtime
            .block_on(self.shared.store.failed_before(project, flow, run))
            .map_err(|error| error.to_string())
    }

    fn tell(&mut self) {
        self.shared.notices.notify_one();
    }

    fn is_watched(&self) -> bool {
        self.shared.events.receiver_count() > 0
    }
}

async fn known_secrets(secrets: &Secrets) -> Result<BTreeMap<(String, String), String>, Error> {
    let mut known = BTreeMap::new();
    for row in secrets.list().await? {
        if let Some(value) = secrets.get(&row.scope, &row.name).await? {
            let text = String::from_utf8_lossy(&value).into_owned();
            known.insert((row.scope, row.name), text);
        }
    }
    Ok(known)
}

impl Handle {
    /// Begins a run. It is durable when this returns.
    ///
    /// # Errors
    /// The flow, the parameters or the choice of jobs do not fit; nothing has run.
    pub async fn begin(&self, begin: Begin) -> Result<RunId, BeginError> {
        let new = crate::begin::prepare(&self.shared, begin).await?;
        let (reply, answer) = oneshot::channel();
        let input = Input::Begin(Box::new(new), Box::new(move |result| drop(reply.send(result))));
        self.inputs.send(input).map_err(|_| stopped())?;
        Ok(answer.await.map_err(|_| stopped())??)
    }

    /// Does what a person asks. It is durable when this returns.
    ///
    /// # Errors
    /// There is no such run or task, or it does not fit.
    pub async fn wish(&self, run: RunId, wish: Wish, by: &str) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        let reply = Box::new(move |result| drop(reply.send(result)));
        self.inputs
            .send(Input::Wish { run, wish, by: by.to_owned(), reply })
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Returns when the run has ended, or was not moving.
    pub async fn ended(&self, run: RunId) {
        let (reply, answer) = oneshot::channel::<()>();
        let _ = self
            .inputs
            .send(Input::Wait { run, done: Box::new(move || reply.send(()).unwrap_or(())) });
        let _ = answer.await;
    }

    /// Looks at a run in memory; `None` if it does not move.
    pub async fn state(&self, run: RunId) -> Option<RunState> {
        self.look(move |turn| turn.runs.get(&run).map(|live| live.run.state())).await.flatten()
    }

    /// Why the tasks of a run that are ready do not start: paths and words.
    pub async fn why_ready(&self, run: RunId) -> Vec<(u32, String)> {
        self.look(move |turn| turn.why_all(run)).await.unwrap_or_default()
    }

    /// Why a run waits to begin, if it does.
    pub async fn why_queued(&self, run: RunId) -> Option<String> {
        self.look(move |turn| turn.why_queued(run)).await.flatten()
    }

    /// Whether something waits that could not be written. Costs nothing: every page asks.
    pub fn is_stuck(&self) -> bool {
        self.shared.is_stuck.load(Ordering::Relaxed)
    }

    /// What keeps the engine from writing, if anything.
    pub async fn trouble(&self) -> Option<String> {
        self.look(|turn| turn.trouble.clone()).await.flatten()
    }

    /// Flows that are in effect, or were when the engine before this one ended.
    pub(crate) async fn loaded_flows(&self) -> Vec<crate::store::rows::FlowRow> {
        self.look(Turn::loaded_flows).await.unwrap_or_default()
    }

    /// Gives the loop something to do. Says whether it still takes anything.
    pub(crate) fn send(&self, input: Input) -> bool {
        self.inputs.send(input).is_ok()
    }

    /// Watches folders of flows from now on: what is in them is in effect. What was watched before no longer is.
    pub async fn watch_folders(&self, folders: Vec<PathBuf>) {
        let folders = crate::folders::Folders::watch(self.clone(), folders).await;
        let mut watched = self.shared.folders.lock().unwrap_or_else(PoisonError::into_inner);
        *watched = Some(folders);
    }

    /// Looks at the watched folders now.
    pub fn rescan(&self) {
        let watched = self.shared.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folders) = watched.as_ref() {
            folders.look();
        }
    }

    /// Looks at the watched folders now, and waits until that is done where it costs little.
    pub async fn fresh_flows(&self) {
        let look = {
            let watched = self.shared.folders.lock().unwrap_or_else(PoisonError::into_inner);
            watched.as_ref().map(crate::folders::Folders::fresh)
        };
        if let Some(look) = look {
            look.await;
        }
    }

    /// The files of the watched folders.
    pub fn flow_files(&self) -> BTreeMap<PathBuf, crate::folders::FileState> {
        let watched = self.shared.folders.lock().unwrap_or_else(PoisonError::into_inner);
        watched.as_ref().map(crate::folders::Folders::files).unwrap_or_default()
    }

    /// Has the loop look at itself; `None` if it has stopped.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Turn) -> T + Send + 'static,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(Input::Ask(Box::new(move |turn| drop(reply.send(look(turn)))))).ok()?;
        answer.await.ok()
    }

    /// The secrets.
    pub fn secrets(&self) -> &Secrets {
        &self.shared.secrets
    }

    /// Copies the home into a folder that is not there yet, while it works. The key of the secrets is not in the copy.
    ///
    /// # Errors
    /// The place is taken or can't be written.
    pub async fn backup(&self, to: &std::path::Path, has_logs: bool) -> Result<(), backup::Error> {
        let logs = if has_logs { Part::Included } else { Part::LeftOut };
        backup::backup(&self.shared.store, to, Part::LeftOut, logs).await.map(drop)
    }

    /// Everything kept that can't be true, in words: damage, broken rules, rows that the events do not lead to.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn verify(&self) -> Result<Vec<String>, crate::store::Error> {
        let findings = self.shared.store.verify(Some(&crate::proof::differences)).await?;
        Ok(findings.iter().map(ToString::to_string).collect())
    }

    /// Durable events as they come. An empty batch says that something happened of which only the store can tell.
    pub fn watch(&self) -> broadcast::Receiver<Arc<[EventRow]>> {
        self.shared.events.subscribe()
    }

    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The job types and the catalogue.
    pub fn library(&self) -> &Arc<Library> {
        &self.shared.library
    }

    /// Seals a secret. Jobs that start from now on see the new value.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn set_secret(
        &self,
        scope: &str,
        name: &str,
        value: &str,
        by: &str,
    ) -> Result<(), crate::secrets::Error> {
        self.shared.secrets.set(scope, name, value.as_bytes(), by).await?;
        let mut known = self.shared.known_secrets.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((scope.to_owned(), name.to_owned()), value.to_owned());
        Ok(())
    }

    /// Forgets a secret. Says whether there was one.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn remove_secret(
        &self,
        scope: &str,
        name: &str,
    ) -> Result<bool, crate::secrets::Error> {
        let was_there = self.shared.secrets.remove(scope, name).await?;
        let mut known = self.shared.known_secrets.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&(scope.to_owned(), name.to_owned()));
        Ok(was_there)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

pub(crate) fn stopped() -> Refusal {
    Refusal::Stopped("it takes no more requests".to_owned())
}

/// The time of this machine's clock.
pub fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

struct WallClock;

#[async_trait]
impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        wall_clock()
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// Runs that jobs of other runs begin.
struct Children {
    handle: OnceLock<Handle>,
}

impl Children {
    fn handle(&self) -> Result<&Handle, JobError> {
        self.handle
            .get()
            .ok_or_else(|| Failure::new(ErrorClass::Internal, "the engine is still starting"))
    }
}

#[async_trait]
impl Runs for Children {
    async fn begin(
        &self,
        parent: AttemptId,
        flow: &str,
        params: Value,
        confirm: Vec<String>,
    ) -> Result<i64, JobError> {
        if let Some(run) = self.child_of(parent).await {
            return Ok(run);
        }
        let handle = self.handle()?;
        let begin = crate::begin::of_child(handle.shared(), parent, flow, params, confirm)
            .await
            .map_err(|error| Failure::new(ErrorClass::Definition, error.to_string()))?;
        match handle.begin(begin).await {
            Ok(run) => Ok(run.0),
            Err(error) => Err(Failure::new(ErrorClass::Definition, error.to_string())),
        }
    }

    async fn wait(&self, run: i64) -> Result<(String, Outputs), JobError> {
        let handle = self.handle()?;
        handle.ended(RunId(run)).await;
        crate::view::end_of(handle.store(), handle.library(), RunId(run))
            .await
            .map_err(|error| Failure::new(ErrorClass::Internal, error.to_string()))
    }

    async fn cancel(&self, run: i64) -> Result<(), JobError> {
        let handle = self.handle()?;
        let _ = handle.wish(RunId(run), Wish::Cancel, "its parent run").await;
        handle.ended(RunId(run)).await;
        Ok(())
    }

    async fn reason(&self, run: i64) -> Option<String> {
        let handle = self.handle.get()?;
        handle.store().run(RunId(run)).await.ok().flatten()?.reason
    }

    async fn failed_jobs(&self, run: i64) -> Vec<String> {
        let Some(handle) = self.handle.get() else { return Vec::new() };
        crate::view::failed_jobs(handle.store(), handle.library(), RunId(run))
            .await
            .unwrap_or_default()
    }

    async fn child_of(&self, parent: AttemptId) -> Option<i64> {
        let handle = self.handle.get()?;
        handle.store().child_of(parent).await.ok().flatten().map(|row| row.id)
    }
}

/// The folder of an attempt's work, with its log.
pub fn attempt_folder(home: &Home, id: AttemptId) -> PathBuf {
    Attempts::folder(home.path(), id, weir_core::job_type::Phase::Work)
}
