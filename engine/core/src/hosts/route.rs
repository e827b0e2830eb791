//! The way to a host: each machine on it, and how to log in there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::secret::Secret;

/// The way to a host, ready to be gone: names are looked up, secrets opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// The machines to go through, in order; the last is the host itself. Never empty.
    pub hops: Vec<Hop>,
    /// How the keys of the machines are known.
    pub known_hosts: KnownHosts,
    /// The user that work on the host becomes, and the password for that, if one is asked for.
    pub become_user: Option<Become>,
    /// The host's own values for templates.
    pub vars: BTreeMap<String, Value>,
    /// The folder in which what was done to the host is kept. Not made yet; `None` where nothing can be kept.
    pub records: Option<PathBuf>,
}

impl Route {
    /// The host at the end.
    ///
    /// # Panics
    /// It has no hops: such a route is never made.
    pub fn host(&self) -> &Hop {
        self.hops.last().expect("a route has a last hop")
    }

    /// The way to the machine at `place` on it: the first part of this one.
    ///
    /// # Panics
    /// There is no such place.
    #[must_use]
    pub fn up_to(&self, place: usize) -> Self {
        Self {
            hops: self.hops[..=place].to_vec(),
            known_hosts: self.known_hosts.clone(),
            ..Self::default()
        }
    }

    /// All secrets that are needed on it.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        fn of_hop(hop: &Hop) -> [Option<&Secret>; 2] {
            let key = match &hop.key {
                Key::Text(secret) => Some(secret),
                Key::OnHopBefore { become_user, .. } => {
                    become_user.as_ref().and_then(|becomes| becomes.password.as_ref())
                }
                Key::Usual | Key::File(_) => None,
            };
            [key, hop.password.as_ref()]
        }
        let becomes = self.become_user.as_ref().and_then(|becomes| becomes.password.as_ref());
        self.hops.iter().flat_map(of_hop).flatten().chain(becomes)
    }
}

/// One machine on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// Its name in the project, for people and errors.
    pub name: String,
    /// Where it answers, as seen from the machine before it.
    pub address: String,
    /// The TCP port.
    pub port: u16,
    /// Who logs in. `None`: the user that Weir runs as.
    pub user: Option<String>,
    /// The key to log in with.
    pub key: Key,
    /// The password to log in with, if keys do not do.
    pub password: Option<Secret>,
}

/// Where the key for a machine comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// The agent, then the user's usual files.
    #[default]
    Usual,
    /// A file here.
    File(PathBuf),
    /// The text of a private key.
    Text(Secret),
    /// A file that only the machine before has: it is used there, and never read by Weir. `become_user` is who may
    /// read it there.
    OnHopBefore {
        /// Where it lies there.
        path: String,
        /// Who may read it there, if not the one who logs in.
        become_user: Option<Become>,
    },
}

/// A user to become after the login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Become {
    /// Who.
    pub user: String,
    /// What `sudo` may ask for. Goes over standard input only.
    pub password: Option<Secret>,
}

/// How the keys of machines are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KnownHosts {
    /// The user's own `known_hosts`: an unknown key is refused.
    #[default]
    Usual,
    /// This file alone: an unknown key is refused.
    File(PathBuf),
    /// A key is kept in this file when first met; another one later is refused.
    AcceptNew(PathBuf),
}
