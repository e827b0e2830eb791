//! The connections to hosts, shared by all tasks: one a host and, only where that is full, another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use russh::client::{Handle, Msg};
use russh::{Channel, ChannelOpenFailure};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use weir_core::hosts::{Become, Hop, Key, KnownHosts, Route};
use weir_core::job_type::JobError;

use super::client::{self, Bounds, Client, Line, within};
use super::exec::{self, Exec, Piece};
use super::gauge::Gauge;
use super::known_hosts;
use super::login::Keyring;
use super::sudo::{Command, Further, quoted};
use super::tcp;
use super::trouble::Trouble;

/// Channels on one connection: sshd allows ten (`MaxSessions`), and some may be on their way out.
const SESSIONS: usize = 8;
/// Streams to machines further on over one connection: sshd does not count them.
const STREAMS: usize = 64;
/// Handshakes with one machine at once: sshd drops some beyond ten (`MaxStartups`).
const HANDSHAKES: usize = 8;
/// Flooded connections to one machine beside which another one is made for what else is asked.
const FLOODED: usize = 2;
/// How much of a script's output [`Pool::run`] keeps.
const KEPT: usize = 8 << 20;
/// What is said of a machine that a connection through it does not come about from there.
pub(crate) const NOT_CONNECTED: &str = "can't connect to it";
/// How long a machine's key counts as checked, where the machine before it makes the connections.
const CHECKED: Duration = Duration::from_mins(5);

/// The connections to hosts.
pub struct Pool {
    bounds: Bounds,
    keyring: Keyring,
    sites: Mutex<BTreeMap<String, Vec<Arc<Site>>>>,
    handshakes: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// How a script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; 128 and the number for a signal.
    pub code: i32,
    /// Its standard output, at most 8 MiB.
    pub out: Vec<u8>,
    /// Its standard error, at most 8 MiB.
    pub err: Vec<u8>,
}

/// A machine and the way to it.
struct Site {
    hops: Vec<Hop>,
    known: KnownHosts,
    links: Mutex<Vec<Arc<Link>>>,
    /// Held by whoever connects; what went wrong the last time, and when.
    door: tokio::sync::Mutex<Option<(Instant, Trouble)>>,
    /// When the machine's key was checked, and the file on the machine before it that tells of it.
    checked: tokio::sync::Mutex<Option<(Instant, Option<String>)>>,
}

/// One connection.
struct Link {
    handle: Handle<Client>,
    line: Arc<Line>,
    sessions: AtomicUsize,
    streams: AtomicUsize,
    /// How many sessions it takes.
    room: AtomicUsize,
    last_use: Mutex<Instant>,
    gauge: Gauge,
    is_watched: AtomicBool,
    /// The connection that carries this one.
    _below: Option<Use>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Session,
    Stream,
}

/// A place on a connection, held for as long as it is used.
pub(crate) struct Use {
    link: Arc<Link>,
    kind: Kind,
    site: Weak<Site>,
    idle: Duration,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Link {
    fn counter(&self, kind: Kind) -> &AtomicUsize {
        match kind {
            Kind::Session => &self.sessions,
            Kind::Stream => &self.streams,
        }
    }

    fn take(&self, kind: Kind) -> bool {
        let room = match kind {
            Kind::Session => self.room.load(Ordering::Relaxed),
            Kind::Stream => STREAMS,
        };
        let take = |used| (used < room).then_some(used + 1);
        !self.handle.is_closed()
            && self.counter(kind).fetch_update(Ordering::AcqRel, Ordering::Acquire, take).is_ok()
    }

    fn is_idle(&self, since: Duration) -> bool {
        self.sessions.load(Ordering::Acquire) == 0
            && self.streams.load(Ordering::Acquire) == 0
            && locked(&self.last_use).elapsed() >= since
    }
}

impl Use {
    /// So much has come.
    pub(super) fn heard(&self, bytes: usize) {
        self.link.gauge.heard(bytes);
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        *locked(&self.link.last_use) = Instant::now();
        self.link.counter(self.kind).fetch_sub(1, Ordering::AcqRel);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.link.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (link, site, idle) = (Arc::downgrade(&self.link), self.site.clone(), self.idle);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(idle).await;
                let Some(link) = link.upgrade() else { return };
                if let Some(site) = site.upgrade() {
                    let mut links = locked(&site.links);
                    // Nobody can take it while the list is locked.
                    if !link.is_idle(idle) && !link.handle.is_closed() {
                        continue;
                    }
                    links.retain(|other| !Arc::ptr_eq(other, &link));
                }
                client::leave(&link.handle).await;
                return;
            }
        });
    }
}

impl Site {
    fn free(self: &Arc<Self>, kind: Kind, idle: Duration) -> Option<Use> {
        let mut links = locked(&self.links);
        links.retain(|link| !link.handle.is_closed());
        let flooded: Vec<bool> = links.iter().map(|link| link.gauge.is_flooded()).collect();
        let calm = links.iter().zip(&flooded).filter(|(_, flooded)| !**flooded);
        let calm = calm.map(|(link, _)| link).find(|link| link.take(kind));
        let is_enough = flooded.iter().filter(|flooded| **flooded).count() > FLOODED;
        let link = match calm {
            Some(link) => link,
            // A machine that is full, or floods all there is, gets no more for this.
            None if kind == Kind::Stream || is_enough => {
                links.iter().find(|link| link.take(kind))?
            }
            None => return None,
        };
        Some(Use { link: Arc::clone(link), kind, site: Arc::downgrade(self), idle })
    }
}

impl Pool {
    /// No connections yet. Keys and the agent are found as the environment says.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Self::with(bounds, Keyring::of_environment())
    }

    /// As [`Pool::new`], for a user whose home is `home` and whose agent listens at `agent`.
    pub fn of_user(
        bounds: Bounds,
        user: &str,
        home: &std::path::Path,
        agent: Option<&std::path::Path>,
    ) -> Arc<Self> {
        let agent = agent.map(std::path::Path::to_owned);
        Self::with(bounds, Keyring { home: home.to_owned(), agent, user: user.to_owned() })
    }

    fn with(bounds: Bounds, keyring: Keyring) -> Arc<Self> {
        Arc::new(Self { bounds, keyring, sites: Mutex::default(), handshakes: Mutex::default() })
    }

    /// Runs a POSIX shell script on the host at the end of a route, as the route's other user if it names one. The
    /// script goes over standard input; nothing of it stands in an argument.
    ///
    /// # Errors
    /// Of the class `connection` if the host can't be reached or does not end within the time; `refused` if a key,
    /// login or `sudo` was refused. The message names host and hop.
    pub async fn run(
        &self,
        route: &Route,
        script: &str,
        within: Duration,
    ) -> Result<Ran, JobError> {
        self.run_as(route, route.become_user.as_ref(), script, Vec::new(), within)
            .await
            .map_err(|trouble| trouble.about(route.host()))
    }

    /// As [`Pool::run`], as that user.
    ///
    /// # Errors
    /// As [`Pool::run`].
    pub(crate) async fn look(
        &self,
        route: &Route,
        user: Option<&Become>,
        script: &str,
        within: Duration,
    ) -> Result<Ran, JobError> {
        self.run_as(route, user, script, Vec::new(), within)
            .await
            .map_err(|trouble| trouble.about(route.host()))
    }

    /// Runs a script and hands out what it says on its standard output, as long as that is wanted. Its exit code.
    ///
    /// # Errors
    /// As [`Pool::run`].
    pub(crate) async fn read(
        &self,
        route: &Route,
        user: Option<&Become>,
        script: &str,
        mut take: impl FnMut(&[u8]) -> bool + Send,
    ) -> Result<i32, JobError> {
        let step = async {
            let mut exec = self.start(route, user, script).await?;
            exec.writer().finish().await?;
            loop {
                match exec.next().await? {
                    Piece::Out(bytes) if !take(&bytes) => return Ok(1),
                    Piece::Out(_) | Piece::Err(_) => {}
                    Piece::Exit(code) => return Ok(code),
                }
            }
        };
        Box::pin(step).await.map_err(|trouble: Trouble| trouble.about(route.host()))
    }

    pub(crate) async fn run_as(
        &self,
        route: &Route,
        user: Option<&Become>,
        script: &str,
        input: Vec<u8>,
        bound: Duration,
    ) -> Result<Ran, Trouble> {
        let step = self.run_on(&route.hops, &route.known_hosts, user, script, input);
        within(bound, "it did not answer", step).await
    }

    async fn run_on(
        &self,
        hops: &[Hop],
        known: &KnownHosts,
        user: Option<&Become>,
        script: &str,
        input: Vec<u8>,
    ) -> Result<Ran, Trouble> {
        let mut exec = Box::pin(self.shell(hops, known, user, script)).await?;
        let writer = exec.writer();
        let feed = async {
            if !input.is_empty() {
                writer.send(input).await?;
            }
            writer.finish().await
        };
        let read = async {
            let mut ran = Ran { code: 0, out: Vec::new(), err: Vec::new() };
            loop {
                match exec.next().await? {
                    Piece::Out(bytes) => keep(&mut ran.out, &bytes),
                    Piece::Err(bytes) => keep(&mut ran.err, &bytes),
                    Piece::Exit(code) => {
                        ran.code = code;
                        return Ok(ran);
                    }
                }
            }
        };
        // A script may end without having read all of its input.
        let (_fed, ran) = tokio::join!(feed, read);
        ran
    }

    /// A shell on the host, given `script`; its input goes on from there.
    pub(crate) async fn start(
        &self,
        route: &Route,
        user: Option<&Become>,
        script: &str,
    ) -> Result<Exec, Trouble> {
        Box::pin(self.shell(&route.hops, &route.known_hosts, user, script)).await
    }

    async fn shell(
        &self,
        hops: &[Hop],
        known: &KnownHosts,
        user: Option<&Become>,
        script: &str,
    ) -> Result<Exec, Trouble> {
        let last = hops.last().expect("a route has a last hop");
        let (command, exec) = self.exec(hops, known, Command::shell().by(user)).await?;
        let mut exec = exec;
        let begun = exec.begin(script, &command.questions, &self.bounds).await;
        begun.map_err(|trouble| trouble.at(last))?;
        Ok(exec)
    }

    /// Has a command taken on by the last of `hops`.
    async fn exec(
        &self,
        hops: &[Hop],
        known: &KnownHosts,
        command: Command,
    ) -> Result<(Command, Exec), Trouble> {
        let (last, before) = hops.split_last().expect("a route has a last hop");
        if let Key::OnHopBefore { path, become_user } = &last.key {
            let file = Box::pin(self.checked(hops, known)).await?;
            let further = Further {
                hop: last,
                user: self.keyring.user(last),
                key: path,
                known_hosts: file.as_deref(),
            };
            let command = command.on(&further).by(become_user.as_ref());
            return Box::pin(self.exec(before, known, command)).await;
        }
        let (channel, used) = self.session(hops, known).await?;
        let line = Arc::clone(&used.link.line);
        let exec = Exec::start(channel, &command, used, line).await;
        Ok((command, exec.map_err(|trouble| trouble.at(last))?))
    }

    /// A channel for a command.
    async fn session(
        &self,
        hops: &[Hop],
        known: &KnownHosts,
    ) -> Result<(Channel<Msg>, Use), Trouble> {
        let last = hops.last().expect("a route has a last hop");
        // A connection may turn out to be full, or dead, only when it is used.
        for _ in 0..4 {
            let used = self.link(hops, known, Kind::Session).await?;
            let step = async { Ok(used.link.handle.channel_open_session().await) };
            match within(self.bounds.open, "it opened no channel", step).await {
                Ok(Ok(channel)) => return Ok((channel, used)),
                Ok(Err(russh::Error::ChannelOpenFailure(why))) => {
                    let others = used.link.sessions.load(Ordering::Acquire).saturating_sub(1);
                    if others == 0 || why == ChannelOpenFailure::AdministrativelyProhibited {
                        return Err(Trouble::refused(
                            format!("it takes no commands ({why:?})"),
                            "see MaxSessions and the limits of that user in its sshd_config",
                        )
                        .at(last));
                    }
                    used.link.room.fetch_min(others, Ordering::AcqRel);
                }
                Ok(Err(_)) => {
                    // It was dead and nobody had noticed: nothing has been sent yet, so another one may do.
                }
                Err(trouble) => return Err(trouble.at(last)),
            }
        }
        Err(Trouble::unreachable("it opens no more channels").at(last))
    }

    /// A place on a connection.
    async fn link(&self, hops: &[Hop], known: &KnownHosts, kind: Kind) -> Result<Use, Trouble> {
        let site = self.site(hops, known);
        let idle = self.bounds.idle;
        if let Some(free) = site.free(kind, idle) {
            return Ok(free);
        }
        let since = Instant::now();
        let mut door = site.door.lock().await;
        if let Some(free) = site.free(kind, idle) {
            return Ok(free);
        }
        // Who waited for somebody else's attempt shares its end: else a dead host would be tried once for each task.
        if let Some((at, trouble)) = &*door
            && *at >= since
        {
            return Err(trouble.clone());
        }
        match Box::pin(self.connect(hops, known)).await {
            Ok(link) => {
                let link = Arc::new(link);
                assert!(link.take(kind) || link.handle.is_closed(), "a new connection has room");
                if link.handle.is_closed() {
                    let last = hops.last().expect("a route has a last hop");
                    return Err(Trouble::unreachable(link.line.end()).at(last));
                }
                locked(&site.links).push(Arc::clone(&link));
                *door = None;
                Ok(Use { link, kind, site: Arc::downgrade(&site), idle })
            }
            Err(trouble) => {
                *door = Some((Instant::now(), trouble.clone()));
                Err(trouble)
            }
        }
    }

    async fn connect(&self, hops: &[Hop], known: &KnownHosts) -> Result<Link, Trouble> {
        let (last, before) = hops.split_last().expect("a route has a last hop");
        let keys = known_hosts::read(last, known, &self.keyring.home).map_err(|t| t.at(last))?;
        let gate = self.handshake_gate(hops);
        let _place = gate.acquire().await.expect("nobody closes it");
        let (stream, below) = self.stream(before, known, last).await?;
        let entered =
            Box::pin(client::enter(stream, last, keys, &self.keyring, &self.bounds)).await;
        let (handle, line) = entered.map_err(|trouble| trouble.at(last))?;
        Ok(Link {
            handle,
            line,
            sessions: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            room: AtomicUsize::new(SESSIONS),
            last_use: Mutex::new(Instant::now()),
            gauge: Gauge::new(),
            is_watched: AtomicBool::new(false),
            _below: below,
        })
    }

    fn handshake_gate(&self, hops: &[Hop]) -> Arc<Semaphore> {
        let places: Vec<String> =
            hops.iter().map(|hop| format!("{}:{}", hop.address, hop.port)).collect();
        let mut gates = locked(&self.handshakes);
        let gate =
            gates.entry(places.join(" ")).or_insert_with(|| Arc::new(Semaphore::new(HANDSHAKES)));
        Arc::clone(gate)
    }

    /// A stream to a machine through those before it.
    pub(super) async fn stream(
        &self,
        before: &[Hop],
        known: &KnownHosts,
        to: &Hop,
    ) -> Result<(Box<dyn Stream>, Option<Use>), Trouble> {
        let Some((last, further_back)) = before.split_last() else {
            let step = tcp::connect(to);
            let stream = within(self.bounds.connect, "no connection", step).await;
            let stream = stream.map_err(|trouble| trouble.at(to))?;
            return Ok((Box::new(stream), None));
        };
        if let Key::OnHopBefore { path, become_user } = &last.key {
            let file = Box::pin(self.checked(before, known)).await?;
            let further = Further {
                hop: last,
                user: self.keyring.user(last),
                key: path,
                known_hosts: file.as_deref(),
            };
            let mut command =
                Command::stream(&further, &to.address, to.port).by(become_user.as_ref());
            // Chains of such machines: each hands it on to the next.
            let mut hops = further_back;
            while let Some((hop, rest)) = hops.split_last()
                && let Key::OnHopBefore { path, become_user } = &hop.key
            {
                let file = Box::pin(self.checked(hops, known)).await?;
                let user = self.keyring.user(hop);
                let further = Further { hop, user, key: path, known_hosts: file.as_deref() };
                command = command.on(&further).by(become_user.as_ref());
                hops = rest;
            }
            let (mut channel, used) = Box::pin(self.session(hops, known)).await?;
            let opened =
                exec::open_stream(&mut channel, &command, &used.link.line, &self.bounds).await;
            opened.map_err(|trouble| trouble.at(last))?;
            return Ok((Box::new(channel.into_stream()), Some(used)));
        }
        let used = Box::pin(self.link(before, known, Kind::Stream)).await?;
        let open = used.link.handle.channel_open_direct_tcpip(
            to.address.clone(),
            u32::from(to.port),
            "127.0.0.1",
            0,
        );
        let step = async {
            open.await.map_err(|error| match error {
                russh::Error::ChannelOpenFailure(
                    ChannelOpenFailure::AdministrativelyProhibited,
                ) => Trouble::refused(
                    "the machine before it forwards no connections",
                    "allow it there (AllowTcpForwarding, PermitOpen in sshd_config)",
                ),
                russh::Error::ChannelOpenFailure(why) => {
                    Trouble::unreachable(format!("the machine before it {NOT_CONNECTED} ({why:?})"))
                }
                _ => Trouble::unreachable(format!(
                    "{} on the machine before it",
                    used.link.line.end()
                )),
            })
        };
        let opened =
            within(self.bounds.connect, "no connection through the machine before it", step).await;
        let channel = opened.map_err(|trouble| trouble.at(to))?;
        Ok((Box::new(channel.into_stream()), Some(used)))
    }

    /// Checks the key of a machine that the one before it connects to, and leaves it there for its `ssh`. `None` if we
    /// can't connect to it ourselves: then its `ssh` goes by its own files.
    async fn checked(&self, hops: &[Hop], known: &KnownHosts) -> Result<Option<String>, Trouble> {
        let (last, before) = hops.split_last().expect("a route has a last hop");
        let Key::OnHopBefore { become_user, .. } = &last.key else { return Ok(None) };
        if before.is_empty() {
            return Err(Trouble::refused(
                "its key lies on the machine before it, and there is none",
                "give it a `via`, or a `key` of its own",
            )
            .at(last));
        }
        let site = self.site(hops, known);
        let mut checked = site.checked.lock().await;
        if let Some((at, file)) = &*checked
            && at.elapsed() < CHECKED
        {
            return Ok(file.clone());
        }
        let keys = known_hosts::read(last, known, &self.keyring.home).map_err(|t| t.at(last))?;
        let file = match Box::pin(self.stream(before, known, last)).await {
            Ok((stream, used)) => {
                let shaken = client::shake(stream, last, keys.clone(), &self.bounds).await;
                let (handle, line) = shaken.map_err(|trouble| trouble.at(last))?;
                client::leave(&handle).await;
                drop(used);
                let key = line.key().ok_or_else(|| Trouble::unreachable(line.end()).at(last))?;
                let script = format!(
                    "umask 077; d=$HOME/.weir/known_hosts; mkdir -p \"$d\" && printf %s {} >\"$d/\"{name}.$$ && \
                     mv -f \"$d/\"{name}.$$ \"$d/\"{name} && printf %s \"$d/\"{name}",
                    quoted(&keys.line_for(key)),
                    name = quoted(&format!("{}:{}", last.address.replace('/', "_"), last.port)),
                );
                let run =
                    Box::pin(self.run_on(before, known, become_user.as_ref(), &script, Vec::new()));
                let ran = within(self.bounds.open, "it did not answer", run).await?;
                if ran.code != 0 {
                    let said = String::from_utf8_lossy(&ran.err).trim().to_owned();
                    let trouble = Trouble::refused(
                        format!("the key of {} can't be kept there: {said}", last.name),
                        "",
                    );
                    return Err(trouble.at(&before[before.len() - 1]));
                }
                Some(String::from_utf8_lossy(&ran.out).into_owned())
            }
            Err(trouble) if trouble.message.contains("forwards no connections") => None,
            Err(trouble) => return Err(trouble),
        };
        *checked = Some((Instant::now(), file.clone()));
        Ok(file)
    }

    fn site(&self, hops: &[Hop], known: &KnownHosts) -> Arc<Site> {
        let label: Vec<String> =
            hops.iter().map(|hop| format!("{} {}:{}", hop.name, hop.address, hop.port)).collect();
        let mut sites = locked(&self.sites);
        let same = sites.entry(label.join(" ")).or_default();
        if let Some(site) = same.iter().find(|site| site.hops == hops && site.known == *known) {
            return Arc::clone(site);
        }
        let site = Arc::new(Site {
            hops: hops.to_vec(),
            known: known.clone(),
            links: Mutex::default(),
            door: tokio::sync::Mutex::default(),
            checked: tokio::sync::Mutex::default(),
        });
        same.push(Arc::clone(&site));
        site
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        let sites: Vec<Arc<Site>> = locked(&self.sites).values().flatten().cloned().collect();
        let open = |site: &Arc<Site>| {
            locked(&site.links).iter().filter(|link| !link.handle.is_closed()).count()
        };
        sites.iter().map(open).sum()
    }
}

fn keep(kept: &mut Vec<u8>, more: &[u8]) {
    let room = KEPT.saturating_sub(kept.len());
    kept.extend_from_slice(&more[..more.len().min(room)]);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
