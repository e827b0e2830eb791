//! HDFS: what is done once on the hosts of its name nodes (`hdfs.format`; for a pair of them `hdfs.shared-edits`,
//! `hdfs.standby`, `hdfs.election`, `hdfs.active`), and what a running file system is asked over HTTP: `hdfs.safemode`,
//! `hdfs.report` (JMX), `hdfs.dir`, `hdfs.put` (`WebHDFS`).

mod active;
mod checksum;
mod dir;
mod election;
mod format;
mod names;
mod program;
mod put;
mod report;
mod safemode;
mod shared_edits;
mod source;
mod standby;
mod web;

pub use active::Active;
pub use dir::Dir;
pub use election::Election;
pub use format::Format;
pub use put::Put;
pub use report::Report;
pub use safemode::Safemode;
pub use shared_edits::SharedEdits;
pub use standby::Standby;
