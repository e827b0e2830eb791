//! Starting a program without copying this process.
#![expect(unsafe_code, reason = "std can't start a session of its own without a fork")]

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// What every start has in common: a session of its own, no signal blocked or ignored.
pub(crate) struct Spawner {
    attributes: libc::posix_spawnattr_t,
}

/// One start.
pub(crate) struct Spawn<'a> {
    /// The file of the program.
    pub(crate) program: &'a CStr,
    /// Its arguments, its name first.
    pub(crate) argv: &'a [&'a CStr],
    /// All its variables.
    pub(crate) env: &'a [&'a CStr],
    /// The folder it starts in.
    pub(crate) dir: Option<&'a CStr>,
    /// Descriptors and the numbers it finds them under. A source's number must be above all targets.
    pub(crate) fds: &'a [(BorrowedFd<'a>, i32)],
}

fn call(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

impl Spawner {
    pub(crate) fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::<libc::posix_spawnattr_t>::uninit();
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let flags = libc::POSIX_SPAWN_SETSID
            | libc::POSIX_SPAWN_SETSIGMASK as libc::c_short
            | libc::POSIX_SPAWN_SETSIGDEF as libc::c_short;
        // SAFETY: each call gets memory of the right type; init fills it before it is used and is undone in `drop`.
        unsafe {
            call(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigfillset(all.as_mut_ptr());
            call(libc::posix_spawnattr_setsigmask(attributes.as_mut_ptr(), none.as_ptr()))?;
            call(libc::posix_spawnattr_setsigdefault(attributes.as_mut_ptr(), all.as_ptr()))?;
            call(libc::posix_spawnattr_setflags(attributes.as_mut_ptr(), flags))?;
            Ok(Self { attributes: attributes.assume_init() })
        }
    }

    /// Starts it and tells its process id.
    ///
    /// # Errors
    /// Nothing was started: what `exec`, `chdir` or the making of a process says.
    pub(crate) fn spawn(&self, spawn: &Spawn<'_>) -> io::Result<i32> {
        let pointers = |texts: &[&CStr]| {
            let mut list = Vec::with_capacity(texts.len() + 1);
            list.extend(texts.iter().map(|text| text.as_ptr().cast_mut()));
            list.push(ptr::null_mut());
            list
        };
        let argv = pointers(spawn.argv);
        let env = pointers(spawn.env);
        let mut actions = Actions::new()?;
        if let Some(dir) = spawn.dir {
            actions.chdir(dir)?;
        }
        for (fd, target) in spawn.fds {
            actions.dup(*fd, *target)?;
        }
        let mut pid = 0;
        // SAFETY: all pointers are to live memory: NUL-terminated texts in null-terminated lists, and actions and
        // attributes that were initialised.
        call(unsafe {
            libc::posix_spawn(
                &raw mut pid,
                spawn.program.as_ptr(),
                actions.0.as_ptr(),
                &raw const self.attributes,
                argv.as_ptr(),
                env.as_ptr(),
            )
        })?;
        Ok(pid)
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.attributes) };
    }
}

struct Actions(MaybeUninit<libc::posix_spawn_file_actions_t>);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: init fills the memory it is given.
        call(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        Ok(Self(actions))
    }

    fn chdir(&mut self, dir: &CStr) -> io::Result<()> {
        // SAFETY: initialised in `new`; glibc copies the path.
        call(unsafe {
            libc::posix_spawn_file_actions_addchdir_np(self.0.as_mut_ptr(), dir.as_ptr())
        })
    }

    fn dup(&mut self, fd: BorrowedFd<'_>, target: i32) -> io::Result<()> {
        // SAFETY: initialised in `new`; the numbers are only read.
        call(unsafe {
            libc::posix_spawn_file_actions_adddup2(self.0.as_mut_ptr(), fd.as_raw_fd(), target)
        })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}
