//! The supervisor: one process a node that starts the jobs' processes and outlives the engine.
//!
//! It is this binary, started again as `weir supervise --home DIR`, in a session of its own. It knows nothing of flows:
//! it claims attempt folders, starts processes, writes how they ended, ends trees, and answers an engine over a Unix
//! socket. If it dies its jobs are lost, so it does little and needs little. The lock on `supervisor.lock` is held while it
//! lives, and by its children until they have become their programs: who gets the lock can find every orphan.

mod cancel;
mod cgroup;
pub(crate) mod channel;
#[cfg(test)]
mod damage;
mod exec;
pub(crate) mod folder;
mod jobs;
mod judge;
mod launch;
mod pump;
pub(crate) mod sampler;
mod starts;
pub(crate) mod sys;
mod tree;
pub(crate) mod wire;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use channel::Channel;
use jobs::Node;
use sys::Spawner;
use wire::{Reply, Request};

/// The file whose lock the supervisor of a home holds.
pub(crate) const LOCK: &str = "supervisor.lock";
/// Its socket.
pub(crate) const SOCKET: &str = "supervisor.sock";
/// What went wrong, if something did.
const ERRORS: &str = "supervisor.err";
/// The argument that makes this binary a supervisor.
pub(crate) const NAME: &str = "supervise";
/// Where it tells who started it that it is ready.
pub(crate) const READY_FD: i32 = 3;
/// What it tells.
pub(crate) const READY: &[u8] = b"ready";
/// What it tells if another one lives.
pub(crate) const HELD: &[u8] = b"held";

/// So long nothing may be asked and nothing run before it exits.
const IDLE: Duration = Duration::from_secs(1);
/// So long the connection of an engine that is gone may still count.
const FAREWELL: Duration = Duration::from_millis(500);
/// So long a predecessor may take to go.
const PATIENCE: Duration = Duration::from_secs(2);
/// Each engine's orders are carried out by so many threads: one alone would be three times slower under load.
const SPAWNERS: usize = 2;

/// Does what the arguments ask if they are those of a supervisor or of the step before a job's program, and says the
/// exit code. Must be called first thing in `main`, before any thread is started and any descriptor opened.
pub fn dispatch() -> Option<i32> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next()?;
    if first == exec::NAME {
        return Some(exec::main());
    }
    if first == NAME && arguments.next()? == "--home" {
        return Some(main(Path::new(&arguments.next()?)));
    }
    None
}

/// Supervises the processes of a home until there is nothing left to do; the exit code.
pub fn main(home: &Path) -> i32 {
    sys::close_from(READY_FD as u32 + 1);
    let ready = sys::take_fd(READY_FD);
    match supervise(home, ready) {
        Ok(()) => 0,
        Err(error) => {
            write_error(home, &error.to_string());
            1
        }
    }
}

fn supervise(home: &Path, ready: Option<OwnedFd>) -> io::Result<()> {
    sys::new_session();
    sys::ignore_terminal_signals();
    let ready = ready.map(File::from);
    let home = fs::canonicalize(home)?;
    // Paths in the home are short from here on: a socket's may not be long.
    std::env::set_current_dir(&home)?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    sys::reserve_low_fds(&null);
    let null = null.try_clone()?;
    let told_home = home.clone();
    std::panic::set_hook(Box::new(move |panic| {
        write_error(&told_home, &panic.to_string());
        // Half a supervisor would let engines wait for ever; a dead one is replaced.
        std::process::abort();
    }));

    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(LOCK)?;
    if !take_lock(&lock)? {
        tell_starter(ready, HELD);
        return Ok(());
    }
    lock.set_len(0)?;
    writeln!(&lock, "{}", std::process::id())?;
    let listener = listen()?;
    sys::become_subreaper()?;
    let signals = sys::child_signals()?;
    let node = Node::new(folder::home_id(&home)?, null)?;
    cgroup::sweep(&format!("weir-{}-{}", tree::MARK, node.home_id));
    let reaper = Arc::clone(&node);
    thread::Builder::new().name("reap".into()).spawn(move || reap(&reaper, signals))?;
    let sampler = Arc::clone(&node);
    thread::Builder::new().name("sample".into()).spawn(move || sampler::run(&sampler))?;
    let starts = Arc::clone(&node);
    thread::Builder::new().name("starts".into()).spawn(move || starts::run(&starts))?;
    tell_starter(ready, READY);
    accept_until_idle(&node, &listener)
}

fn take_lock(lock: &File) -> io::Result<bool> {
    let begun = std::time::Instant::now();
    loop {
        if sys::try_lock(lock)? {
            return Ok(true);
        }
        // A predecessor that answers is found by its socket; this one is here because it did not.
        if begun.elapsed() >= PATIENCE {
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Listens under a name of its own first, so that whoever finds the socket finds it answering.
fn listen() -> io::Result<OwnedFd> {
    let new = format!("{SOCKET}.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = sys::listen(Path::new(&new))?;
    fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    fs::rename(&new, SOCKET)?;
    Ok(listener)
}

fn tell_starter(ready: Option<File>, word: &[u8]) {
    if let Some(mut ready) = ready {
        // Who started it may be gone.
        let _gone = ready.write_all(word);
    }
}

fn accept_until_idle(node: &Arc<Node>, listener: &OwnedFd) -> io::Result<()> {
    loop {
        let is_idle = {
            let table = node.table();
            table.connections == 0 && table.jobs.is_empty()
        };
        let fds = [listener.as_fd(), node.wake.as_fd()];
        let ready = sys::poll_readable(&fds, is_idle.then_some(IDLE))?;
        if ready[1] {
            node.wake.clear();
        }
        if ready[0] {
            // A peer that went away again, or one that has no business here.
            if let Ok(socket) = sys::accept(listener.as_fd()) {
                serve(node, socket)?;
            }
        } else if is_idle && !ready[1] {
            let _gone = fs::remove_file(SOCKET);
            return Ok(());
        }
    }
}

/// An engine's connection; the last of its threads takes it off the count.
struct Connection {
    node: Arc<Node>,
    channel: Arc<Channel>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.node.table().connections -= 1;
        self.node.moved.notify_all();
        self.node.wake.set();
    }
}

fn serve(node: &Arc<Node>, socket: OwnedFd) -> io::Result<()> {
    node.table().connections += 1;
    let connection = Arc::new(Connection { node: Arc::clone(node), channel: Channel::new(socket) });
    for _ in 0..SPAWNERS {
        let connection = Arc::clone(&connection);
        thread::Builder::new().name("spawn".into()).spawn(move || carry_out(&connection))?;
    }
    Ok(())
}

/// Carries out an engine's orders until it is gone. Several threads read one socket: each message reaches one.
fn carry_out(connection: &Connection) {
    let Connection { node, channel } = connection;
    let Ok(spawner) = Spawner::new() else { return };
    let mut message = Vec::new();
    while channel.receive(&mut message).unwrap_or(false) {
        match Request::decode(&message) {
            Ok(Request::Hello) => {
                let pid = std::process::id();
                jobs::tell(channel, &Reply::Welcome { version: wire::VERSION, pid });
            }
            Ok(Request::Launch(order)) => node.launch(&spawner, channel, &order),
            Ok(Request::Watch { tag, id }) => node.watch(channel, tag, &id),
            Ok(Request::Cancel { tag, id, grace }) => node.cancel(channel, tag, &id, grace),
            Ok(Request::Leave) => leave(node, channel),
            // Not of this protocol: such an engine is not served.
            Err(wire::Malformed) => channel.shut_down(),
        }
        // What was asked may hold secrets.
        message.fill(0);
    }
}

fn leave(node: &Node, channel: &Arc<Channel>) {
    // The connection of an engine that has just gone may not have been taken off yet.
    let (table, _) = node
        .moved
        .wait_timeout_while(node.table(), FAREWELL, |table| {
            table.connections > 1 && table.jobs.is_empty()
        })
        .unwrap_or_else(PoisonError::into_inner);
    if table.connections <= 1 && table.jobs.is_empty() {
        let _gone = fs::remove_file(SOCKET);
        // The table stays locked: nothing begins any more.
        std::process::exit(0);
    }
    drop(table);
    jobs::tell(channel, &Reply::Stays);
}

fn reap(node: &Arc<Node>, mut signals: File) {
    let mut buffer = [0; 128];
    loop {
        while let Some((pid, status)) = sys::reap() {
            node.ended(pid, status);
        }
        // One signal may stand for many ends.
        if io::Read::read(&mut signals, &mut buffer).is_err() {
            thread::yield_now();
        }
    }
}

fn write_error(home: &Path, text: &str) {
    let file = OpenOptions::new().create(true).append(true).open(home.join(ERRORS));
    if let Ok(mut file) = file {
        // Nobody is left to tell.
        let _lost = writeln!(file, "{} {text}", folder::now());
    }
}
