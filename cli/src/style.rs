//! Colours and marks. Meaning never rests on colour alone: each state has its mark and its word.

use std::io::IsTerminal as _;

use crate::args::Global;

/// How words are dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    colours: Colours,
    letters: Letters,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Colours {
    On,
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    Unicode,
    Ascii,
}

/// The kinds of states that look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It ended well.
    Good,
    /// It ended badly.
    Bad,
    /// It is at work.
    Busy,
    /// It is at work to mend something, or will be soon.
    Mending,
    /// A person must act.
    Asking,
    /// It has not begun.
    Waiting,
    /// It was left out.
    Out,
}

impl Look {
    /// The look of a state of a task or a run, by its name.
    pub(crate) fn of(state: &str) -> Self {
        match state {
            "succeeded" | "already-done" | "reused" => Self::Good,
            "failed" | "timed-out" | "lost" | "failing" => Self::Bad,
            "launching" | "running" | "unreachable" => Self::Busy,
            "retrying" | "recovering" | "cancelling" => Self::Mending,
            "asking" | "paused" => Self::Asking,
            "cancelled" | "skipped" | "disabled" => Self::Out,
            _ => Self::Waiting,
        }
    }
}

impl Style {
    /// As the terminal, `NO_COLOR` (<https://no-color.org>) and the flags ask for. Standard error decides: what is
    /// dressed goes there, or to a terminal that is the same.
    pub(crate) fn find(global: &Global) -> Self {
        let says_no =
            global.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_terminal = std::io::stderr().is_terminal();
        let colours = if is_terminal && !says_no && !is_dumb { Colours::On } else { Colours::Off };
        Self { colours, letters: letters() }
    }

    /// For standard output: no colour unless that is a terminal, too.
    pub(crate) fn for_stdout(global: &Global) -> Self {
        let style = Self::find(global);
        if std::io::stdout().is_terminal() {
            style
        } else {
            Self { colours: Colours::Off, ..style }
        }
    }

    /// Without any colour, with all marks.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colours: Colours::Off, letters: Letters::Unicode }
    }

    /// With colours.
    #[cfg(test)]
    pub(crate) fn coloured() -> Self {
        Self { colours: Colours::On, letters: Letters::Unicode }
    }

    pub(crate) fn is_coloured(self) -> bool {
        self.colours == Colours::On
    }

    fn dress(self, code: &str, text: &str) -> String {
        match self.colours {
            Colours::On => format!("\x1b[{code}m{text}\x1b[0m"),
            Colours::Off => text.to_owned(),
        }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.dress("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.dress("1;31", text)
    }

    pub(crate) fn warn(self, text: &str) -> String {
        self.dress("33", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.dress("2", text)
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.dress("1", text)
    }

    /// A text in the colour of a state.
    pub(crate) fn look(self, look: Look, text: &str) -> String {
        match look {
            Look::Good => self.good(text),
            Look::Bad => self.bad(text),
            Look::Busy => self.dress("36", text),
            Look::Mending => self.warn(text),
            Look::Asking => self.dress("1;35", text),
            Look::Waiting | Look::Out => self.faint(text),
        }
    }

    /// A state's mark: one letter wide.
    pub(crate) fn mark(self, look: Look) -> &'static str {
        match (self.letters, look) {
            (Letters::Unicode, Look::Good) => "✓",
            (Letters::Unicode, Look::Bad) => "✗",
            (Letters::Unicode, Look::Busy) => "●",
            (Letters::Unicode, Look::Mending) => "↻",
            (_, Look::Asking) => "?",
            (Letters::Unicode, Look::Waiting) => "·",
            (Letters::Unicode, Look::Out) => "–",
            (Letters::Ascii, Look::Good) => "+",
            (Letters::Ascii, Look::Bad) => "x",
            (Letters::Ascii, Look::Busy) => "*",
            (Letters::Ascii, Look::Mending) => "~",
            (Letters::Ascii, Look::Waiting) => ".",
            (Letters::Ascii, Look::Out) => "-",
        }
    }

    /// What stands for a part that was cut.
    pub(crate) fn ellipsis(self) -> &'static str {
        match self.letters {
            Letters::Unicode => "…",
            Letters::Ascii => "~",
        }
    }
}

/// Whether the locale can show more than ASCII (POSIX: the first of these variables that is set decides).
fn letters() -> Letters {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    match locale {
        Some(locale) => {
            let locale = locale.to_ascii_lowercase();
            if locale.contains("utf-8") || locale.contains("utf8") {
                Letters::Unicode
            } else {
                Letters::Ascii
            }
        }
        None => Letters::Unicode,
    }
}
