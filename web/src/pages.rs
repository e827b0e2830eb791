//! The pages, one file a noun: handler and template together. Templates escape everything; what they show as it is was
//! escaped by who made it (graphs, lines of logs).

pub(crate) mod asking;
pub(crate) mod audit;
pub(crate) mod begin;
pub(crate) mod calendar;
pub(crate) mod diagnoses;
pub(crate) mod field;
pub(crate) mod flow;
pub(crate) mod flows;
pub(crate) mod hosts;
pub(crate) mod lines;
pub(crate) mod log;
pub(crate) mod login;
pub(crate) mod notices;
pub(crate) mod provider;
pub(crate) mod rerun;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod schedule;
pub(crate) mod schedule_form;
pub(crate) mod schedules;
pub(crate) mod since;
pub(crate) mod system;
pub(crate) mod task;
pub(crate) mod trouble;
pub(crate) mod users;
pub(crate) mod versions;
