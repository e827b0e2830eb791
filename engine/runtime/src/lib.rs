//! The store, the loop that moves runs, and the supervisor of processes.
//!
//! * [`engine`]: starts everything; its [`engine::Handle`] is how the outside speaks to it
//! * [`begin`]: how a run begins; [`view`]: how it is shown
//! * [`library`]: job types, the catalogue, flow versions
//! * [`store`], [`home`], [`secrets`]: what is kept, and where; [`people`]: who may do what
//! * [`outbox`]: notices on their way
//! * [`prune`]: removing old runs
//! * [`plan`]: what a flow would do and destroy; [`schedules`]: when it runs by itself
//! * [`supervise`], [`processes`], [`logs`]: processes that outlive the engine
//!
//! The loop itself is `turn`: inputs in, one batch of rows and the actions that may follow it out.

mod adopt;
pub mod api;
mod attempt;
pub mod begin;
mod diagnosis;
pub mod door;
pub mod engine;
mod fill;
mod fire;
pub mod folders;
mod gates;
pub mod home;
pub mod hosts;
mod input;
pub mod library;
mod limits;
mod live;
pub mod logs;
pub mod outbox;
pub mod people;
pub mod plan;
pub mod processes;
mod proof;
pub mod prune;
pub mod schedules;
pub mod secrets;
mod set_off;
#[cfg(test)]
mod sim;
pub mod store;
pub mod supervise;
mod timers;
mod timetable;
mod turn;
pub mod view;

pub use diagnosis::read_log;
pub use input::{Refusal, Wish};
