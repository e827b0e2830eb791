//! What the tests of the built binary share: where it is, a stage to run it on, and how its processes are found and
//! ended. No test is here, and nothing here looks into Weir: what a test knows, it knows as a user or a process would.

mod binary;
mod browser;
mod chance;
mod directory;
mod disk;
mod door;
pub mod http;
mod lab;
pub mod post;
mod process;
pub mod provider;
mod site;
mod stage;
mod thief;
mod until;

pub use binary::{built, root};
pub use browser::Browser;
pub use chance::Chance;
pub use directory::Directory;
pub use disk::Disk;
pub use door::Door;
pub use lab::{Fault, Lab};
pub use process::Process;
pub use site::{PASSWORD, Site, Visitor};
pub use stage::{Ended, Server, Stage, states};
pub use thief::Thief;
pub use until::{LIMIT, until};
