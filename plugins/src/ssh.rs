//! Everything that goes over SSH.

mod client;
mod exec;
mod known_hosts;
mod login;
mod pool;
mod reach;
mod sudo;
mod trouble;

pub use client::Bounds;
pub use pool::{Pool, Ran};
pub(crate) use reach::Reached;
