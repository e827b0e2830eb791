//! The logs of attempts: reading parts of them, their last lines, following them, and lines of our own.
//!
//! A log is the raw bytes of the work. Beside it `log.index` tells, about a second apart, how large the log was at
//! which time, and which part of a log that grew too large was dropped.

use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use weir_core::job_type::Log;
use weir_core::log_index::Entry;
use weir_core::mask;
use weir_core::secret::Secret;
use weir_core::time::Timestamp;

use crate::supervise::folder::{self, INDEX, LOG};
use crate::supervise::sys;

/// What is read at once.
const PIECE: u64 = 64 * 1024;
/// The most that [`Follow::next`] hands out at once.
const CHUNK: u64 = 256 * 1024;
/// How often to look where nothing tells of changes.
const LOOK: Duration = Duration::from_millis(100);
/// How often to look where something does: it may be lost.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// A log being read.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    file: File,
    index: Index,
}

/// What `log.index` tells.
#[derive(Debug, Default)]
struct Index {
    /// The size of the file that was read.
    size: u64,
    /// Sizes of the log and when it had them, both ascending.
    points: Vec<(u64, Timestamp)>,
    hole: Option<Range<u64>>,
}

impl Reader {
    /// Opens the log in an attempt's folder.
    ///
    /// # Errors
    /// `NotFound` if there is none (yet).
    pub fn open(folder: &Path) -> io::Result<Self> {
        let file = File::open(folder.join(LOG))?;
        let index = Index::read(folder)?;
        Ok(Self { folder: folder.to_owned(), file, index })
    }

    /// Its size in bytes, dropped ones included: where the next byte will stand.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// The bytes of a range, as far as they are there. Where bytes were dropped a line says how many.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn read(&mut self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.copy(range, &mut out)?;
        Ok(out)
    }

    /// As [`Self::read`], in constant memory.
    ///
    /// # Errors
    /// The file can't be read, or `out` takes no more.
    pub fn copy(&mut self, range: Range<u64>, out: &mut dyn Write) -> io::Result<()> {
        let mut at = range.start;
        let end = range.end.min(self.size()?);
        let mut buffer = vec![0; PIECE.min(end.saturating_sub(at)) as usize];
        while at < end {
            let mut stop = end.min(at + PIECE);
            if let Some(hole) = &self.index.hole {
                if hole.contains(&at) {
                    out.write_all(dropped(hole.end - hole.start).as_bytes())?;
                    at = hole.end;
                    continue;
                }
                if at < hole.start {
                    stop = stop.min(hole.start);
                }
            }
            let count = self.file.read_at(&mut buffer[..(stop - at) as usize], at)?;
            if count == 0 {
                break;
            }
            // The part may have been dropped while it was read; the index is always written first.
            if self.refresh()? && self.index.overlaps(&(at..at + count as u64)) {
                continue;
            }
            out.write_all(&buffer[..count])?;
            at += count as u64;
        }
        Ok(())
    }

    /// Where the last `lines` lines begin.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn tail_start(&mut self, lines: usize) -> io::Result<u64> {
        let size = self.size()?;
        let first = self.index.hole.as_ref().map_or(0, |hole| hole.end.min(size));
        let mut buffer = vec![0; PIECE as usize];
        let mut at = size;
        let mut left = lines;
        while at > first {
            let from = at.saturating_sub(PIECE).max(first);
            let piece = &mut buffer[..(at - from) as usize];
            self.file.read_exact_at(piece, from)?;
            // The newline at the very end closes the last line, and begins none.
            let closing = usize::from(at == size && piece.last() == Some(&b'\n'));
            for place in (0..piece.len() - closing).rev() {
                if piece[place] == b'\n' {
                    left = left.saturating_sub(1);
                    if left == 0 || lines == 0 {
                        return Ok(if lines == 0 { size } else { from + place as u64 + 1 });
                    }
                }
            }
            at = from;
        }
        Ok(match &self.index.hole {
            _ if lines == 0 => size,
            // What was dropped shows as a line.
            Some(hole) => hole.start,
            None => 0,
        })
    }

    /// The part that was dropped because the log grew too large. [`Self::read`] has a line in its place.
    pub fn hole(&self) -> Option<Range<u64>> {
        self.index.hole.clone()
    }

    /// When the bytes at these offsets had been written: as [`Self::time_at`], for many.
    ///
    /// # Errors
    /// The index can't be read.
    pub fn times(&mut self, offsets: &[u64]) -> io::Result<Vec<Option<Timestamp>>> {
        self.refresh()?;
        let points = &self.index.points;
        let time = |offset: &u64| {
            let place = points.partition_point(|(size, _)| size <= offset);
            points.get(place).map(|(_, at)| *at)
        };
        Ok(offsets.iter().map(time).collect())
    }

    /// When the byte at `offset` had been written, to about a second; `None` in a log that nothing was noted of: its
    /// job ran for less than a second.
    ///
    /// # Errors
    /// The index can't be read.
    pub fn time_at(&mut self, offset: u64) -> io::Result<Option<Timestamp>> {
        self.refresh()?;
        let place = self.index.points.partition_point(|(size, _)| *size <= offset);
        Ok(self.index.points.get(place).map(|(_, at)| *at))
    }

    /// Where that stands which was written at `time` or later, to about a second.
    ///
    /// # Errors
    /// The index can't be read.
    pub fn offset_at(&mut self, time: Timestamp) -> io::Result<u64> {
        self.refresh()?;
        let place = self.index.points.partition_point(|(_, at)| *at <= time);
        Ok(place.checked_sub(1).map_or(0, |before| self.index.points[before].0))
    }

    /// Reads the index again if there is more of it.
    fn refresh(&mut self) -> io::Result<bool> {
        match fs::metadata(self.folder.join(INDEX)) {
            Ok(index) if index.len() != self.index.size => {
                self.index = Index::read(&self.folder)?;
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// A part of an attempt's log. See [`Reader::read`].
///
/// # Errors
/// `NotFound` if there is none (yet), or it can't be read.
pub fn read(folder: &Path, range: Range<u64>) -> io::Result<Vec<u8>> {
    Reader::open(folder)?.read(range)
}

/// The last lines of an attempt's log.
///
/// # Errors
/// `NotFound` if there is none (yet), or it can't be read.
pub fn tail(folder: &Path, lines: usize) -> io::Result<Vec<u8>> {
    let mut reader = Reader::open(folder)?;
    let start = reader.tail_start(lines)?;
    reader.read(start..u64::MAX)
}

impl Index {
    fn read(folder: &Path) -> io::Result<Self> {
        let bytes = match fs::read(folder.join(INDEX)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut index = Self { size: bytes.len() as u64, ..Self::default() };
        for entry in Entry::all(&bytes) {
            match entry {
                Entry::Point(size, at) => index.points.push((size, at)),
                Entry::Hole(begin, end) => index.hole = Some(begin..end),
            }
        }
        Ok(index)
    }

    fn overlaps(&self, range: &Range<u64>) -> bool {
        self.hole.as_ref().is_some_and(|hole| range.start < hole.end && hole.start < range.end)
    }
}

/// What stands in a log where so many bytes were dropped.
pub(crate) fn dropped(bytes: u64) -> String {
    format!("\n[... {} dropped ...]\n", bytes_text(bytes))
}

fn bytes_text(bytes: u64) -> String {
    for (unit, size) in [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)] {
        if bytes >= size {
            // Not `bytes * 10`: a damaged index may tell of any number.
            let tenths = bytes / (size / 10);
            return if tenths >= 100 || tenths.is_multiple_of(10) {
                format!("{} {unit}", tenths / 10)
            } else {
                format!("{}.{} {unit}", tenths / 10, tenths % 10)
            };
        }
    }
    format!("{bytes} bytes")
}

/// A log that is read while it grows.
#[derive(Debug)]
pub struct Follow {
    folder: PathBuf,
    at: u64,
    reader: Option<Reader>,
    watch: Option<AsyncFd<sys::Watch>>,
}

impl Follow {
    /// Follows the log of an attempt from an offset on. Neither the log nor the folder need be there yet.
    pub fn new(folder: &Path, from: u64) -> Self {
        Self { folder: folder.to_owned(), at: from, reader: None, watch: None }
    }

    /// Where the next byte will come from.
    pub fn offset(&self) -> u64 {
        self.at
    }

    /// Waits for more of the log; `None` when the work has ended and all of its log was handed out. Work without
    /// processes of its own leaves no end in its folder: for that, stop waiting when its task has ended and take
    /// [`Self::rest`]. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// The log can't be read.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if self.watch.is_none() {
                // Without (the folder is not there, or there are too many watches) we look now and then.
                self.watch =
                    sys::Watch::folder(&self.folder).ok().and_then(|watch| watch.awaitable().ok());
            }
            if let Some(watch) = &self.watch {
                watch.get_ref().clear();
            }
            // Before the log is looked at: what came before the end is in the log by then.
            let is_over = match folder::end(&self.folder) {
                Ok(end) => end.is_some(),
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Err(error),
                Err(_) => false,
            };
            if let Some(piece) = self.piece()? {
                return Ok(Some(piece));
            }
            if is_over {
                return Ok(None);
            }
            match &self.watch {
                Some(watch) => {
                    let ready = tokio::time::timeout(LOOK_ANYWAY, watch.readable()).await;
                    if let Ok(Ok(mut ready)) = ready {
                        ready.clear_ready();
                    }
                }
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// All that is there and was not handed out yet.
    ///
    /// # Errors
    /// The log can't be read.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        while let Some(piece) = self.piece()? {
            rest.extend_from_slice(&piece);
        }
        Ok(rest)
    }

    fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.reader.is_none() {
            match Reader::open(&self.folder) {
                Ok(reader) => self.reader = Some(reader),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let size = reader.size()?;
        if size <= self.at {
            return Ok(None);
        }
        reader.refresh()?;
        let mut end = size.min(self.at + CHUNK);
        if let Some(hole) = &reader.index.hole
            && hole.start <= self.at
        {
            end = end.max(hole.end.min(size));
        }
        let piece = reader.read(self.at..end)?;
        self.at = end;
        Ok(Some(piece))
    }
}

/// The log of work that has no processes of its own.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    secrets: Arc<[Secret]>,
}

impl Writer {
    /// Writes to the log in an attempt's folder, which is made when the first line comes, and may still be launched in.
    pub fn new(folder: PathBuf, secrets: Arc<[Secret]>) -> Self {
        Self { folder, secrets }
    }

    fn add(&self, text: &str) -> io::Result<()> {
        folder::make_for_log(&self.folder)?;
        let mut line = mask::mask(text, &self.secrets);
        line.push('\n');
        // Opened anew each time: a log held open for writing would count as held by the work.
        folder::open_log(&self.folder)?.write_all(line.as_bytes())
    }
}

impl Log for Writer {
    fn line(&self, text: &str) {
        if let Err(error) = self.add(text) {
            tracing::warn!(folder = %self.folder.display(), %error, "a line of a log was dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(content: &[u8], index: &[Entry]) -> (tempfile::TempDir, Reader) {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        fs::write(dir.path().join(LOG), content).expect("writes");
        let bytes: Vec<u8> = index.iter().flat_map(|entry| entry.record()).collect();
        fs::write(dir.path().join(INDEX), bytes).expect("writes");
        let reader = Reader::open(dir.path()).expect("opens");
        (dir, reader)
    }

    #[test]
    fn the_last_lines() {
        let (_dir, mut reader) = log(b"one\ntwo\nthree\n", &[]);
        let mut tail = |lines| reader.tail_start(lines).expect("reads");
        assert_eq!((tail(0), tail(1), tail(2), tail(3), tail(9)), (14, 8, 4, 0, 0));
        let (_dir, mut reader) = log(b"one\ntwo", &[]);
        assert_eq!(reader.tail_start(1).expect("reads"), 4);
        let (_dir, mut reader) = log(b"", &[]);
        assert_eq!(reader.tail_start(1).expect("reads"), 0);
        let long = [vec![b'x'; 3 * PIECE as usize], b"\nend\n".to_vec()].concat();
        let (_dir, mut reader) = log(&long, &[]);
        assert_eq!(reader.tail_start(1).expect("reads"), 3 * PIECE + 1);
        assert_eq!(reader.tail_start(2).expect("reads"), 0);
    }

    #[test]
    fn what_was_dropped_shows_as_a_line() {
        let (dir, mut reader) = log(b"begin....end\n", &[Entry::Hole(5, 7), Entry::Hole(5, 9)]);
        let shown = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let all = shown(reader.read(0..u64::MAX).expect("reads"));
        assert_eq!(all, "begin\n[... 4 bytes dropped ...]\nend\n");
        assert_eq!(shown(reader.read(2..4).expect("reads")), "gi");
        assert_eq!(
            shown(tail(dir.path(), 5).expect("reads")),
            "\n[... 4 bytes dropped ...]\nend\n"
        );
        assert_eq!(
            shown(tail(dir.path(), 1).expect("reads")),
            "\n[... 4 bytes dropped ...]\nend\n"
        );
    }

    #[test]
    fn times_and_offsets() {
        let points = [(0, 1_000), (40, 2_000), (100, 9_000)];
        let points = points.map(|(size, at)| Entry::Point(size, Timestamp::from_millis(at)));
        let (_dir, mut reader) = log(&[0; 100], &points);
        let mut at = |offset| reader.time_at(offset).expect("reads").map(Timestamp::millis);
        assert_eq!(
            (at(0), at(39), at(40), at(99)),
            (Some(2_000), Some(2_000), Some(9_000), Some(9_000))
        );
        assert_eq!(at(100), None);
        let mut from = |ms| reader.offset_at(Timestamp::from_millis(ms)).expect("reads");
        assert_eq!((from(0), from(1_500), from(2_000), from(60_000)), (0, 0, 40, 100));
    }
}
