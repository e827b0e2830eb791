//! A log as HTML: escape sequences for colours become classes, all others are dropped, everything else is escaped.

use std::fmt::Write as _;

/// How text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    colour: Option<u8>,
    is_bold: bool,
    is_faint: bool,
    is_underlined: bool,
    is_inverse: bool,
}

impl Look {
    fn class(self) -> String {
        let mut class = String::new();
        if let Some(colour) = self.colour {
            let _ = write!(class, "c{colour} ");
        }
        for (is_so, name) in [
            (self.is_bold, "b "),
            (self.is_faint, "f "),
            (self.is_underlined, "u "),
            (self.is_inverse, "i "),
        ] {
            if is_so {
                class.push_str(name);
            }
        }
        class.truncate(class.trim_end().len());
        class
    }

    /// Takes the numbers of an SGR sequence in.
    fn take(&mut self, numbers: &str) {
        let mut codes = numbers.split([';', ':']).map(|code| code.parse::<u16>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Self::default(),
                1 => self.is_bold = true,
                2 => self.is_faint = true,
                4 => self.is_underlined = true,
                7 => self.is_inverse = true,
                22 => (self.is_bold, self.is_faint) = (false, false),
                24 => self.is_underlined = false,
                27 => self.is_inverse = false,
                30..=37 => self.colour = Some((code - 30) as u8),
                90..=97 => self.colour = Some((code - 90 + 8) as u8),
                39 => self.colour = None,
                38 | 48 => {
                    // A colour of 256 or of 16 million: the nearest of ours, for what stands in front.
                    let found = match codes.next() {
                        Some(5) => codes.next().map(of_256),
                        Some(2) => {
                            let mut next = || codes.next().unwrap_or(0);
                            Some(of_rgb(next(), next(), next()))
                        }
                        _ => None,
                    };
                    if code == 38 {
                        self.colour = found;
                    }
                }
                _ => {}
            }
        }
    }
}

fn of_256(code: u16) -> u8 {
    match code {
        0..16 => code as u8,
        16..232 => {
            let level = |part: u16| part * 51;
            let cube = code - 16;
            of_rgb(level(cube / 36), level(cube / 6 % 6), level(cube % 6))
        }
        _ if code >= 244 => 7,
        _ => 8,
    }
}

fn of_rgb(red: u16, green: u16, blue: u16) -> u8 {
    let most = red.max(green).max(blue);
    if most < 48 {
        return 8;
    }
    let bit = |part: u16, bit: u8| if part * 2 > most { bit } else { 0 };
    bit(red, 1) | bit(green, 2) | bit(blue, 4)
}

/// Turns bytes of a log into HTML, piece by piece; how text looks goes on from line to line.
#[derive(Debug, Default)]
pub(crate) struct Painter {
    look: Look,
}

impl Painter {
    /// One line, without its end. What a carriage return goes back over is what a terminal would show last.
    pub(crate) fn line(&mut self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end_matches('\r');
        let text = text.rsplit('\r').next().unwrap_or_default();
        let mut out = String::with_capacity(text.len() + 16);
        let mut open = false;
        let mut is_new = true;
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter == '\u{1b}' {
                is_new |= self.sequence(&mut letters);
                continue;
            }
            if is_new {
                if open {
                    out.push_str("</span>");
                }
                let class = self.look.class();
                open = !class.is_empty();
                if open {
                    let _ = write!(out, "<span class=\"{class}\">");
                }
                is_new = false;
            }
            match letter {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                '\t' => out.push('\t'),
                // Letters that turn the direction of text could show a command as another one.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
                letter if letter.is_control() => out.push('\u{fffd}'),
                letter => out.push(letter),
            }
        }
        if open {
            out.push_str("</span>");
        }
        out
    }

    /// Reads the rest of an escape sequence; whether text looks different from here on.
    fn sequence(&mut self, letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
        match letters.next() {
            Some('[') => {
                let mut numbers = String::new();
                for letter in letters.by_ref() {
                    if ('\u{40}'..='\u{7e}').contains(&letter) {
                        if letter == 'm' {
                            self.look.take(&numbers);
                            return true;
                        }
                        return false;
                    }
                    numbers.push(letter);
                }
                false
            }
            Some(']') => {
                // A title or a link: up to BEL or ESC \.
                while let Some(letter) = letters.next() {
                    if letter == '\u{7}' {
                        break;
                    }
                    if letter == '\u{1b}' {
                        letters.next_if_eq(&'\\');
                        break;
                    }
                }
                false
            }
            Some(_) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(text: &str) -> String {
        Painter::default().line(text.as_bytes())
    }

    #[test]
    fn colours_become_classes_and_nothing_else_gets_through() {
        for (text, html) in [
            ("plain", "plain"),
            ("<b onclick='x'>&", "&lt;b onclick=&#39;x&#39;&gt;&amp;"),
            ("\u{1b}[31mred\u{1b}[0m on", "<span class=\"c1\">red</span> on"),
            ("\u{1b}[1;92mok", "<span class=\"c10 b\">ok</span>"),
            ("\u{1b}[38;5;196mx\u{1b}[39my", "<span class=\"c1\">x</span>y"),
            ("\u{1b}]8;;http://evil\u{1b}\\link\u{1b}]8;;\u{7}", "link"),
            ("\u{1b}[2Ja\u{7}b", "a\u{fffd}b"),
            ("10%\r50%\r100%", "100%"),
            ("done\r", "done"),
            ("\u{202e}txt", "\u{fffd}txt"),
            ("\u{1b}[31", ""),
        ] {
            assert_eq!(painted(text), html, "{text:?}");
        }
        assert_eq!(Painter::default().line(b"\xff<"), "\u{fffd}&lt;");
    }

    #[test]
    fn a_colour_goes_on_in_the_next_line() {
        let mut painter = Painter::default();
        assert_eq!(painter.line(b"\x1b[32ma"), "<span class=\"c2\">a</span>");
        assert_eq!(painter.line(b"b"), "<span class=\"c2\">b</span>");
    }
}
