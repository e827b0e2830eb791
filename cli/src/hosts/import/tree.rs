//! An Ansible inventory in YAML.

use weir_core::yaml::{self, Node, Source};

use super::ansible::{Inventory, Vars, names};
use super::draft::Drafts;

/// Reads an inventory.
///
/// # Errors
/// `LINE: what is wrong`: it is none.
pub(super) fn read(file: &str, text: &str, drafts: &mut Drafts) -> Result<(), String> {
    let source = Source::new(text);
    let (node, mistakes) = yaml::read(file, &source);
    if let Some(mistake) = mistakes.first() {
        let help = mistake.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
        return Err(format!("{}: {}{help}", mistake.place.line, mistake.message));
    }
    let mut inventory = Inventory::default();
    for entry in node.as_ref().map(Node::entries).unwrap_or_default() {
        group(&entry.key, &entry.value, &mut inventory, drafts);
    }
    inventory.finish(drafts);
    Ok(())
}

fn vars(node: &Node) -> Vars {
    let entries = node.entries().iter();
    entries
        .map(|entry| {
            let line = entry.place.line as usize;
            (entry.key.to_string(), (entry.value.to_value(), line))
        })
        .collect()
}

fn group(name: &str, node: &Node, inventory: &mut Inventory, drafts: &mut Drafts) {
    inventory.groups.entry(name.to_owned()).or_default();
    for part in node.entries() {
        let line = part.place.line as usize;
        match &*part.key {
            "hosts" => {
                for host in part.value.entries() {
                    let line = host.place.line as usize;
                    let Some(all) = names(&host.key) else {
                        drafts.leave(line, format!("the range in `{}` can't be read", host.key));
                        continue;
                    };
                    for host_name in all {
                        let known = inventory
                            .hosts
                            .entry(host_name.clone())
                            .or_insert_with(|| (Vars::new(), line));
                        known.0.extend(vars(&host.value));
                        let group = inventory.groups.entry(name.to_owned()).or_default();
                        group.hosts.insert(host_name);
                    }
                }
            }
            "vars" => {
                let group = inventory.groups.entry(name.to_owned()).or_default();
                group.vars.extend(vars(&part.value));
            }
            "children" => {
                for child in part.value.entries() {
                    let of = inventory.groups.entry(name.to_owned()).or_default();
                    of.children.insert(child.key.to_string());
                    group(&child.key, &child.value, inventory, drafts);
                }
            }
            other => drafts.leave(
                line,
                format!(
                    "`{other}` of the group `{name}`: there are `hosts`, `vars` and `children`"
                ),
            ),
        }
    }
}
