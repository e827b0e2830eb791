//! A POSIX shell script as commands and words: near enough to tell a command from a text, and no nearer.

/// A script's commands, in order.
pub(super) struct Script<'a> {
    pub(super) source: &'a str,
    pub(super) commands: Vec<Command<'a>>,
    /// For each byte of the source, how a sign there is read.
    quoting: Vec<Quoting>,
}

/// How a sign of a script is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoting {
    /// By the shell.
    Bare,
    /// As part of a text in quotes.
    Quoted,
    /// Not at all: in comments and in texts handed to a command (`<<`).
    Ignored,
    /// By the template engine.
    Template,
}

/// A command with its words.
#[derive(Debug, Default)]
pub(super) struct Command<'a> {
    pub(super) words: Vec<Word<'a>>,
    /// It reads from a pipe, a file or a text.
    pub(super) has_input: bool,
    /// What its output is written to, by `>`.
    pub(super) writes_to: Option<String>,
    pub(super) end: End,
    /// Where it ends.
    pub(super) end_at: usize,
}

/// A word, without its quotes.
#[derive(Debug)]
pub(super) struct Word<'a> {
    pub(super) text: String,
    /// As written.
    pub(super) raw: &'a str,
    pub(super) from: usize,
}

/// What a command ends with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// A break, `;`, a bracket, the end.
    #[default]
    Plain,
    /// `|`
    Pipe,
    /// `&&` or `||`
    Joined,
    /// `&`
    Background,
}

impl Script<'_> {
    /// How the sign at a byte is read.
    pub(super) fn quoting(&self, at: usize) -> Quoting {
        self.quoting.get(at).copied().unwrap_or(Quoting::Bare)
    }

    /// The command that a byte stands in.
    pub(super) fn command_at(&self, at: usize) -> Option<&Command<'_>> {
        self.commands.iter().find(|command| {
            command.words.first().is_some_and(|word| word.from <= at) && at <= command.end_at
        })
    }
}

impl Word<'_> {
    pub(super) fn to(&self) -> usize {
        self.from + self.raw.len()
    }
}

impl Command<'_> {
    /// The words from the command's own name on: assignments, `sudo` and the like left out.
    pub(super) fn own(&self) -> &[Word<'_>] {
        let mut at = 0;
        while let Some(word) = self.words.get(at) {
            let text = word.text.as_str();
            let is_assignment = text.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            });
            match text {
                "sudo" => {
                    at += 1;
                    while let Some(option) =
                        self.words.get(at).filter(|word| word.text.starts_with('-'))
                    {
                        at += if matches!(option.text.as_str(), "-u" | "-g" | "-h" | "-p" | "-C") {
                            2
                        } else {
                            1
                        };
                    }
                }
                "env" | "nohup" | "exec" | "time" | "command" | "then" | "do" | "else" | "elif"
                | "if" | "while" | "until" | "!" | "{" | "setsid" | "ionice" | "nice" => at += 1,
                _ if is_assignment => at += 1,
                _ => break,
            }
        }
        &self.words[at.min(self.words.len())..]
    }
}

/// Reads a script. Never fails: what is no shell is read as words.
pub(super) fn read(source: &str) -> Script<'_> {
    let mut reader = Reader {
        source,
        at: 0,
        quoting: vec![Quoting::Bare; source.len()],
        commands: Vec::new(),
        command: Command::default(),
        word: None,
        redirect: Redirect::No,
        heredocs: Vec::new(),
    };
    while reader.at < source.len() {
        reader.step();
    }
    reader.end_command(End::Plain, 0);
    Script { source, commands: reader.commands, quoting: reader.quoting }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Redirect {
    No,
    Output,
    Input,
    Heredoc,
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
    quoting: Vec<Quoting>,
    commands: Vec<Command<'a>>,
    command: Command<'a>,
    word: Option<(String, usize)>,
    redirect: Redirect,
    heredocs: Vec<String>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn step(&mut self) {
        let rest = self.rest();
        let Some(c) = rest.chars().next() else { return };
        if rest.starts_with("{{") {
            let length = rest.find("}}").map_or(rest.len(), |end| end + 2);
            self.mark(length, Quoting::Template);
            self.push(&rest[..length], length);
            return;
        }
        if rest.starts_with("{%") {
            let length = rest.find("%}").map_or(rest.len(), |end| end + 2);
            self.mark(length, Quoting::Template);
            self.end_word();
            self.at += length;
            return;
        }
        match c {
            '\n' => {
                self.end_command(End::Plain, 1);
                self.heredoc_bodies();
            }
            ' ' | '\t' | '\r' => {
                self.end_word();
                self.at += 1;
            }
            '\\' => {
                let next = rest[1..].chars().next();
                let length = 1 + next.map_or(0, char::len_utf8);
                match next {
                    Some('\n') | None => self.at += length,
                    Some(next) => {
                        self.mark(length, Quoting::Quoted);
                        self.push(&next.to_string(), length);
                    }
                }
            }
            '\'' => {
                let length = rest[1..].find('\'').map_or(rest.len(), |end| end + 2);
                self.mark(length, Quoting::Quoted);
                self.push(rest[1..length].trim_end_matches('\''), length);
            }
            '"' => self.double_quoted(),
            '#' if self.word.is_none() => {
                let length = rest.find('\n').unwrap_or(rest.len());
                self.mark(length, Quoting::Ignored);
                self.at += length;
            }
            '<' | '>' => self.redirection(rest),
            '&' if rest.starts_with("&&") => self.end_command(End::Joined, 2),
            '&' if rest.starts_with("&>") => {
                self.end_word();
                self.at += 2;
                self.redirect = Redirect::Output;
            }
            '&' => self.end_command(End::Background, 1),
            '|' if rest.starts_with("||") => self.end_command(End::Joined, 2),
            '|' => self.end_command(End::Pipe, 1),
            ';' | '(' | ')' | '`' => self.end_command(End::Plain, 1),
            '$' if rest.starts_with("$((") => {
                let length = rest.find("))").map_or(rest.len(), |end| end + 2);
                self.push(&rest[..length], length);
            }
            '$' if rest.starts_with("$(") => {
                self.push("$", 1);
                self.end_command(End::Plain, 1);
            }
            '$' if rest.starts_with("${") => {
                let length = rest.find('}').map_or(rest.len(), |end| end + 1);
                self.push(&rest[..length], length);
            }
            c => self.push(&rest[..c.len_utf8()], c.len_utf8()),
        }
    }

    fn double_quoted(&mut self) {
        let rest = self.rest();
        let mut text = String::new();
        let mut length = 1;
        while let Some(c) = rest[length..].chars().next() {
            length += c.len_utf8();
            match c {
                '"' => break,
                '\\' => {
                    if let Some(next) = rest[length..].chars().next() {
                        length += next.len_utf8();
                        text.push(next);
                    }
                }
                '{' if rest[length..].starts_with('{') => {
                    let end = rest[length..].find("}}").map_or(rest.len(), |end| length + end + 2);
                    text.push_str(&rest[length - 1..end]);
                    length = end;
                }
                c => text.push(c),
            }
        }
        self.mark(length, Quoting::Quoted);
        self.push(&text, length);
    }

    fn redirection(&mut self, rest: &str) {
        // A digit before it names what is redirected.
        if self.word.as_ref().is_some_and(|(word, _)| word.bytes().all(|b| b.is_ascii_digit())) {
            self.word = None;
        }
        self.end_word();
        if rest.starts_with("<<") && !rest.starts_with("<<<") {
            self.at += 2;
            self.at += usize::from(self.rest().starts_with('-'));
            self.redirect = Redirect::Heredoc;
            self.command.has_input = true;
            return;
        }
        let operator = rest.len() - rest.trim_start_matches(['<', '>', '|']).len();
        self.redirect = if rest.starts_with('<') { Redirect::Input } else { Redirect::Output };
        self.command.has_input |= self.redirect == Redirect::Input;
        self.at += operator;
        let after = self.rest();
        if let Some(target) = after.strip_prefix('&') {
            self.at += 1 + target.len()
                - target.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-').len();
            self.redirect = Redirect::No;
        } else if after.starts_with('(') {
            self.redirect = Redirect::No;
        }
    }

    fn heredoc_bodies(&mut self) {
        for delimiter in std::mem::take(&mut self.heredocs) {
            let rest = self.rest();
            let mut length = 0;
            for line in rest.split_inclusive('\n') {
                length += line.len();
                if line.trim() == delimiter {
                    break;
                }
            }
            self.mark(length, Quoting::Ignored);
            self.at += length;
        }
    }

    fn mark(&mut self, length: usize, quoting: Quoting) {
        let end = (self.at + length).min(self.quoting.len());
        self.quoting[self.at..end].fill(quoting);
    }

    fn push(&mut self, text: &str, length: usize) {
        let from = self.at;
        self.word.get_or_insert_with(|| (String::new(), from)).0.push_str(text);
        self.at += length;
    }

    fn end_word(&mut self) {
        let Some((text, from)) = self.word.take() else { return };
        match std::mem::replace(&mut self.redirect, Redirect::No) {
            Redirect::No => {
                let raw = &self.source[from..self.at];
                self.command.words.push(Word { text, raw, from });
            }
            Redirect::Output => self.command.writes_to = Some(text),
            Redirect::Input => {}
            Redirect::Heredoc => self.heredocs.push(text),
        }
    }

    fn end_command(&mut self, end: End, length: usize) {
        self.end_word();
        let mut command = std::mem::take(&mut self.command);
        command.end = end;
        command.end_at = self.at;
        self.at += length;
        self.command.has_input = end == End::Pipe;
        if !command.words.is_empty() {
            self.commands.push(command);
        }
    }
}
