//! Work on hosts, against real sshds.

mod connections;
mod machine;
