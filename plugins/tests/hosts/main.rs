//! Work on hosts, against real sshds.

mod changes;
mod connections;
mod detached;
mod machine;
mod pace;
mod relay;
mod scene;
#[path = "../job_types/stage.rs"]
#[allow(dead_code, reason = "the other tests of job types need more of it")]
mod stage;
mod stalls;
mod waits;
