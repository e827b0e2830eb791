//! HDFS: formatting a name node once (`hdfs.format`, on its host), and what a running file system is asked over HTTP:
//! `hdfs.safemode`, `hdfs.report` (JMX), `hdfs.dir`, `hdfs.put` (`WebHDFS`).

mod checksum;
mod dir;
mod format;
mod names;
mod put;
mod report;
mod safemode;
mod source;
mod web;

pub use dir::Dir;
pub use format::Format;
pub use put::Put;
pub use report::Report;
pub use safemode::Safemode;
