//! `weir hosts`: the machines that flows act on.

mod check;
mod config;
mod facts;
mod import;
pub(crate) mod inventory;
mod list;
pub(crate) mod lookout;

use crate::args::{self, Global, HostsCommand};
use crate::end::Ended;

pub(crate) async fn hosts(global: &Global, args: args::Hosts) -> Ended {
    match args.what {
        HostsCommand::List(chosen) => list::list(global, &chosen).await,
        HostsCommand::Check { chosen, within } => check::check(global, &chosen, within).await,
        HostsCommand::Facts { host, dir } => facts::facts(global, &host, &dir).await,
        HostsCommand::Config(config) => config::config(global, &config).await,
        HostsCommand::Import { file, format } => import::import(global, &file, format),
    }
}
