//! A value at its place.

use super::document::DOCUMENT_END;
use super::{Frame, No, Reader, VARIABLE};

impl Reader {
    pub(super) fn value(&mut self, words: &[&str]) -> Result<(), No> {
        if words.iter().any(|word| word.contains('\0')) {
            return Err(("the value holds a NUL, which no shell can", "take it out"));
        }
        if let Some(lost) = self.lost {
            return Err((lost, VARIABLE));
        }
        if self.frames.contains(&Frame::Braces) {
            return Err(("a value can't be quoted inside `${...}`", VARIABLE));
        }
        if self.frames.contains(&Frame::Backtick) {
            return Err(("a value can't be quoted inside backticks", "write `$(...)` for them"));
        }
        if self.delimiter.is_some() || self.less == 2 {
            return Err((
                "a value can't be a here-document's delimiter",
                "write the delimiter out",
            ));
        }
        if self.is_escaped {
            return Err((
                "a backslash stands right before the value",
                "take it away, or write two",
            ));
        }
        let joined = words.join(" ");
        let is_after_dollar = std::mem::take(&mut self.is_after_dollar);
        match self.top() {
            Frame::Commands { .. } if is_after_dollar => {
                Err(("a `$` stands right before the value", "write `\\$` for a dollar sign"))
            }
            Frame::Commands { .. } => {
                if words.is_empty() {
                    return Ok(());
                }
                for (index, word) in words.iter().enumerate() {
                    if index > 0 {
                        self.out.push(' ');
                    }
                    self.push_single_quoted(word);
                }
                self.less = 0;
                self.after_paren = None;
                self.word = None;
                Ok(())
            }
            Frame::Double => {
                // A name before it ends here, whatever the value begins with.
                self.out.push('"');
                self.push_single_quoted(&joined);
                self.out.push('"');
                Ok(())
            }
            Frame::Single => {
                let inside = joined.replace('\'', r"'\''");
                self.out.push_str(&inside);
                Ok(())
            }
            Frame::Comment => {
                self.out.push_str(&joined.replace(['\n', '\r'], " "));
                Ok(())
            }
            Frame::Arithmetic { .. } => {
                let digits = joined.strip_prefix('-').unwrap_or(&joined);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(("only a whole number can stand inside `$((...))`", VARIABLE));
                }
                self.out.push(' ');
                self.out.push_str(&joined);
                self.out.push(' ');
                Ok(())
            }
            Frame::Ansi => Err(("a value can't be quoted inside `$'...'`", VARIABLE)),
            Frame::Document(document) => {
                if document.is_expanding || document.is_in_braces {
                    return Err((
                        "a value can't be quoted inside an expansion in a here-document",
                        VARIABLE,
                    ));
                }
                if !document.is_quoted && (is_after_dollar || document.is_in_name) {
                    return Err((
                        "a `$` name ends right before the value",
                        "write `${name}`, or `\\$`",
                    ));
                }
                let text = if document.is_quoted {
                    joined
                } else {
                    joined.replace('\\', r"\\").replace('$', r"\$").replace('`', r"\`")
                };
                document.has_value = true;
                let (first, rest) =
                    text.split_once('\n').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
                document.line.push_str(first);
                if let Some(rest) = rest {
                    for line in rest.split('\n') {
                        if document.is_end() {
                            return Err(DOCUMENT_END);
                        }
                        line.clone_into(&mut document.line);
                    }
                }
                self.out.push_str(&text);
                Ok(())
            }
            Frame::Braces | Frame::Backtick => unreachable!("refused above"),
        }
    }

    fn push_single_quoted(&mut self, word: &str) {
        self.out.push('\'');
        self.out.push_str(&word.replace('\'', r"'\''"));
        self.out.push('\'');
    }
}
