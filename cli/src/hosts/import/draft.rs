//! Hosts as far as they are known, and how they are written down.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// The hosts that were found, and what could not be taken over.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    /// By name.
    pub(super) hosts: BTreeMap<String, Draft>,
    left: BTreeSet<(String, usize, String)>,
}

/// One host.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Draft {
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) key: Option<String>,
    pub(super) becomes: Option<String>,
    /// The machines to go through, as they were written: `user@host:port`.
    pub(super) jumps: Vec<Jump>,
    /// Groups that it is in: each becomes a label that is `true`.
    pub(super) labels: BTreeSet<String>,
    pub(super) vars: BTreeMap<String, Value>,
}

/// A machine to go through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) host: String,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) key: Option<String>,
}

impl Jump {
    /// Reads `[user@]host[:port]`, `ssh://` before it or not.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix("ssh://").unwrap_or(text).trim();
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match rest.rsplit_once(':') {
                // An IPv6 address without brackets has no port.
                Some((host, port)) if !host.contains(':') => (host, Some(port)),
                Some(_) | None => (rest, None),
            },
        };
        let port = match port {
            Some(port) => Some(port.parse().ok()?),
            None => None,
        };
        (!host.is_empty()).then(|| Self { host: host.to_owned(), user, port, key: None })
    }
}

impl Drafts {
    /// Notes what can't be taken over, and where it stands.
    pub(super) fn leave(&mut self, line: usize, words: impl Into<String>) {
        self.leave_in("", line, words);
    }

    /// As [`Drafts::leave`], in another file.
    pub(super) fn leave_in(&mut self, file: &str, line: usize, words: impl Into<String>) {
        self.left.insert((file.to_owned(), line, words.into()));
    }

    /// What could not be taken over: the place, and what it was.
    pub(super) fn left(&self) -> Vec<(String, String)> {
        let place = |file: &str, line: &usize| {
            if file.is_empty() { line.to_string() } else { format!("{file}:{line}") }
        };
        self.left.iter().map(|(file, line, words)| (place(file, line), words.clone())).collect()
    }

    /// The hosts, with the machines to go through among them, as `hosts` of a project.yaml.
    fn finished(&self) -> Vec<(String, Map<String, Value>)> {
        let mut all = self.hosts.clone();
        let mut via: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, draft) in &self.hosts {
            let mut hops: Vec<String> =
                draft.jumps.iter().map(|jump| stand_in(&mut all, jump)).collect();
            // What is said for all hosts is said for the one they go through, too: it is reached directly.
            if let Some(place) = hops.iter().position(|hop| hop == name) {
                hops.truncate(place);
            }
            via.insert(name.clone(), hops);
        }
        all.into_iter()
            .map(|(name, draft)| {
                let hops = via.remove(&name).unwrap_or_default();
                let host = written(&name, draft, &hops);
                (name, host)
            })
            .collect()
    }

    pub(super) fn json(&self) -> Value {
        let hosts: Map<String, Value> =
            self.finished().into_iter().map(|(name, host)| (name, Value::Object(host))).collect();
        json!({ "hosts": hosts })
    }

    pub(super) fn yaml(&self) -> String {
        let hosts = self.finished();
        let wide = hosts.iter().map(|(name, _)| plain(name).len()).max().unwrap_or(0);
        let mut out = "hosts:\n".to_owned();
        for (name, host) in hosts {
            let name = format!("{}:", plain(&name));
            let wide = wide + 1;
            add!(out, "  {name:<wide$} {}\n", flow(&Value::Object(host)));
        }
        out
    }
}

/// The name of the host that a jump means: one that is known, or a new one.
fn stand_in(all: &mut BTreeMap<String, Draft>, jump: &Jump) -> String {
    let fits = |(name, draft): &(&String, &Draft)| {
        let address = draft.address.as_ref().unwrap_or(*name);
        let is_same = **name == jump.host || *address == jump.host;
        is_same
            && (jump.user.is_none() || draft.user.is_none() || draft.user == jump.user)
            && (jump.port.is_none() || draft.port.unwrap_or(22) == jump.port.unwrap_or(22))
    };
    if let Some((name, _)) = all.iter().find(fits) {
        return name.clone();
    }
    let mut name: String = jump
        .host
        .chars()
        .map(|sign| if sign.is_ascii_alphanumeric() || "-_.".contains(sign) { sign } else { '-' })
        .collect();
    while all.contains_key(&name) {
        name.push_str("-jump");
    }
    let draft = Draft {
        address: Some(jump.host.clone()),
        user: jump.user.clone(),
        port: jump.port,
        key: jump.key.clone(),
        ..Draft::default()
    };
    all.insert(name.clone(), draft);
    name
}

fn written(name: &str, draft: Draft, via: &[String]) -> Map<String, Value> {
    let mut host = Map::new();
    let mut put = |key: &str, value: Value| {
        let is_empty = match &value {
            Value::Null => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        };
        if !is_empty {
            host.insert(key.to_owned(), value);
        }
    };
    put("address", json!(draft.address.unwrap_or_else(|| name.to_owned())));
    put("port", json!(draft.port.filter(|port| *port != 22)));
    put("user", json!(draft.user));
    put("key", json!(draft.key));
    put("become", json!(draft.becomes));
    put("via", json!(via));
    put("labels", draft.labels.into_iter().map(|label| (label, Value::Bool(true))).collect());
    put("vars", json!(draft.vars));
    host
}

/// A value in YAML's flow style.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{}: {}", plain(key), flow(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => plain(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text without quotes where YAML reads it as the same text, else as JSON writes it.
fn plain(text: &str) -> String {
    let is_safe = text
        .starts_with(|first: char| first.is_ascii_alphabetic() || "/~_.".contains(first))
        && text.chars().all(|sign| sign.is_ascii_alphanumeric() || "_-./@+~".contains(sign))
        && !["true", "false", "null", "yes", "no", "on", "off", "~", ".inf", ".nan", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    let is_address = {
        let parts: Vec<&str> = text.split('.').collect();
        parts.len() == 4 && parts.iter().all(|part| part.parse::<u8>().is_ok())
    };
    if is_safe || is_address { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_read() {
        let jump = |host: &str, user: Option<&str>, port| {
            let user = user.map(str::to_owned);
            Some(Jump { host: host.to_owned(), user, port, key: None })
        };
        assert_eq!(Jump::read("a"), jump("a", None, None));
        assert_eq!(Jump::read("u@a:2222"), jump("a", Some("u"), Some(2222)));
        assert_eq!(Jump::read("ssh://u@[::1]:23"), jump("::1", Some("u"), Some(23)));
        assert_eq!(Jump::read("fe80::1"), jump("fe80::1", None, None));
        assert_eq!(Jump::read("a:x"), None);
        assert_eq!(Jump::read(""), None);
    }

    #[test]
    fn texts_are_quoted_where_they_would_be_read_as_something_else() {
        for (text, written) in [
            ("web01", "web01"),
            ("10.0.0.1", "10.0.0.1"),
            ("true", "\"true\""),
            ("1.5", "\"1.5\""),
            ("a: b", "\"a: b\""),
            ("~/.ssh/id", "~/.ssh/id"),
            ("", "\"\""),
            ("::1", "\"::1\""),
        ] {
            assert_eq!(plain(text), written);
        }
    }
}
