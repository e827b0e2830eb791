//! The job types that ship with Weir, a module each; and what brings notices to people.
//!
//! They know [`weir_core`] and nothing of the engine: all they work with comes in the context they are given.

mod approve;
mod begun;
mod change;
mod checklist;
mod command;
mod external;
mod fault;
mod fetch;
mod flow;
mod hdfs;
mod http;
mod mask;
mod messenger;
mod noop;
mod output;
mod process_end;
mod reference;
mod script;
mod settings;
mod ssh;
mod stop;
mod wait;
mod way;
mod zookeeper;

use std::sync::Arc;

use weir_core::job_type::JobType;

pub use approve::Approve;
pub use change::{Change, Changing, File, Package, Service, User};
pub use checklist::Checklist;
pub use command::Command;
pub use external::{Bounds, Problem, external, external_within};
pub use fault::Test;
pub use fetch::Fetch;
pub use flow::Flow;
pub use hdfs::{Active, Dir, Election, Format, Put, Report, Safemode, SharedEdits, Standby};
pub use messenger::Post;
pub use noop::Noop;
pub use reference::reference;
pub use ssh::{Bounds as SshBounds, Pool, Ran, Ssh};
pub use wait::Wait;
pub use zookeeper::ZooKeeper;

/// Every job type that flows may use, in the order of the reference.
pub fn all() -> Vec<Arc<dyn JobType>> {
    let pool = Pool::new(SshBounds::default());
    let ssh = Arc::new(Ssh::new(Arc::clone(&pool)));
    vec![
        Arc::new(Command),
        Arc::clone(&ssh) as Arc<dyn JobType>,
        Arc::new(Changing::<File>::new(&pool, &ssh)),
        Arc::new(Fetch::new(Arc::clone(&pool))),
        Arc::new(Changing::<Package>::new(&pool, &ssh)),
        Arc::new(Changing::<Service>::new(&pool, &ssh)),
        Arc::new(Changing::<User>::new(&pool, &ssh)),
        Arc::new(Flow),
        Arc::new(Wait::new(Arc::clone(&pool))),
        Arc::new(Approve),
        Arc::new(Checklist),
        Arc::new(Noop),
        Arc::new(Changing::<Format>::new(&pool, &ssh)),
        Arc::new(Changing::<SharedEdits>::new(&pool, &ssh)),
        Arc::new(Changing::<Standby>::new(&pool, &ssh)),
        Arc::new(Changing::<Election>::new(&pool, &ssh)),
        Arc::new(Changing::<Active>::new(&pool, &ssh)),
        Arc::new(Safemode::new(Arc::clone(&pool))),
        Arc::new(Report::new(Arc::clone(&pool))),
        Arc::new(Dir::new(Arc::clone(&pool))),
        Arc::new(Put::new(Arc::clone(&pool))),
        Arc::new(ZooKeeper::new(pool)),
    ]
}

/// [`all`] and `test`, whose faults are settings: for tests and simulations only.
pub fn with_faults() -> Vec<Arc<dyn JobType>> {
    let mut types = all();
    types.push(Arc::new(Test::default()));
    types
}
