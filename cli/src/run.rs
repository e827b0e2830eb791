//! `weir run`.

use anyhow::Context as _;
use serde_json::{Value, json};
use weir_engine::api::{Problem, Request};
use weir_engine::begin::Begin;
use weir_engine::engine::wall_clock;
use weir_engine::library::{Library, Loaded};

use crate::access::{self, Access, Purpose};
use crate::args::{self, Global};
use crate::attend;
use crate::background;
use crate::end::{End, Ended};
use crate::flow_file::{self, Flow};
use crate::params::{self, Given};
use crate::prompt;
use crate::shipped;
use crate::style::Style;

pub(crate) async fn run(global: &Global, args: args::Run) -> Ended {
    let since = wall_clock();
    let mut given = params::read(&args.params.params, "-p")?;
    let server = access::server(global)?;
    let flow = flow_file::find_for(server.as_ref(), &args.flow)?;
    // What is wrong with a file is found before anything is opened, and told with the path that was typed.
    let command = format!("weir run {}", args.flow);
    if args.detach.detach && server.is_none() {
        background::ensure(&access::home_path(global)?).await?;
    }
    let mut access = Access::open(global, &command, Purpose::Move).await?;
    let begun = begin(global, &mut access, &args, flow, &mut given).await;
    match begun {
        Ok(run) if args.detach.detach => detached(global, access, run).await,
        Ok(run) => attend::attend(global, access, &command, run, since).await,
        Err(error) => {
            access.close().await?;
            Err(error)
        }
    }
}

async fn begin(
    global: &Global,
    access: &mut Access,
    args: &args::Run,
    flow: Flow,
    given: &mut Given,
) -> anyhow::Result<i64> {
    let mut confirm = args.confirm.confirm.clone();
    let (file, loaded) = match &flow {
        Flow::File(path) => {
            let own;
            let library: &Library = if let Some(library) = access.library() {
                library
            } else {
                own = shipped::library(&access::home_path(global)?).await?;
                &own
            };
            let loaded = flow_file::load(global, library, path)?;
            given.fill_secrets(global, &loaded.compiled.flow.params)?;
            if prompt::can_ask() {
                confirm.extend(ask_for_words(global, &loaded, given, &confirm)?);
            }
            (
                std::path::absolute(path)
                    .context("the folder this runs in is gone")?
                    .display()
                    .to_string(),
                Some(loaded),
            )
        }
        Flow::Name(name) => (name.clone(), None),
    };
    let params = std::mem::take(&mut given.values);
    let choice = (args.only.clone(), args.from.clone(), args.skip.clone());
    if let (Access::Local(local), Some(loaded)) = (&*access, loaded) {
        // Read and compiled already: once is enough, even for a flow of 100,000 jobs.
        let (only, from, skip) = choice;
        let choice = weir_core::flow::compile::Choice { only, from, skip };
        let begin = Begin { params, confirm, choice, ..Begin::flow(loaded, &access::asker()) };
        return Ok(local.begin(begin).await?);
    }
    let (only, from, skip) = choice;
    let request =
        Request::Begin { flow: file, params, confirm, only, from, skip, by: access::asker() };
    run_number(&access.ask(request).await?)
}

/// The number of the run that was begun.
///
/// # Errors
/// The answer has none.
pub(crate) fn run_number(answer: &Value) -> anyhow::Result<i64> {
    answer["run"].as_i64().context("the engine's answer has no run")
}

/// Where a person is at the terminal: says what would be destroyed, and takes the words that are typed.
fn ask_for_words(
    global: &Global,
    loaded: &Loaded,
    given: &Given,
    confirm: &[String],
) -> anyhow::Result<Vec<String>> {
    let style = Style::find(global);
    let mut typed: Vec<String> = Vec::new();
    for (path, words) in weir_engine::plan::destroyed(loaded, &given.values) {
        if confirm.contains(&words) || typed.contains(&words) {
            continue;
        }
        tell!("{} destroys {}", style.strong(&path), style.bad(&words));
        let line = prompt::line("type these words to allow it, or nothing to be asked later: ")?;
        if line.trim() == words {
            typed.push(words);
        } else if !line.trim().is_empty() {
            tell!("these are other words: `{path}` will ask");
        }
    }
    Ok(typed)
}

/// A run goes on without this command: says its number.
///
/// # Errors
/// The background could not be started.
pub(crate) async fn detached(global: &Global, mut access: Access, run: i64) -> Ended {
    let shown = if global.json { Some(access.ask(Request::Show { run }).await) } else { None };
    access.close().await?;
    let words = match shown {
        Some(shown) => {
            shown.unwrap_or_else(|_: Problem| json!({ "run": { "id": run } })).to_string()
        }
        None if global.quiet => run.to_string(),
        None => {
            format!("run {run} goes on in the background; `weir show {run} --watch` attaches to it")
        }
    };
    say!("{words}")?;
    Ok(End::Done)
}
