//! Pages and REST of `weir serve`.
//!
//! Reads through the store's queries, writes only through the engine's [`weir_engine::engine::Handle`]. Knows HTTP;
//! knows neither SQL nor processes.

mod address;
mod ansi;
mod api;
mod assets;
mod certificate;
pub mod client;
mod clock;
mod error;
mod flows;
mod form;
mod front;
mod growing;
mod guard;
mod hosts;
mod jar;
mod logins;
mod logs;
mod metrics;
mod notices;
mod pages;
pub mod password;
mod picture;
mod proxies;
mod routes;
mod schedules;
mod server;
mod shell;
mod site;
mod throttle;
mod trust;
mod who;
mod words;

pub use certificate::{CertificateError, Files};
pub use proxies::{NoProxy, Proxy};
pub use routes::{Need, listed};
pub use server::{Config, Error, Server, Started};
