//! The loop under proof: the real turn and the real store, with a clock, attempts and people that are made up.
//!
//! * `lab`: a home, a turn and a world in which nothing happens by itself
//! * `mirror`: what was committed, and everything that must hold of it at every commit
//! * `cases`: scenarios that a person can read
//! * `hosts`: jobs that are spread over hosts
//! * `swarm`: runs, faults and people chosen by a seed
//! * `attempts`: those whose end is asked for, carried out for real
//! * `crashes`: one scenario, stopped at every point
//! * `schedules`: due times over months
//! * `costs`: what a commit may cost

mod attempts;
mod cases;
mod costs;
mod crashes;
mod flows;
mod hosts;
mod lab;
mod mirror;
mod random;
mod schedules;
mod swarm;
mod types;
