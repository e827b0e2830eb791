//! The way to a home: the engine that holds it answers over the socket; if nobody holds it, the engine runs in here. Or
//! the way to a server elsewhere, over HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_core::ids::RunId;
use weir_engine::api::{self, Problem, Request};
use weir_engine::begin::Begin;
use weir_engine::door::{Answer, Caller, Door};
use weir_engine::engine::{Config, Engine, Handle};
use weir_engine::home::{self, Home, HomeLock};
use weir_engine::library::Library;
use weir_engine::processes::Program;
use weir_web::client::{Client, Place};

use crate::args::Global;
use crate::end::wrong;
use crate::shipped;

/// What a command wants of a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To look, and be gone in a moment.
    Look,
    /// To move runs: unfinished ones are taken up, and others may ask meanwhile.
    Move,
}

/// The way to a home.
pub(crate) enum Access {
    /// The engine runs in this process.
    Local(Box<Local>),
    /// Another process holds the home and answers there.
    Remote(Box<Remote>),
    /// A server answers over HTTP.
    Server(Arc<Client>),
}

/// An engine in another process.
pub(crate) struct Remote {
    socket: PathBuf,
    /// How to open the home once that engine is gone.
    home: PathBuf,
    command: String,
    purpose: Purpose,
    slots: u32,
}

/// An engine in this process.
pub(crate) struct Local {
    engine: Engine,
    home: Home,
    purpose: Purpose,
    door: Option<Door>,
    lock: HomeLock,
}

/// A run's events as they come.
pub(crate) struct Watch {
    events: mpsc::Receiver<Value>,
    end: JoinHandle<Result<(), Problem>>,
}

/// How often and how long to try a home that is held by somebody who does not answer: it may be about to begin or to end.
const TRIES: (u32, Duration) = (40, Duration::from_millis(25));

/// How many jobs may work on this machine at once, if nobody says: most wait for a disk or for another machine.
pub(crate) fn usual_slots() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors.saturating_mul(2)).unwrap_or(u32::MAX).max(8)
}

/// Where the home is.
///
/// # Errors
/// Nothing names one.
pub(crate) fn home_path(global: &Global) -> Result<PathBuf, home::Error> {
    match &global.home {
        Some(path) => Ok(path.clone()),
        None => Home::default_path(),
    }
}

/// The server that `WEIR_URL` names. A home that is named on the command line goes before it.
///
/// # Errors
/// What it holds names no server, or `WEIR_TOKEN` holds no token.
pub(crate) fn server(global: &Global) -> anyhow::Result<Option<Client>> {
    let given = |name: &str| {
        let text = std::env::var_os(name)?.to_string_lossy().trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    if global.home.is_some() {
        return Ok(None);
    }
    let Some(url) = given("WEIR_URL") else { return Ok(None) };
    let place = Place::read(&url).map_err(|error| wrong(error.to_string()))?;
    let client = Client::new(place, given("WEIR_TOKEN").as_deref());
    Ok(Some(client.map_err(|error| wrong(error.to_string()))?))
}

impl Access {
    /// Finds the way. `command` is what other people are told who holds the home; it must hold no secret.
    ///
    /// # Errors
    /// The home can't be used, or is held by somebody who does not answer.
    pub(crate) async fn open(
        global: &Global,
        command: &str,
        purpose: Purpose,
    ) -> anyhow::Result<Self> {
        if let Some(client) = server(global)? {
            return Ok(Self::Server(Arc::new(client)));
        }
        let path = home_path(global)?;
        Self::open_at(&path, command, purpose, usual_slots()).await
    }

    /// Asks one thing, and is gone.
    ///
    /// # Errors
    /// As for [`Self::open`], or what was asked can't be answered.
    pub(crate) async fn once(
        global: &Global,
        command: &str,
        purpose: Purpose,
        request: Request,
    ) -> anyhow::Result<Value> {
        let mut access = Self::open(global, command, purpose).await?;
        let answer = access.ask(request).await;
        access.close().await?;
        Ok(answer?)
    }

    /// As [`Self::open`], with as many jobs at once.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub(crate) async fn open_at(
        path: &Path,
        command: &str,
        purpose: Purpose,
        slots: u32,
    ) -> anyhow::Result<Self> {
        let socket = path.join("weir.sock");
        let mut tries = TRIES.0;
        loop {
            if Caller::connect(&socket).await.is_some() {
                let (home, command) = (path.to_owned(), command.to_owned());
                return Ok(Self::Remote(Box::new(Remote {
                    socket,
                    home,
                    command,
                    purpose,
                    slots,
                })));
            }
            let home = Home::open(path)?;
            match HomeLock::take(&home, command) {
                Ok(lock) => return Self::start(home, lock, purpose, slots).await,
                Err(home::Error::Held { .. }) if tries > 0 => {
                    tries -= 1;
                    tokio::time::sleep(TRIES.1).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn start(
        home: Home,
        lock: HomeLock,
        purpose: Purpose,
        slots: u32,
    ) -> anyhow::Result<Self> {
        let library = shipped::library(home.path()).await?;
        let config = Config {
            home: home.clone(),
            slots,
            library,
            program: Program::this(),
            takes_up: purpose == Purpose::Move,
        };
        let engine = Engine::start(config).await?;
        // Who only looks is gone before anybody could be served well.
        let door = match purpose {
            Purpose::Move => Some(Door::open(&home.socket(), engine.handle().clone())?),
            Purpose::Look => None,
        };
        Ok(Self::Local(Box::new(Local { engine, home, purpose, door, lock })))
    }

    /// Asks. If the engine that held the home leaves, the next one is asked, or this process becomes it.
    ///
    /// # Errors
    /// What the engine says; or it went away, and nobody knows whether it has done it.
    pub(crate) async fn ask(&mut self, request: Request) -> Result<Value, Problem> {
        for _ in 0..TRIES.0 {
            let remote = match self {
                Self::Local(local) => return api::answer(local.engine.handle(), request).await,
                Self::Server(client) => return client.ask(&request).await,
                Self::Remote(remote) => remote,
            };
            let problem = match Caller::connect(&remote.socket).await {
                Some(mut caller) => match caller.ask(&request).await {
                    Err(problem) if problem.is_leaving => problem,
                    // What it would have answered, the next one can tell.
                    Err(problem) if problem.is_unanswered && request.only_looks() => problem,
                    answer => return answer,
                },
                None => Problem::leaving(),
            };
            tracing::debug!("{problem}; the next one is asked");
            self.open_again().await?;
        }
        Err(Problem::leaving())
    }

    /// The way to whoever holds the home now. It may be this process.
    async fn open_again(&mut self) -> Result<(), Problem> {
        if let Self::Remote(remote) = self {
            let Remote { home, command, purpose, slots, .. } = &**remote;
            let again = Self::open_at(home, command, *purpose, *slots).await;
            *self = again.map_err(|error| Problem::inner(format!("{error:#}")))?;
        }
        Ok(())
    }

    /// Follows a run from an event on.
    ///
    /// # Errors
    /// The engine went away.
    pub(crate) async fn watch(&self, run: i64, after: i64) -> Result<Watch, Problem> {
        let (sink, events) = mpsc::channel(256);
        let end = match self {
            Self::Local(local) => {
                let handle = local.engine.handle().clone();
                tokio::spawn(async move { api::watch(&handle, RunId(run), after, sink).await })
            }
            Self::Server(client) => tokio::spawn(Arc::clone(client).watch(run, after, sink)),
            Self::Remote(remote) => {
                let caller = Caller::connect(&remote.socket).await;
                let mut caller = caller.ok_or_else(Problem::leaving)?;
                caller.watch(RunId(run), after).await?;
                tokio::spawn(async move {
                    loop {
                        let Answer::Event(event) = caller.next().await? else { return Ok(()) };
                        if sink.send(event).await.is_err() {
                            return Ok(());
                        }
                    }
                })
            }
        };
        Ok(Watch { events, end })
    }

    /// The library, where the engine runs in here.
    pub(crate) fn library(&self) -> Option<&Library> {
        match self {
            Self::Local(local) => Some(local.engine.handle().library()),
            Self::Remote(_) | Self::Server(_) => None,
        }
    }

    /// Whether the engine runs in here.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }

    /// Leaves. An engine in here stops; runs that others asked it for go on in the background.
    ///
    /// # Errors
    /// The background could not be started.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        let Self::Local(mut local) = self else { return Ok(()) };
        // Nobody can begin a run any more once it is looked whether any moves.
        if let Some(door) = local.door.take() {
            door.close().await;
        }
        let moves = local.purpose == Purpose::Move && moves_any(local.engine.handle()).await;
        let home = local.home.clone();
        local.stop().await;
        if moves {
            crate::background::start(home.path()).await?;
        }
        Ok(())
    }

    /// Leaves at once: nothing is handed on. Jobs that work go on; who opens the home next takes their runs up.
    pub(crate) async fn leave(self) {
        if let Self::Local(local) = self {
            local.stop().await;
        }
    }
}

impl Local {
    /// Begins a run of a flow that is ready.
    ///
    /// # Errors
    /// The parameters or the choice of jobs do not fit; nothing has run.
    pub(crate) async fn begin(&self, begin: Begin) -> Result<i64, Problem> {
        Ok(self.engine.handle().begin(begin).await?.0)
    }

    /// The engine.
    pub(crate) fn handle(&self) -> &Handle {
        self.engine.handle()
    }

    async fn stop(self) {
        let Self { engine, door, lock, .. } = self;
        if let Some(door) = door {
            door.close().await;
        }
        engine.stop().await;
        drop(lock);
    }
}

/// Whether any run of the home moves, or could.
pub(crate) async fn moves_any(handle: &Handle) -> bool {
    for state in ["queued", "running", "failing", "cancelling"] {
        let request = Request::Runs {
            project: None,
            flow: None,
            state: Some(state.to_owned()),
            before: None,
            limit: 1,
        };
        let found = api::answer(handle, request).await;
        if found.is_ok_and(|runs| runs.as_array().is_some_and(|runs| !runs.is_empty())) {
            return true;
        }
    }
    false
}

impl Watch {
    /// The next event; `None` when the run has ended.
    ///
    /// # Errors
    /// What the engine says, or that it went away.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Problem> {
        if let Some(event) = self.events.recv().await {
            return Ok(Some(event));
        }
        match (&mut self.end).await {
            Ok(result) => result.map(|()| None),
            Err(error) => Err(Problem::inner(error)),
        }
    }

    /// An event that has come already.
    pub(crate) fn ready(&mut self) -> Option<Value> {
        self.events.try_recv().ok()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.end.abort();
    }
}

/// Who asks, for the records: the user of this process.
pub(crate) fn asker() -> String {
    let name = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    name.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
