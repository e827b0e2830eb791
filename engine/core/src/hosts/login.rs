//! How to get to a host and log in there, as the project's file says it: names of hosts, files and secrets, nothing
//! opened yet.

use serde::{Deserialize, Serialize};

use super::BTreeMap;
use crate::flow::Host;

/// How to get to a host and log in there. What is not said here is not known, or said for all hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Login {
    /// The TCP port; 22 if not said.
    pub port: Option<u16>,
    /// Who logs in.
    pub user: Option<String>,
    /// The key to log in with.
    pub key: Option<KeyName>,
    /// The secret that is the password to log in with.
    pub password: Option<String>,
    /// The user to become there.
    pub become_user: Option<BecomeName>,
    /// The hosts to go through, in order. Empty: none, whatever is said for all hosts.
    pub via: Option<Vec<Via>>,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyName {
    /// In a file: relative to the project's folder, or below the user's with `~/`.
    File(String),
    /// In a secret of this name.
    Secret(String),
}

/// A user to become.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct BecomeName {
    /// Who.
    pub user: String,
    /// The secret that is the password which `sudo` may ask for.
    pub password: Option<String>,
}

/// A host to go through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Via {
    /// Its name.
    pub host: String,
    /// Where on it the key for the next machine lies.
    pub key_on_hop: Option<String>,
    /// Who may read that key there, if not the one who logs in.
    pub become_user: Option<BecomeName>,
}

impl Login {
    /// The names of all secrets that it speaks of.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let key = match &self.key {
            Some(KeyName::Secret(name)) => Some(name),
            Some(KeyName::File(_)) | None => None,
        };
        let hops = self.via.iter().flatten().filter_map(|via| via.become_user.as_ref());
        let becomes = self.become_user.iter().chain(hops);
        let passwords = becomes.filter_map(|becomes| becomes.password.as_ref());
        key.into_iter().chain(&self.password).chain(passwords).map(String::as_str)
    }
}

/// Gives each host what is said for all of them and not by itself. A host that the common way leads through is
/// reached by the part of it that comes before.
pub fn fill_in(hosts: &mut BTreeMap<String, Host>, common: &Host) {
    let on_the_way = on_the_way(hosts, common.login.via.as_deref().unwrap_or_default());
    for host in hosts.values_mut() {
        let Login { port, user, key, password, become_user, via } = &common.login;
        let own = &mut host.login;
        own.port = own.port.or(*port);
        own.user = own.user.take().or_else(|| user.clone());
        // Who says how to log in here means it: the common key is not tried beside an own password.
        if own.key.is_none() && own.password.is_none() {
            own.key.clone_from(key);
            own.password.clone_from(password);
        }
        own.become_user = own.become_user.take().or_else(|| become_user.clone());
        if own.via.is_none() {
            own.via = via.as_ref().and_then(|via| {
                match via.iter().position(|hop| hop.host == host.name) {
                    Some(place) => Some(via[..place].to_vec()),
                    None if on_the_way.contains(&host.name) => None,
                    None => Some(via.clone()),
                }
            });
        }
        for (name, value) in &common.vars {
            host.vars.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// The hosts that a way leads through, be it by what they say themselves.
fn on_the_way(hosts: &BTreeMap<String, Host>, via: &[Via]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut work: Vec<&Via> = via.iter().collect();
    while let Some(hop) = work.pop() {
        if !found.contains(&hop.host) {
            found.push(hop.host.clone());
            work.extend(
                hosts.get(&hop.host).and_then(|host| host.login.via.as_ref()).into_iter().flatten(),
            );
        }
    }
    found
}
