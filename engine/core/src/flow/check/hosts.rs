//! Selectors of hosts: what they name must be there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, listed, near};
use crate::flow::{Host, Job, Text, Uses, selector, spread};
use crate::hosts::{BadSelector, select};
use crate::mistake::{Place, Severity};
use crate::schema::has_template;

/// What a selector that is no selector could be.
const FORM: &str = "write `all`, a host's name, names such as `master1,master2`, or labels such as `role=datanode,zone!=b`";

impl Check<'_> {
    /// The selector over whose hosts a job has a task each.
    pub(super) fn spread(&self, job: &Job) -> Option<Text> {
        let types = self.around.types;
        spread(job, &self.around.project.hosts, |name| types.traits(name).works_on_hosts)
    }

    /// The hosts that a piece of work is for. `is_spread` is whether each of them is a task of its own.
    pub(super) fn hosts_of(&mut self, what: &str, uses: &Uses, is_spread: bool) {
        if !self.around.types.traits(&uses.job_type).works_on_hosts {
            return;
        }
        let Some(Text { source, place }) = selector(uses) else { return };
        if self.around.project.hosts.is_empty() {
            let message = format!("`{}` works on hosts, and the project has none", uses.job_type);
            self.error(place, "no-hosts", message, "add `hosts` to project.yaml");
            return;
        }
        if has_template(&source) {
            return;
        }
        if let Some(count) = self.selected(&source, place, Severity::Error)
            && count > 1
            && !is_spread
        {
            self.error(
                place,
                "several-hosts",
                format!("{what} works on one host, and `{source}` selects {count}"),
                "name one, or write the same `hosts` as the job has: then each host is looked at by itself",
            );
        }
    }

    /// How many hosts a selector means; `None` if it is wrong. That it means none is as bad as `none_is`.
    pub(super) fn selected(
        &mut self,
        selector: &str,
        place: Place,
        none_is: Severity,
    ) -> Option<usize> {
        let hosts = &self.around.project.hosts;
        match select(hosts, selector) {
            Ok(chosen) if chosen.is_empty() => {
                let (message, help) = why_none(hosts, selector);
                self.add(place, none_is, "no-host-selected", message, &help);
                None
            }
            Ok(chosen) => Some(chosen.len()),
            Err(BadSelector::Form(_)) => {
                self.error(place, "bad-selector", format!("`{selector}` selects no hosts"), FORM);
                None
            }
            Err(BadSelector::Unknown { name, nearest }) => {
                let help = match nearest {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => listed("hosts", hosts.keys().map(String::as_str)),
                };
                let message = format!("there is no host `{name}`");
                self.error(place, "unknown-host", message, &help);
                None
            }
        }
    }
}

/// Why labels select no host, and what may have been meant.
fn why_none(hosts: &BTreeMap<String, Host>, selector: &str) -> (String, String) {
    for part in selector.split(',') {
        let Some((label, value)) = part.split_once('=') else { continue };
        let is_wanted = !label.ends_with('!');
        let (label, value) =
            (label.trim_end_matches('!').trim(), value.trim_start_matches('=').trim());
        let labels: BTreeSet<&str> =
            hosts.values().flat_map(|host| host.labels.keys()).map(String::as_str).collect();
        if !labels.contains(label) {
            let help = match near(label, labels.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => listed("labels", labels.into_iter()),
            };
            return (format!("no host has a label `{label}`"), help);
        }
        let values: BTreeSet<&str> =
            hosts.values().filter_map(|host| host.labels.get(label)).map(String::as_str).collect();
        if is_wanted && !values.contains(value) {
            let help = match near(value, values.iter().copied()) {
                Some(near) => format!("did you mean `{label}={near}`?"),
                None => listed(&format!("values of `{label}`"), values.into_iter()),
            };
            return (format!("no host has `{label}={value}`"), help);
        }
    }
    let help = "`weir hosts list` shows the labels of each".to_owned();
    (format!("`{selector}` selects no host: none has all of these labels"), help)
}
