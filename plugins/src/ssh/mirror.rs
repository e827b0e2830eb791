//! The log of work on a host, copied into the attempt's own: masked, each byte once, whatever ends in between.
//!
//! Before anything is added to the log a note says which bytes of the host's log it will be and where they will stand.
//! Who comes later sees by the size of the log whether that came to pass, and goes on from there.
//!
//! Beside it stands an index as beside every log: when which part of it came. The middle of a log that grows too large is
//! dropped here as it comes, and on the host all that has come.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};
use weir_core::job_type::{AttemptContext, Clock};
use weir_core::log_index::{Bound, Entry, Excess, LIMIT};
use weir_core::mask::Masker;
use weir_core::secret::Secret;
use weir_core::time::Timestamp;

/// The attempt's log.
const LOG: &str = "log";
/// Where in the host's log the last piece of it came from, and where it went.
const NOTE: &str = "remote.at";
/// Where in the log which time is, and what was dropped of it.
const INDEX: &str = "log.index";
/// How far apart the times in the index are.
const PERIOD: Duration = Duration::from_secs(1);
/// How much of the host's log must have come before the host is told to drop it.
const RELEASE: u64 = 64 << 20;

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
    index: Index,
    /// How much of the host's log the host was told to drop.
    released: u64,
}

/// The log's index, being added to.
struct Index {
    file: File,
    bound: Bound,
    clock: Arc<dyn Clock>,
    /// The last size of the log that stands in it.
    size: u64,
    /// When that was noted, or the log was opened.
    at: Timestamp,
    is_empty: bool,
    /// Whether this file system can drop the middle of a file: else a log is as large as it gets.
    drops: bool,
}

impl Index {
    fn open(folder: &Path, limit: Option<u64>, clock: &Arc<dyn Clock>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(folder.join(INDEX))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut bound = Bound::new(limit.unwrap_or(LIMIT));
        let (mut size, mut is_empty) = (0, true);
        for entry in Entry::all(&bytes) {
            is_empty = false;
            match entry {
                Entry::Point(point, _) => size = point,
                Entry::Hole(_, end) => bound.dropped(end),
            }
        }
        let clock = Arc::clone(clock);
        let at = clock.now();
        Ok(Self { file, bound, clock, size, at, is_empty, drops: true })
    }

    fn record(&mut self, entry: Entry) -> io::Result<()> {
        self.file.write_all(&entry.record())?;
        self.is_empty = false;
        Ok(())
    }

    /// The log has grown.
    fn grown(&mut self, log: &File, size: u64, is_over: bool) -> io::Result<()> {
        let now = self.clock.now();
        let is_due = now.since(self.at) >= PERIOD || (is_over && !self.is_empty);
        if is_due && self.size != size {
            if self.is_empty {
                self.record(Entry::Point(0, self.at))?;
            }
            self.record(Entry::Point(size, now))?;
            (self.size, self.at) = (size, now);
        }
        let Some(Excess { begin, from, end }) = self.bound.excess(size).filter(|_| self.drops)
        else {
            return Ok(());
        };
        // First the word, then the deed, as for every log.
        self.record(Entry::Hole(begin, end))?;
        let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(log, how, from, end - from) {
            Ok(()) => self.bound.dropped(end),
            Err(_) => self.drops = false,
        }
        Ok(())
    }
}

impl Mirror {
    /// Opens the log in an attempt's folder, which is made if it is not there.
    ///
    /// # Errors
    /// It can't be made or read.
    pub(crate) fn open(cx: &AttemptContext) -> io::Result<Self> {
        Self::at(&cx.folder, &cx.secrets, cx.limits.log_size, &cx.clock)
    }

    fn at(
        folder: &Path,
        secrets: &[Secret],
        limit: Option<u64>,
        clock: &Arc<dyn Clock>,
    ) -> io::Result<Self> {
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
        let index = Index::open(folder, limit, clock)?;
        Ok(Self { log, note, masker, at, read: at, out: Vec::new(), index, released: at })
    }

    /// How much of the host's log is safe here and may be dropped there, if that is worth a word.
    ///
    /// # Errors
    /// The disk takes no more.
    pub(crate) fn release(&mut self) -> io::Result<Option<u64>> {
        if self.at < self.released + RELEASE {
            return Ok(None);
        }
        self.log.sync_data()?;
        self.note.sync_data()?;
        self.released = self.at;
        Ok(Some(self.at))
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

    /// What comes next of the host's log begins there, and what is missing is gone.
    ///
    /// # Errors
    /// As [`Mirror::push`].
    pub(crate) fn skip(&mut self, to: u64) -> io::Result<()> {
        self.masker.finish(&mut self.out);
        let missing = to.saturating_sub(self.read);
        let words = format!(
            "\n[weir: {missing} bytes are missing here: the host was not reached, and kept no more of its log]\n"
        );
        self.out.extend_from_slice(words.as_bytes());
        self.read = to;
        self.add()
    }

    /// The host's log has ended.
    ///
    /// # Errors
    /// As [`Mirror::push`].
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.masker.finish(&mut self.out);
        self.add()?;
        let size = self.log.metadata()?.len();
        if size == 0 {
            return Ok(());
        }
        self.index.grown(&self.log, size, true)?;
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
        let size = begin + self.out.len() as u64;
        self.out.clear();
        self.at = to;
        self.index.grown(&self.log, size, false)
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

/// Writes a small file that is whole or not there, and stays if the power goes.
pub(crate) fn write_whole(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let (file, aside) = write_aside(folder, name, text)?;
    file.sync_all()?;
    fs::rename(&aside, folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// As [`write_whole`], for what outlives this process and need not outlive the machine's power.
pub(crate) fn write_for_now(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let (_, aside) = write_aside(folder, name, text)?;
    fs::rename(&aside, folder.join(name))
}

fn write_aside(folder: &Path, name: &str, text: &str) -> io::Result<(File, PathBuf)> {
    make_folder(folder)?;
    let aside = folder.join(format!("{name}.new"));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    Ok((file, aside))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// A clock that goes on by a second with each look.
    #[derive(Default)]
    struct Ticks(AtomicI64);

    #[async_trait::async_trait]
    impl Clock for Ticks {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.fetch_add(1_000, Ordering::SeqCst))
        }

        async fn sleep(&self, _span: Duration) {}
    }

    fn open(folder: &Path, secrets: &[Secret], limit: Option<u64>) -> Mirror {
        let clock: Arc<dyn Clock> = Arc::new(Ticks::default());
        Mirror::at(folder, secrets, limit, &clock).expect("opens")
    }

    #[test]
    fn it_is_known_what_came_when_and_what_was_dropped() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut mirror = open(dir.path(), &[], Some(64 << 10));
        for piece in 0..64_u8 {
            mirror.push(&[b'a' + piece % 26; 4096]).expect("writes");
            if piece == 40 {
                // An engine that goes on where another one has ended.
                mirror = open(dir.path(), &[], Some(64 << 10));
            }
        }
        mirror.finish().expect("writes");
        let log = fs::read(dir.path().join(LOG)).expect("reads");
        assert_eq!(log.len(), 64 * 4096, "places in it stay what they were");
        let entries: Vec<Entry> =
            Entry::all(&fs::read(dir.path().join(INDEX)).expect("reads")).collect();
        let hole = entries.iter().rev().find_map(|entry| match entry {
            Entry::Hole(begin, end) => Some(*begin..*end),
            Entry::Point(..) => None,
        });
        let hole = hole.expect("it was too large");
        assert_eq!(hole, 16 << 10..(256 - 48) << 10);
        let (begin, end) = (hole.start as usize, hole.end as usize);
        assert!(log[begin..end].iter().all(|byte| *byte == 0));
        assert!(log[..begin].iter().chain(&log[end..]).all(|byte| *byte != 0));
        let blocks = std::os::unix::fs::MetadataExt::blocks(
            &fs::metadata(dir.path().join(LOG)).expect("it is there"),
        );
        assert!(blocks * 512 <= 80 << 10, "{blocks} blocks");
        let sizes: Vec<u64> = entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Point(size, _) => Some(*size),
                Entry::Hole(..) => None,
            })
            .collect();
        assert!(
            sizes.is_sorted() && sizes[0] == 0 && sizes.last() == Some(&(256 << 10)),
            "{sizes:?}"
        );
    }

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
            for beside in [NOTE, INDEX] {
                let _none = fs::remove_file(dir.path().join(beside));
            }
            let mut mirror = open(dir.path(), &secrets, None);
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
            let mut mirror = open(dir.path(), &secrets, None);
            let at = mirror.read() as usize;
            assert!(at <= cut);
            mirror.push(&source[at..]).expect("writes");
            mirror.finish().expect("writes");
            let text = fs::read_to_string(&path).expect("reads");
            assert_eq!(text, "one\n*** two hunt\nthree hunter2", "cut at {cut}");
        }
    }
}
