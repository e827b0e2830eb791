//! `weir hosts import`: `hosts` for a project.yaml, made from inventories that others keep.
//!
//! What is found goes to standard output; what can't be taken over goes to standard error, with its line.

mod ansible;
mod draft;
mod ini;
mod options;
mod ssh_config;
mod tree;

use std::path::Path;

use crate::args::{Global, InventoryFormat};
use crate::end::{End, Ended, wrong};
use draft::Drafts;

pub(crate) fn import(global: &Global, file: &Path, format: Option<InventoryFormat>) -> Ended {
    let text = std::fs::read_to_string(file)
        .map_err(|error| wrong(format!("{} can't be read: {error}", file.display())))?;
    let format = format.unwrap_or_else(|| guess(file, &text));
    let mut drafts = Drafts::default();
    let name = file.display().to_string();
    match format {
        InventoryFormat::Ini => ini::read(&text, &mut drafts),
        InventoryFormat::Yaml => tree::read(&name, &text, &mut drafts),
        InventoryFormat::SshConfig => ssh_config::read(file, &text, &mut drafts),
    }
    .map_err(|error| wrong(format!("{name}:{error}")))?;
    if drafts.hosts.is_empty() {
        return Err(wrong(format!(
            "{name} has no hosts\nhelp: --format says what it is, if that was guessed wrong"
        )));
    }
    for (place, words) in drafts.left() {
        if !global.quiet {
            let place = if place.contains(':') { place } else { format!("{name}:{place}") };
            tell!("{place}: left out: {words}");
        }
    }
    if global.json {
        say!("{}", drafts.json())?;
    } else {
        say_text!("{}", drafts.yaml())?;
    }
    Ok(End::Done)
}

/// What a file is, told by its name and its first words.
fn guess(file: &Path, text: &str) -> InventoryFormat {
    let ends_in = |ends: &[&str]| {
        file.extension().is_some_and(|end| ends.iter().any(|known| end.eq_ignore_ascii_case(known)))
    };
    if ends_in(&["yaml", "yml"]) {
        return InventoryFormat::Yaml;
    }
    let lines = || {
        let lines = text.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with(['#', ';']))
    };
    let is_ssh = |line: &str| {
        let word = line.split([' ', '\t', '=']).next().unwrap_or_default();
        ["host", "match", "include"].iter().any(|known| word.eq_ignore_ascii_case(known))
    };
    let first = lines().next().unwrap_or_default();
    if ends_in(&["ini"]) || lines().any(|line| line.starts_with('[')) {
        InventoryFormat::Ini
    } else if lines().any(is_ssh) {
        InventoryFormat::SshConfig
    } else if first == "---" || first.ends_with(':') {
        InventoryFormat::Yaml
    } else {
        InventoryFormat::Ini
    }
}
