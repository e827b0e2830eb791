//! What is wrong with a project beyond the shape of its file.

use std::collections::BTreeSet;

use super::reach::{Outer, Scope};
use super::{Around, Check, listed};
use crate::flow::names;
use crate::mistake::Mistake;
use crate::schema::{TextKind, nearest};
use crate::yaml::Node;

/// What is wrong with a project. `node` is its file, for the places.
pub(in crate::flow) fn project<'a>(node: &Node, around: &'a Around<'a>) -> Vec<Mistake> {
    let mut check = Check { around, flow: None, params: BTreeSet::new(), mistakes: Vec::new() };
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

    /// The hosts that others are reached through.
    fn routes(&mut self, node: &Node) {
        let hosts = node.get("hosts").map(Node::entries).unwrap_or_default();
        let hops = |host: &'_ Node| -> Vec<(String, crate::mistake::Place)> {
            let via = host.get("via").map(super::super::parse::one_or_many).unwrap_or_default();
            via.iter()
                .filter_map(|hop| {
                    hop.text().map(|name| (name, hop.place)).or_else(|| {
                        let name = hop.get("host")?;
                        Some((name.text()?, name.place))
                    })
                })
                .map(|(name, place)| (name.to_owned(), place))
                .collect()
        };
        for host in hosts {
            for (name, place) in hops(&host.value) {
                let known = || hosts.iter().map(|host| &*host.key);
                if *name == *host.key {
                    let message = format!("`{name}` is reached through itself");
                    self.error(place, "cycle", message, "name another host, or remove `via`");
                } else if !known().any(|known| *known == *name) {
                    let help = match nearest(&name, known()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => listed("hosts", known()),
                    };
                    self.error(
                        place,
                        "unknown-host",
                        format!("there is no host `{name}` to go through"),
                        &help,
                    );
                }
            }
        }
    }
}
