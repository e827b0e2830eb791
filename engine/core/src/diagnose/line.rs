//! Log lines as a person would see them.

use std::borrow::Cow;

/// The line without terminal control sequences (ECMA-48: CSI, OSC and short escapes) and backspaces.
pub(super) fn without_controls(line: &[u8]) -> Cow<'_, [u8]> {
    const ESCAPE: u8 = 0x1b;
    if memchr::memchr2(ESCAPE, 0x08, line).is_none() {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((&first, tail)) = rest.split_first() {
        rest = match (first, tail.first()) {
            (ESCAPE, Some(b'[')) => {
                let end = tail[1..].iter().position(|byte| (0x40..=0x7e).contains(byte));
                end.map_or(&[], |end| &tail[end + 2..])
            }
            (ESCAPE, Some(b']')) => {
                let end = tail.iter().position(|byte| matches!(*byte, 0x07 | 0x9c | ESCAPE));
                end.map_or(&[], |end| {
                    let is_long = tail[end] == ESCAPE && tail.get(end + 1) == Some(&b'\\');
                    &tail[end + 1 + usize::from(is_long)..]
                })
            }
            (ESCAPE, Some(_)) => {
                let end = tail.iter().position(|byte| !(0x20..=0x2f).contains(byte));
                end.map_or(&[], |end| &tail[end + 1..])
            }
            (ESCAPE, None) => tail,
            (0x08, _) => {
                out.pop();
                tail
            }
            _ => {
                out.push(first);
                tail
            }
        };
    }
    Cow::Owned(out)
}

/// The parts of a line that were shown one over the other (`\r`), none blank.
pub(super) fn overprints(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b'\r').filter(|part| !part.trim_ascii().is_empty())
}

/// What is left to see of a line, as text of at most `most` bytes.
pub(super) fn shown(line: &[u8], most: usize) -> String {
    let line = &line[..line.len().min(most * 4)];
    let clean = without_controls(line);
    let last = overprints(&clean).last().unwrap_or_default();
    let mut text = String::from_utf8_lossy(last).into_owned();
    if text.len() > most {
        let cut = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('\u{2026}');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_titles_and_progress_are_gone() {
        let line = b"\x1b]0;title\x07\x1b[1;31mConnection\x1b[0m ref\x1b(Bused ab\x08c";
        assert_eq!(without_controls(line), &b"Connection refused ac"[..]);
        assert_eq!(shown(b" 10%\r 20%\r\x1b[31mdone\x1b[m\r", 100), "done");
        assert_eq!(shown("\u{4e2d}\u{4e2d}".as_bytes(), 4), "\u{4e2d}\u{2026}");
        for cut in 0..line.len() {
            let _ = without_controls(&line[..cut]);
        }
    }
}
