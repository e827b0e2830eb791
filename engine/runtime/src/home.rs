//! The data folder: what lies where, who holds it, and whether it can be used.
//!
//! Everything that Weir keeps is under one folder. One process at a time holds it ([`HomeLock`]).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use weir_core::ids::{AttemptId, RunId};
use weir_core::time::Timestamp;

/// The data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

/// Why the data folder can't be used. Each says what would help; none is cured by trying again at once.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither the folder nor a place for it was named.
    #[error(
        "no data folder: neither --home, WEIR_HOME, XDG_DATA_HOME nor HOME names one\nhelp: pass --home DIR"
    )]
    Nowhere,
    /// Something else stands where the folder should be.
    #[error("{path} is not a folder\nhelp: pass another --home DIR, or move that file away")]
    NotAFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is somebody else's.
    #[error(
        "{path} belongs to user {owner}, not to user {user}\nhelp: run weir as user {owner}, or pass another --home DIR"
    )]
    OtherOwner {
        /// The folder.
        path: PathBuf,
        /// The user id it belongs to.
        owner: u32,
        /// The user id of this process.
        user: u32,
    },
    /// Nothing can be written there.
    #[error(
        "{path} can't be written: {cause}\nhelp: give this user the right to write there, remount it read-write, or pass another --home DIR"
    )]
    ReadOnly {
        /// What was to be written.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// There is no space.
    #[error(
        "no space left for {path}\nhelp: free some space on that disk; nothing that was committed is lost"
    )]
    Full {
        /// What was to be written.
        path: PathBuf,
    },
    /// A restore was begun there and did not end.
    #[error("{path} was restored in part only, from {from}\nhelp: run `weir restore {from}` again")]
    HalfRestored {
        /// The folder.
        path: PathBuf,
        /// The backup it came from.
        from: String,
    },
    /// Another process holds it.
    #[error("{path} is held by {holder}\nhelp: end that process first, or pass another --home DIR")]
    Held {
        /// The folder.
        path: PathBuf,
        /// Who holds it.
        holder: Holder,
    },
    /// Anything else that the system refused.
    #[error("{path}: {cause}")]
    Io {
        /// What was read or written.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl Error {
    /// Sorts an error of the system by what helps against it.
    pub(crate) fn of(path: &Path, cause: io::Error) -> Self {
        let path = path.to_path_buf();
        match cause.kind() {
            ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
                Self::ReadOnly { path, cause }
            }
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full { path },
            ErrorKind::NotADirectory => Self::NotAFolder { path },
            _ => Self::Io { path, cause },
        }
    }
}

/// Who holds a data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// What it was started as, without what could be secret: `weir serve`.
    pub command: String,
    /// Since when.
    pub since: Timestamp,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`, process {}, since {}", self.command, self.pid, self.since)
    }
}

impl Home {
    /// The folder that is used if none is named: `WEIR_HOME`, else `$XDG_DATA_HOME/weir`, else `~/.local/share/weir`.
    ///
    /// # Errors
    /// None of the variables is set.
    pub fn default_path() -> Result<PathBuf, Error> {
        let named = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        if let Some(home) = named("WEIR_HOME") {
            return Ok(home);
        }
        // The XDG Base Directory Specification says that a relative path is to be ignored.
        if let Some(data) = named("XDG_DATA_HOME").filter(|data| data.is_absolute()) {
            return Ok(data.join("weir"));
        }
        named("HOME").map(|home| home.join(".local/share/weir")).ok_or(Error::Nowhere)
    }

    /// Opens the folder, and creates it, for its owner only, if it is not there.
    ///
    /// # Errors
    /// It can't be created or written, belongs to somebody else, or a restore into it did not end.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let home = Self::at(path)?;
        home.check_writable()?;
        if let Some(from) = home.restoring()? {
            return Err(Error::HalfRestored { path: home.path, from });
        }
        Ok(home)
    }

    /// The folder, created if need be, but not yet known to be usable. For restoring into it.
    pub(crate) fn at(path: &Path) -> Result<Self, Error> {
        match fs::metadata(path) {
            Ok(data) if !data.is_dir() => {
                return Err(Error::NotAFolder { path: path.to_path_buf() });
            }
            Ok(data) => {
                if let Some(user) = own_user().filter(|user| *user != data.uid()) {
                    return Err(Error::OtherOwner {
                        path: path.to_path_buf(),
                        owner: data.uid(),
                        user,
                    });
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(path)
                    .map_err(|error| Error::of(path, error))?;
            }
            Err(error) => return Err(Error::of(path, error)),
        }
        let path = path.canonicalize().map_err(|error| Error::of(path, error))?;
        Ok(Self { path })
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.path.join("weir.db")
    }

    /// What was committed and is not in the database's file yet.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("weir.db-wal")
    }

    /// The folder of all runs' attempts.
    pub fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }

    /// The folder of one run's attempts.
    pub fn run(&self, run: RunId) -> PathBuf {
        self.runs().join(run.0.to_string())
    }

    /// The folder of an attempt: `runs/RUN/TASK.ATTEMPT`.
    pub fn attempt(&self, id: AttemptId) -> PathBuf {
        self.run(id.run).join(format!("{}.{}", id.task.0, id.number))
    }

    /// The key that secrets are sealed with, unless the environment holds it.
    pub fn secret_key(&self) -> PathBuf {
        self.path.join("secret.key")
    }

    /// What the process that uses the folder holds.
    pub fn lock(&self) -> PathBuf {
        self.path.join("weir.lock")
    }

    /// Where a running server listens for commands.
    pub fn socket(&self) -> PathBuf {
        self.path.join("weir.sock")
    }

    /// Where the supervisor listens.
    pub fn supervisor_socket(&self) -> PathBuf {
        self.path.join("supervisor.sock")
    }

    /// What the supervisor holds while it lives.
    pub fn supervisor_lock(&self) -> PathBuf {
        self.path.join("supervisor.lock")
    }

    /// The site's own known failures.
    pub fn catalogue(&self) -> PathBuf {
        self.path.join("catalogue")
    }

    /// What is kept of the hosts of all projects, a folder for each project.
    pub fn all_hosts(&self) -> PathBuf {
        self.path.join("hosts")
    }

    /// What is kept of the hosts of a project: the keys that they were met with, a folder for each host.
    pub fn hosts(&self, project: &str) -> PathBuf {
        self.all_hosts().join(if project.is_empty() { "_" } else { project })
    }

    /// The site's own job types.
    pub fn plugins(&self) -> PathBuf {
        self.path.join("plugins")
    }

    /// There while a restore is under way; holds the name of the backup.
    pub(crate) fn restore_mark(&self) -> PathBuf {
        self.path.join("restoring")
    }

    /// The backup that a restore was begun from and that did not end.
    fn restoring(&self) -> Result<Option<String>, Error> {
        let mark = self.restore_mark();
        match fs::read_to_string(&mark) {
            Ok(from) => Ok(Some(from.trim_end().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::of(&mark, error)),
        }
    }

    /// Finds out by writing, as rights alone don't tell (read-only mounts, full disks, root).
    fn check_writable(&self) -> Result<(), Error> {
        let probe = self.path.join(format!(".probe-{}", std::process::id()));
        let written = fs::write(&probe, b"x");
        let removed = fs::remove_file(&probe);
        written.and(removed).map_err(|error| Error::of(&self.path, error))
    }
}

/// The right to use a data folder; given back when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub struct HomeLock {
    // Keeps the lock: it belongs to the open file. Never handed to a child, as the file closes on exec.
    _file: File,
}

impl HomeLock {
    /// Takes the right to use `home`; `command` says what for, for people, and must hold no secret.
    ///
    /// # Errors
    /// [`Error::Held`] names who has it.
    pub fn take(home: &Home, command: &str) -> Result<Self, Error> {
        let path = home.lock();
        let fail = |error| Error::of(&path, error);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(fail)?;
                // The holder may be about to write its name, or has been unable to for want of space.
                let holder = serde_json::from_str(&text).unwrap_or(Holder {
                    pid: 0,
                    command: "another process".to_owned(),
                    since: Timestamp::ZERO,
                });
                return Err(Error::Held { path: home.path.clone(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let holder = Holder { pid: std::process::id(), command: command.to_owned(), since: now() };
        let text = serde_json::to_string(&holder).expect("a holder is plain data");
        file.rewind().and_then(|()| file.write_all(text.as_bytes())).map_err(fail)?;
        file.set_len(text.len() as u64).map_err(fail)?;
        Ok(Self { _file: file })
    }

    /// Who holds `home`, if anybody does. Only for telling people: it may have changed when the answer is read.
    pub fn holder(home: &Home) -> Option<Holder> {
        let mut file = File::open(home.lock()).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text).ok()?;
                serde_json::from_str(&text).ok()
            }
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

/// The time of this machine.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::ZERO.plus(since)
}

/// The user that this process acts as: its entry in `/proc` is that user's. `None` where there is no `/proc`.
fn own_user() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|data| data.uid())
}

#[cfg(test)]
mod tests {
    use weir_core::ids::TaskIx;

    use super::*;

    #[test]
    fn a_new_home_is_for_its_owner_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::open(&dir.path().join("a/b")).expect("it is made");
        let mode = fs::metadata(home.path()).expect("it is there").mode();
        assert_eq!(mode & 0o777, 0o700);
        let attempt = AttemptId { run: RunId(7), task: TaskIx(12), number: 1 };
        assert!(home.attempt(attempt).ends_with("a/b/runs/7/12.1"));
    }

    #[test]
    fn a_file_is_no_home() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("file");
        fs::write(&path, "x").expect("written");
        assert!(matches!(Home::open(&path), Err(Error::NotAFolder { .. })));
        assert!(matches!(Home::open(&path.join("below")), Err(Error::NotAFolder { .. })));
    }

    #[test]
    fn the_second_is_told_who_holds_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::open(dir.path()).expect("it opens");
        assert_eq!(HomeLock::holder(&home), None);
        let first = HomeLock::take(&home, "weir serve").expect("nobody has it");
        let error = HomeLock::take(&home, "weir run").expect_err("it is held").to_string();
        assert!(error.contains("`weir serve`"), "{error}");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        assert!(error.contains("help:"), "{error}");
        drop(first);
        HomeLock::take(&home, "weir run").expect("it was given back");
    }

    #[test]
    fn a_half_restored_home_says_what_to_do() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("restoring"), "/backups/monday\n").expect("written");
        let error = Home::open(dir.path()).expect_err("half restored").to_string();
        assert!(error.contains("run `weir restore /backups/monday` again"), "{error}");
    }
}
