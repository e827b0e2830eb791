//! Values in a POSIX shell script: each is quoted for the place where it stands.
//!
//! The literal text is followed as a shell would read it. A value then stands for itself wherever it may stand:
//! * between words: in single quotes, a list as separate words;
//! * inside `"..."`: the quotes are closed around it, a list is joined with spaces;
//! * inside `'...'`: its quotes are written `'\''`;
//! * in a comment: on one line;
//! * in a here-document: as it is, or with `$`, `` ` `` and `\` escaped if the shell expands the document. It may not
//!   hold the line that ends the document;
//! * in `$((...))`: if it is a whole number.
//!
//! Where no quoting is right (inside `${...}`, backticks, `$'...'`; after a lone `\` or `$`; as a delimiter) it is refused.

mod document;
mod value;
mod words;

use document::{DOCUMENT_END, Delimiter, Document};

/// Stands before a value, before and after the items of a list, and after the value; Unicode will never give them a meaning.
pub(super) const BEGIN: char = '\u{fdd0}';
pub(super) const NEXT: char = '\u{fdd1}';
pub(super) const END: char = '\u{fdd2}';

/// Why a value can't stand where it does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// The value's number among those of the text, from 0.
    pub(super) value: usize,
    pub(super) message: String,
    pub(super) help: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Frame {
    /// Words and operators: the script itself, `(...)` or, if `is_substitution`, `$(...)`.
    Commands {
        is_substitution: bool,
        is_double: bool,
    },
    Double,
    Single,
    /// `$'...'`
    Ansi,
    Comment,
    /// `${...}`
    Braces,
    Backtick,
    /// `$((...))` with so many parentheses open.
    Arithmetic {
        open: u32,
    },
    Document(Document),
}

/// Follows a script.
#[derive(Debug)]
struct Reader {
    out: String,
    frames: Vec<Frame>,
    /// Here-documents that begin after this line, and how deep the frames were.
    coming: Vec<(Document, usize)>,
    delimiter: Option<Delimiter>,
    /// Why the script can no longer be followed.
    lost: Option<&'static str>,
    is_escaped: bool,
    is_after_dollar: bool,
    /// The character before was an unquoted `(`, and whether a `$` stood before it.
    after_paren: Option<bool>,
    /// How many `<` stand side by side.
    less: u32,
    /// The unquoted word so far. `None` where a quoted part has gone before.
    word: Option<String>,
}

/// The script of a text in which each value stands between [`BEGIN`] and [`END`].
pub(super) fn quoted(marked: &str) -> Result<String, Refused> {
    let mut reader = Reader {
        out: String::with_capacity(marked.len() + marked.len() / 8),
        frames: vec![Frame::Commands { is_substitution: false, is_double: false }],
        coming: Vec::new(),
        delimiter: None,
        lost: None,
        is_escaped: false,
        is_after_dollar: false,
        after_paren: None,
        less: 0,
        word: Some(String::new()),
    };
    for (number, part) in marked.split(BEGIN).enumerate() {
        let literal = match part.split_once(END).filter(|_| number > 0) {
            Some((value, literal)) => {
                // A list stands between separators, so that one without items is told from an empty text.
                let list =
                    value.strip_prefix(NEXT).map(|list| list.split_terminator(NEXT).collect());
                let words: Vec<&str> = list.unwrap_or_else(|| vec![value]);
                reader.value(&words).map_err(|(message, help)| Refused {
                    value: number - 1,
                    message: message.to_owned(),
                    help: help.to_owned(),
                })?;
                literal
            }
            None => part,
        };
        for letter in literal.chars() {
            reader.out.push(letter);
            reader.letter(letter).map_err(|(message, help)| Refused {
                value: number.saturating_sub(1),
                message: message.to_owned(),
                help: help.to_owned(),
            })?;
        }
    }
    reader.end()
}

type No = (&'static str, &'static str);

const VARIABLE: &str = "give it to a variable first: `x={{ ... }}`, and use that";
impl Reader {
    fn top(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the script's own frame is never taken away")
    }

    fn letter(&mut self, letter: char) -> Result<(), No> {
        if self.lost.is_some() {
            return Ok(());
        }
        let is_newline = letter == '\n';
        let depth = self.frames.len();
        let is_command = matches!(self.top(), Frame::Commands { .. } | Frame::Comment);
        let is_document = matches!(self.top(), Frame::Document(_));
        if is_newline && !self.coming.is_empty() && !is_document && !is_command {
            self.lost =
                Some("the script can't be followed past a here-document that begins inside quotes");
            return Ok(());
        }
        match self.frames[depth - 1].clone() {
            Frame::Commands { is_double, .. } => self.in_commands(letter, is_double),
            Frame::Double => self.in_double(letter),
            Frame::Single => {
                if letter == '\'' {
                    self.frames.pop();
                }
            }
            Frame::Ansi => {
                if std::mem::take(&mut self.is_escaped) {
                    if letter == '\'' {
                        self.lost = Some(
                            "shells differ on `\\'` inside `$'...'`, so what follows can't be quoted",
                        );
                    }
                } else if letter == '\\' {
                    self.is_escaped = true;
                } else if letter == '\'' {
                    self.frames.pop();
                }
            }
            Frame::Comment => {
                if is_newline {
                    self.frames.pop();
                    self.in_commands(letter, false);
                }
            }
            Frame::Braces => self.in_braces(letter),
            Frame::Backtick => {
                if std::mem::take(&mut self.is_escaped) {
                } else if letter == '\\' {
                    self.is_escaped = true;
                } else if letter == '`' {
                    self.frames.pop();
                }
            }
            Frame::Arithmetic { open } => self.in_arithmetic(letter, open),
            Frame::Document(_) => return self.in_document(letter),
        }
        Ok(())
    }

    fn end(mut self) -> Result<String, Refused> {
        if let Frame::Document(document) = self.top()
            && document.has_value
            && document.is_end()
        {
            let (message, help) = DOCUMENT_END;
            return Err(Refused { value: 0, message: message.to_owned(), help: help.to_owned() });
        }
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests;
