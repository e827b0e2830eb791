//! Commands and what stands in them: quotes, `$(...)`, `${...}`, `$((...))`.

use super::document::Delimiter;
use super::{Frame, Reader};

impl Reader {
    pub(super) fn in_commands(&mut self, letter: char, is_double: bool) {
        if self.delimiter.is_some() && self.in_delimiter(letter) {
            return;
        }
        if std::mem::take(&mut self.is_escaped) {
            if letter != '\n' {
                self.word = None;
            }
            return;
        }
        let is_after_dollar = std::mem::take(&mut self.is_after_dollar);
        let after_paren = self.after_paren.take();
        let less = std::mem::take(&mut self.less);
        if less == 2 && letter != '<' {
            if is_double {
                self.lost = Some("`<<` inside `((...))` can't be told from a here-document");
                return;
            }
            self.delimiter = Some(Delimiter::default());
            if letter == '-' {
                if let Some(delimiter) = &mut self.delimiter {
                    delimiter.document.strips_tabs = true;
                }
            } else if !self.in_delimiter(letter) {
                self.in_commands(letter, is_double);
            }
            return;
        }
        if letter.is_whitespace() || ";&|()<>".contains(letter) {
            let is_case = self.word.as_deref() == Some("case");
            let is_inside =
                |frame: &Frame| matches!(frame, Frame::Commands { is_substitution: true, .. });
            if is_case && self.frames.iter().any(is_inside) {
                self.lost = Some(
                    "the end of `case` inside `$(...)` can't be told, so what follows can't be quoted",
                );
                return;
            }
        }
        match letter {
            '\\' => self.is_escaped = true,
            '\'' => {
                self.word = None;
                self.frames.push(if is_after_dollar { Frame::Ansi } else { Frame::Single });
            }
            '"' => {
                self.word = None;
                self.frames.push(Frame::Double);
            }
            '`' => {
                self.word = None;
                self.frames.push(Frame::Backtick);
            }
            '$' => {
                self.word = None;
                self.is_after_dollar = !is_after_dollar;
            }
            '{' if is_after_dollar => self.frames.push(Frame::Braces),
            '(' => {
                if after_paren == Some(true) {
                    *self.top() = Frame::Arithmetic { open: 2 };
                    return;
                }
                let is_double = after_paren == Some(false);
                self.frames.push(Frame::Commands { is_substitution: is_after_dollar, is_double });
                self.after_paren = Some(is_after_dollar);
                self.word = Some(String::new());
            }
            ')' => {
                if self.frames.len() > 1 {
                    self.frames.pop();
                }
                self.word = if matches!(self.top(), Frame::Commands { .. }) {
                    Some(String::new())
                } else {
                    None
                };
            }
            '#' if self.word.as_deref() == Some("") && !is_double => {
                self.frames.push(Frame::Comment);
            }
            '<' => {
                // `<<<` is a word on standard input.
                self.less = if less == 2 { 0 } else { less + 1 };
                self.word = Some(String::new());
            }
            '\n' => {
                self.word = Some(String::new());
                self.begin_document();
            }
            _ if letter.is_whitespace() || ";&|>".contains(letter) => {
                self.word = Some(String::new());
            }
            _ => {
                if let Some(word) = &mut self.word
                    && word.len() < 8
                {
                    word.push(letter);
                }
            }
        }
    }

    pub(super) fn in_double(&mut self, letter: char) {
        if std::mem::take(&mut self.is_escaped) {
            return;
        }
        let is_after_dollar = std::mem::take(&mut self.is_after_dollar);
        match letter {
            '\\' => self.is_escaped = true,
            '"' => {
                self.frames.pop();
                self.word = None;
            }
            '`' => self.frames.push(Frame::Backtick),
            '$' => self.is_after_dollar = !is_after_dollar,
            '{' if is_after_dollar => self.frames.push(Frame::Braces),
            '(' if is_after_dollar => {
                self.frames.push(Frame::Commands { is_substitution: true, is_double: false });
                self.after_paren = Some(true);
                self.word = Some(String::new());
            }
            _ => {}
        }
    }

    pub(super) fn in_braces(&mut self, letter: char) {
        if std::mem::take(&mut self.is_escaped) {
            return;
        }
        let is_after_dollar = std::mem::take(&mut self.is_after_dollar);
        match letter {
            '\\' => self.is_escaped = true,
            '}' => {
                self.frames.pop();
            }
            '"' => self.frames.push(Frame::Double),
            '\'' if self.frames.contains(&Frame::Double) => {
                self.lost =
                    Some("shells differ on `'` inside \"${...}\", so what follows can't be quoted");
            }
            '\'' => self.frames.push(Frame::Single),
            '`' => self.frames.push(Frame::Backtick),
            '$' => self.is_after_dollar = !is_after_dollar,
            '{' if is_after_dollar => self.frames.push(Frame::Braces),
            '(' if is_after_dollar => {
                self.frames.push(Frame::Commands { is_substitution: true, is_double: false });
                self.after_paren = Some(true);
                self.word = Some(String::new());
            }
            _ => {}
        }
    }

    pub(super) fn in_arithmetic(&mut self, letter: char, open: u32) {
        let is_after_dollar = std::mem::take(&mut self.is_after_dollar);
        match letter {
            '(' if is_after_dollar => {
                self.frames.push(Frame::Commands { is_substitution: true, is_double: false });
                self.after_paren = Some(true);
                self.word = Some(String::new());
            }
            '(' => *self.top() = Frame::Arithmetic { open: open + 1 },
            ')' if open == 1 => {
                self.frames.pop();
                self.word = None;
            }
            ')' => *self.top() = Frame::Arithmetic { open: open - 1 },
            '$' => self.is_after_dollar = !is_after_dollar,
            '{' if is_after_dollar => self.frames.push(Frame::Braces),
            '`' => self.frames.push(Frame::Backtick),
            '\'' | '"' | '\\' | ';' | '\n' => {
                self.lost =
                    Some("`$((` here may be a subshell inside `$(...)`: write `$( (` for that");
            }
            _ => {}
        }
    }
}
