//! `weir rerun`.

use weir_core::run::From;
use weir_engine::api::Request;
use weir_engine::engine::wall_clock;

use crate::access::{self, Access, Purpose};
use crate::args::{self, Global};
use crate::attend;
use crate::background;
use crate::end::{End, Ended};
use crate::params;
use crate::preview;
use crate::run::{detached, run_number};
use crate::style::Style;

pub(crate) async fn rerun(global: &Global, args: args::Rerun) -> Ended {
    let since = wall_clock();
    let command = format!("weir rerun {}", args.run);
    let params = params::read(&args.params.params, "-p")?.values;
    let from = match (&args.from, args.only.is_empty(), args.all) {
        (Some(job), _, _) => From::Job(job.clone()),
        (None, false, _) => From::Only(args.only.clone()),
        (None, true, true) => From::All,
        (None, true, false) => From::Failed,
    };
    if args.preview {
        return look(global, &args, from, &command).await;
    }
    if args.detach.detach && access::server(global)?.is_none() {
        background::ensure(&access::home_path(global)?).await?;
    }
    let mut access = Access::open(global, &command, Purpose::Move).await?;
    let request = Request::Rerun {
        run: args.run,
        from,
        newest: args.latest,
        params,
        confirm: args.confirm.confirm,
        by: access::asker(),
    };
    match access.ask(request).await {
        Ok(answer) => {
            let run = run_number(&answer)?;
            if args.detach.detach {
                return detached(global, access, run).await;
            }
            attend::attend(global, access, &command, run, since).await
        }
        Err(problem) => {
            access.close().await?;
            Err(problem.into())
        }
    }
}

async fn look(global: &Global, args: &args::Rerun, from: From, command: &str) -> Ended {
    let request = Request::Preview { run: args.run, from, newest: args.latest };
    let answer = Access::once(global, command, Purpose::Look, request).await?;
    if global.json {
        say!("{answer}")?;
    } else {
        say_text!("{}", preview::text(&answer, Style::for_stdout(global)))?;
    }
    Ok(End::Done)
}
