//! The project's file.

use super::settings::{self, Inherited};
use super::{Reader, named, on_failure, start_of};
use crate::flow::{Defaults, Host, Limits, Project, Retry, schema};
use crate::yaml::{Entry, Node};

impl Reader<'_> {
    /// The project of a file.
    pub(crate) fn project(&mut self, node: &Node) -> Project {
        self.hold(&schema::PROJECT, node, start_of(node));
        for item in node.get("recover").map(Node::items).unwrap_or_default() {
            self.recover_together(item);
        }
        if let Some(retry) = node.get("defaults").and_then(|node| node.get("retry")) {
            self.retry_together(retry);
        }
        let defaults = node.get("defaults").map(|node| self.defaults(node)).unwrap_or_default();
        let inherited = Inherited::from_project(&defaults);
        let secrets = node.get("secrets").map(Node::items).unwrap_or_default().iter();
        let pools = node.get("pools").map(Node::entries).unwrap_or_default().iter();
        let hosts = node.get("hosts").map(Node::entries).unwrap_or_default().iter();
        Project {
            name: self.text_or_empty(node.get("name")),
            title: node.get("title").and_then(|node| node.text()).map(str::to_owned),
            secrets: secrets.filter_map(|node| node.text()).map(str::to_owned).collect(),
            pools: pools
                .filter_map(|pool| Some((pool.key.to_string(), settings::whole(&pool.value)?)))
                .collect(),
            hosts: hosts.map(|entry| (entry.key.to_string(), self.host(entry))).collect(),
            known_hosts: node.get("known-hosts").and_then(|node| node.text()).map(str::to_owned),
            recover: node
                .get("recover")
                .map(|node| self.recovers(node, &inherited))
                .unwrap_or_default(),
            defaults,
        }
    }

    fn defaults(&self, node: &Node) -> Defaults {
        let mut env = Vec::new();
        if let Some(node) = node.get("env") {
            self.env_into(node, &mut env);
        }
        let text = |key: &str| node.get(key).and_then(|node| self.text(node));
        Defaults {
            retry: node.get("retry").map(|node| {
                let mut retry = Retry::default();
                settings::retry_into(node, &mut retry);
                retry
            }),
            timeout: node.get("timeout").and_then(settings::span),
            grace: node.get("grace").and_then(settings::span),
            env,
            working_dir: text("working-dir"),
            run_as: text("run-as"),
            limits: node.get("limits").map(|node| {
                let mut limits = Limits::default();
                settings::limits_into(node, &mut limits);
                limits
            }),
            on_failure: node.get("on-failure").and_then(|node| named(node, on_failure)),
        }
    }

    fn host(&self, entry: &Entry) -> Host {
        let node = &entry.value;
        let vars = node.get("vars").map(Node::entries).unwrap_or_default().iter();
        let own = ["address", "labels", "vars"];
        let others = node.entries().iter().filter(|entry| !own.contains(&&*entry.key));
        Host {
            name: entry.key.to_string(),
            address: self.text_or_empty(node.get("address")),
            labels: node.get("labels").map(|node| self.letters(node)).unwrap_or_default(),
            vars: vars.map(|var| (var.key.to_string(), var.value.to_value())).collect(),
            connection: others.map(|key| (key.key.to_string(), key.value.to_value())).collect(),
        }
    }
}
