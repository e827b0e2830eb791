//! What a person does to a run: cancel, pause, resume; skip, retry, mark; approve, reject.

use weir_core::outcome::Outputs;
use weir_core::run::{Act, Answer};
use weir_core::time::Timestamp;
use weir_engine::Wish;
use weir_engine::api::Request;
use weir_engine::engine::wall_clock;

use crate::access::{self, Access, Purpose};
use crate::args::{self, Global};
use crate::attend;
use crate::end::{End, Ended};
use crate::params;

pub(crate) async fn cancel(global: &Global, args: args::Cancel) -> Ended {
    let since = wall_clock();
    let command = format!("weir cancel {}", args.run);
    let access = Access::open(global, &command, Purpose::Move).await?;
    let wish = if args.kill { Wish::Kill } else { Wish::Cancel };
    let access = grant(access, args.run, wish).await?;
    if args.detach.detach {
        return done(global, access, &format!("run {} is being cancelled", args.run)).await;
    }
    // A run that ends cancelled is what was asked for.
    match attend::attend(global, access, &command, args.run, since).await? {
        End::Cancelled => Ok(End::Done),
        end => Ok(end),
    }
}

pub(crate) async fn pause(global: &Global, args: args::OneRun) -> Ended {
    let access = Access::open(global, &format!("weir pause {}", args.run), Purpose::Move).await?;
    let access = grant(access, args.run, Wish::Pause).await?;
    done(
        global,
        access,
        &format!("run {} is paused: what works goes on, nothing new starts", args.run),
    )
    .await
}

pub(crate) async fn resume(global: &Global, args: args::GoesOn) -> Ended {
    let words = format!("run {} goes on", args.run);
    wish_and_stay(global, "resume", args.run, Wish::Resume, args.detach, &words).await
}

pub(crate) async fn act(global: &Global, args: args::OneTask, act: Act) -> Ended {
    let (verb, words) = match act {
        Act::Skip => ("skip", "is left out"),
        Act::Succeed => ("succeed", "counts as done"),
        Act::Fail => ("fail", "counts as failed"),
        Act::RetryNow => ("retry", "is tried again"),
    };
    let words = format!("`{}` of run {} {words}", args.job, args.run);
    let wish = Wish::Task { path: args.job, act };
    wish_and_stay(global, verb, args.run, wish, args.detach, &words).await
}

pub(crate) async fn approve(global: &Global, args: args::Approve) -> Ended {
    let values: Outputs = params::read(&args.values, "-v")?.values.into_iter().collect();
    let words = format!("`{}` of run {} is approved", args.job, args.run);
    let wish = Wish::Answer { path: args.job, answer: Answer::Approve, values };
    wish_and_stay(global, "approve", args.run, wish, args.detach, &words).await
}

pub(crate) async fn reject(global: &Global, args: args::OneTask) -> Ended {
    let words = format!("`{}` of run {} is rejected", args.job, args.run);
    let wish = Wish::Answer { path: args.job, answer: Answer::Reject, values: Outputs::new() };
    wish_and_stay(global, "reject", args.run, wish, args.detach, &words).await
}

/// Has it done. If the engine runs in here, somebody must move the run from here on: this command stays with it.
async fn wish_and_stay(
    global: &Global,
    verb: &str,
    run: i64,
    wish: Wish,
    detach: args::Detach,
    words: &str,
) -> Ended {
    let since: Timestamp = wall_clock();
    let command = format!("weir {verb} {run}");
    let access = Access::open(global, &command, Purpose::Move).await?;
    let access = grant(access, run, wish).await?;
    if access.is_local() && !detach.detach {
        attend::attend(global, access, &command, run, since).await
    } else {
        done(global, access, words).await
    }
}

async fn grant(mut access: Access, run: i64, wish: Wish) -> anyhow::Result<Access> {
    match access.ask(Request::Wish { run, wish, by: access::asker() }).await {
        Ok(_) => Ok(access),
        Err(problem) => {
            access.close().await?;
            Err(problem.into())
        }
    }
}

async fn done(global: &Global, access: Access, words: &str) -> Ended {
    access.close().await?;
    if global.json {
        say!("null")?;
    } else if !global.quiet {
        say!("{words}")?;
    }
    Ok(End::Done)
}
