//! The project's file.

use super::settings::{self, Inherited};
use super::{Reader, named, on_failure, one_or_many, start_of};
use crate::flow::{Defaults, Host, Limits, Project, Retry, schema};
use crate::hosts::{self, BecomeName, KeyName, Login, Via};
use crate::yaml::Node;

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
        if let Some(keep) = node.get("defaults").and_then(|node| node.get("keep")) {
            self.keep_together(keep);
        }
        let defaults = node.get("defaults").map(|node| self.defaults(node)).unwrap_or_default();
        let inherited = Inherited::from_project(&defaults);
        let secrets = node.get("secrets").map(Node::items).unwrap_or_default().iter();
        let pools = node.get("pools").map(Node::entries).unwrap_or_default().iter();
        let written = node.get("hosts").map(Node::entries).unwrap_or_default().iter();
        let mut hosts = written
            .map(|entry| (entry.key.to_string(), self.host(&entry.key, &entry.value)))
            .collect();
        if let Some(common) = node.get("host-defaults") {
            hosts::fill_in(&mut hosts, &self.host("", common));
        }
        Project {
            name: self.text_or_empty(node.get("name")),
            title: node.get("title").and_then(|node| node.text()).map(str::to_owned),
            secrets: secrets.filter_map(|node| node.text()).map(str::to_owned).collect(),
            pools: pools
                .filter_map(|pool| Some((pool.key.to_string(), settings::whole(&pool.value)?)))
                .collect(),
            hosts,
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
            keep: node.get("keep").map(settings::keep),
        }
    }

    fn host(&self, name: &str, node: &Node) -> Host {
        let vars = node.get("vars").map(Node::entries).unwrap_or_default().iter();
        Host {
            name: name.to_owned(),
            address: self.text_or_empty(node.get("address")),
            labels: node.get("labels").map(|node| self.letters(node)).unwrap_or_default(),
            vars: vars.map(|var| (var.key.to_string(), var.value.to_value())).collect(),
            login: login(node),
        }
    }
}

fn login(node: &Node) -> Login {
    let text = |key: &str| node.get(key).and_then(|node| node.text()).map(str::to_owned);
    Login {
        port: node.get("port").and_then(settings::whole),
        user: text("user"),
        key: node.get("key").and_then(|node| match secret(node) {
            Some(name) => Some(KeyName::Secret(name)),
            None => Some(KeyName::File(node.text()?.to_owned())),
        }),
        password: node.get("password").and_then(secret),
        become_user: node.get("become").and_then(becomes),
        via: node.get("via").map(|node| one_or_many(node).iter().filter_map(via).collect()),
    }
}

fn via(node: &Node) -> Option<Via> {
    if let Some(name) = node.text() {
        return Some(Via { host: name.to_owned(), ..Via::default() });
    }
    Some(Via {
        host: node.get("host")?.text()?.to_owned(),
        key_on_hop: node.get("key-on-hop").and_then(|node| node.text()).map(str::to_owned),
        become_user: node.get("become").and_then(becomes),
    })
}

fn becomes(node: &Node) -> Option<BecomeName> {
    if let Some(user) = node.text() {
        return Some(BecomeName { user: user.to_owned(), password: None });
    }
    Some(BecomeName {
        user: node.get("user").and_then(|node| node.text()).unwrap_or("root").to_owned(),
        password: Some(secret(node.get("password")?)?),
    })
}

fn secret(node: &Node) -> Option<String> {
    node.get("secret")?.text().map(str::to_owned)
}
