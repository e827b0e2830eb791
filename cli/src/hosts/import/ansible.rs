//! What Ansible's variables say of a host, and what groups make of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::draft::{Draft, Drafts};
use super::options;

/// Groups that say nothing of a host.
const NO_GROUPS: [&str; 2] = ["all", "ungrouped"];
/// How deep groups may stand in each other.
const DEEPEST: usize = 32;

/// A variable and the line it stands in.
pub(super) type Vars = BTreeMap<String, (Value, usize)>;

/// An inventory as it is written.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) hosts: BTreeMap<String, (Vars, usize)>,
    pub(super) groups: BTreeMap<String, Group>,
}

/// A group of hosts.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) hosts: BTreeSet<String>,
    pub(super) children: BTreeSet<String>,
    pub(super) vars: Vars,
}

impl Inventory {
    /// Makes hosts of it: groups become labels, variables of groups those of their hosts.
    pub(super) fn finish(mut self, drafts: &mut Drafts) {
        for (name, (own, line)) in std::mem::take(&mut self.hosts) {
            if !is_name(&name) {
                drafts.leave(line, format!("`{name}` can't be a host's name here: use letters, digits, `-`, `_` and `.`"));
                continue;
            }
            let mut host = Draft::default();
            // From the outermost group to the innermost, then the host's own: the last word counts.
            let mut vars = Vars::new();
            for group in self.groups_of(&name) {
                if let Some(group) = self.groups.get(&group) {
                    vars.extend(group.vars.clone());
                }
                if !NO_GROUPS.contains(&group.as_str()) {
                    host.labels.insert(group);
                }
            }
            vars.extend(own);
            take(vars, &mut host, drafts);
            drafts.hosts.insert(name, host);
        }
    }

    /// The groups that a host is in, be it by way of others: outer ones first, `all` before any.
    fn groups_of(&self, host: &str) -> Vec<String> {
        let mut depth: BTreeMap<&str, usize> = BTreeMap::new();
        let direct = self.groups.iter().filter(|(_, group)| group.hosts.contains(host));
        let mut work: Vec<(&str, usize)> = direct.map(|(name, _)| (name.as_str(), 0)).collect();
        while let Some((name, height)) = work.pop() {
            let known = depth.get(name).copied();
            if height > DEEPEST || known.is_some_and(|known| known >= height) {
                continue;
            }
            depth.insert(name, height);
            let above = self.groups.iter().filter(|(_, group)| group.children.contains(name));
            work.extend(above.map(|(name, _)| (name.as_str(), height + 1)));
        }
        depth.insert("all", usize::MAX);
        let mut all: Vec<(&str, usize)> = depth.into_iter().collect();
        all.sort_by_key(|(name, height)| (std::cmp::Reverse(*height), *name));
        all.into_iter().map(|(name, _)| name.to_owned()).collect()
    }
}

/// Whether a host may be called so in a project.yaml.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['-', '.'])
        && name.chars().all(|sign| sign.is_ascii_alphanumeric() || "_.-".contains(sign))
}

/// Takes over the variables of a host.
fn take(vars: Vars, host: &mut Draft, drafts: &mut Drafts) {
    let mut becomes = (None, None);
    for (name, (value, line)) in vars {
        let text = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let is_template = text.contains("{{") || text.contains("{%");
        if is_template || text.starts_with("$ANSIBLE_VAULT") {
            drafts.leave(line, format!("`{name}`: its value is worked out by Ansible"));
            continue;
        }
        match name.as_str() {
            "ansible_host" | "ansible_ssh_host" => host.address = Some(text),
            "ansible_port" | "ansible_ssh_port" => match text.parse() {
                Ok(port) => host.port = Some(port),
                Err(_) => drafts.leave(line, format!("`{name}`: {text} is no port")),
            },
            "ansible_user" | "ansible_ssh_user" => host.user = Some(text),
            "ansible_ssh_private_key_file" | "ansible_private_key_file" => host.key = Some(text),
            "ansible_become" => becomes.0 = Some(is_yes(&text)),
            "ansible_become_user" => becomes.1 = Some(text),
            "ansible_become_method" if text == "sudo" => {}
            "ansible_connection" if ["ssh", "smart", "paramiko", "paramiko_ssh"].contains(&text.as_str()) => {}
            "ansible_ssh_common_args" | "ansible_ssh_extra_args" | "ansible_ssh_args" => {
                options::take(&text, line, host, drafts);
            }
            "ansible_password" | "ansible_ssh_pass" => drafts.leave(
                line,
                format!("`{name}`: keep the password with `weir secret set NAME` and write `password: {{ secret: NAME }}`"),
            ),
            "ansible_become_password" | "ansible_become_pass" | "ansible_sudo_pass" => drafts.leave(
                line,
                format!("`{name}`: keep the password with `weir secret set NAME` and write `become: {{ user: root, password: {{ secret: NAME }} }}`"),
            ),
            name if name.starts_with("ansible_") => {
                drafts.leave(line, format!("`{name}`: it means nothing here"));
            }
            _ => {
                host.vars.insert(name, value);
            }
        }
    }
    host.becomes = match becomes {
        (Some(true), user) => Some(user.unwrap_or_else(|| "root".to_owned())),
        (Some(false) | None, _) => None,
    };
}

fn is_yes(text: &str) -> bool {
    ["yes", "true", "1", "on", "y"].contains(&text.to_ascii_lowercase().as_str())
}

/// The names that a pattern such as `web[01:10:3].example` or `db-[a:c]` stands for; `None` if it can't be read.
pub(super) fn names(pattern: &str) -> Option<Vec<String>> {
    let Some((head, rest)) = pattern.split_once('[') else { return Some(vec![pattern.to_owned()]) };
    let (range, tail) = rest.split_once(']')?;
    let parts: Vec<&str> = range.split(':').collect();
    let (from, to) = (*parts.first()?, *parts.get(1)?);
    let step: usize = parts.get(2).map_or(Some(1), |step| step.parse().ok())?;
    if parts.len() > 3 || step == 0 {
        return None;
    }
    let middle: Vec<String> = match (from.parse::<u32>(), to.parse::<u32>()) {
        (Ok(first), Ok(last)) if last.checked_sub(first)? < 10_000 => {
            let wide = if from.starts_with('0') { from.len() } else { 0 };
            (first..=last).step_by(step).map(|number| format!("{number:0wide$}")).collect()
        }
        _ => {
            let (&[first], &[last]) = (from.as_bytes(), to.as_bytes()) else { return None };
            let are_letters = first.is_ascii_alphabetic() && last.is_ascii_alphabetic();
            if !are_letters || first > last {
                return None;
            }
            (first..=last).step_by(step).map(|letter| char::from(letter).to_string()).collect()
        }
    };
    let tails = names(tail)?;
    Some(
        middle
            .iter()
            .flat_map(|middle| tails.iter().map(move |tail| format!("{head}{middle}{tail}")))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stand_for_names() {
        let told = |pattern: &str| names(pattern).map(|names| names.join(" "));
        assert_eq!(told("a").as_deref(), Some("a"));
        assert_eq!(told("web[08:11].x").as_deref(), Some("web08.x web09.x web10.x web11.x"));
        assert_eq!(told("n[1:9:4]").as_deref(), Some("n1 n5 n9"));
        assert_eq!(told("d[a:b][1:2]").as_deref(), Some("da1 da2 db1 db2"));
        for wrong in ["a[1]", "a[2:1]", "a[1:x]", "a[b:a]", "a[1:2", "a[1:2:0]", "a[0:4000000000]"]
        {
            assert_eq!(told(wrong), None, "{wrong}");
        }
    }
}
