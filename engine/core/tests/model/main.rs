//! What a run does, shown by scripts; and the model that tries everything.

#![expect(clippy::print_stdout, reason = "the model says how much it has tried")]

mod exhaustive;
mod explore;
mod fault;
mod faults;
mod legal;
mod notation;
mod oracle;
mod play;
mod readable;
mod rows;
mod walks;
mod world;
