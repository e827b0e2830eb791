//! The log of work on a host, copied into the attempt's own: masked, each byte once, whatever ends in between.
//!
//! Before anything is added to the log a note says which bytes of the host's log it will be and where they will stand.
//! Who comes later sees by the size of the log whether that came to pass, and goes on from there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use weir_core::mask::Masker;
use weir_core::secret::Secret;

/// The attempt's log.
const LOG: &str = "log";
/// Where in the host's log the last piece of it came from, and where it went.
const NOTE: &str = "remote.at";

/// The attempt's log, being added to.
pub(crate) struct Mirror {
    log: File,
    note: File,
    masker: Masker,
    /// How much of the host's log has been taken in, and decided on.
    at: u64,
    /// How much has been taken in.
    read: u64,
    out: Vec<u8>,
}

impl Mirror {
    /// Opens the log in an attempt's folder, which is made if it is not there.
    ///
    /// # Errors
    /// It can't be made or read.
    pub(crate) fn open(folder: &Path, secrets: &[Secret]) -> io::Result<Self> {
        make_folder(folder)?;
        let log =
            OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(LOG))?;
        let mut note = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(NOTE))?;
        let mut bytes = Vec::new();
        note.read_to_end(&mut bytes)?;
        let mut at = 0;
        if let Some([from, to, begin, end]) = numbers(&bytes) {
            let size = log.metadata()?.len();
            at = if size >= end { to } else { from };
            if size > begin && size < end {
                log.set_len(begin)?;
            }
        }
        let masker = Masker::new(secrets);
        Ok(Self { log, note, masker, at, read: at, out: Vec::new() })
    }

    /// How much of the host's log has come: from there on it is wanted.
    pub(crate) fn read(&self) -> u64 {
        self.read
    }

    /// Takes in the next bytes of the host's log.
    ///
    /// # Errors
    /// The disk takes no more. Then this is of no use any more; a new one goes on where it stands.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.masker.push(bytes, &mut self.out);
        self.read += bytes.len() as u64;
        self.add()
    }

    /// The host's log has ended.
    ///
    /// # Errors
    /// As [`Mirror::push`].
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.masker.finish(&mut self.out);
        self.add()?;
        self.log.sync_data()
    }

    fn add(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let to = self.read - self.masker.held() as u64;
        let begin = self.log.metadata()?.len();
        let note = [self.at, to, begin, begin + self.out.len() as u64];
        let bytes: Vec<u8> = note.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.note.write_all_at(&bytes, 0)?;
        self.log.write_all(&self.out)?;
        self.out.clear();
        self.at = to;
        Ok(())
    }
}

fn numbers(bytes: &[u8]) -> Option<[u64; 4]> {
    let mut numbers = [0; 4];
    if bytes.len() != 32 {
        return None;
    }
    for (number, bytes) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
        *number = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    Some(numbers)
}

/// Makes the folder of an attempt.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a small file that is whole or not there.
pub(crate) fn write_whole(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    make_folder(folder)?;
    let aside = folder.join(format!("{name}.new"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&aside, folder.join(name))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_comes_once_wherever_it_was_cut() {
        let dir = tempfile::tempdir().expect("a folder");
        let secrets = [Secret::new("s", "hunter22")];
        let source = b"one\nhunter22 two hunt\nthree hunter2";
        let path = dir.path().join(LOG);
        for cut in 0..source.len() {
            fs::remove_file(&path)
                .or_else(|error| match error.kind() {
                    io::ErrorKind::NotFound => Ok(()),
                    _ => Err(error),
                })
                .expect("ours");
            let _none = fs::remove_file(dir.path().join(NOTE));
            let mut mirror = Mirror::open(dir.path(), &secrets).expect("opens");
            mirror.push(&source[..cut / 2]).expect("writes");
            mirror.push(&source[cut / 2..cut]).expect("writes");
            drop(mirror);
            // The last piece was noted, and only half of it reached the disk.
            let size = fs::metadata(&path).map_or(0, |log| log.len());
            if cut % 3 == 1 && size > 0 {
                let bytes = fs::read(dir.path().join(NOTE)).expect("reads");
                let [_, _, begin, end] = numbers(&bytes).expect("a note");
                let half = begin + (end - begin) / 2;
                File::options()
                    .write(true)
                    .open(&path)
                    .and_then(|log| log.set_len(half))
                    .expect("cuts");
            }
            let mut mirror = Mirror::open(dir.path(), &secrets).expect("opens");
            let at = mirror.read() as usize;
            assert!(at <= cut);
            mirror.push(&source[at..]).expect("writes");
            mirror.finish().expect("writes");
            let text = fs::read_to_string(&path).expect("reads");
            assert_eq!(text, "one\n*** two hunt\nthree hunter2", "cut at {cut}");
        }
    }
}
