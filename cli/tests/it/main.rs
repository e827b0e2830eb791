//! The built binary as people use it: words, exit codes, JSON, signals, terminals, two processes on one home.

mod by_hand;
mod hosts;
mod house;
mod interrupt;
mod look;
mod run;
mod shipped_flows;
mod stage;
mod terminal;
mod two;
