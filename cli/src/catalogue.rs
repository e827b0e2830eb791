//! `weir catalogue`: the known failures.

use std::fmt::Write as _;

use serde_json::{Value, json};
use weir_core::catalogue::Entry;
use weir_core::flow::Then;
use weir_engine::api::Request;

use crate::access::{self, Access, Purpose};
use crate::args::{self, Global};
use crate::end::{End, Ended, wrong};
use crate::shipped;
use crate::style::Style;

pub(crate) async fn catalogue(global: &Global, args: args::Catalogue) -> Ended {
    let home = access::home_path(global)?;
    let library = shipped::library(&home).await?;
    let style = Style::for_stdout(global);
    let Some(id) = &args.id else {
        let entries = library.catalogue.entries();
        if global.json {
            say!(
                "{}",
                Value::from(entries.iter().map(|entry| object(entry, None)).collect::<Vec<_>>())
            )?;
            return Ok(End::Done);
        }
        let wide = entries.iter().map(|entry| entry.id.len()).max().unwrap_or(0);
        for entry in entries {
            say!("{:<wide$}  {:<9}  {}", entry.id, entry.rank.name(), entry.title)?;
        }
        return Ok(End::Done);
    };
    let Some(entry) = library.catalogue.get(id) else {
        let ids = library.catalogue.entries().iter().map(|entry| entry.id.as_str());
        let near = weir_core::schema::nearest(id, ids);
        let help = near
            .map_or("`weir catalogue` lists them".to_owned(), |near| format!("there is `{near}`"));
        return Err(wrong(format!("there is no entry `{id}`\nhelp: {help}")));
    };
    // How it fared here is only known where there is a home.
    let is_known = home.join("weir.db").is_file() || access::server(global)?.is_some();
    let met = if is_known { met(global, id).await? } else { None };
    if global.json {
        say!("{}", object(entry, met.as_ref()))?;
    } else {
        say_text!("{}", text(entry, met.as_ref(), style))?;
    }
    Ok(End::Done)
}

/// How often it was met in this home, and what came of it.
async fn met(global: &Global, id: &str) -> anyhow::Result<Option<Value>> {
    let counts = Access::once(global, "weir catalogue", Purpose::Look, Request::Signatures).await?;
    Ok(counts.as_array().into_iter().flatten().find(|count| count["signature"] == id).cloned())
}

fn object(entry: &Entry, met: Option<&Value>) -> Value {
    let mut object = json!({
        "id": entry.id, "title": entry.title, "rank": entry.rank.name(), "job_types": entry.signature.job_types,
        "log": entry.signature.log, "exit": entry.signature.exit,
        "class": entry.signature.class.iter().map(|class| class.name()).collect::<Vec<_>>(),
        "diagnosis": entry.diagnosis, "advice": entry.advice,
        "jobs": entry.jobs.iter().map(|job| job.name.clone()).collect::<Vec<_>>(),
        "then": then_words(&entry.then), "limit": entry.limit, "confirm": entry.confirm, "guard": entry.guard,
        "sample": entry.sample, "source": entry.source,
    });
    if let Some(met) = met {
        object["met"] = met.clone();
    }
    object
}

fn text(entry: &Entry, met: Option<&Value>, style: Style) -> String {
    let mut out = format!("{} {}\n", style.strong(&entry.id), entry.title);
    let mut fact = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(out, "  {} {value}", style.faint(&format!("{name:<10}")));
        }
    };
    let exits: Vec<String> = entry.signature.exit.iter().map(ToString::to_string).collect();
    let classes: Vec<&str> = entry.signature.class.iter().map(|class| class.name()).collect();
    let jobs: Vec<&str> = entry.jobs.iter().map(|job| job.name.as_str()).collect();
    fact("rank", entry.rank.name());
    fact("job types", &entry.signature.job_types.join(", "));
    fact("log", entry.signature.log.as_deref().unwrap_or_default());
    fact("exit", &exits.join(", "));
    fact("class", &classes.join(", "));
    fact("remedy", &jobs.join(", "));
    fact(
        "then",
        &format!("{}, at most {} for one task", then_words(&entry.then), times(entry.limit)),
    );
    fact("destroys", entry.destroys.as_ref().map_or("", |words| words.source.as_str()));
    fact("source", entry.source.as_deref().unwrap_or_default());
    if let Some(met) = met {
        let count = |name: &str| met[name].as_i64().unwrap_or(0);
        fact(
            "met here",
            &format!(
                "{} times, cured {}, not cured {}",
                count("met"),
                count("cured"),
                count("not_cured")
            ),
        );
    }
    let _ = writeln!(out, "\n  {}", entry.diagnosis.trim().replace('\n', "\n  "));
    for (number, step) in entry.advice.iter().enumerate() {
        let _ = writeln!(out, "    {}. {step}", number + 1);
    }
    for (name, words) in [("weigh first:", &entry.confirm), ("only if:", &entry.guard)] {
        if let Some(words) = words {
            let _ = writeln!(out, "  {} {words}", style.warn(name));
        }
    }
    if !entry.sample.is_empty() {
        let _ = writeln!(out, "\n  looks like");
        for line in &entry.sample {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}

fn times(limit: u32) -> String {
    if limit == 1 { "once".to_owned() } else { format!("{limit} times") }
}

/// What follows a remedy, as flow files say it.
pub(crate) fn then_words(then: &Then) -> String {
    match then {
        Then::Retry => "retry".to_owned(),
        Then::RetryFrom(job) => format!("retry-from {}", job.source),
        Then::Continue => "continue".to_owned(),
        Then::Ask => "ask".to_owned(),
        Then::Fail => "fail".to_owned(),
    }
}
