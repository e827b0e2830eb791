//! What is wrong with a project beyond the shape of its file.

use std::collections::BTreeSet;

use super::reach::{Outer, Scope};
use super::{Around, Check, listed};
use crate::flow::names;
use crate::flow::parse::one_or_many;
use crate::hosts::{BadWay, way};
use crate::mistake::Mistake;
use crate::schema::{TextKind, nearest};
use crate::yaml::Node;

/// What is wrong with a project. `node` is its file, for the places.
pub(in crate::flow) fn project<'a>(node: &Node, around: &'a Around<'a>) -> Vec<Mistake> {
    let mut check =
        Check { around, flow: None, params: BTreeSet::new(), mistakes: Vec::new(), agreed: 0 };
    check.defaults(node);
    check.routes(node);
    for recover in &around.project.recover {
        check.recover(recover, None);
        check.scope(&Scope::new(&recover.jobs, Outer::Nothing, true), true);
    }
    check.mistakes
}

impl Check<'_> {
    /// Templates in defaults can only be read here: what they mean depends on the flow.
    fn defaults(&mut self, _node: &Node) {
        let defaults = &self.around.project.defaults;
        let texts = defaults.env.iter().map(|(_, text)| text);
        for text in texts.chain(&defaults.working_dir).chain(&defaults.run_as) {
            if let Err(broken) = names::of_template(&text.source, TextKind::Plain) {
                let place =
                    self.around.source.inside(text.place, &text.source, broken.from, broken.to);
                let message = format!("this template can't be read: {}", broken.message);
                self.error(place, "bad-template", message, &broken.help);
            }
        }
    }

    /// The ways to hosts, and the secrets that are needed on them.
    fn routes(&mut self, node: &Node) {
        let hosts = node.get("hosts").map(Node::entries).unwrap_or_default();
        let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
        for host in hosts {
            self.login(&host.key, &host.value);
            let circle = match way(&self.around.project.hosts, &host.key) {
                Err(BadWay::Circle(circle)) => circle,
                Err(error @ BadWay::TooLong(_)) => {
                    let help =
                        "name fewer hosts in `via`: each of them is reached as it says itself";
                    self.error(host.place, "cycle", error.to_string(), help);
                    continue;
                }
                // An unknown name is told where it stands.
                Ok(_) | Err(BadWay::Unknown { .. }) => continue,
            };
            let mut members = circle.clone();
            members.sort_unstable();
            members.dedup();
            if !circles.insert(members) {
                continue;
            }
            let via = |name: &str| {
                let host = hosts.iter().find(|host| *host.key == *name)?;
                host.value.get("via")
            };
            let place = via(&circle[0]).or_else(|| node.get("host-defaults")?.get("via")).map_or(
                host.place,
                |node| {
                    let hops = one_or_many(node);
                    let named = |hop: &&Node| {
                        hop_name(hop).is_some_and(|hop| hop.text() == Some(&circle[1]))
                    };
                    hops.iter().find(named).map_or(node.place, |hop| hop.place)
                },
            );
            let message = match circle.as_slice() {
                [name, again] if name == again => format!("`{name}` is reached through itself"),
                _ => format!("these hosts are reached through each other: {}", circle.join(" -> ")),
            };
            let help = "name another host, or remove `via`";
            self.error(place, "cycle", message, help);
        }
        if let Some(common) = node.get("host-defaults") {
            self.login("", common);
        }
    }

    /// Hops and secrets of one host, or of what is said for all.
    fn login(&mut self, own: &str, node: &Node) {
        let project = self.around.project;
        let known = || project.hosts.keys().map(String::as_str);
        for hop in node.get("via").map(one_or_many).unwrap_or_default() {
            let Some((name, text)) = hop_name(hop).and_then(|node| Some((node, node.text()?)))
            else {
                continue;
            };
            if text != own && !project.hosts.contains_key(text) {
                let help = match nearest(text, known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => listed("hosts", known()),
                };
                let message = format!("there is no host `{text}` to go through");
                self.error(name.place, "unknown-host", message, &help);
            }
            if let (Some(becomes), None) = (hop.get("become"), hop.get("key-on-hop")) {
                self.error(
                    becomes.place,
                    "become-without-key",
                    format!("nothing is done on `{text}` as another user"),
                    "`become` of a hop is who may read `key-on-hop`: add that, or remove `become`",
                );
            }
            self.secret_of(hop.get("become").and_then(|becomes| becomes.get("password")));
        }
        self.secret_of(node.get("key"));
        self.secret_of(node.get("password"));
        self.secret_of(node.get("become").and_then(|becomes| becomes.get("password")));
    }

    /// A secret that a host names must be one of the project's, if it lists any.
    fn secret_of(&mut self, node: Option<&Node>) {
        let known = &self.around.project.secrets;
        let Some(node) = node.and_then(|node| node.get("secret")) else { return };
        let Some(name) = node.text() else { return };
        if known.is_empty() || known.iter().any(|known| known == name) {
            return;
        }
        let help = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add `{name}` to `secrets`"),
        };
        self.error(
            node.place,
            "unknown-secret",
            format!("the project has no secret `{name}`"),
            &help,
        );
    }
}

/// Where the name of a hop stands.
fn hop_name(hop: &Node) -> Option<&Node> {
    if hop.text().is_some() { Some(hop) } else { hop.get("host") }
}
