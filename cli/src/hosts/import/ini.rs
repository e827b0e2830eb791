//! An Ansible inventory in INI.

use serde_json::Value;

use super::ansible::{Inventory, Vars, names};
use super::draft::Drafts;
use super::options::words;

/// What the lines below a head are.
enum Section {
    Hosts(String),
    Vars(String),
    Children(String),
}

/// Reads an inventory.
///
/// # Errors
/// `LINE: what is wrong`: it is none.
pub(super) fn read(text: &str, drafts: &mut Drafts) -> Result<(), String> {
    let mut inventory = Inventory::default();
    let mut section = Section::Hosts("ungrouped".to_owned());
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = line.strip_prefix('[') {
            let (head, _) =
                head.split_once(']').ok_or_else(|| format!("{number}: `]` is missing"))?;
            section = match head.split_once(':') {
                None => Section::Hosts(head.trim().to_owned()),
                Some((group, "vars")) => Section::Vars(group.trim().to_owned()),
                Some((group, "children")) => Section::Children(group.trim().to_owned()),
                Some((_, other)) => {
                    return Err(format!(
                        "{number}: `[...:{other}]` is no part of an inventory\nhelp: there are `[GROUP]`, `[GROUP:vars]` and `[GROUP:children]`"
                    ));
                }
            };
            let (Section::Hosts(group) | Section::Vars(group) | Section::Children(group)) =
                &section;
            inventory.groups.entry(group.clone()).or_default();
            continue;
        }
        match &section {
            Section::Hosts(group) => host(line, number, group, &mut inventory, drafts)?,
            Section::Vars(group) => {
                let (name, value) = line.split_once('=').ok_or_else(|| {
                    format!("{number}: `{line}` is no variable\nhelp: write it like `name=value`")
                })?;
                let value = of_text(unquoted(value.trim()));
                let group = inventory.groups.entry(group.clone()).or_default();
                group.vars.insert(name.trim().to_owned(), (value, number));
            }
            Section::Children(group) => {
                let child = line.split([' ', '\t', '#']).next().unwrap_or_default().to_owned();
                inventory.groups.entry(child.clone()).or_default();
                inventory.groups.entry(group.clone()).or_default().children.insert(child);
            }
        }
    }
    inventory.finish(drafts);
    Ok(())
}

/// `name[:port] key=value ...`
fn host(
    line: &str,
    number: usize,
    group: &str,
    inventory: &mut Inventory,
    drafts: &mut Drafts,
) -> Result<(), String> {
    let mut vars = Vars::new();
    let mut words = words(line).into_iter();
    let mut pattern = words.next().unwrap_or_default();
    for word in words {
        if word.starts_with('#') {
            break;
        }
        let (name, value) = word.split_once('=').ok_or_else(|| {
            format!("{number}: `{word}` is no variable\nhelp: write it like `name=value`")
        })?;
        vars.insert(name.to_owned(), (of_text(value), number));
    }
    let port = pattern.rsplit_once(':').and_then(|(name, port)| {
        // The colon of a range stands before its bracket's end.
        let port = port.parse::<u16>().ok()?;
        (!name.contains(':') || name.ends_with(']')).then(|| (name.to_owned(), port))
    });
    if let Some((name, port)) = port {
        pattern = name;
        vars.entry("ansible_port".to_owned()).or_insert((Value::from(port), number));
    }
    let Some(names) = names(&pattern) else {
        drafts.leave(number, format!("the range in `{pattern}` can't be read"));
        return Ok(());
    };
    for name in names {
        let known = inventory.hosts.entry(name.clone()).or_insert_with(|| (Vars::new(), number));
        known.0.extend(vars.clone());
        inventory.groups.entry(group.to_owned()).or_default().hosts.insert(name);
    }
    Ok(())
}

fn unquoted(text: &str) -> &str {
    let inner = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// Numbers and truth are read as such, as Ansible does.
fn of_text(text: &str) -> Value {
    match text {
        "true" | "True" => Value::Bool(true),
        "false" | "False" => Value::Bool(false),
        // A leading zero is part of a name, not of a number.
        _ if text.len() > 1 && text.starts_with('0') => Value::from(text),
        _ => text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from),
    }
}
