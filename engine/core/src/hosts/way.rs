//! The machines between here and a host, by name; and the route that they make once secrets and files are known.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::login::{BecomeName, KeyName};
use super::route::{Become, Hop, Key, KnownHosts, Route};
use crate::flow::{Host, Project};
use crate::schema::nearest;
use crate::secret::Secret;

/// More machines than any way needs.
const MOST: usize = 32;

/// The port of SSH.
const PORT: u16 = 22;

/// One machine on the way to a host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<'a> {
    /// The machine.
    pub host: &'a Host,
    /// The key for it that lies on the machine before, and who may read it there.
    pub key_on_hop: Option<(&'a str, Option<&'a BecomeName>)>,
}

/// There is no way to a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWay {
    /// There is no such host.
    #[error("there is no host `{name}`{}", nearest.as_ref().map(|near| format!(": did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// The name.
        name: String,
        /// The name that may have been meant.
        nearest: Option<String>,
    },
    /// It leads through a machine twice: the names along it.
    #[error("the way leads in a circle: {}", .0.join(" -> "))]
    Circle(Vec<String>),
    /// It leads through too many machines.
    #[error("the way to `{0}` leads through more than {MOST} machines")]
    TooLong(String),
}

/// Why a route can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoute {
    /// There is no way.
    #[error(transparent)]
    Way(#[from] BadWay),
    /// A secret is not there.
    #[error(
        "the secret `{secret}`, {what} of host `{host}`, is not known\nhelp: `weir secret set {secret}` keeps it"
    )]
    NoSecret {
        /// The secret.
        secret: String,
        /// What it is for.
        what: &'static str,
        /// Whose.
        host: String,
    },
    /// A path begins with `~`, and nobody knows the folder that it stands for.
    #[error("`{0}` can't be found: HOME is not set\nhelp: write the whole path")]
    NoUserFolder(String),
}

/// The machines to go through to a host, in order; the last is the host itself.
///
/// The first host of `via` is reached as it says itself, each next one from the one before it.
///
/// # Errors
/// A name is unknown, or the way leads in a circle.
pub fn way<'a>(hosts: &'a BTreeMap<String, Host>, name: &str) -> Result<Vec<Step<'a>>, BadWay> {
    let find = |name: &str| {
        hosts.get(name).ok_or_else(|| BadWay::Unknown {
            name: name.to_owned(),
            nearest: nearest(name, hosts.keys().map(String::as_str)).map(str::to_owned),
        })
    };
    let mut back: Vec<Step<'a>> = Vec::new();
    let mut next = Some(Step { host: find(name)?, key_on_hop: None });
    // Backwards: from the host to the machine that is reached from here.
    while let Some(step) = next.take() {
        add(&mut back, step, name)?;
        let via = step.host.login.via.as_deref().unwrap_or_default();
        for (place, hop) in via.iter().enumerate().rev() {
            if let Some(after) = back.last_mut() {
                let key = hop.key_on_hop.as_deref();
                after.key_on_hop = key.map(|path| (path, hop.become_user.as_ref()));
            }
            let step = Step { host: find(&hop.host)?, key_on_hop: None };
            if place == 0 {
                next = Some(step);
            } else {
                add(&mut back, step, name)?;
            }
        }
    }
    back.reverse();
    Ok(back)
}

fn add<'a>(back: &mut Vec<Step<'a>>, step: Step<'a>, name: &str) -> Result<(), BadWay> {
    if let Some(place) = back.iter().position(|known| known.host.name == step.host.name) {
        let circle = back[place..].iter().chain([&step]);
        return Err(BadWay::Circle(circle.map(|step| step.host.name.clone()).collect()));
    }
    if back.len() > MOST {
        return Err(BadWay::TooLong(name.to_owned()));
    }
    back.push(step);
    Ok(())
}

/// What routes are made with.
pub struct Surroundings<'a> {
    /// The project.
    pub project: &'a Project,
    /// Its folder: paths of keys start there.
    pub folder: &'a Path,
    /// The folder of the user that Weir runs as: what `~` stands for.
    pub user_folder: Option<&'a Path>,
    /// Where Weir keeps what it knows of the project's hosts.
    pub kept: Option<&'a Path>,
    /// Opens a secret.
    pub secret: &'a dyn Fn(&str) -> Option<Secret>,
}

impl Surroundings<'_> {
    /// The way to a host, ready to be gone.
    ///
    /// # Errors
    /// There is no way, or a secret on it is not known.
    pub fn route(&self, name: &str) -> Result<Route, BadRoute> {
        let steps = way(&self.project.hosts, name)?;
        let mut hops = Vec::with_capacity(steps.len());
        for step in &steps {
            hops.push(self.hop(step)?);
        }
        let host = steps.last().expect("a way leads to its host").host;
        let becomes = host.login.become_user.as_ref();
        Ok(Route {
            hops,
            known_hosts: self.known_hosts()?,
            become_user: becomes.map(|becomes| self.becomes(becomes, &host.name)).transpose()?,
            vars: host.vars.clone(),
            records: self.kept.map(|kept| kept.join(&host.name)),
        })
    }

    fn hop(&self, step: &Step<'_>) -> Result<Hop, BadRoute> {
        let Host { name, address, login, .. } = step.host;
        let key = match (step.key_on_hop, &login.key) {
            (Some((path, becomes)), _) => Key::OnHopBefore {
                path: path.to_owned(),
                become_user: becomes.map(|becomes| self.becomes(becomes, name)).transpose()?,
            },
            (None, Some(KeyName::File(path))) => Key::File(self.path(path)?),
            (None, Some(KeyName::Secret(secret))) => {
                Key::Text(self.secret(secret, "the key", name)?)
            }
            (None, None) => Key::Usual,
        };
        let password = login.password.as_ref();
        Ok(Hop {
            name: name.clone(),
            address: address.clone(),
            port: login.port.unwrap_or(PORT),
            user: login.user.clone(),
            key,
            password: password
                .map(|secret| self.secret(secret, "the password", name))
                .transpose()?,
        })
    }

    fn becomes(&self, becomes: &BecomeName, host: &str) -> Result<Become, BadRoute> {
        let password = becomes.password.as_ref();
        Ok(Become {
            user: becomes.user.clone(),
            password: password
                .map(|secret| self.secret(secret, "the password for `sudo`", host))
                .transpose()?,
        })
    }

    fn secret(&self, name: &str, what: &'static str, host: &str) -> Result<Secret, BadRoute> {
        (self.secret)(name).ok_or_else(|| BadRoute::NoSecret {
            secret: name.to_owned(),
            what,
            host: host.to_owned(),
        })
    }

    fn known_hosts(&self) -> Result<KnownHosts, BadRoute> {
        Ok(match (self.project.known_hosts.as_deref(), self.kept) {
            (Some("accept-new"), Some(kept)) => KnownHosts::AcceptNew(kept.join("known_hosts")),
            // Where nothing can be kept, nothing new can be accepted.
            (None, _) | (Some("accept-new"), None) => KnownHosts::Usual,
            (Some(file), _) => KnownHosts::File(self.path(file)?),
        })
    }

    fn path(&self, path: &str) -> Result<PathBuf, BadRoute> {
        match path.strip_prefix("~/") {
            Some(below) => {
                let folder =
                    self.user_folder.ok_or_else(|| BadRoute::NoUserFolder(path.to_owned()))?;
                Ok(folder.join(below))
            }
            None => Ok(self.folder.join(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::job_types::JobTypes;

    fn project(text: &str) -> Project {
        let (project, mistakes) =
            crate::flow::load_project("p", text, &JobTypes::default(), &BTreeSet::default());
        assert_eq!(mistakes, []);
        project.expect("it is right")
    }

    fn told(project: &Project, name: &str) -> String {
        let secret =
            |name: &str| (name != "lost").then(|| Secret::new(name, format!("value of {name}")));
        let around = Surroundings {
            project,
            folder: Path::new("/p"),
            user_folder: Some(Path::new("/u")),
            kept: Some(Path::new("/h")),
            secret: &secret,
        };
        let route = match around.route(name) {
            Ok(route) => route,
            Err(error) => return error.to_string(),
        };
        let hops = route.hops.iter().map(|hop| {
            let key = match &hop.key {
                Key::Usual => String::new(),
                Key::File(path) => format!(" key {}", path.display()),
                Key::Text(secret) => format!(" key in {}", secret.name()),
                Key::OnHopBefore { path, become_user } => format!(
                    " key {path} there{}",
                    become_user.as_ref().map(|b| format!(" of {}", b.user)).unwrap_or_default()
                ),
            };
            let user = hop.user.as_deref().unwrap_or("-");
            let password = hop.password.as_ref().map(|_| " password").unwrap_or_default();
            format!("{user}@{}:{}{key}{password}", hop.address, hop.port)
        });
        hops.collect::<Vec<_>>().join(" > ")
    }

    #[test]
    fn a_way_leads_through_what_its_hops_are_reached_through() {
        let project = project(
            "name: p\nhosts:\n  \
             a: { address: a.example, user: u, key: ~/.ssh/id }\n  \
             b: { address: b.example, via: a, port: 2222, key: { secret: k } }\n  \
             c: { address: c.example, via: [b], password: { secret: w } }\n  \
             d: { address: d.example, via: [a, { host: c, become: root, key-on-hop: /k }], key: keys/d }\n",
        );
        assert_eq!(told(&project, "a"), "u@a.example:22 key /u/.ssh/id");
        assert_eq!(
            told(&project, "c"),
            "u@a.example:22 key /u/.ssh/id > -@b.example:2222 key in k > -@c.example:22 password"
        );
        // What is written out goes before what the second hop says of itself.
        assert_eq!(
            told(&project, "d"),
            "u@a.example:22 key /u/.ssh/id > -@c.example:22 password > -@d.example:22 key /k there of root"
        );
        assert_eq!(told(&project, "e"), "there is no host `e`");
    }

    #[test]
    fn what_is_said_for_all_hosts_holds_where_a_host_says_nothing_else() {
        let project = project(
            "name: p\nknown-hosts: accept-new\nhost-defaults: { user: u, port: 23, key: k, via: [a, b], vars: { x: 1, y: 1 }, \
             become: { user: root, password: { secret: s } } }\nhosts:\n  \
             o: { address: o.example, via: [] }\n  \
             a: { address: a.example }\n  \
             b: { address: b.example }\n  \
             c: { address: c.example, port: 24, vars: { y: 2 }, become: hdfs }\n  \
             d: { address: d.example, via: o, password: { secret: lost } }\n",
        );
        assert_eq!(told(&project, "o"), "u@o.example:23 key /p/k");
        assert_eq!(told(&project, "a"), "u@a.example:23 key /p/k");
        assert_eq!(told(&project, "b"), "u@a.example:23 key /p/k > u@b.example:23 key /p/k");
        assert_eq!(
            told(&project, "c"),
            "u@a.example:23 key /p/k > u@b.example:23 key /p/k > u@c.example:24 key /p/k"
        );
        assert_eq!(
            told(&project, "d"),
            "the secret `lost`, the password of host `d`, is not known\nhelp: `weir secret set lost` keeps it"
        );
        let vars = |host: &str| serde_json::json!(project.hosts[host].vars);
        assert_eq!(vars("a"), serde_json::json!({ "x": 1, "y": 1 }));
        assert_eq!(vars("c"), serde_json::json!({ "x": 1, "y": 2 }));
        let around = Surroundings {
            project: &project,
            folder: Path::new("/p"),
            user_folder: None,
            kept: Some(Path::new("/h")),
            secret: &|name| Some(Secret::new(name, "hidden-value")),
        };
        let route = around.route("a").expect("there is a way");
        assert_eq!(route.known_hosts, KnownHosts::AcceptNew("/h/known_hosts".into()));
        assert_eq!(route.records, Some("/h/a".into()));
        assert_eq!(route.secrets().map(Secret::name).collect::<Vec<_>>(), ["s"]);
        assert!(!format!("{route:?}").contains("hidden-value"));
    }
}
