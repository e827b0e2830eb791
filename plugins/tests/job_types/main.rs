//! What each job type makes of its settings, through the same calls that the engine makes.

mod command;
mod external;
mod hdfs;
mod in_process;
mod reference;
mod stage;
mod wait;
