//! Parts of attempts' logs, for pages: a window of lines, a search, in constant memory whatever the log's size is.

use std::io;
use std::path::Path;

use weir_engine::logs::Reader;

use crate::ansi::Painter;

/// The bytes of one window.
const WINDOW: u64 = 192 * 1024;
/// The longest line that is shown whole.
const LONGEST: usize = 8 * 1024;
/// The most lines that a search finds.
const MOST_FOUND: usize = 200;
/// What a search reads at once, and at most.
const PIECE: u64 = 1024 * 1024;
const MOST_READ: u64 = 512 * 1024 * 1024;

/// A line, ready to be shown.
pub(crate) struct Line {
    /// Where it begins in the log.
    pub(crate) at: u64,
    pub(crate) html: String,
}

/// Lines that stand together.
pub(crate) struct Window {
    pub(crate) lines: Vec<Line>,
    /// Where the window before this one begins, if there is more.
    pub(crate) before: Option<u64>,
    /// Where the window after this one begins, if there is more.
    pub(crate) after: Option<u64>,
    pub(crate) size: u64,
    /// Where the next byte will be written: what a reader who follows the log has seen.
    pub(crate) end: u64,
}

/// The window that begins with the line in which `from` stands; the last one if that is not said.
pub(crate) fn window(folder: &Path, from: Option<u64>) -> io::Result<Window> {
    let mut reader = match Reader::open(folder) {
        Ok(reader) => reader,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Window { lines: Vec::new(), before: None, after: None, size: 0, end: 0 });
        }
        Err(error) => return Err(error),
    };
    let size = reader.size()?;
    let wanted = from.unwrap_or(size.saturating_sub(WINDOW)).min(size);
    let start = line_start(&mut reader, wanted)?;
    let bytes = reader.read(start..start + WINDOW)?;
    let end = (start + WINDOW).min(size);
    let is_last = end >= size;
    // A line that the window cuts off belongs to the next one.
    let cut = if is_last {
        bytes.len()
    } else {
        bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1)
    };
    let shown = &bytes[..cut];
    let end = if is_last { size } else { start + cut as u64 };
    Ok(Window {
        lines: lines(shown, start),
        before: (start > 0).then(|| start.saturating_sub(WINDOW)),
        after: (!is_last).then_some(end),
        size,
        end,
    })
}

/// Where the line begins in which a byte stands; no further back than a long line goes.
fn line_start(reader: &mut Reader, at: u64) -> io::Result<u64> {
    if at == 0 {
        return Ok(0);
    }
    let from = at.saturating_sub(LONGEST as u64);
    let before = reader.read(from..at)?;
    Ok(match before.iter().rposition(|byte| *byte == b'\n') {
        Some(place) => from + place as u64 + 1,
        None => from,
    })
}

/// Bytes as lines that are ready to be shown.
pub(crate) fn lines(bytes: &[u8], start: u64) -> Vec<Line> {
    let mut painter = Painter::default();
    let mut at = start;
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let mut html = painter.line(&text[..text.len().min(LONGEST)]);
        if text.len() > LONGEST {
            html.push_str(" […]");
        }
        lines.push(Line { at, html });
        at += line.len() as u64;
    }
    lines
}

/// The first lines in which a text stands, whatever the case of its letters, and whether there may be more.
pub(crate) fn search(folder: &Path, text: &str) -> io::Result<(Vec<Line>, bool)> {
    let wanted = text.to_lowercase();
    let mut found = Vec::new();
    let mut reader = match Reader::open(folder) {
        Ok(reader) => reader,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((found, false)),
        Err(error) => return Err(error),
    };
    let size = reader.size()?;
    let mut at = 0;
    while at < size.min(MOST_READ) {
        let bytes = reader.read(at..at + PIECE)?;
        let is_last = at + PIECE >= size;
        let cut = if is_last {
            bytes.len()
        } else {
            bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes.len(), |place| place + 1)
        };
        let mut place = at;
        for line in bytes[..cut].split_inclusive(|byte| *byte == b'\n') {
            if String::from_utf8_lossy(line).to_lowercase().contains(&wanted) {
                found.extend(lines(line, place));
                if found.len() >= MOST_FOUND {
                    return Ok((found, true));
                }
            }
            place += line.len() as u64;
        }
        if cut == 0 || is_last {
            break;
        }
        at += cut as u64;
    }
    Ok((found, size > MOST_READ))
}
