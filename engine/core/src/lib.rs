//! What a flow is and how a run of it moves.
//!
//! Everything here is pure: values in, values out. No clock, no file, no socket, no thread, no random number; time
//! and chance come in as arguments. The crate's `clippy.toml` bans the ways around that.
//!
//! * [`flow`]: the flow file, from text to the rules of a run ([`graph`])
//! * [`run`]: the state of a run and the one function that moves it
//! * [`job_type`]: what a kind of work must be able to do
//! * [`catalogue`]: known failures and their cures

pub mod catalogue;
pub mod diagnose;
pub mod diff;
pub mod flow;
pub mod form;
pub mod graph;
pub mod hex;
pub mod hosts;
pub mod ids;
pub mod job_type;
pub mod job_types;
pub mod log_index;
pub mod mask;
pub mod mistake;
pub mod notice;
pub mod outcome;
pub mod params;
pub mod run;
pub mod schedule;
pub mod schema;
pub mod secret;
pub mod size;
pub mod template;
pub mod time;
pub mod webhook;
pub mod yaml;
