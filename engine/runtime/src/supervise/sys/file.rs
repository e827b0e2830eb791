//! Locks, pipes, files in memory, holes, and waiting for descriptors.
#![expect(
    unsafe_code,
    reason = "std has no flock with retry, eventfd, memfd, poll, inotify or fallocate"
)]

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::unix::AsyncFd;

use super::check;

/// Takes the lock of an open file if nobody has it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: no pointers.
    match check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens a folder only to name it, so that `/proc/self/fd/N/...` is a short path into it.
pub(crate) fn absolute_dir(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(path)
}

/// Fills the numbers 3 to 9 that are free, so that no later descriptor collides with those given to children.
pub(crate) fn reserve_low_fds(null: &File) {
    loop {
        // SAFETY: no pointers. The copies are meant to stay open for the life of the process.
        let fd = unsafe { libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
        if !(0..10).contains(&fd) {
            if fd >= 10 {
                // SAFETY: just made, owned by nobody else.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
            }
            return;
        }
    }
}

/// Takes over a descriptor that this process was started with; `None` if it is not open.
pub(crate) fn take_fd(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: no pointers; the copy is ours alone.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 10) };
    if fd < 0 {
        return None;
    }
    // SAFETY: called once for a number, before anything else of this process opens descriptors.
    unsafe { libc::close(number) };
    // SAFETY: just made, owned by nobody else.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Closes all descriptors from a number on: what this process was started with and nobody told it of. Must be called
/// before it opens any.
pub(crate) fn close_from(first: u32) {
    // SAFETY: nothing in this process owns a descriptor yet.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    if result != 0 {
        // A kernel older than 5.9.
        for fd in first as RawFd..4096 {
            // SAFETY: as above.
            unsafe { libc::close(fd) };
        }
    }
}

/// A pipe: the end to read, the end to write.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for two numbers.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both were just made, owned by nobody else.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Asks for room in a pipe; the kernel may refuse, which costs only speed.
pub(crate) fn set_pipe_size(pipe: BorrowedFd<'_>, bytes: i32) {
    // SAFETY: no pointers.
    let _refused = unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

/// How many bytes wait in a pipe.
pub(crate) fn pending_bytes(pipe: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    check(unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut count) })?;
    Ok(count as usize)
}

/// A file in memory that holds `content`, its position at the start.
pub(crate) fn memory_file(content: &[u8]) -> io::Result<File> {
    // SAFETY: the name is NUL-terminated.
    let fd = check(unsafe { libc::memfd_create(c"weir".as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: just made, owned by nobody else.
    let file = unsafe { File::from_raw_fd(fd) };
    std::os::unix::fs::FileExt::write_all_at(&file, content, 0)?;
    Ok(file)
}

/// Gives the space of a part of a file back; its size stays. The part then reads as zeros.
pub(crate) fn punch_hole(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: no pointers.
    check(unsafe {
        libc::fallocate(
            file.as_raw_fd(),
            mode,
            from as libc::off_t,
            to.saturating_sub(from) as libc::off_t,
        )
    })?;
    Ok(())
}

/// Waits until one of the descriptors can be read, is closed by the other side, or time is up; says which can.
pub(crate) fn poll_readable(
    fds: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<Vec<bool>> {
    let mut polls: Vec<libc::pollfd> = fds
        .iter()
        .map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let millis = timeout.map_or(-1, |time| {
        // Rounded up, or a wait of less than a millisecond would spin.
        i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
    });
    // SAFETY: `polls` is a live list of that length.
    match check(unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, millis) }) {
        Ok(_) => Ok(polls.iter().map(|poll| poll.revents != 0).collect()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(vec![false; fds.len()]),
        Err(error) => Err(error),
    }
}

/// A number that can be waited for together with descriptors.
pub(crate) struct EventFd(File);

impl EventFd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
        // SAFETY: just made, owned by nobody else.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    /// Wakes who waits for it.
    pub(crate) fn set(&self) {
        // It can only fail when it is set 2^64 times without being read: then it is set already.
        let _already = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Forgets that it was set.
    pub(crate) fn clear(&self) {
        // Nothing to read: it was not set.
        let _unset = (&self.0).read(&mut [0; 8]);
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Tells that something in a folder was made or changed.
#[derive(Debug)]
pub(crate) struct Watch(File);

impl Watch {
    /// Watches a folder.
    pub(crate) fn folder(path: &Path) -> io::Result<Self> {
        // SAFETY: no pointers.
        let fd = check(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        // SAFETY: just made, owned by nobody else.
        let watch = Self(unsafe { File::from_raw_fd(fd) });
        let path = CString::new(path.as_os_str().as_bytes())?;
        let events = libc::IN_MODIFY | libc::IN_CREATE | libc::IN_MOVED_TO | libc::IN_DELETE_SELF;
        // SAFETY: the path is NUL-terminated and outlives the call.
        check(unsafe { libc::inotify_add_watch(fd, path.as_ptr(), events) })?;
        Ok(watch)
    }

    /// As something a task can wait for; the supervisor itself has no use for that.
    pub(crate) fn awaitable(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the descriptor is owned by the watch, which neither hands it out nor closes it before it is dropped.
        Ok(unsafe { AsyncFd::register(self) }?)
    }

    /// Forgets what was told so far.
    pub(crate) fn clear(&self) {
        let mut buffer = [0; 4096];
        while matches!((&self.0).read(&mut buffer), Ok(length) if length > 0) {}
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
