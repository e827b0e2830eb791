//! Scripts and what follows from them, a feature a file.

mod basics;
mod each;
mod ending;
mod failure;
mod groups;
mod hooks;
mod people;
mod remedies;
mod rerun;
mod retries;
mod rolling;
mod time;
mod waiting;
