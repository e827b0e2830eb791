//! What the processes of jobs can do to us and we to them: through the client, a real supervisor and real programs.
//!
//! This binary is the supervisor, too (it starts itself again), so it has a `main` of its own. Arguments name the tests
//! to run; without, all are. Nothing here waits by the clock: jobs say in their logs how far they are.

#[path = "processes/bounds.rs"]
mod bounds;
#[path = "processes/crashes.rs"]
mod crashes;
#[path = "processes/ends.rs"]
mod ends;
#[path = "processes/output.rs"]
mod output;
#[path = "processes/place.rs"]
mod place;
#[path = "processes/trees.rs"]
mod trees;

use std::io::{self, Write};
use std::panic;
use std::process::ExitCode;
use std::time::Instant;

/// A test and its name.
type Test = (&'static str, fn());

/// Lists functions as tests.
#[macro_export]
macro_rules! tests {
    ($($name:ident),+ $(,)?) => {
        pub(crate) const TESTS: &[$crate::Test] =
            &[$((concat!(module_path!(), "::", stringify!($name)), $name)),+];
    };
}

fn main() -> ExitCode {
    if let Some(code) = weir_engine::supervise::dispatch() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let arguments = std::env::args().skip(1);
    let wanted: Vec<String> = arguments.filter(|text| !text.starts_with('-')).collect();
    let mut failed = Vec::new();
    let mut passed = 0;
    let out = &mut io::stdout();
    for (name, test) in
        [ends::TESTS, trees::TESTS, crashes::TESTS, output::TESTS, bounds::TESTS].concat()
    {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        let begun = Instant::now();
        let result = panic::catch_unwind(test);
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        writeln!(out, "test {name} ... {word} ({} ms)", begun.elapsed().as_millis())
            .expect("standard output takes a line");
        match result {
            Ok(()) => passed += 1,
            Err(_) => failed.push(name),
        }
    }
    writeln!(out, "\n{passed} passed, {} failed {failed:?}", failed.len())
        .expect("standard output takes a line");
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
