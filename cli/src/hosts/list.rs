//! `weir hosts list`: the inventory as a table.

use serde_json::{Value, json};
use weir_core::flow::Host;
use weir_core::hosts::{KeyName, facts, way};

use super::inventory::Inventory;
use crate::args::{self, Global};
use crate::end::{End, Ended};
use crate::style::Style;
use crate::terminal::width;

pub(crate) async fn list(global: &Global, chosen: &args::ChosenHosts) -> Ended {
    let inventory = Inventory::find(global, &chosen.dir).await?;
    let hosts = inventory.chosen(chosen.selector.as_deref())?;
    if global.json {
        let hosts: Vec<Value> = hosts.into_iter().map(|host| shown(&inventory, host)).collect();
        say!("{}", json!({ "hosts": hosts }))?;
        return Ok(End::Done);
    }
    if hosts.is_empty() && !global.quiet {
        tell!("no hosts: the project has no `hosts`");
    }
    let mut rows = vec![["NAME", "LOGIN", "THROUGH", "BECOMES", "LABELS"].map(str::to_owned)];
    rows.extend(hosts.into_iter().map(|host| row(&inventory, host)));
    if rows.len() > 1 {
        say_text!("{}", table(&rows, Style::for_stdout(global)))?;
    }
    Ok(End::Done)
}

fn row(inventory: &Inventory, host: &Host) -> [String; 5] {
    let labels: Vec<String> =
        host.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
    let becomes = host.login.become_user.as_ref().map(|becomes| becomes.user.clone());
    let through = through(inventory, host).join(" > ");
    [host.name.clone(), login(host), through, becomes.unwrap_or_default(), labels.join(" ")]
}

/// The machines between here and a host.
fn through(inventory: &Inventory, host: &Host) -> Vec<String> {
    let mut steps = way(&inventory.project.hosts, &host.name).unwrap_or_default();
    steps.pop();
    steps.iter().map(|step| step.host.name.clone()).collect()
}

/// `user@address:port`, without what is as usual.
fn login(host: &Host) -> String {
    let user = host.login.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    let address = &host.address;
    match host.login.port {
        Some(port) if port != 22 && address.contains(':') => format!("{user}[{address}]:{port}"),
        Some(port) if port != 22 => format!("{user}{address}:{port}"),
        Some(_) | None => format!("{user}{address}"),
    }
}

fn shown(inventory: &Inventory, host: &Host) -> Value {
    let mut shown = facts(host);
    let key = host.login.key.as_ref().map(|key| match key {
        KeyName::File(path) => json!({ "file": path }),
        KeyName::Secret(name) => json!({ "secret": name }),
    });
    shown["port"] = json!(host.login.port.unwrap_or(22));
    shown["through"] = json!(through(inventory, host));
    shown["key"] = json!(key);
    shown["password"] = json!(host.login.password.as_ref().map(|name| json!({ "secret": name })));
    shown
}

/// Columns as wide as what stands in them; the first row is the head.
fn table(rows: &[[String; 5]], style: Style) -> String {
    let wide = |column: usize| rows[1..].iter().map(|row| width(&row[column])).max().unwrap_or(0);
    let columns: Vec<(usize, usize)> = (0..5)
        .map(|column| (column, wide(column)))
        .filter(|(_, wide)| *wide > 0)
        .map(|(column, wide)| (column, wide.max(rows[0][column].len())))
        .collect();
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = columns.iter().map(|(column, wide)| {
            let cell = &row[*column];
            format!("{cell}{}", " ".repeat(wide - width(cell)))
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        let line = if number == 0 { style.faint(line) } else { line.to_owned() };
        add!(out, "{line}\n");
    }
    out
}
