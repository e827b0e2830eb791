//! The one binary: it wires the engine, the job types and the command line together.
//!
//! What can be asked of a home stands in [`weir_engine::api`]; here are only words, pictures and exit codes.

#[macro_use]
mod words;

mod access;
mod args;
mod attend;
mod background;
mod by_hand;
mod catalogue;
mod check;
mod circles;
mod diagnose;
mod doctor;
mod draw;
mod end;
mod events;
mod flow_file;
mod graph;
mod hosts;
mod keep;
mod last_lines;
mod lines;
mod logs;
mod notices;
mod params;
mod plan;
mod preview;
mod prompt;
mod prune;
mod rerun;
mod run;
mod runs;
mod schedules;
mod schema;
mod secret;
mod serve;
mod shipped;
mod show;
mod style;
mod summary;
mod terminal;
mod user;
mod view;

use std::process::ExitCode;

use args::{Args, Command};
use clap::FromArgMatches as _;
use end::{End, Ended};

fn main() -> ExitCode {
    // The supervisor and the step before a job's program are this binary, too: no thread, no descriptor before them.
    if let Some(code) = weir_engine::supervise::dispatch() {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let matches = args::command().get_matches();
    let args = match Args::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    let style = style::Style::find(&args.global);
    match answer(args) {
        Ok(end) => end.code(),
        Err(error) => end::report(&error, style),
    }
}

fn answer(args: Args) -> Ended {
    if let Command::Serve(serve) = &args.command {
        serve::leave_terminal(serve);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let end = runtime.block_on(carry_out(args));
    // What still waits (a read of standard input) must not keep the program.
    runtime.shutdown_background();
    end
}

async fn carry_out(args: Args) -> Ended {
    let global = args.global;
    let is_serving = matches!(args.command, Command::Serve(_));
    start_tracing(&global, is_serving);
    match args.command {
        Command::Run(args) => run::run(&global, args).await,
        Command::Rerun(args) => rerun::rerun(&global, args).await,
        Command::Serve(args) => serve::serve(&global, args).await,
        Command::Check(args) => check::check(&global, &args).await,
        Command::Plan(args) => plan::plan(&global, args).await,
        Command::Graph(args) => graph::graph(&global, &args).await,
        Command::Schema(args) => schema::schema(&global, &args).await,
        Command::Types => schema::types(&global).await,
        Command::Schedules(args) => schedules::schedules(&global, args).await,
        Command::Next(args) => schedules::next(&global, args).await,
        Command::Backfill(args) => schedules::backfill(&global, args).await,
        Command::Notices(args) => notices::notices(&global, args).await,
        Command::Runs(args) => runs::runs(&global, args).await,
        Command::Show(args) => show::show(&global, args).await,
        Command::Logs(args) => logs::logs(&global, args).await,
        Command::Events(args) => events::events(&global, args).await,
        Command::Cancel(args) => by_hand::cancel(&global, args).await,
        Command::Pause(args) => by_hand::pause(&global, args).await,
        Command::Resume(args) => by_hand::resume(&global, args).await,
        Command::Skip(args) => by_hand::act(&global, args, weir_core::run::Act::Skip).await,
        Command::Retry(args) => by_hand::act(&global, args, weir_core::run::Act::RetryNow).await,
        Command::Succeed(args) => by_hand::act(&global, args, weir_core::run::Act::Succeed).await,
        Command::Fail(args) => by_hand::act(&global, args, weir_core::run::Act::Fail).await,
        Command::Approve(args) => by_hand::approve(&global, args).await,
        Command::Reject(args) => by_hand::reject(&global, args).await,
        Command::Diagnose(args) => diagnose::diagnose(&global, args).await,
        Command::Catalogue(args) => catalogue::catalogue(&global, args).await,
        Command::Hosts(args) => hosts::hosts(&global, args).await,
        Command::Secret(args) => secret::secret(&global, args).await,
        Command::User(args) => user::user(&global, args).await,
        Command::Token(args) => user::token(&global, args).await,
        Command::Verify => keep::verify(&global).await,
        Command::Prune(args) => prune::prune(&global, &args).await,
        Command::Backup(args) => keep::backup(&global, args).await,
        Command::Restore(args) => keep::restore(&global, args).await,
        Command::Doctor => doctor::doctor(&global).await,
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut args::command(), "weir", &mut script);
            say_text!("{}", String::from_utf8_lossy(&script))?;
            Ok(End::Done)
        }
    }
}

/// The engine's own log, on standard error: warnings only, unless a server runs or `WEIR_LOG` asks for more.
fn start_tracing(global: &args::Global, is_serving: bool) {
    let usual = if is_serving { "info" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEIR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(usual));
    let is_coloured = style::Style::find(global).is_coloured();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured)
        .with_target(false)
        // Nor is it told where standard error itself is gone.
        .log_internal_errors(false)
        .init();
}
