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

/// A here-document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Document {
    delimiter: String,
    is_quoted: bool,
    strips_tabs: bool,
    /// The line so far, and whether a value has part in it.
    line: String,
    has_value: bool,
    /// Inside an expansion that is not followed further.
    is_expanding: bool,
    /// Inside `${name}`, or right after `$name`.
    is_in_braces: bool,
    is_in_name: bool,
}

/// The delimiter of a here-document that is being read.
#[derive(Debug, Default)]
struct Delimiter {
    document: Document,
    quote: Option<char>,
    is_escaped: bool,
    is_begun: bool,
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
const DOCUMENT_END: No = (
    "the value holds the line that ends the here-document",
    "choose a delimiter that no value can hold",
);

impl Reader {
    fn top(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the script's own frame is never taken away")
    }

    fn value(&mut self, words: &[&str]) -> Result<(), No> {
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

    fn in_commands(&mut self, letter: char, is_double: bool) {
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

    fn begin_document(&mut self) {
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
    fn in_delimiter(&mut self, letter: char) -> bool {
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

    fn in_double(&mut self, letter: char) {
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

    fn in_braces(&mut self, letter: char) {
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

    fn in_arithmetic(&mut self, letter: char, open: u32) {
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

    fn in_document(&mut self, letter: char) -> Result<(), No> {
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

impl Document {
    fn is_end(&self) -> bool {
        let line = if self.strips_tabs { self.line.trim_start_matches('\t') } else { &self.line };
        line == self.delimiter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `<a b>` stands for a value, `<a|b>` for a list.
    fn check(script: &str, expected: &str) {
        let marked: String = script
            .chars()
            .map(|letter| match letter {
                '\u{ab}' => BEGIN,
                '\u{bb}' => END,
                '\u{a6}' => NEXT,
                _ => letter,
            })
            .collect();
        let found = quoted(&marked).unwrap_or_else(|refused| format!("no: {}", refused.message));
        assert_eq!(found, expected, "{script}");
    }

    #[test]
    fn a_value_is_quoted_for_its_place() {
        check("echo \u{ab}it's $x\u{bb};", r"echo 'it'\''s $x';");
        check("echo \u{ab}\u{a6}a b\u{a6}c\u{a6}\u{bb} \u{ab}\u{bb}.", "echo 'a b' 'c' ''.");
        check(
            "echo \u{ab}\u{a6}\u{a6}\u{a6}\u{bb} \"\u{ab}\u{a6}a\u{a6}b\u{a6}\u{bb}\"",
            "echo '' '' \"\"'a b'\"\"",
        );
        check("echo \u{ab}\u{a6}\u{bb}.", "echo .");
        check("echo \"$HOME\u{ab}a\"b\u{bb}\"", "echo \"$HOME\"'a\"b'\"\"");
        check("echo 'x \u{ab}it's\u{bb}'", r"echo 'x it'\''s'");
        check("# don't \u{ab}a\nb\u{bb}\necho \u{ab}c\u{bb}", "# don't a b\necho 'c'");
        check("echo a#'b \u{ab}c\u{bb}'", "echo a#'b c'");
        check(
            "echo \"$(echo \"\u{ab}x\u{bb}\" '\u{ab}y\u{bb}' \u{ab}z\u{bb})\u{ab}w\u{bb}\"",
            "echo \"$(echo \"\"'x'\"\" 'y' 'z')\"'w'\"\"",
        );
        check("echo $((\u{ab}3\u{bb} + (2))) \u{ab}x\u{bb}", "echo $(( 3  + (2))) 'x'");
        check("x=$'\\n'; echo \u{ab}y\u{bb}", "x=$'\\n'; echo 'y'");
        check("echo ${x#\"}\"} \u{ab}y\u{bb}", "echo ${x#\"}\"} 'y'");
        check("cat <<<\u{ab}y\u{bb}", "cat <<<'y'");
        check("case x in a) echo \"\u{ab}y\u{bb}\";; esac", "case x in a) echo \"\"'y'\"\";; esac");
    }

    #[test]
    fn here_documents_hold_values_as_they_are() {
        check("cat <<EOF\n${HOME} $(\u{ab}", "cat <<EOF\n${HOME} $(");
        check(
            "cat <<EOF >x\nit's ${HOME} \u{ab}$a`b\\\u{bb}\nEOF\necho \u{ab}x\u{bb}",
            "cat <<EOF >x\nit's ${HOME} \\$a\\`b\\\\\nEOF\necho 'x'",
        );
        check(
            "cat <<-'E O'\n\t\u{ab}$a\u{bb} $(\n\tE O\necho \u{ab}x\u{bb}",
            "cat <<-'E O'\n\t$a $(\n\tE O\necho 'x'",
        );
        check(
            "cat <<A <<\\B\n\u{ab}a\u{bb}\nA\n\u{ab}$\u{bb}\nB\n\u{ab}x\u{bb}",
            "cat <<A <<\\B\na\nA\n$\nB\n'x'",
        );
        for value in ["a\nEOF\nrm -rf /", "EOF"] {
            let script = format!("cat <<EOF\n\u{ab}{value}\u{bb}\nEOF\n");
            check(&script, "no: the value holds the line that ends the here-document");
        }
        check(
            "cat <<EOF\nE\u{ab}OF\u{bb}",
            "no: the value holds the line that ends the here-document",
        );
    }

    #[test]
    fn where_no_quoting_is_right_a_value_is_refused() {
        for (script, why) in [
            ("echo ${x:-\u{ab}v\u{bb}}", "inside `${...}`"),
            ("echo \"${x:-\"\u{ab}v\u{bb}\"}\"", "inside `${...}`"),
            ("echo `echo \u{ab}v\u{bb}`", "inside backticks"),
            ("echo $'\u{ab}v\u{bb}'", "inside `$'...'`"),
            ("echo $'\\'' \u{ab}v\u{bb}", "shells differ"),
            ("echo \\\u{ab}v\u{bb}", "backslash"),
            ("echo \"\\\u{ab}v\u{bb}\"", "backslash"),
            ("echo $\u{ab}v\u{bb}", "`$` stands right before"),
            ("cat <<\u{ab}v\u{bb}\n", "delimiter"),
            ("cat <<E\u{ab}v\u{bb}\n", "delimiter"),
            ("cat <<E\n$x\u{ab}v\u{bb}\nE\n", "`$` name"),
            ("cat <<E\n$\u{ab}v\u{bb}\nE\n", "`$` name"),
            ("cat <<E\n$(echo \u{ab}v\u{bb})\nE\n", "expansion"),
            ("cat <<E\n${x:-\u{ab}v\u{bb}}\nE\n", "expansion"),
            ("echo $((\u{ab}x\u{bb}))", "whole number"),
            ("x=\"$(case a in a) echo;; esac)\" \u{ab}v\u{bb}", "`case`"),
            ("((x = 1 << 2)); echo \u{ab}v\u{bb}", "`<<` inside"),
            ("echo \u{ab}a\0b\u{bb}", "NUL"),
        ] {
            let marked = script.replace('\u{ab}', "\u{fdd0}").replace('\u{bb}', "\u{fdd2}");
            let refused = quoted(&marked).expect_err(script);
            assert!(refused.message.contains(why), "{script}: {}", refused.message);
        }
    }
}
