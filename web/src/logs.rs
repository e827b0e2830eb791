//! Parts of attempts' logs, for pages: windows of lines with their times, in constant memory whatever the log's size is.

mod found;

use std::io;
use std::ops::Range;
use std::path::Path;

use weir_engine::logs::Reader;

use crate::ansi::Painter;
use crate::clock::At;

pub(crate) use found::{error_pattern, search, text_pattern};

/// The bytes of one window.
const WINDOW: u64 = 192 * 1024;
/// The longest line that is shown whole.
const LONGEST: usize = 8 * 1024;

/// A line, ready to be shown.
pub(crate) struct Line {
    /// Where it begins in the log.
    pub(crate) at: u64,
    pub(crate) html: String,
    /// About when it was written, where that is another second than that of the line before.
    pub(crate) when: Option<At>,
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
    /// Whether it is known when its lines were written.
    pub(crate) has_times: bool,
}

/// Bytes that stand together in a log.
pub(crate) struct Piece {
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
    /// Where the next piece begins.
    pub(crate) next: u64,
    /// These are not the log's: they say how much of it was dropped.
    is_dropped: bool,
}

/// What stands at `at` and behind it, no more than `most` bytes. What was dropped is a piece of its own.
pub(crate) fn piece(reader: &mut Reader, at: u64, most: u64) -> io::Result<Piece> {
    let hole = reader.hole();
    if let Some(hole) = &hole
        && hole.contains(&at)
    {
        let bytes = reader.read(hole.start..hole.start + 1)?;
        return Ok(Piece { at: hole.start, bytes, next: hole.end, is_dropped: true });
    }
    let most = at.saturating_add(most);
    let end = hole.filter(|hole| at < hole.start).map_or(most, |hole| most.min(hole.start));
    let bytes = reader.read(at..end)?;
    let next = at + bytes.len() as u64;
    Ok(Piece { at, bytes, next, is_dropped: false })
}

/// The window that begins with the line in which `from` stands; the last one if that is not said.
pub(crate) fn window(folder: &Path, from: Option<u64>) -> io::Result<Window> {
    let mut window =
        Window { lines: Vec::new(), before: None, after: None, size: 0, end: 0, has_times: false };
    let Some(mut reader) = open(folder)? else { return Ok(window) };
    let size = reader.size()?;
    let wanted = from.unwrap_or(size.saturating_sub(WINDOW)).min(size);
    let start = line_start(&mut reader, wanted)?;
    // The last window ends with the log, though the line that it begins with may begin before it.
    let (mut at, mut room) = (start, if from.is_none() { size - start } else { WINDOW });
    while at < size && room > 0 {
        let piece = piece(&mut reader, at, room)?;
        if piece.bytes.is_empty() {
            break;
        }
        // A line that the window cuts off belongs to the next one.
        let is_cut = piece.next - piece.at == room && piece.next < size;
        let cut = if is_cut { whole_lines(&piece.bytes) } else { piece.bytes.len() };
        let shown = &piece.bytes[..cut];
        if piece.is_dropped {
            window.lines.extend(lines(shown.trim_ascii(), piece.at));
            at = piece.next;
        } else {
            window.lines.extend(lines(shown, piece.at));
            at += cut as u64;
        }
        room = room.saturating_sub(piece.bytes.len() as u64);
    }
    window.has_times = tell_times(&mut reader, &mut window.lines)?;
    window.before = (start > 0).then(|| window_before(reader.hole(), start));
    window.after = (at < size).then_some(at);
    window.size = size;
    window.end = at;
    Ok(window)
}

/// A log, if there is one (yet).
pub(crate) fn open(folder: &Path) -> io::Result<Option<Reader>> {
    match Reader::open(folder) {
        Ok(reader) => Ok(Some(reader)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many bytes up to the end of the last whole line; all of them if none ends here.
fn whole_lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1)
}

/// Where the line begins in which a byte stands; no further back than a long line goes.
fn line_start(reader: &mut Reader, at: u64) -> io::Result<u64> {
    let first = match reader.hole() {
        Some(hole) if hole.contains(&at) => return Ok(hole.start),
        Some(hole) if at >= hole.end => hole.end,
        Some(_) | None => 0,
    };
    let from = at.saturating_sub(LONGEST as u64).max(first);
    let before = reader.read(from..at)?;
    let newline = before.iter().rposition(|byte| *byte == b'\n');
    Ok(newline.map_or(from, |place| from + place as u64 + 1))
}

/// Where to begin so that a window ends about here. What was dropped takes no room.
fn window_before(hole: Option<Range<u64>>, start: u64) -> u64 {
    match hole {
        Some(hole) if start >= hole.end && start - hole.end < WINDOW => {
            (hole.start + (start - hole.end)).saturating_sub(WINDOW)
        }
        Some(_) | None => start.saturating_sub(WINDOW),
    }
}

/// Notes when lines were written; whether anything is known of that.
fn tell_times(reader: &mut Reader, lines: &mut [Line]) -> io::Result<bool> {
    let offsets: Vec<u64> = lines.iter().map(|line| line.at).collect();
    let times = reader.times(&offsets)?;
    let mut last = None;
    for (line, time) in lines.iter_mut().zip(&times) {
        if *time != last
            && let Some(time) = *time
        {
            line.when = Some(At::new(time));
        }
        last = *time;
    }
    Ok(times.iter().any(Option::is_some))
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
        lines.push(Line { at, html, when: None });
        at += line.len() as u64;
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A log of 2 MB with a line of 20 bytes after the other, of which the middle was dropped; and its folder.
    fn log_with_a_hole() -> tempfile::TempDir {
        const HOLE: u64 = 1 << 63;
        let dir = tempfile::tempdir().expect("a folder can be made");
        let lines: Vec<String> =
            (0..100_000).map(|number| format!("this is line {number:06}\n")).collect();
        let mut bytes = lines.concat().into_bytes();
        bytes[500_000..1_500_000].fill(0);
        fs::write(dir.path().join("log"), bytes).expect("writes");
        let records =
            [(0, 1_000), (HOLE + 500_000, 1_500_000), (1_600_000, 2_000), (2_000_000, 3_000)];
        let index: Vec<u8> = records
            .iter()
            .flat_map(|(one, other): &(u64, u64)| [one.to_le_bytes(), other.to_le_bytes()])
            .flatten()
            .collect();
        fs::write(dir.path().join("log.index"), index).expect("writes");
        dir
    }

    #[test]
    fn windows_go_through_a_log_whose_middle_was_dropped() {
        let dir = log_with_a_hole();
        let mut seen = Vec::new();
        let mut at = Some(0);
        while let Some(from) = at {
            let found = window(dir.path(), Some(from)).expect("reads");
            seen.extend(found.lines.into_iter().map(|line| line.html));
            at = found.after;
        }
        let dropped = seen.iter().filter(|line| line.contains("dropped")).count();
        assert_eq!((dropped, seen.len()), (1, 50_001), "{:?}", seen.last());
        assert_eq!(seen.first().map(String::as_str), Some("this is line 000000"));
        assert_eq!(seen.last().map(String::as_str), Some("this is line 099999"));

        let mut last = window(dir.path(), None).expect("reads");
        assert_eq!((last.after, last.end), (None, 2_000_000));
        let mut count = 0;
        while let Some(before) = last.before {
            last = window(dir.path(), Some(before)).expect("reads");
            count += 1;
            assert!(count < 20, "it does not come to the beginning");
        }
        assert_eq!(last.lines.first().map(|line| line.at), Some(0));
    }

    #[test]
    fn a_search_skips_what_was_dropped() {
        let dir = log_with_a_hole();
        let pattern = text_pattern("LINE 08000").expect("a pattern");
        let found = search(dir.path(), &pattern, 0, 200).expect("reads");
        let places: Vec<u64> = found.lines.iter().map(|line| line.at).collect();
        assert_eq!((places.len(), places.first()), (10, Some(&1_600_000)));
        let found = search(dir.path(), &text_pattern("line").expect("a pattern"), 0, 200);
        let next = found.expect("reads").next;
        assert_eq!(next, Some(200 * 20));
    }

    #[test]
    fn a_line_tells_its_time_where_that_changes() {
        let dir = log_with_a_hole();
        let found = window(dir.path(), Some(1_550_000)).expect("reads");
        let times: Vec<(u64, &str)> = found
            .lines
            .iter()
            .filter_map(|line| Some((line.at, line.when.as_ref()?.of_day())))
            .collect();
        assert_eq!(times, [(1_550_000, "00:00:02"), (1_600_000, "00:00:03")]);
        assert!(found.has_times);
    }
}
