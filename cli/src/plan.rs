//! `weir plan`: what a flow would do and destroy, by reading only.

use std::collections::BTreeMap;

use weir_engine::plan::{self, Step};

use crate::access;
use crate::args::{self, Global};
use crate::end::{End, Ended, wrong};
use crate::flow_file;
use crate::hosts::inventory::Inventory;
use crate::params;
use crate::shipped;
use crate::style::Style;

pub(crate) async fn plan(global: &Global, args: args::Plan) -> Ended {
    let given = params::read(&args.params.params, "-p")?;
    let path = flow_file::find_file(&args.flow)?;
    let library = shipped::library(&access::home_path(global)?).await?;
    let loaded = flow_file::load(global, &library, &path)?;
    let home = access::home_path(global)?;
    let inventory = Inventory::of(loaded.compiled.project.clone(), &loaded.folder, &home);
    let keys = inventory.keys().await?;
    let ways = |host: &str| keys.route(host).map_err(|error| error.to_string());
    let steps = plan::steps(&library, &loaded, &given.values, &ways)
        .await
        .map_err(|bad| wrong(bad.join("\n")))?;
    if global.json {
        say!(
            "{}",
            serde_json::json!({ "flow": loaded.compiled.flow.name, "version": loaded.version.hash, "jobs": steps })
        )?;
    } else {
        say_text!("{}", text(&loaded.compiled.flow.name, &steps, Style::for_stdout(global)))?;
    }
    Ok(End::Done)
}

fn text(flow: &str, steps: &[Step], style: Style) -> String {
    let mut out = format!("{}\n", style.strong(flow));
    let lost: Vec<&Step> = steps
        .iter()
        .filter(|step| step.destroys.is_some() || !step.plan.destroys.is_empty())
        .collect();
    if !lost.is_empty() {
        add!(out, "\n{}\n", style.bad("destroys"));
        for step in lost {
            if let Some(words) = &step.destroys {
                let confirm = format!("--confirm {}", crate::summary::quoted(words));
                add!(out, "  {}: {words}\n    {}\n", step.path, style.faint(&confirm));
            }
            // What was found: the words to confirm are the job's own.
            for found in &step.plan.destroys {
                add!(out, "  {}: {found}\n", step.path);
            }
        }
    }
    for step in steps {
        let uses = step.uses.as_deref().unwrap_or("a group");
        add!(out, "\n{} ({uses})", style.strong(&step.path));
        if let Some(title) = &step.title {
            add!(out, ": {title}");
        }
        out.push('\n');
        let facts: BTreeMap<&str, String> = [
            ("after", step.needs.join(", ")),
            ("only if", step.when.clone().unwrap_or_default()),
            ("for each of", step.foreach.clone().unwrap_or_default()),
            ("on each of", step.hosts.clone().unwrap_or_default()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
        for (name, value) in facts {
            add!(out, "  {} {value}\n", style.faint(name));
        }
        for line in step.plan.steps.iter().flat_map(|step| step.lines()) {
            add!(out, "  {line}\n");
        }
        for line in step.plan.diffs.iter().flat_map(|diff| diff.lines()) {
            add!(out, "    {line}\n");
        }
        for words in &step.plan.unknown {
            add!(out, "  {} {words}\n", style.warn("not known:"));
        }
    }
    out
}
