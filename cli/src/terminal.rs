//! A part of the terminal that is drawn again in place.

use std::io::{IsTerminal as _, Write as _};

/// The lines that are on the terminal now.
pub(crate) struct Terminal {
    shown: Vec<String>,
}

impl Terminal {
    /// The terminal at standard error, if there is one that can be drawn on.
    pub(crate) fn find() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        (std::io::stderr().is_terminal() && !is_dumb).then(|| Self { shown: Vec::new() })
    }

    /// Columns and rows. It may change at any time.
    pub(crate) fn size() -> (usize, usize) {
        match rustix::termios::tcgetwinsize(std::io::stderr()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (usize::from(size.ws_col), usize::from(size.ws_row))
            }
            Ok(_) | Err(_) => (80, 24),
        }
    }

    /// Draws the lines in place of those drawn before, if they differ. None may be wider than the terminal.
    pub(crate) fn draw(&mut self, lines: Vec<String>) {
        if lines == self.shown {
            return;
        }
        let text = redraw(&self.shown, &lines);
        self.shown = lines;
        write(&text);
    }

    /// Takes what was drawn away.
    pub(crate) fn clear(&mut self) {
        self.draw(Vec::new());
    }
}

/// In one piece, so that no half picture is seen.
fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    // A terminal that is gone shows nothing, and that is all.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// What makes the terminal show `lines` where it shows `before`: only the lines that differ are written.
fn redraw(before: &[String], lines: &[String]) -> String {
    let same = before.iter().zip(lines).take_while(|(one, other)| one == other).count();
    let mut text = String::from("\x1b[?2026h");
    if before.len() > same {
        add!(text, "\x1b[{}A", before.len() - same);
    }
    text.push('\r');
    for line in &lines[same..] {
        text.push_str(line);
        text.push_str("\x1b[K\n");
    }
    if lines.len() < before.len() {
        text.push_str("\x1b[J");
    }
    text.push_str("\x1b[?2026l");
    text
}

/// How many columns a letter takes: two for those of East Asian scripts and most pictures, none for marks that combine.
fn columns(letter: char) -> usize {
    match u32::from(letter) {
        0x0300..=0x036f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1_f300..=0x1_faff
        | 0x2_0000..=0x3_fffd => 2,
        _ => 1,
    }
}

/// How many columns a text without control sequences takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// The text cut to so many columns; `ellipsis` (one column) stands for the rest.
pub(crate) fn cut(text: &str, room: usize, ellipsis: &str) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for letter in text.chars() {
        let columns = columns(letter);
        if used + columns + 1 > room {
            break;
        }
        used += columns;
        out.push(letter);
    }
    if room > 0 {
        out.push_str(ellipsis);
    }
    out
}

/// A line of a log as it may stand on a terminal: no control sequences, no bytes that are no text.
pub(crate) fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    // What follows a carriage return is what a terminal would show.
    let text = text.trim_end_matches(['\r', '\n']);
    let text = text.rsplit('\r').next().unwrap_or(text);
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            // ECMA-48: CSI ends with a letter from @ to ~, OSC with BEL or ST; others are two letters long.
            '\x1b' => match letters.next() {
                Some('[') => {
                    while letters.next().is_some_and(|next| !('@'..='~').contains(&next)) {}
                }
                Some(']') => {
                    while letters.next().is_some_and(|next| next != '\x07' && next != '\x1b') {}
                }
                Some(_) | None => {}
            },
            '\t' => out.push(' '),
            letter if letter.is_control() => {}
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_written() {
        let lines = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let plain = |text: String| {
            text.replace("\x1b[?2026h", "").replace("\x1b[?2026l", "").replace('\x1b', "^")
        };
        assert_eq!(plain(redraw(&[], &lines("a b"))), "\ra^[K\nb^[K\n");
        assert_eq!(plain(redraw(&lines("a b"), &lines("a c"))), "^[1A\rc^[K\n");
        assert_eq!(plain(redraw(&lines("a b c"), &lines("a"))), "^[2A\r^[J");
        assert_eq!(plain(redraw(&lines("a"), &lines("a b"))), "\rb^[K\n");
    }

    #[test]
    fn texts_are_cut_to_columns() {
        assert_eq!(cut("abcdef", 6, "…"), "abcdef");
        assert_eq!(cut("abcdefg", 6, "…"), "abcde…");
        assert_eq!(cut("检查名称", 8, "…"), "检查名称");
        assert_eq!(cut("检查名称", 7, "…"), "检查名…");
        assert_eq!(cut("检查名称", 6, "…"), "检查…");
        assert_eq!(cut("abc", 0, "…"), "");
    }

    #[test]
    fn a_log_line_can_not_take_over_the_terminal() {
        assert_eq!(clean(b"\x1b[31mred\x1b[0m \x1b]0;title\x07end\x00\x08\n"), "red end");
        assert_eq!(clean(b"10%\r20%\r30%\r\n"), "30%");
        assert_eq!(clean(b"a\tb\xff"), "a b\u{fffd}");
    }
}
