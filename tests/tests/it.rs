//! What is proven through the built binary, as a user or the system would meet it.

#[path = "it/api.rs"]
mod api;
#[path = "it/arrows.rs"]
mod arrows;
#[path = "it/browser.rs"]
mod browser;
#[path = "it/cures.rs"]
mod cures;
#[path = "it/directory.rs"]
mod directory;
#[path = "it/elsewhere.rs"]
mod elsewhere;
#[path = "it/homes.rs"]
mod homes;
#[path = "it/host_pages.rs"]
mod host_pages;
#[path = "it/hosts.rs"]
mod hosts;
#[path = "it/inventory.rs"]
mod inventory;
#[path = "it/jobs.rs"]
mod jobs;
#[path = "it/kill.rs"]
mod kill;
#[path = "it/lab.rs"]
mod lab;
#[path = "it/lab_hdfs.rs"]
mod lab_hdfs;
#[path = "it/lab_hdfs_pair.rs"]
mod lab_hdfs_pair;
#[path = "it/lab_servers.rs"]
mod lab_servers;
#[path = "it/logs.rs"]
mod logs;
#[path = "it/notices.rs"]
mod notices;
#[path = "it/pages.rs"]
mod pages;
#[path = "it/pipes.rs"]
mod pipes;
#[path = "it/policies.rs"]
mod policies;
#[path = "it/provider.rs"]
mod provider;
#[path = "it/prune.rs"]
mod prune;
#[path = "it/recovery.rs"]
mod recovery;
#[path = "it/rerun.rs"]
mod rerun;
#[path = "it/roles.rs"]
mod roles;
#[path = "it/schedule_pages.rs"]
mod schedule_pages;
#[path = "it/schedules.rs"]
mod schedules;
#[path = "it/secrets.rs"]
mod secrets;
#[path = "it/serve.rs"]
mod serve;
#[path = "it/shipped.rs"]
mod shipped;
#[path = "it/sweep.rs"]
mod sweep;
#[path = "it/tidy.rs"]
mod tidy;
#[path = "it/tls.rs"]
mod tls;
#[path = "it/triggers.rs"]
mod triggers;
#[path = "it/trouble.rs"]
mod trouble;
