//! Here-documents: where they begin, where they end, and what the shell expands in them.

use super::{Frame, No, Reader};

pub(super) const DOCUMENT_END: No = (
    "the value holds the line that ends the here-document",
    "choose a delimiter that no value can hold",
);

/// A here-document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) delimiter: String,
    pub(super) is_quoted: bool,
    pub(super) strips_tabs: bool,
    /// The line so far, and whether a value has part in it.
    pub(super) line: String,
    pub(super) has_value: bool,
    /// Inside an expansion that is not followed further.
    pub(super) is_expanding: bool,
    /// Inside `${name}`, or right after `$name`.
    pub(super) is_in_braces: bool,
    pub(super) is_in_name: bool,
}

/// The delimiter of a here-document that is being read.
#[derive(Debug, Default)]
pub(super) struct Delimiter {
    pub(super) document: Document,
    pub(super) quote: Option<char>,
    pub(super) is_escaped: bool,
    pub(super) is_begun: bool,
}

impl Document {
    pub(super) fn is_end(&self) -> bool {
        let line = if self.strips_tabs { self.line.trim_start_matches('\t') } else { &self.line };
        line == self.delimiter
    }
}

impl Reader {
    pub(super) fn begin_document(&mut self) {
        if self.coming.is_empty() {
            return;
        }
        let (document, depth) = self.coming.remove(0);
        if depth == self.frames.len() {
            self.frames.push(Frame::Document(document));
        } else {
            self.lost = Some(
                "the script can't be followed past a here-document that begins in another `$(...)`",
            );
        }
    }

    /// Reads a here-document's delimiter. `false` if the letter ends it and still has to be read itself.
    pub(super) fn in_delimiter(&mut self, letter: char) -> bool {
        let Some(delimiter) = &mut self.delimiter else { return false };
        if std::mem::take(&mut delimiter.is_escaped) {
            delimiter.document.delimiter.push(letter);
        } else if let Some(quote) = delimiter.quote {
            if letter == quote {
                delimiter.quote = None;
            } else {
                delimiter.document.delimiter.push(letter);
            }
        } else if matches!(letter, '\'' | '"' | '\\') {
            delimiter.document.is_quoted = true;
            delimiter.is_begun = true;
            delimiter.is_escaped = letter == '\\';
            delimiter.quote = (letter != '\\').then_some(letter);
        } else if letter.is_whitespace() || ";&|()<>".contains(letter) {
            if !delimiter.is_begun && matches!(letter, ' ' | '\t') {
                return true;
            }
            let document = std::mem::take(&mut delimiter.document);
            self.delimiter = None;
            self.coming.push((document, self.frames.len()));
            return false;
        } else {
            delimiter.is_begun = true;
            delimiter.document.delimiter.push(letter);
        }
        true
    }

    pub(super) fn in_document(&mut self, letter: char) -> Result<(), No> {
        let is_escaped = std::mem::take(&mut self.is_escaped);
        let is_after_dollar = std::mem::take(&mut self.is_after_dollar);
        let Frame::Document(document) = self.top() else { return Ok(()) };
        if letter == '\n' {
            if is_escaped {
                self.lost =
                    Some("a line of a here-document ends in a backslash, so its end can't be told");
            } else if document.is_end() {
                if document.has_value {
                    return Err(DOCUMENT_END);
                }
                self.frames.pop();
                self.begin_document();
            } else {
                document.line.clear();
                document.has_value = false;
                document.is_in_name = false;
            }
            return Ok(());
        }
        document.line.push(letter);
        if document.is_quoted || is_escaped {
            return Ok(());
        }
        let is_name = letter.is_ascii_alphanumeric() || letter == '_';
        if document.is_in_braces {
            document.is_in_braces = letter != '}';
            document.is_expanding |= document.is_in_braces && !is_name;
            return Ok(());
        }
        document.is_in_name = is_name && (is_after_dollar || document.is_in_name);
        match letter {
            '{' if is_after_dollar => document.is_in_braces = true,
            '(' if is_after_dollar => document.is_expanding = true,
            '`' => document.is_expanding = true,
            '\\' => self.is_escaped = true,
            '$' => self.is_after_dollar = !is_after_dollar,
            _ => {}
        }
        Ok(())
    }
}
