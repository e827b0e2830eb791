//! Words to standard output and standard error. Who reads them may be gone at any time (`weir events 7 | head`): that is
//! no reason to break off a run, so nothing here panics.

use std::fmt::Arguments;
use std::io::{Result, Write as _};

/// A line on standard output.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::words::out(format_args!("{}\n", format_args!($($words)*)))
    };
}

/// Text on standard output.
macro_rules! say_text {
    ($($words:tt)*) => {
        $crate::words::out(format_args!($($words)*))
    };
}

/// A line on standard error.
macro_rules! tell {
    ($($words:tt)*) => {
        $crate::words::err(format_args!("{}\n", format_args!($($words)*)))
    };
}

/// Text on standard error.
macro_rules! tell_text {
    ($($words:tt)*) => {
        $crate::words::err(format_args!($($words)*))
    };
}

/// Text behind other text.
macro_rules! add {
    ($text:expr, $($words:tt)*) => {{
        use std::fmt::Write as _;
        // A text takes all that memory can hold.
        let _ = write!($text, $($words)*);
    }};
}

/// Writes to standard output at once.
///
/// # Errors
/// It can't be written; `BrokenPipe` if nobody reads any more.
pub(crate) fn out(words: Arguments) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_fmt(words)?;
    out.flush()
}

/// What became of words that nobody needs to read.
///
/// # Errors
/// They can't be written, and somebody still reads.
pub(crate) fn unless_gone(said: Result<()>) -> Result<()> {
    match said {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}

/// Writes to standard error, as far as that goes.
pub(crate) fn err(words: Arguments) {
    // There is nobody left to tell.
    let _ = std::io::stderr().lock().write_fmt(words);
}
