//! The attempt folder: `log`, `log.index`, `exit`, `fenced`, and who may claim it.
//!
//! To launch is to make the folder; what finds it made has only to watch. A folder that was made only to hold the
//! lines of a log carries the sticky bit, and may be claimed once. `exit` is one line; without its newline it does
//! not count.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use weir_core::outcome::ErrorClass;
use weir_core::time::Timestamp;

/// The output of the work.
pub(crate) const LOG: &str = "log";
/// Where in the log which time is, and what was dropped.
pub(crate) const INDEX: &str = "log.index";
/// How it ended.
pub(crate) const EXIT: &str = "exit";
/// It must never start.
pub(crate) const FENCED: &str = "fenced";

/// The sticky bit: made, but not launched.
const UNCLAIMED: u32 = 0o1000;

/// How it ended and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) end: End,
    pub(crate) at: Timestamp,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its first process ended with this code.
    Exited(i32),
    /// Its first process was ended by this signal; the text says why, where we did it.
    Signalled(i32, String),
    /// Nobody saw how; nothing of it is left.
    Lost,
    /// It was cancelled before it began.
    Fenced,
    /// It never began.
    Failed(ErrorClass, String),
}

/// What claiming a folder came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is ours to launch in.
    Ours,
    /// It has ended.
    Ended(Ended),
    /// It was launched before, and has no end.
    Begun,
}

/// Now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Makes the folder, or says what it tells. Only the holder of the supervisor's lock may call it, and only one thread
/// for one folder.
pub(crate) fn claim(folder: &Path) -> io::Result<Claim> {
    match make(folder, 0o700) {
        Ok(()) => return Ok(Claim::Ours),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    if let Some(ended) = end(folder)? {
        return Ok(Claim::Ended(ended));
    }
    if fs::metadata(folder)?.permissions().mode() & UNCLAIMED == 0 {
        return Ok(Claim::Begun);
    }
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    Ok(Claim::Ours)
}

/// Whether somebody has claimed the folder, or may have: a folder that can't be looked at counts.
pub(crate) fn was_claimed(folder: &Path) -> bool {
    match fs::metadata(folder) {
        Ok(found) => {
            found.permissions().mode() & UNCLAIMED == 0 || !matches!(end(folder), Ok(None))
        }
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Makes the folder for a log alone: it may still be claimed by a launch.
pub(crate) fn make_for_log(folder: &Path) -> io::Result<()> {
    match make(folder, UNCLAIMED | 0o700) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Opens the log for appending.
pub(crate) fn open_log(folder: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(LOG))
}

fn make(folder: &Path, mode: u32) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(mode);
    match builder.create(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = folder.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            }
            builder.create(folder)
        }
        other => other,
    }
}

/// How it ended, if the folder tells.
pub(crate) fn end(folder: &Path) -> io::Result<Option<Ended>> {
    let mut text = String::new();
    match File::open(folder.join(EXIT)) {
        Ok(mut file) => {
            // Not UTF-8 is as good as cut off.
            if file.read_to_string(&mut text).is_ok()
                && let Some(ended) = parse(&text)
            {
                return Ok(Some(ended));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match fs::metadata(folder.join(FENCED)) {
        Ok(fence) => {
            let at = fence.modified().unwrap_or(UNIX_EPOCH);
            let at = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            let at = Timestamp::from_millis(i64::try_from(at).unwrap_or(i64::MAX));
            Ok(Some(Ended { end: End::Fenced, at }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes how it ended. Not synced: a power loss ends what has not ended, too.
pub(crate) fn write_end(folder: &Path, ended: &Ended) -> io::Result<()> {
    let at = ended.at.millis();
    let line = match &ended.end {
        End::Exited(code) => format!("exited {code} {at}\n"),
        End::Signalled(signal, reason) if reason.is_empty() => format!("signalled {signal} {at}\n"),
        End::Signalled(signal, reason) => format!("signalled {signal} {at} {}\n", one_line(reason)),
        End::Lost => format!("lost {at}\n"),
        End::Failed(class, message) => {
            format!("failed {} {at} {}\n", class.name(), one_line(message))
        }
        End::Fenced => return fence(folder),
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(folder.join(EXIT))?.write_all(line.as_bytes())
}

/// Forbids that it ever starts. The folder is there.
pub(crate) fn fence(folder: &Path) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join(FENCED))?;
    Ok(())
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn parse(text: &str) -> Option<Ended> {
    let line = text.strip_suffix('\n')?;
    let (word, rest) = line.split_once(' ')?;
    let time = |text: &str| Some(Timestamp::from_millis(text.parse().ok()?));
    let mut fields = rest.splitn(3, ' ');
    let first = fields.next()?;
    let (end, at) = match word {
        "exited" => (End::Exited(first.parse().ok()?), time(fields.next()?)?),
        "signalled" => {
            let at = time(fields.next()?)?;
            let reason = fields.next().unwrap_or_default().to_owned();
            (End::Signalled(first.parse().ok()?, reason), at)
        }
        "lost" => (End::Lost, time(first)?),
        "failed" => {
            let at = time(fields.next()?)?;
            let message = fields.next().unwrap_or_default().to_owned();
            (End::Failed(ErrorClass::named(first)?, message), at)
        }
        _ => return None,
    };
    Some(Ended { end, at })
}

/// The name of this home on this machine while it is up: no other folder has it.
pub(crate) fn home_id(home: &Path) -> io::Result<String> {
    use std::os::unix::fs::MetadataExt;
    let home = fs::metadata(home)?;
    Ok(format!("{:x}-{:x}", home.dev(), home.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let folder = dir.path().join("7/12/1/work");
        (dir, folder)
    }

    #[test]
    fn a_folder_is_claimed_once() {
        let (_dir, folder) = scratch();
        assert_eq!(claim(&folder).expect("claims"), Claim::Ours);
        assert_eq!(claim(&folder).expect("claims"), Claim::Begun);
    }

    #[test]
    fn a_folder_made_for_a_log_is_claimed_once() {
        let (_dir, folder) = scratch();
        make_for_log(&folder).expect("makes");
        make_for_log(&folder).expect("finds");
        assert_eq!(claim(&folder).expect("claims"), Claim::Ours);
        assert_eq!(claim(&folder).expect("claims"), Claim::Begun);
    }

    #[test]
    fn ends_read_back_as_written_and_cut_ones_are_absent() {
        let (_dir, folder) = scratch();
        claim(&folder).expect("claims");
        let at = Timestamp::from_millis(1_700_000_000_123);
        for end_ in [
            End::Exited(3),
            End::Signalled(15, String::new()),
            End::Signalled(9, "its log grew too large".into()),
            End::Lost,
            End::Failed(ErrorClass::Refused, "no such program".into()),
        ] {
            let ended = Ended { end: end_, at };
            write_end(&folder, &ended).expect("writes");
            assert_eq!(end(&folder).expect("reads"), Some(ended));
            let whole = fs::read(folder.join(EXIT)).expect("reads");
            fs::write(folder.join(EXIT), &whole[..whole.len() - 1]).expect("writes");
            assert_eq!(end(&folder).expect("reads"), None);
        }
    }
}
