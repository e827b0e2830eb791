//! What the flows of a folder share: defaults, hosts, pools, secrets' names, known failures.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Keep, Limits, OnFailure, Recover, Retry, Text};
use crate::hosts::Login;

/// A folder of flows: what they share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Project {
    /// The project's name.
    pub name: String,
    /// What people read.
    pub title: Option<String>,
    /// Settings that each job of its flows has unless it says otherwise.
    pub defaults: Defaults,
    /// Names of secrets that its flows may use.
    pub secrets: Vec<String>,
    /// How many slots each pool has.
    pub pools: BTreeMap<String, u32>,
    /// The machines that flows act on, by name.
    pub hosts: BTreeMap<String, Host>,
    /// `accept-new`, or a file of known host keys beside the project's file.
    pub known_hosts: Option<String>,
    /// Failures known to the project.
    pub recover: Vec<Recover>,
}

/// What the jobs of a project's flows have unless they say otherwise.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    /// Retries.
    pub retry: Option<Retry>,
    /// After which an attempt is ended.
    pub timeout: Option<Duration>,
    /// The time between TERM and KILL.
    pub grace: Option<Duration>,
    /// Variables for the work; a job's own win.
    pub env: Vec<(String, Text)>,
    /// The folder to work in.
    pub working_dir: Option<Text>,
    /// The user to work as.
    pub run_as: Option<Text>,
    /// Bounds.
    pub limits: Option<Limits>,
    /// For flows that say nothing.
    pub on_failure: Option<OnFailure>,
    /// For flows that say nothing.
    pub keep: Option<Keep>,
}

/// A machine that flows act on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Host {
    /// Its name in the project.
    pub name: String,
    /// Where it answers.
    pub address: String,
    /// What selectors match.
    pub labels: BTreeMap<String, String>,
    /// Values for templates.
    pub vars: BTreeMap<String, Value>,
    /// How to get there and log in.
    pub login: Login,
}
