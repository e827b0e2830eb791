//! `weir hosts facts`: what a host says of itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};
use weir_core::hosts::Route;
use weir_core::time::Timestamp;
use weir_engine::engine::wall_clock;
use weir_plugins::{Pool, SshBounds};

use super::inventory::Inventory;
use crate::args::Global;
use crate::end::{End, Ended};
use crate::style::Style;

/// Asks for nothing but sh and coreutils, and says `key=value` lines.
const SCRIPT: &str = include_str!("facts.sh");
/// How long the host may take to answer.
const WITHIN: Duration = Duration::from_secs(30);

pub(crate) async fn facts(global: &Global, host: &str, dir: &Path) -> Ended {
    let inventory = Inventory::find(global, dir).await?;
    inventory.host(host)?;
    let route = inventory.keys().await?.route(host)?;
    let facts = ask(&Pool::new(SshBounds::default()), &route).await?;
    if global.json {
        let mut all = Map::new();
        all.insert("name".to_owned(), Value::from(host));
        all.extend(facts);
        say!("{}", Value::Object(all))?;
    } else {
        say_text!("{}", told(&facts, Style::for_stdout(global)))?;
    }
    Ok(End::Done)
}

/// What the host at the end of a way says of itself.
pub(super) async fn ask(pool: &Pool, route: &Route) -> anyhow::Result<Map<String, Value>> {
    // The way there is opened first: its time is not the host's.
    let opened = pool.run(route, "exit 0", WITHIN).await;
    opened.map_err(|failure| anyhow::anyhow!(failure.message))?;
    let before = wall_clock();
    let ran = pool.run(route, SCRIPT, WITHIN).await;
    let after = wall_clock();
    let ran = ran.map_err(|failure| anyhow::anyhow!(failure.message))?;
    let said = String::from_utf8_lossy(&ran.out).into_owned();
    let lines: BTreeMap<&str, &str> =
        said.lines().filter_map(|line| line.split_once('=')).collect();
    if lines.is_empty() {
        anyhow::bail!(
            "`{}` says nothing of itself: its shell ends with {}\n{}",
            route.host().name,
            ran.code,
            String::from_utf8_lossy(&ran.err).trim()
        );
    }
    Ok(read(&lines, before, after))
}

/// The facts of what the host said between two moments here.
fn read(lines: &BTreeMap<&str, &str>, before: Timestamp, after: Timestamp) -> Map<String, Value> {
    let mut facts = Map::new();
    for key in ["hostname", "user", "os", "kernel", "architecture", "boot_id"] {
        let value = lines.get(key).copied().filter(|value| !value.is_empty());
        facts.insert(key.to_owned(), json!(value));
    }
    for key in ["cores", "memory_kib", "memory_free_kib", "disk_kib", "disk_free_kib", "uptime_s"] {
        let value = lines.get(key).and_then(|value| value.parse::<u64>().ok());
        facts.insert(key.to_owned(), json!(value));
    }
    let there = lines.get("time_ns").and_then(|value| value.parse::<i128>().ok());
    let skew = there.map(|there| {
        let here = i128::from(before.millis() + after.millis()) / 2;
        i64::try_from(there / 1_000_000 - here).unwrap_or(0)
    });
    // The host looked at its clock at some time between the two moments.
    let error = (after.millis() - before.millis()) / 2;
    facts.insert("clock_skew_ms".to_owned(), json!(skew));
    facts.insert("clock_skew_error_ms".to_owned(), json!(error));
    facts
}

fn told(facts: &Map<String, Value>, style: Style) -> String {
    let text = |key: &str| facts[key].as_str().map(str::to_owned);
    let number = |key: &str| facts[key].as_u64();
    let of = |free: &str, all: &str| {
        Some(format!("{} free of {}", size(number(free)?), size(number(all)?)))
    };
    let skew = facts["clock_skew_ms"].as_i64().map(|skew| {
        let error = facts["clock_skew_error_ms"].as_i64().unwrap_or(0);
        let words = match skew {
            skew if skew.abs() <= error => "as here".to_owned(),
            skew if skew > 0 => format!("{:.1} s ahead", skew as f64 / 1000.0),
            skew => format!("{:.1} s behind", -skew as f64 / 1000.0),
        };
        format!("{words} (to {:.1} s)", error as f64 / 1000.0)
    });
    let up = number("uptime_s").map(|seconds| {
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        format!("{days} d {hours} h {minutes} min")
    });
    let rows = [
        ("host name", text("hostname")),
        ("user", text("user")),
        ("system", text("os")),
        ("kernel", text("kernel")),
        ("architecture", text("architecture")),
        ("cores", number("cores").map(|cores| cores.to_string())),
        ("memory", of("memory_free_kib", "memory_kib")),
        ("disk /", of("disk_free_kib", "disk_kib")),
        ("up", up),
        ("boot id", text("boot_id")),
        ("clock", skew),
    ];
    let mut out = String::new();
    for (name, value) in rows {
        let value = value.unwrap_or_else(|| "not known".to_owned());
        add!(out, "{} {value}\n", style.faint(&format!("{name:<13}")));
    }
    out
}

fn size(kib: u64) -> String {
    let mib = kib as f64 / 1024.0;
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_runs_in_any_posix_shell_and_says_all() {
        let output = std::process::Command::new("sh").args(["-c", SCRIPT]).output();
        let said = String::from_utf8(output.expect("there is a shell").stdout).expect("text");
        let lines: BTreeMap<&str, &str> =
            said.lines().filter_map(|line| line.split_once('=')).collect();
        let now = wall_clock();
        let facts = read(&lines, now, now);
        for (key, value) in &facts {
            assert!(!value.is_null(), "{key} is missing in\n{said}");
        }
        assert!(facts["clock_skew_ms"].as_i64().is_some_and(|skew| skew.abs() < 5000), "{facts:?}");
        assert!(!told(&facts, Style::plain()).contains("not known"));
    }
}
