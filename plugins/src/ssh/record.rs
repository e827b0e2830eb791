//! What is kept in the attempt's own folder of its work on a host: what it is called there, that it must not begin, how
//! it ended. All of it survives this process.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};
use weir_core::job_type::{AttemptContext, Phase};
use weir_core::outcome::Outcome;

use super::mirror::{make_folder, write_for_now, write_whole};

/// What it is called on the host.
const NAME: &str = "remote";
/// It must never begin.
const FENCED: &str = "remote.fenced";
/// It has been given to a connection.
const CARRIED: &str = "remote.carried";
/// How it ended.
const END: &str = "remote.end";

/// What is known of an attempt on a host.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// What it is called there: run, task, attempt and part, and what tells this installation from all others.
    pub(crate) id: String,
    /// Whether it must never begin.
    pub(crate) is_fenced: bool,
}

impl Record {
    /// Reads the record, or makes it: before anything is sent to the host.
    ///
    /// # Errors
    /// It can't be kept.
    pub(crate) fn of(folder: &Path, cx: &AttemptContext) -> io::Result<Self> {
        if let Some(id) = name(folder) {
            return Ok(Self { id, is_fenced: is_fenced(folder) });
        }
        let mut noise = [0; 8];
        SystemRandom::new()
            .fill(&mut noise)
            .map_err(|_| io::Error::other("the system gives no random numbers"))?;
        let noise = u64::from_le_bytes(noise);
        let phase = match cx.phase {
            Phase::Unless => ".unless",
            Phase::Work => "",
            Phase::Verify => ".verify",
        };
        let id = format!("{}.{}.{}{phase}.{noise:016x}", cx.id.run.0, cx.id.task.0, cx.id.number);
        write_whole(folder, NAME, &id)?;
        Ok(Self { id, is_fenced: is_fenced(folder) })
    }
}

fn name(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(NAME)).ok().filter(|name| !name.is_empty())
}

/// Whether it must never begin.
pub(crate) fn is_fenced(folder: &Path) -> bool {
    folder.join(FENCED).exists()
}

/// Forbids that it begins, and tells what it is called on the host if it may have begun.
///
/// # Errors
/// That can't be kept.
pub(crate) fn fence(folder: &Path) -> io::Result<Option<String>> {
    match name(folder) {
        Some(id) => Ok(Some(id)),
        None => write_whole(folder, FENCED, "").map(|()| None),
    }
}

/// Claims an attempt that a connection will carry: `false` if that was done before.
///
/// # Errors
/// It can't be kept.
pub(crate) fn claim(folder: &Path) -> io::Result<bool> {
    make_folder(folder)?;
    let made =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(CARRIED));
    match made {
        Ok(file) => file.sync_all().map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Keeps how it ended.
///
/// # Errors
/// It can't be kept.
pub(crate) fn end(folder: &Path, outcome: &Outcome) -> io::Result<()> {
    let text = serde_json::to_string(outcome)?;
    write_whole(folder, END, &text)
}

/// As [`end`], of work that a connection carried: if the power goes before the store has it, the work counts as lost, as
/// the connection is.
///
/// # Errors
/// As [`end`].
pub(crate) fn end_of_carried(folder: &Path, outcome: &Outcome) -> io::Result<()> {
    let text = serde_json::to_string(outcome)?;
    write_for_now(folder, END, &text)
}

/// How it ended, if that is known.
pub(crate) fn ended(folder: &Path) -> Option<Outcome> {
    let text = fs::read_to_string(folder.join(END)).ok()?;
    serde_json::from_str(&text).ok()
}
