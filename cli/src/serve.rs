//! `weir serve`: takes up every unfinished run, answers other commands, serves the pages.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::signal::unix::{Signal, SignalKind, signal};
use weir_core::hosts::Lookout;
use weir_engine::api::{self, Request};
use weir_engine::engine::Handle;
use weir_engine::outbox::{Outbox, Terms};
use weir_engine::prune::Pruner;
use weir_web::{Config, Files, Server};

use crate::access::{self, Access, Purpose, moves_any};
use crate::args::{self, Global};
use crate::background::READY;
use crate::end::{End, Ended, wrong};
use crate::hosts::lookout::Connections;

/// How long one in the background waits for its first run.
const PATIENCE: Duration = Duration::from_secs(10);

/// One in the background is in a session of its own, so that no terminal takes it along. Before any thread is started.
pub(crate) fn leave_terminal(args: &args::Serve) {
    if args.until_idle
        && let Err(error) = rustix::process::setsid()
    {
        tell!("this process keeps its session: {error}");
    }
}

pub(crate) async fn serve(global: &Global, args: args::Serve) -> Ended {
    let path = access::home_path(global)?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // With a certificate it means that the certificate is to be read again: from the first moment on.
    let has_tls = args.tls_cert.is_some();
    let mut hang_up = if has_tls { Some(signal(SignalKind::hangup())?) } else { None };
    let folders = folders(&args.flows)?;
    let slots = args.slots.unwrap_or_else(access::usual_slots).max(1);
    let mut access = Access::open_at(&path, "weir serve", Purpose::Move, slots).await?;
    // An engine's socket may outlive it for a moment, in a child that has not become its program yet: who is served
    // already must have heard so.
    if let Err(problem) = access.ask(Request::Hello).await {
        bail!("{} can't be served: {problem}", path.display());
    }
    let Access::Local(local) = &access else {
        if args.until_idle {
            // Somebody else was quicker, and answers.
            say!("{READY}")?;
            return Ok(End::Done);
        }
        bail!("{} is served already\nhelp: `weir runs` shows what it does", path.display());
    };
    let (mut pages, mut outbox, mut pruner) = (None, None, None);
    if args.until_idle {
        let mut out = std::io::stdout();
        // Who waits for this line may be gone: that is no reason not to move the runs.
        let _ = writeln!(out, "{READY}").and_then(|()| out.flush());
    } else {
        if !folders.is_empty() {
            local.handle().watch_folders(folders).await;
        }
        pages = match begin_pages(local.handle(), &args).await {
            Ok(pages) => pages,
            Err(error) => {
                access.leave().await;
                return Err(error);
            }
        };
        outbox = Some(begin_outbox(local.handle(), &args, pages.as_ref()));
        if !args.prune_every.is_zero() {
            pruner = Some(Pruner::begin(local.handle(), args.prune_every));
        }
        let moving = unfinished(local.handle()).await;
        tracing::info!(
            "serving {}: {} unfinished runs, {slots} jobs at once",
            path.display(),
            moving.len()
        );
    }
    let is_idle = loop {
        tokio::select! {
            _ = interrupt.recv() => break false,
            _ = terminate.recv() => break false,
            () = told(hang_up.as_mut()) => {
                if let Some(pages) = &pages {
                    pages.read_certificate_again();
                }
            }
            () = idle(local.handle()), if args.until_idle => break true,
        }
    };
    if let Some(pages) = pages {
        pages.stop().await;
    }
    if let Some(outbox) = outbox {
        outbox.stop().await;
    }
    if let Some(pruner) = pruner {
        pruner.stop().await;
    }
    let left = unfinished(local.handle()).await;
    if is_idle {
        // Whatever was begun in the last moment goes on.
        access.close().await?;
    } else {
        access.leave().await;
    }
    if !args.until_idle {
        tell_left(global, &left);
    }
    Ok(End::Done)
}

/// Begins to serve the pages, and says where they are. The first time it makes an administrator.
async fn begin_pages(handle: &Handle, args: &args::Serve) -> anyhow::Result<Option<Server>> {
    if args.no_web {
        return Ok(None);
    }
    let mut flows = Vec::new();
    for folder in &args.flows {
        let whole = std::path::absolute(folder)?;
        if !whole.is_dir() {
            return Err(wrong(format!("{} is no folder", folder.display())));
        }
        flows.push(whole);
    }
    let lookout: Arc<dyn Lookout> = Arc::new(Connections::new());
    let certificate = args.tls_cert.clone().zip(args.tls_key.clone());
    let config = Config {
        listen: args.listen,
        is_open: args.insecure,
        certificate: certificate.map(|(certificate, key)| Files { certificate, key }),
        proxies: args.proxy.clone(),
        flows,
        lookout: Some(lookout),
        login: args.login.clone(),
        public_url: args.public_url.clone(),
    };
    let started = match Server::start(config, handle.clone()).await {
        Ok(started) => started,
        Err(
            error @ (weir_web::Error::Beyond(_)
            | weir_web::Error::Certificate(_)
            | weir_web::Error::Login(_)),
        ) => {
            return Err(wrong(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    let mut out = std::io::stdout();
    // Who reads this may be gone: that is no reason not to serve.
    let _ = writeln!(out, "pages at {}", started.server.url());
    if let Some((name, password)) = started.first {
        let _ = writeln!(
            out,
            "log in as `{name}` with the one-time password {password}\n(it is shown only now; you choose your own at the first login)"
        );
    }
    let _ = out.flush();
    Ok(Some(started.server))
}

/// Returns when a signal comes; never if none is waited for.
async fn told(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Begins to deliver notices.
fn begin_outbox(handle: &Handle, args: &args::Serve, pages: Option<&Server>) -> Outbox {
    let address = args.public_url.clone().or_else(|| pages.map(Server::url));
    let pages = address.map(|url| url.trim_end_matches('/').to_owned());
    let terms = Terms { patience: args.notices_for, pages };
    Outbox::begin(handle, Arc::new(weir_plugins::Post), terms)
}

/// The folders to be watched, by their whole paths.
///
/// # Errors
/// One is no folder.
fn folders(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let whole = |folder: &PathBuf| {
        let found = folder.canonicalize().map_err(|error| {
            wrong(format!("{} can't be watched for flows: {error}", folder.display()))
        })?;
        if !found.is_dir() {
            return Err(wrong(format!(
                "{} is no folder\nhelp: name the folder that the flow files are in",
                folder.display()
            )));
        }
        Ok(found)
    };
    given.iter().map(whole).collect()
}

/// What goes on without the engine, for whoever stopped it.
fn tell_left(global: &Global, left: &[(i64, String)]) {
    if global.quiet {
        return;
    }
    match left {
        [] => tell!("stopped; no run is unfinished"),
        runs => {
            let names: Vec<String> =
                runs.iter().map(|(run, state)| format!("{run} ({state})")).collect();
            tell!("stopped; unfinished runs, taken up by the next engine: {}", names.join(", "));
            tell!("jobs that work go on meanwhile");
        }
    }
}

/// The unfinished runs and their states, newest first.
async fn unfinished(handle: &Handle) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    for state in ["queued", "running", "paused", "asking", "failing", "cancelling"] {
        let request = Request::Runs {
            project: None,
            flow: None,
            state: Some(state.to_owned()),
            before: None,
            limit: 1000,
        };
        let Ok(runs) = api::answer(handle, request).await else { continue };
        let numbers = runs.as_array().into_iter().flatten().filter_map(|run| run["id"].as_i64());
        found.extend(numbers.map(|run| (run, state.to_owned())));
    }
    found.sort_by_key(|(run, _)| std::cmp::Reverse(*run));
    found
}

/// Returns when no run moves any more.
async fn idle(handle: &Handle) {
    let mut events = handle.watch();
    if !moves_any(handle).await {
        let _ = tokio::time::timeout(PATIENCE, events.recv()).await;
    }
    while moves_any(handle).await {
        // Whatever is heard or missed: a look at the store says how things stand.
        if let Err(tokio::sync::broadcast::error::RecvError::Closed) = events.recv().await {
            return;
        }
        while events.try_recv().is_ok() {}
    }
}
