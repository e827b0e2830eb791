//! Which of a project's hosts a selector means, and the way to each.

mod login;
mod lookout;
mod route;
mod way;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::flow::Host;
use crate::schema::nearest;

pub use login::{BecomeName, KeyName, Login, Via, fill_in};
pub use lookout::{HopLooked, Looked, Lookout};
pub use route::{Become, Hop, Key, KnownHosts, Route};
pub use way::{BadRoute, BadWay, Step, Surroundings, way};

/// A selector that can't be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSelector {
    /// It is neither `all`, nor a name, nor made of `label=value` and `label!=value`.
    #[error(
        "`{0}` selects no hosts: write `all`, a host's name, or labels such as `role=datanode,zone!=b`"
    )]
    Form(String),
    /// There is no host of that name.
    #[error("there is no host `{name}`{}", nearest.as_ref().map(|near| format!(": did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// The name.
        name: String,
        /// The name that may have been meant.
        nearest: Option<String>,
    },
}

/// The hosts that a selector means, by name: `all`, a host's name, names and labels joined by commas. Labels must all
/// hold: `role=datanode,zone!=b`; several names are several hosts: `master1,master2`. May be none.
///
/// # Errors
/// A name is unknown, or it is no selector.
pub fn select<'a>(
    hosts: &'a BTreeMap<String, Host>,
    selector: &str,
) -> Result<Vec<&'a Host>, BadSelector> {
    let parts: Vec<&str> = selector.split(',').map(str::trim).collect();
    if parts == ["all"] {
        return Ok(hosts.values().collect());
    }
    let is_of_labels = parts.iter().all(|part| part.contains('='));
    if !is_of_labels && parts.iter().any(|part| part.contains('=') || part.is_empty()) {
        return Err(BadSelector::Form(selector.to_owned()));
    }
    if is_of_labels {
        let mut tests = Vec::new();
        for part in parts {
            let (label, value) =
                part.split_once('=').ok_or_else(|| BadSelector::Form(selector.to_owned()))?;
            let (label, is_wanted) =
                label.strip_suffix('!').map_or((label, true), |label| (label, false));
            let value = value.strip_prefix('=').unwrap_or(value).trim();
            if label.trim().is_empty() || value.is_empty() {
                return Err(BadSelector::Form(selector.to_owned()));
            }
            tests.push((label.trim(), value, is_wanted));
        }
        let holds = |host: &&Host| {
            tests.iter().all(|(label, value, is_wanted)| {
                (host.labels.get(*label).is_some_and(|found| found == value)) == *is_wanted
            })
        };
        return Ok(hosts.values().filter(holds).collect());
    }
    let mut chosen: Vec<&Host> = Vec::new();
    for name in parts {
        let host = hosts.get(name).ok_or_else(|| BadSelector::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, hosts.keys().map(String::as_str)).map(str::to_owned),
        })?;
        if !chosen.iter().any(|known| known.name == host.name) {
            chosen.push(host);
        }
    }
    Ok(chosen)
}

/// What templates see of a host: name, address, labels, vars, and who logs in where.
pub fn facts(host: &Host) -> Value {
    let Login { port, user, become_user, .. } = &host.login;
    let mut facts = Map::new();
    let mut put = |key: &str, value: Value| facts.insert(key.to_owned(), value);
    put("name", Value::from(host.name.as_str()));
    put("address", Value::from(host.address.as_str()));
    let labels = host.labels.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str())));
    put("labels", labels.collect());
    put("vars", host.vars.iter().map(|(k, v)| (k.clone(), v.clone())).collect());
    if let Some(port) = port {
        put("port", Value::from(*port));
    }
    if let Some(user) = user {
        put("user", Value::from(user.as_str()));
    }
    if let Some(becomes) = become_user {
        put("become", Value::from(becomes.user.as_str()));
    }
    Value::Object(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_choose_by_name_and_label() {
        let host = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            (name.to_owned(), Host { name: name.to_owned(), labels, ..Host::default() })
        };
        let hosts: BTreeMap<String, Host> = [
            host("m1", &[("role", "master"), ("zone", "a")]),
            host("d1", &[("role", "data"), ("zone", "a")]),
            host("d2", &[("role", "data"), ("zone", "b")]),
            host("x1", &[]),
        ]
        .into();
        let check = |selector: &str, expected: &str| {
            let told = match select(&hosts, selector) {
                Ok(chosen) => {
                    chosen.iter().map(|host| host.name.as_str()).collect::<Vec<_>>().join(" ")
                }
                Err(error) => error.to_string(),
            };
            assert!(told.starts_with(expected), "{selector}: {told}");
        };
        check("all", "d1 d2 m1 x1");
        check("m1", "m1");
        check("d2, m1,d2", "d2 m1");
        check("role=data", "d1 d2");
        check("role = data , zone!=b", "d1");
        check("zone!=b", "d1 m1 x1");
        check("role=none", "");
        check("m2", "there is no host `m2`");
        check("", "`` selects no hosts");
        check("role=", "`role=` selects no hosts");
        check("m1,role=data", "`m1,role=data` selects no hosts");
    }
}
