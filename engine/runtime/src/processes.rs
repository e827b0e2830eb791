//! The engine's side of the supervisor: one connection, mended when it breaks, the supervisor started when needed.
//!
//! Every request may be sent twice: a request that was not answered when the connection broke is sent again over the
//! next one, to the same supervisor or to a new one, and the attempt folder sees to it that nothing is done twice.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::runtime;
use tokio::sync::oneshot;
use weir_core::job_type::{JobError, Launch, ProcessEnd, ProcessId, Processes};
use weir_core::outcome::{ErrorClass, Failure};
use weir_core::time::Timestamp;

use crate::supervise::channel::Channel;
use crate::supervise::folder::{self, End};
use crate::supervise::sys::{self, PidFd, Spawn, Spawner};
use crate::supervise::wire::{self, Reply, Tells};
use crate::supervise::{HELD, NAME, READY, READY_FD, SOCKET};

/// So long a supervisor may take to begin, or to make place for another.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest time between two tries to reach a supervisor for requests that may have been carried out.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Variables of the engine that its supervisor needs; the others may hold secrets.
const KEPT: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "WEIR_ATTEMPT", "RUST_BACKTRACE"];

/// How a process tree ended, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How. An error: it never began, or was ended for a reason of ours that the message tells.
    pub end: Result<ProcessEnd, JobError>,
    /// When; for something that was lost, when that was found.
    pub at: Timestamp,
}

/// The program that becomes the supervisor: it must call [`crate::supervise::dispatch`] first thing in `main`.
#[derive(Clone, Debug)]
pub struct Program(PathBuf);

impl Program {
    /// This very program, even if its file has been replaced meanwhile.
    pub fn this() -> Self {
        Self(PathBuf::from("/proc/self/exe"))
    }

    /// The program in that file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

/// The processes of a home.
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    home: PathBuf,
    program: Program,
    /// That of who made the client, if it has one.
    runtime: Option<runtime::Handle>,
    state: Mutex<State>,
}

struct State {
    link: Link,
    tags: u64,
    pending: BTreeMap<u64, Pending>,
    /// By their folders: the ends of what was launched here, for who waits for them.
    ends: BTreeMap<PathBuf, oneshot::Receiver<Answer>>,
    /// The supervisor, if this process started it: its child, to be reaped.
    child: Option<(i32, PidFd)>,
    leaving: Option<SyncSender<Leaves>>,
    is_closed: bool,
}

enum Link {
    Down,
    Mending,
    Up(Arc<Channel>),
}

/// Whether the supervisor exits when it is asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    Yes,
    No,
}

struct Pending {
    message: Vec<u8>,
    request: Request,
    /// It may have been carried out.
    was_sent: bool,
    /// Who only wants to know that it has started, or that it never will.
    on_start: Option<OnAnswer>,
    on_answer: OnAnswer,
}

type OnAnswer = Box<dyn FnOnce(Answer) + Send>;

/// What was asked for.
enum Request {
    /// To start the processes of this attempt.
    Launch(ProcessId),
    Watch,
    Cancel,
}

impl Pending {
    /// Whether it may be said that nothing came of it. Not of what was begun for an earlier engine: its folder is
    /// there, and the supervisor that made it has left it for the next one to judge.
    fn is_surely_undone(&self) -> bool {
        !self.was_sent
            && match &self.request {
                Request::Launch(id) => !folder::was_claimed(&id.folder),
                Request::Watch => false,
                Request::Cancel => true,
            }
    }
}

/// What became of a request.
#[derive(Clone)]
enum Answer {
    Started,
    Ended(folder::Ended),
    Cancelled,
    Stuck(String),
    /// It was surely not carried out.
    Unsent(String),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("home", &self.shared.home).finish_non_exhaustive()
    }
}

impl Client {
    /// The processes of this home, which must be there. Nothing is started before it is needed.
    ///
    /// # Errors
    /// The home is not there.
    pub fn new(home: &Path, program: Program) -> io::Result<Self> {
        let home = std::fs::canonicalize(home)?;
        let state = State {
            link: Link::Down,
            tags: 0,
            pending: BTreeMap::new(),
            ends: BTreeMap::new(),
            child: None,
            leaving: None,
            is_closed: false,
        };
        let runtime = runtime::Handle::try_current().ok();
        Ok(Self { shared: Arc::new(Shared { home, program, runtime, state: Mutex::new(state) }) })
    }

    /// Starts it, or finds that it had been started, and tells its end. `on_end` is called once, in another thread or
    /// in this one, and must not wait.
    pub fn launch_with(
        &self,
        id: &ProcessId,
        launch: &Launch,
        on_end: Box<dyn FnOnce(Ended) + Send>,
    ) {
        let encode = |tag| wire::launch(tag, Tells::End, id, launch);
        let request = Request::Launch(id.clone());
        self.shared.ask(request, encode, None, Box::new(|answer| on_end(ended(answer))));
    }

    /// Tells the end of something that was launched before, perhaps by an earlier engine. As [`Self::launch_with`].
    pub fn wait_with(&self, id: &ProcessId, on_end: Box<dyn FnOnce(Ended) + Send>) {
        let encode = |tag| Ok(wire::watch(tag, id));
        self.shared.ask(Request::Watch, encode, None, Box::new(|answer| on_end(ended(answer))));
    }

    /// Asks the supervisor to exit if no job runs, and waits until it has; `true` if none is left running. One that
    /// stays exits when its last job has ended and no engine is connected.
    pub fn shutdown_if_idle(&self) -> bool {
        let (sender, receiver) = sync_channel(1);
        let channel = {
            let mut state = self.shared.state();
            match &state.link {
                Link::Down => return true,
                Link::Mending => return false,
                Link::Up(_) if !state.pending.is_empty() => return false,
                Link::Up(channel) => {
                    let channel = Arc::clone(channel);
                    state.leaving = Some(sender);
                    channel
                }
            }
        };
        // If it is gone already, the reader says so.
        let _gone = channel.send(wire::leave());
        receiver.recv_timeout(PATIENCE) == Ok(Leaves::Yes)
    }

    async fn answer(
        &self,
        request: Request,
        encode: impl FnOnce(u64) -> Result<Vec<u8>, &'static str>,
    ) -> Result<Answer, JobError> {
        let (sender, receiver) = oneshot::channel();
        self.shared.ask(request, encode, None, to(sender));
        receiver.await.map_err(|_| internal("the engine is stopping"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.is_closed = true;
        if let Link::Up(channel) = &state.link {
            channel.shut_down();
        }
    }
}

#[async_trait]
impl Processes for Client {
    async fn launch(&self, id: &ProcessId, launch: Launch) -> Result<(), JobError> {
        let (on_start, start) = oneshot::channel();
        let (on_end, end) = oneshot::channel();
        self.shared.state().ends.insert(id.folder.clone(), end);
        let encode = |tag| wire::launch(tag, Tells::Both, id, &launch);
        self.shared.ask(Request::Launch(id.clone()), encode, Some(to(on_start)), to(on_end));
        let failure = match start.await {
            Ok(Answer::Ended(folder::Ended { end: End::Failed(class, message), .. })) => {
                Failure::new(class, message)
            }
            Ok(Answer::Started | Answer::Ended(_)) => return Ok(()),
            Ok(Answer::Unsent(message)) => internal(message),
            Ok(Answer::Cancelled | Answer::Stuck(_)) => internal("the supervisor answers amiss"),
            Err(_) => internal("the engine is stopping"),
        };
        self.shared.state().ends.remove(&id.folder);
        Err(failure)
    }

    async fn wait(&self, id: &ProcessId) -> Result<ProcessEnd, JobError> {
        let coming = self.shared.state().ends.remove(&id.folder);
        let answer = match coming {
            Some(end) => end.await.map_err(|_| internal("the engine is stopping"))?,
            None => self.answer(Request::Watch, |tag| Ok(wire::watch(tag, id))).await?,
        };
        ended(answer).end
    }

    async fn cancel(&self, id: &ProcessId, grace: Duration) -> Result<(), JobError> {
        match self.answer(Request::Cancel, |tag| Ok(wire::cancel(tag, id, grace))).await? {
            Answer::Cancelled => Ok(()),
            Answer::Stuck(message) | Answer::Unsent(message) => Err(internal(message)),
            Answer::Started => Err(internal("the supervisor answers amiss")),
            Answer::Ended(ended) => match ended.end {
                End::Failed(class, message) => Err(Failure::new(class, message)),
                End::Exited(_) | End::Signalled(..) | End::Lost | End::Fenced => Ok(()),
            },
        }
    }
}

fn tell(on_start: Option<OnAnswer>, on_answer: OnAnswer, answer: Answer) {
    if let Some(on_start) = on_start {
        on_start(answer.clone());
    }
    on_answer(answer);
}

/// Who asked may have gone away.
fn to(sender: oneshot::Sender<Answer>) -> OnAnswer {
    Box::new(move |answer| drop(sender.send(answer)))
}

fn internal(message: impl Into<String>) -> JobError {
    Failure::new(ErrorClass::Internal, message)
}

fn ended(answer: Answer) -> Ended {
    let (end, at) = match answer {
        Answer::Ended(folder::Ended { end, at }) => (end, at),
        Answer::Unsent(message) | Answer::Stuck(message) => {
            return Ended { end: Err(internal(message)), at: folder::now() };
        }
        Answer::Started | Answer::Cancelled => {
            let end = Err(internal("the supervisor answers amiss"));
            return Ended { end, at: folder::now() };
        }
    };
    let end = match end {
        End::Exited(code) => Ok(ProcessEnd::Exited(code)),
        End::Signalled(signal, reason) if reason.is_empty() => Ok(ProcessEnd::Signalled(signal)),
        End::Signalled(signal, message) => {
            Err(Failure { class: ErrorClass::Exit, exit_code: None, signal: Some(signal), message })
        }
        End::Lost => Ok(ProcessEnd::Lost),
        End::Fenced => Ok(ProcessEnd::Fenced),
        End::Failed(class, message) => Err(Failure::new(class, message)),
    };
    Ended { end, at }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(
        self: &Arc<Self>,
        request: Request,
        encode: impl FnOnce(u64) -> Result<Vec<u8>, &'static str>,
        on_start: Option<OnAnswer>,
        on_answer: OnAnswer,
    ) {
        let mut state = self.state();
        state.tags += 1;
        let tag = state.tags;
        let message = match encode(tag) {
            Ok(message) => message,
            Err(what) => {
                drop(state);
                let message = format!("{what} holds a NUL or has no proper name");
                let end = End::Failed(ErrorClass::Definition, message);
                let answer = Answer::Ended(folder::Ended { end, at: folder::now() });
                tell(on_start, on_answer, answer);
                return;
            }
        };
        let was_sent = if let Link::Up(channel) = &state.link {
            // If it is gone, the reader sees that and sends all that is pending again.
            let _gone = channel.send(message.clone());
            true
        } else {
            false
        };
        state.pending.insert(tag, Pending { message, request, was_sent, on_start, on_answer });
        if matches!(state.link, Link::Down) {
            state.link = Link::Mending;
            drop(state);
            let shared = Arc::clone(self);
            thread::Builder::new()
                .name("processes".into())
                .spawn(move || shared.keep_link())
                .expect("a thread can be started");
        }
    }

    /// Connects, reads what the supervisor says, and connects again while somebody waits for something.
    fn keep_link(self: Arc<Self>) {
        let mut pause = Duration::from_millis(20);
        loop {
            match self.connect_or_start() {
                Ok(channel) => {
                    pause = Duration::from_millis(20);
                    self.raise(&channel);
                    self.hear(&channel);
                    self.reap();
                    let mut state = self.state();
                    state.link = Link::Mending;
                    if let Some(leaving) = state.leaving.take() {
                        // Who asked may have lost patience.
                        let _gone = leaving.try_send(Leaves::Yes);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the supervisor can't be reached");
                    self.give_up_undone(&error);
                    thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            let mut state = self.state();
            if state.pending.is_empty() || state.is_closed {
                state.pending.clear();
                state.link = Link::Down;
                return;
            }
        }
    }

    /// Sends what waits, oldest first.
    fn raise(&self, channel: &Arc<Channel>) {
        let mut state = self.state();
        for pending in state.pending.values_mut() {
            pending.was_sent = true;
            // If it is gone, the reader sees that.
            let _gone = channel.send(pending.message.clone());
        }
        state.link = Link::Up(Arc::clone(channel));
        if state.is_closed {
            channel.shut_down();
        }
    }

    fn give_up_undone(&self, error: &io::Error) {
        let unsent: Vec<Pending> = {
            let mut state = self.state();
            let tags: Vec<u64> = state
                .pending
                .iter()
                .filter(|(_, pending)| pending.is_surely_undone())
                .map(|(tag, _)| *tag)
                .collect();
            tags.iter().filter_map(|tag| state.pending.remove(tag)).collect()
        };
        for pending in unsent {
            let message = format!("the supervisor of processes can't be reached: {error}");
            tell(pending.on_start, pending.on_answer, Answer::Unsent(message));
        }
    }

    /// Hears the supervisor until it is gone: in a task of the runtime, whose tasks are woken without another thread
    /// in between; in this thread where there is no runtime (any more).
    fn hear(self: &Arc<Self>, channel: &Arc<Channel>) {
        if let Some(runtime) = &self.runtime {
            let task = runtime.spawn(Arc::clone(self).read_in_task(Arc::clone(channel)));
            if runtime.block_on(task).is_ok() {
                return;
            }
        }
        self.read(channel);
    }

    fn read(&self, channel: &Channel) {
        let mut message = Vec::new();
        while channel.receive(&mut message).unwrap_or(false) && self.take(&message) {}
    }

    async fn read_in_task(self: Arc<Self>, channel: Arc<Channel>) {
        let Ok(socket) = sys::watch(channel.as_fd()) else { return };
        let mut message = Vec::new();
        while let Ok(mut ready) = socket.readable().await {
            loop {
                match channel.try_receive(&mut message) {
                    Ok(true) if self.take(&message) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Ok(_) | Err(_) => return,
                }
            }
            ready.clear_ready();
        }
    }

    /// Takes what the supervisor says to whom it concerns; `false` if it is not of this protocol.
    fn take(&self, message: &[u8]) -> bool {
        let Ok(reply) = Reply::decode(message) else { return false };
        let (tag, answer) = match reply {
            Reply::Started { tag } => {
                self.started(tag);
                return true;
            }
            Reply::Ended { tag, ended } => (tag, Answer::Ended(ended)),
            Reply::Cancelled { tag } => (tag, Answer::Cancelled),
            Reply::Stuck { tag, message } => (tag, Answer::Stuck(message)),
            Reply::Stays => {
                if let Some(leaving) = self.state().leaving.take() {
                    // Who asked may have lost patience.
                    let _gone = leaving.try_send(Leaves::No);
                }
                return true;
            }
            Reply::Welcome { .. } => return true,
        };
        let pending = self.state().pending.remove(&tag);
        if let Some(pending) = pending {
            tell(pending.on_start, pending.on_answer, answer);
        }
        true
    }

    /// From here on only the end of it is wanted: the order, which may be long and hold secrets, is not kept.
    fn started(&self, tag: u64) {
        let mut state = self.state();
        let Some(pending) = state.pending.get_mut(&tag) else { return };
        let on_start = pending.on_start.take();
        if let Request::Launch(id) = &pending.request {
            pending.message = wire::watch(tag, id);
            pending.request = Request::Watch;
        }
        drop(state);
        if let Some(on_start) = on_start {
            on_start(Answer::Started);
        }
    }

    /// A supervisor that this process started and that is gone must not stay a zombie.
    fn reap(&self) {
        let child = self.state().child.take();
        if let Some((pid, process)) = child {
            match sys::poll_readable(&[process.as_fd()], Some(Duration::from_secs(1))) {
                Ok(ready) if ready[0] => sys::wait_for(pid),
                // It only closed the connection.
                Ok(_) | Err(_) => self.state().child = Some((pid, process)),
            }
        }
    }

    fn connect_or_start(&self) -> io::Result<Arc<Channel>> {
        let begun = Instant::now();
        loop {
            match self.connect() {
                Ok(channel) => return Ok(channel),
                Err(error) if is_nobody_there(&error) => {}
                Err(error) => return Err(error),
            }
            match self.start()? {
                word if word == READY => {}
                // Another one is beginning, or going.
                word if word == HELD && begun.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(20));
                }
                word if word == HELD => {
                    let message = "another one holds the lock of this home and does not answer";
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
                }
                _ => return Err(self.why_not_begun()),
            }
        }
    }

    /// Why a supervisor did not begin. Where the disk is full it can't have written down its complaint.
    fn why_not_begun(&self) -> io::Error {
        let trial = self.home.join("supervisor.trial");
        let written = std::fs::write(&trial, [0; 4096]);
        // It was nothing but a trial.
        let _ = std::fs::remove_file(&trial);
        match written {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                let message =
                    "no space left on the disk of this home: free some, then run it again";
                io::Error::new(io::ErrorKind::StorageFull, message)
            }
            Ok(()) | Err(_) => io::Error::other("it did not begin: see supervisor.err in the home"),
        }
    }

    fn connect(&self) -> io::Result<Arc<Channel>> {
        // The path of a socket has room for 107 bytes; a home may be deeper.
        let home = sys::absolute_dir(&self.home)?;
        let path = format!("/proc/self/fd/{}/{SOCKET}", home.as_raw_fd());
        let channel = Channel::new(sys::connect(Path::new(&path))?);
        channel.send(wire::hello())?;
        let mut message = Vec::new();
        if !channel.receive(&mut message)? {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        match Reply::decode(&message) {
            Ok(Reply::Welcome { version: wire::VERSION, .. }) => Ok(channel),
            Ok(Reply::Welcome { version, pid }) => Err(io::Error::other(format!(
                "process {pid} supervises this home for another release of Weir (protocol {version}, ours is {}); \
                 it exits when its jobs have ended",
                wire::VERSION
            ))),
            Ok(_) | Err(_) => Err(io::Error::other("its first words are none we know")),
        }
    }

    /// Starts a supervisor and waits until it says how that went.
    fn start(&self) -> io::Result<Vec<u8>> {
        self.reap();
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let (reader, writer) = sys::pipe()?;
        let program = c_string(self.program.0.clone().into_os_string())?;
        let home = c_string(self.home.clone().into_os_string())?;
        let name = c_string(NAME.into())?;
        let env: Vec<CString> = KEPT
            .iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)))
            .filter_map(|(name, value)| {
                let mut text = OsString::from(name);
                text.push("=");
                text.push(value);
                c_string(text).ok()
            })
            .collect();
        let env: Vec<_> = env.iter().map(CString::as_c_str).collect();
        let fds =
            [(null.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2), (writer.as_fd(), READY_FD)];
        let spawn = Spawn {
            program: &program,
            argv: &[c"weir", &name, c"--home", &home],
            env: &env,
            dir: None,
            fds: &fds,
        };
        let pid = Spawner::new()?.spawn(&spawn)?;
        drop(writer);
        let process = PidFd::open(pid)?;
        self.state().child = Some((pid, process));
        if !sys::poll_readable(&[reader.as_fd()], Some(PATIENCE))?[0] {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it does not begin"));
        }
        let mut word = Vec::new();
        File::from(reader).take(16).read_to_end(&mut word)?;
        Ok(word)
    }
}

fn is_nobody_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
    )
}

fn c_string(text: OsString) -> io::Result<CString> {
    Ok(CString::new(text.into_vec())?)
}
