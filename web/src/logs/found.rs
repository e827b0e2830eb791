//! Lines of a log in which something stands. One look takes a bounded time, and says from where the next one goes on.

use std::io;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use regex::bytes::{Regex, RegexBuilder};

use super::{Line, lines, open, piece, whole_lines};

/// What is read at once.
const PIECE: u64 = 1024 * 1024;
/// How long one look takes at most.
const PATIENCE: Duration = Duration::from_millis(600);

/// What a look found.
pub(crate) struct Found {
    pub(crate) lines: Vec<Line>,
    /// From where to look on, if the log goes on there.
    pub(crate) next: Option<u64>,
}

/// A text, whatever the case of its letters.
///
/// # Errors
/// It is too long to look for.
pub(crate) fn text_pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&regex::escape(text)).case_insensitive(true).build()
}

/// What the lines of errors have in common.
pub(crate) fn error_pattern() -> Regex {
    static ERRORS: LazyLock<Regex> = LazyLock::new(|| {
        let words = r"\b(error|fatal|exception|panic(ked)?|traceback|fail(ed|ure)|segmentation fault)\b|\w(Error|Exception)\b|错误|失败";
        RegexBuilder::new(words).case_insensitive(true).build().expect("it is written right")
    });
    ERRORS.clone()
}

/// The lines from `from` on in which a pattern matches, no more than `most`.
pub(crate) fn search(folder: &Path, pattern: &Regex, from: u64, most: usize) -> io::Result<Found> {
    let mut found = Found { lines: Vec::new(), next: None };
    let Some(mut reader) = open(folder)? else { return Ok(found) };
    let size = reader.size()?;
    let begun = Instant::now();
    let mut at = from;
    while at < size {
        if begun.elapsed() > PATIENCE {
            found.next = Some(at);
            break;
        }
        let piece = piece(&mut reader, at, PIECE)?;
        if piece.bytes.is_empty() {
            break;
        }
        if piece.is_dropped {
            at = piece.next;
            continue;
        }
        let cut = if piece.next < size { whole_lines(&piece.bytes) } else { piece.bytes.len() };
        let bytes = &piece.bytes[..cut];
        let mut place = 0;
        while place < bytes.len()
            && let Some(hit) = pattern.find_at(bytes, place)
        {
            let is_end = |byte: &u8| *byte == b'\n';
            let start = bytes[..hit.start()].iter().rposition(is_end).map_or(0, |end| end + 1);
            let rest = bytes[hit.end()..].iter().position(is_end);
            place = rest.map_or(bytes.len(), |end| hit.end() + end + 1);
            found.lines.extend(lines(&bytes[start..place], at + start as u64));
            if found.lines.len() >= most {
                let next = at + place as u64;
                found.next = (next < size).then_some(next);
                return Ok(found);
            }
        }
        at += cut as u64;
    }
    Ok(found)
}
