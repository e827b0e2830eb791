//! `weir hosts config`: the files that flows have written on a host, and what each change was.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_core::time::Timestamp;

use super::inventory::Inventory;
use crate::args::{self, Global};
use crate::end::{End, Ended, wrong};
use crate::style::Style;
use crate::view::local;
use weir_core::diff::unified;

/// One change of a file, as the job type that made it keeps it: a line of JSON in `files.jsonl`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Change {
    at: String,
    run: i64,
    task: String,
    attempt: u32,
    by: String,
    path: String,
    owner: Option<String>,
    mode: Option<String>,
    /// The hash of the text before, as kept; `None` if there was none.
    before: Option<String>,
    /// The hash of the text after; `None` if it was removed.
    after: Option<String>,
}

pub(crate) async fn config(global: &Global, args: &args::HostConfig) -> Ended {
    let inventory = Inventory::find(global, &args.dir).await?;
    inventory.host(&args.host)?;
    let records = inventory.records(&args.host)?;
    let mut changes = read(&records)?;
    if let Some(path) = &args.path {
        changes.retain(|change| change.path == *path);
        if changes.is_empty() {
            return Err(wrong(format!(
                "no flow has written {path} on `{}`\nhelp: `weir hosts config {}` lists what was written",
                args.host, args.host
            )));
        }
    }
    let from = changes.len().saturating_sub(args.limit);
    let changes = &changes[from..];
    if global.json {
        say!("{}", json!({ "changes": changes }))?;
    } else if changes.is_empty() {
        if !global.quiet {
            tell!("no flow has written a file on `{}`", args.host);
        }
    } else {
        let style = Style::for_stdout(global);
        let mut out = String::new();
        for change in changes {
            add!(out, "{}", line(change, style));
            if args.path.is_some() {
                add!(out, "{}\n", diff(&records, change, style));
            }
        }
        say_text!("{out}")?;
    }
    Ok(End::Done)
}

fn read(records: &Path) -> anyhow::Result<Vec<Change>> {
    let file = records.join("files.jsonl");
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => anyhow::bail!("{} can't be read: {error}", file.display()),
    };
    // A line that was being written when the power went is none.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn line(change: &Change, style: Style) -> String {
    let at = Timestamp::parse(&change.at).map_or_else(|_| change.at.clone(), local);
    let what = match (&change.before, &change.after) {
        (None, _) => "new",
        (_, None) => "removed",
        (Some(before), Some(after)) if before == after => "rights",
        (Some(_), Some(_)) => "changed",
    };
    let owner = change.owner.clone().unwrap_or_default();
    let mode = change.mode.clone().unwrap_or_default();
    let who = if change.by.is_empty() { String::new() } else { format!(" {}", change.by) };
    let rights = format!("{owner} {mode}");
    format!(
        "{}  {what:<8} {}  {}\n",
        style.faint(&at),
        style.strong(&change.path),
        style.faint(format!("{} run {}{who}: {}", rights.trim(), change.run, change.task).trim())
    )
}

fn diff(records: &Path, change: &Change, style: Style) -> String {
    let text = |hash: &Option<String>| {
        let hash = hash.as_ref()?;
        // Hashes come from a file: no other path is made of them.
        let is_hash = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| std::fs::read_to_string(records.join("files").join(hash)).ok()).flatten()
    };
    let (before, after) = (text(&change.before), text(&change.after));
    if change.after.is_some() && after.is_none() {
        return "    (its text is not kept)\n".to_owned();
    }
    let lines = unified(&before.unwrap_or_default(), &after.unwrap_or_default());
    let dressed = lines.iter().map(|line| match line.as_bytes().first() {
        Some(b'+') => style.good(line),
        Some(b'-') => style.bad(line),
        Some(b'@') => style.faint(line),
        _ => line.clone(),
    });
    let mut out = String::new();
    for line in dressed {
        add!(out, "    {line}\n");
    }
    out
}
