//! How a command ends: its exit code (DESIGN section 11), and how an error is told.

use std::process::ExitCode;

use weir_engine::api::Problem;

use crate::style::Style;

/// How a command ended. The numbers are the exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum End {
    /// It is done.
    Done = 0,
    /// The run failed, or the work could not be done.
    Failed = 1,
    /// The definition or the call is wrong; nothing ran.
    Wrong = 2,
    /// It was cancelled, or left while it was.
    Cancelled = 3,
    /// A person must decide.
    Asks = 4,
}

/// What a command gives back.
pub(crate) type Ended = anyhow::Result<End>;

impl End {
    /// The end that belongs to a run in this state.
    pub(crate) fn of_run(state: &str) -> Self {
        Self::of_number(weir_engine::view::exit_code(state))
    }

    fn of_number(number: i32) -> Self {
        match number {
            0 => Self::Done,
            2 => Self::Wrong,
            3 => Self::Cancelled,
            4 => Self::Asks,
            _ => Self::Failed,
        }
    }

    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// A call that can't be right, whatever the home holds: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Wrong(pub(crate) String);

/// A wrong call as an error.
pub(crate) fn wrong(message: impl Into<String>) -> anyhow::Error {
    Wrong(message.into()).into()
}

/// Tells an error on standard error, and says the exit code.
pub(crate) fn report(error: &anyhow::Error, style: Style) -> ExitCode {
    let end = if let Some(problem) = error.downcast_ref::<Problem>() {
        End::of_number(problem.exit)
    } else if error.is::<Wrong>() {
        End::Wrong
    } else {
        if error
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
        {
            // Whoever read our words has seen enough.
            return End::Done.code();
        }
        End::Failed
    };
    tell_text!("{}", told(&format!("{error:#}"), style));
    end.code()
}

/// An error as people read it: what is wrong, and on lines of their own what would be right.
pub(crate) fn told(message: &str, style: Style) -> String {
    // The mistakes of a flow come with their own `error:` each.
    if message.starts_with("error[") || message.starts_with("warning[") {
        return format!("{}\n", message.trim_end());
    }
    let mut text = format!("{}: ", style.bad("error"));
    for (number, line) in message.trim_end().lines().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        match line.trim_start().strip_prefix("help: ") {
            Some(help) => add!(text, "{}: {help}", style.good("help")),
            None => text.push_str(line),
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_help_on_a_line_of_its_own() {
        let text = told("there is no run 7\n  help: `weir runs` lists them", Style::plain());
        assert_eq!(text, "error: there is no run 7\nhelp: `weir runs` lists them\n");
    }

    #[test]
    fn a_run_ends_the_command_as_it_ended() {
        let codes =
            ["succeeded", "failed", "cancelled", "asking"].map(|state| End::of_run(state) as u8);
        assert_eq!(codes, [0, 1, 3, 4]);
    }
}
