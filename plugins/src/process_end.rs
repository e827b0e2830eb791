//! What the end of a process means, in words.

use weir_core::flow::Limits;
use weir_core::job_type::ProcessEnd;
use weir_core::outcome::{ErrorClass, Failure, Outcome};

/// The code a process ended with if that is among `good`, else how the attempt ended.
pub(crate) fn judge(end: &ProcessEnd, good: &[i32], limits: &Limits) -> Result<i32, Outcome> {
    match end {
        ProcessEnd::Exited(code) if good.contains(code) => Ok(*code),
        ProcessEnd::Exited(code) => Err(Outcome::Failed(Failure {
            class: ErrorClass::Exit,
            exit_code: Some(*code),
            signal: None,
            message: code_in_words(*code, limits),
        })),
        ProcessEnd::Signalled(signal) => Err(Outcome::Failed(Failure {
            class: ErrorClass::Exit,
            exit_code: None,
            signal: Some(*signal),
            message: format!("ended by {}", signal_in_words(*signal, limits)),
        })),
        ProcessEnd::Lost => Err(Outcome::Failed(Failure::new(
            ErrorClass::Lost,
            "nobody saw how it ended; nothing of it is left running",
        ))),
        ProcessEnd::Fenced => Err(Outcome::Cancelled),
    }
}

fn code_in_words(code: i32, limits: &Limits) -> String {
    match code {
        126 => "ended with code 126: a program was found but can't be executed".to_owned(),
        127 => "ended with code 127: a program was not found".to_owned(),
        129..=159 => {
            format!(
                "ended with code {code}: a program was ended by {}",
                signal_in_words(code - 128, limits)
            )
        }
        code => format!("ended with code {code}"),
    }
}

fn signal_in_words(signal: i32, limits: &Limits) -> String {
    let name = match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    let why = match (signal, limits) {
        (9, Limits { memory: Some(bytes), .. }) => {
            format!(", perhaps by the kernel for want of memory (limit {})", size(*bytes))
        }
        (9, _) => ", perhaps by the kernel for want of memory".to_owned(),
        (24, Limits { cpu_time: Some(seconds), .. }) => {
            format!(": the limit of {seconds} s of processor time")
        }
        (25, Limits { file_size: Some(bytes), .. }) => {
            format!(": the limit of {} for a file", size(*bytes))
        }
        (6 | 11, Limits { memory: Some(bytes), .. }) => {
            format!(", perhaps for want of memory (limit {})", size(*bytes))
        }
        _ => String::new(),
    };
    format!("{name} ({signal}){why}")
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    for (unit, factor) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= factor {
            let whole = bytes / factor;
            let tenths = bytes % factor * 10 / factor;
            return if tenths == 0 {
                format!("{whole} {unit}")
            } else {
                format!("{whole}.{tenths} {unit}")
            };
        }
    }
    format!("{bytes} bytes")
}
