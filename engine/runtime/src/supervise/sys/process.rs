//! Processes: signals, ends, limits, users.
#![expect(unsafe_code, reason = "std can only wait for, signal and change what it started itself")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::check;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// A bound of the kernel's (`setrlimit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Bytes of address space.
    AddressSpace,
    /// Seconds of processor time.
    CpuTime,
    /// Bytes of a file written.
    FileSize,
    /// Open files.
    OpenFiles,
    /// Processes of the user.
    Processes,
}

/// Makes orphans of the processes started here come to this process.
pub(crate) fn become_subreaper() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) })?;
    Ok(())
}

/// Gives memory that was freed back to the system. The allocator keeps what lies between pieces that are in use: after
/// much was read that is most of it.
pub(crate) fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no pointers; it may be called at any time and from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Leaves the session of who started this process; no error if it leads one already.
pub(crate) fn new_session() {
    // SAFETY: no arguments.
    unsafe { libc::setsid() };
}

/// Hang-up, interrupt, quit, terminate and broken pipes no longer end this process.
pub(crate) fn ignore_terminal_signals() {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGPIPE] {
        // SAFETY: ignoring a signal runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// A descriptor that can be read when a child has ended. Call before other threads are started: it blocks the signal
/// in this thread and in those started after.
pub(crate) fn child_signals() -> io::Result<File> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset fills the set before it is used; the mask is changed for this thread only.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
        let fd = check(libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC))?;
        Ok(File::from_raw_fd(fd))
    }
}

fn status(raw: libc::c_int) -> Status {
    if libc::WIFEXITED(raw) {
        Status::Exited(libc::WEXITSTATUS(raw))
    } else {
        Status::Signalled(libc::WTERMSIG(raw))
    }
}

/// A child that has ended and how; `None` if none has.
pub(crate) fn reap() -> Option<(i32, Status)> {
    loop {
        let mut raw = 0;
        // SAFETY: `raw` is an int of ours.
        let pid = unsafe { libc::waitpid(-1, &raw mut raw, libc::WNOHANG) };
        if pid > 0 {
            return Some((pid, status(raw)));
        }
        if pid == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// Forgets a child that has ended; does not wait.
pub(crate) fn wait_for(pid: i32) {
    let mut raw = 0;
    // SAFETY: `raw` is an int of ours.
    unsafe { libc::waitpid(pid, &raw mut raw, libc::WNOHANG) };
}

/// Whether a process group has members.
pub(crate) fn group_is_alive(group: i32) -> bool {
    // SAFETY: no pointers; signal 0 only asks.
    let result = unsafe { libc::kill(-group, 0) };
    result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// The session a process belongs to.
pub(crate) fn session_of(pid: i32) -> Option<i32> {
    // SAFETY: no pointers.
    let session = unsafe { libc::getsid(pid) };
    (session > 0).then_some(session)
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    // SAFETY: no arguments.
    unsafe { libc::geteuid() == 0 }
}

/// A process that can't be mistaken for a later one with the same number.
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// # Errors
    /// There is no such process.
    pub(crate) fn open(pid: i32) -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = check(fd as libc::c_int)?;
        // SAFETY: just made, owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// # Errors
    /// It has ended, or belongs to somebody else.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        // SAFETY: a null siginfo is allowed.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_raw_fd(),
                signal,
                ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        check(result as libc::c_int)?;
        Ok(())
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sets a bound of this process, soft and hard; never above the hard one that holds now unless root.
pub(crate) fn set_limit(limit: Limit, value: u64) -> io::Result<()> {
    let resource = match limit {
        Limit::AddressSpace => libc::RLIMIT_AS,
        Limit::CpuTime => libc::RLIMIT_CPU,
        Limit::FileSize => libc::RLIMIT_FSIZE,
        Limit::OpenFiles => libc::RLIMIT_NOFILE,
        Limit::Processes => libc::RLIMIT_NPROC,
    };
    // At the soft bound on time comes SIGXCPU, which says why; at the hard one only KILL.
    let hard = if limit == Limit::CpuTime { value.saturating_add(1) } else { value };
    let bounds = libc::rlimit { rlim_cur: value, rlim_max: hard };
    // SAFETY: `bounds` is a live rlimit.
    check(unsafe { libc::setrlimit(resource, &raw const bounds) })?;
    Ok(())
}

/// The numbers of a user and its first group.
pub(crate) fn lookup_user(name: &CStr) -> io::Result<Option<(u32, u32)>> {
    let mut buffer = vec![0 as libc::c_char; 4096];
    loop {
        // SAFETY: all zero bytes are a valid passwd (null pointers and zeros).
        let mut entry: libc::passwd = unsafe { mem::zeroed() };
        let mut found = ptr::null_mut();
        // SAFETY: all pointers are to live memory of the lengths told.
        let result = unsafe {
            libc::getpwnam_r(
                name.as_ptr(),
                &raw mut entry,
                buffer.as_mut_ptr(),
                buffer.len(),
                &raw mut found,
            )
        };
        match result {
            0 if found.is_null() => return Ok(None),
            0 => return Ok(Some((entry.pw_uid, entry.pw_gid))),
            libc::ERANGE if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 4, 0),
            libc::ENOENT | libc::ESRCH => return Ok(None),
            other => return Err(io::Error::from_raw_os_error(other)),
        }
    }
}

/// Gives up this process's rights for those of a user, for good.
pub(crate) fn become_user(name: &CStr, uid: u32, gid: u32) -> io::Result<()> {
    // SAFETY: the name is NUL-terminated; the rest are numbers. Only called where there is one thread.
    unsafe {
        check(libc::initgroups(name.as_ptr(), gid))?;
        check(libc::setgid(gid))?;
        check(libc::setuid(uid))?;
    }
    Ok(())
}

/// Becomes another program. Returns only if it can't.
pub(crate) fn exec(program: &CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let pointers = |texts: &[CString]| {
        let mut list: Vec<*const libc::c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        list.push(ptr::null());
        list
    };
    let (argv, env) = (pointers(argv), pointers(env));
    // SAFETY: NUL-terminated texts in null-terminated lists. SIGPIPE, which Rust ignores, is given back its default;
    // the mask was cleared when this process was started.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::execve(program.as_ptr(), argv.as_ptr(), env.as_ptr());
    }
    io::Error::last_os_error()
}
