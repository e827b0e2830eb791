//! What can be typed: the commands, their flags, their help.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

/// Weir runs flows: jobs in YAML, in order, again if they fail, cured if the failure is known, and through a crash.
#[derive(Parser, Debug)]
#[command(
    name = "weir",
    version,
    max_term_width = 100,
    after_help = "\
With WEIR_URL (http://127.0.0.1:8180, https://weir.example.org) commands ask the server there, with the token in
WEIR_TOKEN. --home goes before it."
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Global {
    /// The data folder [default: `$WEIR_HOME`, else `$XDG_DATA_HOME/weir`]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere")]
    pub(crate) home: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
    /// No colours, as with `NO_COLOR`
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) no_color: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    pub(crate) quiet: bool,
}

/// The commands, in the order of the help.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a flow and show how it goes
    #[command(after_help = "\
FLOW is a file, a folder with one flow in it, or the name of a flow that ran here before.
Ctrl-C cancels the run and waits for its end; a second Ctrl-C leaves it (`weir show RUN --watch` attaches again).

Examples:
  weir run backup.flow.yaml
  weir run backup.flow.yaml -p what=/etc -p list=@files.json
  weir run format.flow.yaml --confirm 'the namespace of cluster c1'
  weir run nightly --from load --detach
  pass show db | weir run load.flow.yaml -p password=-

Exit codes: 0 done, 1 the run failed, 2 the flow or the call is wrong (nothing ran), 3 cancelled, 4 a person must decide")]
    Run(Run),
    /// Run an earlier run again, or a part of it
    #[command(after_help = "\
A rerun is a new run. What is not run again is reused, with its outputs.

Examples:
  weir rerun 7 --from-failed --preview
  weir rerun 7 --from-failed -p what=/etc/hosts
  weir rerun 7 --from load --latest
  weir rerun 7 --only load --only report")]
    Rerun(Rerun),
    /// Take up every unfinished run and answer other commands
    #[command(after_help = "\
Other commands on the same data folder go to this process. SIGTERM or Ctrl-C stops it: nothing new starts, and jobs
that work go on; the next `weir serve` or `weir run` takes them up.
WEIR_LOG says how much it tells (error, warn, info, debug, or a filter such as weir_engine=debug).

With --flows the flows of a folder are in effect: their schedules run them. The folder is watched; a broken new text
changes nothing and is told of by `weir schedules`.

Examples:
  weir serve
  weir serve --flows /srv/flows
  weir serve --listen 0.0.0.0:8443 --tls-cert weir.pem --tls-key weir.key
  weir --home /srv/weir serve --slots 16")]
    Serve(Serve),
    /// Find every mistake of flows, projects and catalogue files, without running anything
    #[command(after_help = "\
A folder stands for all *.flow.yaml, project.yaml and catalogue/*.yaml in it, however deep.

Examples:
  weir check backup.flow.yaml
  weir check flows/ --json

Exit codes: 0 no mistakes (there may be warnings), 2 mistakes")]
    Check(Check),
    /// Say what a flow would do and destroy, by reading only
    #[command(after_help = "\
Examples:
  weir plan format.flow.yaml -p cluster=c2")]
    Plan(Plan),
    /// Draw a flow's jobs and what each needs
    #[command(after_help = "\
Examples:
  weir graph backup.flow.yaml
  weir graph backup.flow.yaml --format dot | dot -Tsvg > backup.svg
  weir graph backup.flow.yaml --format mermaid")]
    Graph(Graph),
    /// Print the JSON Schema of flow files, or of one job type's settings
    #[command(after_help = "\
Examples:
  weir schema > flow.schema.json
  weir schema command")]
    Schema(Schema),
    /// List the job types
    Types,
    /// List schedules: when each is due next, how its last run ended; pause or resume one
    #[command(after_help = "\
Examples:
  weir schedules
  weir schedules --flow nightly --json
  weir schedules pause tap/nightly daily
  weir schedules resume tap/nightly daily")]
    Schedules(Schedules),
    /// Say when a flow's schedules are due next, here and on their own clocks
    #[command(after_help = "\
Examples:
  weir next nightly.flow.yaml
  weir next nightly.flow.yaml -n 20 --schedule daily")]
    Next(Next),
    /// Run a flow for each due time of a span of dates
    #[command(after_help = "\
Each run has its due time as `{{ run.due }}`, and counts as any other run of the flow. The dates are on the schedule's clock,
both included.

Examples:
  weir backfill nightly --from 2026-11-01 --to 2026-11-07 --preview
  weir backfill nightly --from 2026-11-01 --to 2026-11-07 --parallel 2")]
    Backfill(Backfill),
    /// List notices: who was told of what, who is still to be told, who could not be
    #[command(after_help = "\
`notify` in a flow file says who is told of what, `weir serve` tells them. See docs/notices.md.

Examples:
  weir notices
  weir notices --run 7
  weir notices --state given-up --json")]
    Notices(Notices),
    /// List runs, newest first
    #[command(after_help = "\
Examples:
  weir runs
  weir runs --state failed --flow nightly -n 5
  weir runs --before 120 --json")]
    Runs(Runs),
    /// Show a run: its tasks, why each waits or failed, what was recognised
    #[command(after_help = "\
Examples:
  weir show 7
  weir show 7 --watch
  weir show 7 --json")]
    Show(Show),
    /// Print logs
    #[command(after_help = "\
Without JOB the logs of all tasks are printed, each under its name. JOB is a task's path, such as group/job[0].

Examples:
  weir logs 7 load
  weir logs 7 load -f
  weir logs 7 load --attempt 1 --tail 20 --times")]
    Logs(Logs),
    /// Print what happened in a run, event by event
    #[command(after_help = "\
Examples:
  weir events 7
  weir events 7 -f --json")]
    Events(Events),
    /// End a run: what works is ended, nothing new starts
    #[command(after_help = "\
Examples:
  weir cancel 7
  weir cancel 7 --kill")]
    Cancel(Cancel),
    /// Start nothing new in a run
    Pause(OneRun),
    /// Let a paused run go on
    Resume(GoesOn),
    /// Leave a task out; what needs it goes on
    #[command(after_help = "Examples:\n  weir skip 7 report")]
    Skip(OneTask),
    /// Try a task again now
    #[command(after_help = "Examples:\n  weir retry 7 load")]
    Retry(OneTask),
    /// Count a task as done
    #[command(after_help = "Examples:\n  weir succeed 7 load")]
    Succeed(OneTask),
    /// Count a task as failed
    #[command(after_help = "Examples:\n  weir fail 7 load")]
    Fail(OneTask),
    /// Answer yes to what a task asks
    #[command(after_help = "\
Examples:
  weir approve 7 gate
  weir approve 7 gate -v hosts=3 -v reason='as agreed'")]
    Approve(Approve),
    /// Answer no to what a task asks
    #[command(after_help = "Examples:\n  weir reject 7 gate")]
    Reject(OneTask),
    /// Look for known failures in a log, or in the failed jobs of a run
    #[command(after_help = "\
Examples:
  weir diagnose /var/log/hadoop/namenode.log
  weir diagnose build.log --type ssh --exit 255
  weir diagnose 7
  weir diagnose build.log --draft 120,121      # a draft of a new entry, made from these lines

Exit codes: 0 something is known, 1 nothing is")]
    Diagnose(Diagnose),
    /// List the known failures, or show one
    #[command(after_help = "Examples:\n  weir catalogue\n  weir catalogue HDFS-02")]
    Catalogue(Catalogue),
    /// The machines that flows act on: list, check, ask and import them
    #[command(after_help = "\
The hosts stand in `project.yaml`. SELECTOR is `all`, names (master1,master2) or labels (role=datanode,zone!=b).

Examples:
  weir hosts list role=datanode
  weir hosts check                        # is each reached, machine by machine on the way?
  weir hosts facts master1 --json
  weir hosts config master1 /etc/hosts    # who changed it, in which run, and how
  weir hosts import inventory.ini > hosts.yaml
  weir hosts import ~/.ssh/config

Exit codes: 0 done, 1 a host is not reached, 2 the call or the project is wrong")]
    Hosts(Hosts),
    /// Keep values that must not be seen
    #[command(after_help = "\
Examples:
  weir secret set db_password < password.txt
  pass show db | weir secret set db_password --project tap
  weir secret list
  weir secret rm db_password")]
    Secret(Secret),
    /// Say who may use the pages
    #[command(after_help = "\
Examples:
  weir user add anna --role operator --project tap     # prints a one-time password
  weir user role anna author --project tap
  weir user list
  weir user rm anna")]
    User(User),
    /// Keep keys for programs
    #[command(after_help = "\
Examples:
  weir token add ci --role operator --days 90          # prints the token, once
  weir token list
  weir token rm ci")]
    Token(Token),
    /// Prove that all records fit what happened
    Verify,
    /// Remove old runs: those that their flows do not keep
    #[command(after_help = "\
A flow says with `keep: { age: 90d, runs: 100 }` which of its runs are kept; where it says nothing, all are.
`weir serve` does the same by itself once a day, at a quiet moment.

Examples:
  weir prune --preview
  weir prune")]
    Prune(Prune),
    /// Copy the data folder while it is in use
    #[command(after_help = "\
The key of the secrets is not copied: keep `secret.key` elsewhere.

Examples:
  weir backup /backups/monday
  weir backup /backups/monday --no-logs")]
    Backup(Backup),
    /// Make a data folder of a backup
    #[command(after_help = "Examples:\n  weir --home /srv/weir restore /backups/monday")]
    Restore(Restore),
    /// Look whether this machine has what Weir needs
    Doctor,
    /// Print completions for a shell
    #[command(after_help = "\
Examples:
  weir completions bash > ~/.local/share/bash-completion/completions/weir
  weir completions zsh > ~/.zfunc/_weir
  weir completions fish > ~/.config/fish/completions/weir.fish")]
    Completions(Completions),
}

/// `weir run`
#[derive(clap::Args, Debug)]
pub(crate) struct Run {
    /// A flow file, a folder with one flow, or a flow's name
    pub(crate) flow: String,
    #[command(flatten)]
    pub(crate) params: Params,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    /// Run only this job (may be given again)
    #[arg(long, value_name = "JOB")]
    pub(crate) only: Vec<String>,
    /// Run this job and all below it (may be given again)
    #[arg(long, value_name = "JOB")]
    pub(crate) from: Vec<String>,
    /// Leave this job out (may be given again)
    #[arg(long, value_name = "JOB")]
    pub(crate) skip: Vec<String>,
    #[command(flatten)]
    pub(crate) detach: Detach,
}

/// Values for parameters.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Params {
    /// A parameter; VALUE may be @FILE (its content) or - (standard input); @@ stands for an @
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
}

/// Words against `destroys`.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Confirm {
    /// The words of what may be destroyed (may be given again)
    #[arg(long, value_name = "TEXT")]
    pub(crate) confirm: Vec<String>,
}

/// Whether to wait.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct Detach {
    /// Do not wait: the run goes on in the background
    #[arg(short, long)]
    pub(crate) detach: bool,
}

/// `weir rerun`
#[derive(clap::Args, Debug)]
#[group(id = "what", required = true, multiple = false, args = ["from_failed", "from", "only", "all"])]
pub(crate) struct Rerun {
    /// The run
    pub(crate) run: i64,
    /// What did not end well, and all below it
    #[arg(long)]
    pub(crate) from_failed: bool,
    /// This job and all below it
    #[arg(long, value_name = "JOB")]
    pub(crate) from: Option<String>,
    /// This job alone (may be given again)
    #[arg(long, value_name = "JOB")]
    pub(crate) only: Vec<String>,
    /// Everything
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) params: Params,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    /// With the newest text of the flow, not the one that ran
    #[arg(long)]
    pub(crate) latest: bool,
    /// Only say what would run, be reused or is not safe to repeat
    #[arg(long)]
    pub(crate) preview: bool,
    #[command(flatten)]
    pub(crate) detach: Detach,
}

/// `weir serve`
#[derive(clap::Args, Debug)]
pub(crate) struct Serve {
    /// How many jobs may work at once [default: two for each processor, at least 8]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u32>,
    /// Where the pages are; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8180")]
    pub(crate) listen: std::net::SocketAddr,
    /// A folder whose flows are in effect: shown, started, run by their schedules (may be given again)
    #[arg(long, value_name = "DIR")]
    pub(crate) flows: Vec<PathBuf>,
    /// Speak TLS with the certificate in this file (PEM, with those that it rests on behind it); read again when it
    /// changes, or at SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// A proxy whose X-Forwarded-For and X-Forwarded-Proto are believed: an address, or ADDR/BITS (may be given again)
    #[arg(long, value_name = "ADDR")]
    pub(crate) proxy: Vec<weir_web::Proxy>,
    /// A file that says from where people may log in, besides from here: a directory (LDAP), or a login service that
    /// speaks OIDC (see docs/logins.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) login: Option<PathBuf>,
    /// Serve no pages
    #[arg(long)]
    pub(crate) no_web: bool,
    /// Serve pages to other machines without TLS: what is sent can be read on the way
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Where people find the pages, for links in notices and the way back from a login [default: where they are]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<String>,
    /// So long it is tried to deliver a notice; then it is given up
    #[arg(long, value_name = "SPAN", default_value = "3d", value_parser = weir_core::time::parse_span)]
    pub(crate) notices_for: std::time::Duration,
    /// How often old runs are removed, at a quiet moment: those that their flows do not keep; `0` is never
    #[arg(long, value_name = "SPAN", default_value = "1d", value_parser = weir_core::time::parse_span)]
    pub(crate) prune_every: std::time::Duration,
    /// End when no run moves (how commands leave runs in the background)
    #[arg(long, hide = true)]
    pub(crate) until_idle: bool,
}

/// `weir check`
#[derive(clap::Args, Debug)]
pub(crate) struct Check {
    /// Files or folders
    #[arg(required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

/// `weir plan`
#[derive(clap::Args, Debug)]
pub(crate) struct Plan {
    /// A flow file or a folder with one flow
    pub(crate) flow: String,
    #[command(flatten)]
    pub(crate) params: Params,
}

/// `weir graph`
#[derive(clap::Args, Debug)]
pub(crate) struct Graph {
    /// A flow file or a folder with one flow
    pub(crate) flow: String,
    /// How to draw
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For Graphviz
    Dot,
    /// For Markdown
    Mermaid,
}

/// `weir schema`
#[derive(clap::Args, Debug)]
pub(crate) struct Schema {
    /// A job type
    #[arg(value_name = "TYPE")]
    pub(crate) job_type: Option<String>,
}

/// `weir prune`
#[derive(clap::Args, Debug)]
pub(crate) struct Prune {
    /// Only say what would be removed
    #[arg(long)]
    pub(crate) preview: bool,
}

/// `weir notices`
#[derive(clap::Args, Debug)]
pub(crate) struct Notices {
    /// Only of this run
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<i64>,
    /// Only those that are `waiting`, `delivered` or `given-up`
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// How many at most
    #[arg(short = 'n', long, default_value_t = 50)]
    pub(crate) limit: u64,
}

/// `weir runs`
#[derive(clap::Args, Debug)]
pub(crate) struct Runs {
    /// Only of this project
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// Only of this flow
    #[arg(long)]
    pub(crate) flow: Option<String>,
    /// Only in this state
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only older than this run
    #[arg(long, value_name = "RUN")]
    pub(crate) before: Option<i64>,
    /// How many at most
    #[arg(short = 'n', long, default_value_t = 20)]
    pub(crate) limit: u64,
}

/// `weir schedules`
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Schedules {
    #[command(subcommand)]
    pub(crate) what: Option<SchedulesCommand>,
    /// Only of this project
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// Only of this flow
    #[arg(long)]
    pub(crate) flow: Option<String>,
}

/// What can be done with a schedule.
#[derive(Subcommand, Debug)]
pub(crate) enum SchedulesCommand {
    /// Run nothing by it until it is resumed
    Pause {
        /// The flow, as `project/flow`
        flow: String,
        /// The schedule
        id: String,
    },
    /// Let it go on; what was due meanwhile is not made up for
    Resume {
        /// The flow, as `project/flow`
        flow: String,
        /// The schedule
        id: String,
    },
}

/// `weir next`
#[derive(clap::Args, Debug)]
pub(crate) struct Next {
    /// A flow file, a folder with one flow, or a flow's name
    pub(crate) flow: String,
    /// Only this schedule
    #[arg(long, value_name = "ID")]
    pub(crate) schedule: Option<String>,
    /// How many times of each
    #[arg(short = 'n', long, default_value_t = 5)]
    pub(crate) count: usize,
}

/// `weir backfill`
#[derive(clap::Args, Debug)]
pub(crate) struct Backfill {
    /// A flow file, a folder with one flow, or a flow's name
    pub(crate) flow: String,
    /// The first date
    #[arg(long, value_name = "DATE")]
    pub(crate) from: String,
    /// The last date
    #[arg(long, value_name = "DATE")]
    pub(crate) to: String,
    /// The schedule, if the flow has several
    #[arg(long, value_name = "ID")]
    pub(crate) schedule: Option<String>,
    /// Only say which runs would begin
    #[arg(long)]
    pub(crate) preview: bool,
    /// How many of the runs may move at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) parallel: u32,
}

/// `weir show`
#[derive(clap::Args, Debug)]
pub(crate) struct Show {
    /// The run
    pub(crate) run: i64,
    /// Attach to it: show it as it goes, until it ends
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// `weir logs`
#[derive(clap::Args, Debug)]
pub(crate) struct Logs {
    /// The run
    pub(crate) run: i64,
    /// The task's path
    pub(crate) job: Option<String>,
    /// Go on until the attempt has ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Which try [default: the last]
    #[arg(long, value_name = "N", requires = "job")]
    pub(crate) attempt: Option<u32>,
    /// Only the last N lines
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<usize>,
    /// Put the time before each line, to about a second
    #[arg(long)]
    pub(crate) times: bool,
}

/// `weir events`
#[derive(clap::Args, Debug)]
pub(crate) struct Events {
    /// The run
    pub(crate) run: i64,
    /// Go on until the run has ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only those after this number
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) after: i64,
}

/// `weir cancel`
#[derive(clap::Args, Debug)]
pub(crate) struct Cancel {
    /// The run
    pub(crate) run: i64,
    /// At once, without grace and without its last hooks
    #[arg(long)]
    pub(crate) kill: bool,
    #[command(flatten)]
    pub(crate) detach: Detach,
}

/// A command on a run.
#[derive(clap::Args, Debug)]
pub(crate) struct OneRun {
    /// The run
    pub(crate) run: i64,
}

/// A command that makes a run go on.
#[derive(clap::Args, Debug)]
pub(crate) struct GoesOn {
    /// The run
    pub(crate) run: i64,
    #[command(flatten)]
    pub(crate) detach: Detach,
}

/// A command on a task.
#[derive(clap::Args, Debug)]
pub(crate) struct OneTask {
    /// The run
    pub(crate) run: i64,
    /// The task's path
    pub(crate) job: String,
    #[command(flatten)]
    pub(crate) detach: Detach,
}

/// `weir approve`
#[derive(clap::Args, Debug)]
pub(crate) struct Approve {
    /// The run
    pub(crate) run: i64,
    /// The task's path
    pub(crate) job: String,
    /// A field of the form it asks to be filled in
    #[arg(short = 'v', long = "value", value_name = "NAME=VALUE")]
    pub(crate) values: Vec<String>,
    #[command(flatten)]
    pub(crate) detach: Detach,
}

/// `weir diagnose`
#[derive(clap::Args, Debug)]
pub(crate) struct Diagnose {
    /// A log file, - for standard input, or a run's number
    #[arg(value_name = "FILE|RUN")]
    pub(crate) what: String,
    /// Only failures that a job of this type may meet
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) job_type: Option<String>,
    /// The exit code that the log ended with
    #[arg(long, value_name = "CODE", allow_negative_numbers = true)]
    pub(crate) exit: Option<i32>,
    /// Print the draft of a new entry, made from these lines of the log
    #[arg(long, value_name = "LINES", value_delimiter = ',')]
    pub(crate) draft: Vec<u64>,
}

/// `weir catalogue`
#[derive(clap::Args, Debug)]
pub(crate) struct Catalogue {
    /// An entry, such as HDFS-02
    pub(crate) id: Option<String>,
}

/// `weir hosts`
#[derive(clap::Args, Debug)]
pub(crate) struct Hosts {
    #[command(subcommand)]
    pub(crate) what: HostsCommand,
}

/// What can be done with hosts.
#[derive(Subcommand, Debug)]
pub(crate) enum HostsCommand {
    /// List the hosts of a project: where they answer, through which others, their labels
    List(ChosenHosts),
    /// Go to each host, machine by machine on the way, and say where it ends
    Check {
        #[command(flatten)]
        chosen: ChosenHosts,
        /// Seconds that a machine may take to answer
        #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
        within: u64,
    },
    /// Ask a host what it is: system, cores, memory, disk, boot id, clock
    Facts {
        /// Its name
        host: String,
        /// The project's folder, or one below it
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// List the files that flows have written on a host, or show how one was changed
    Config(HostConfig),
    /// Print `hosts` for a project.yaml, made from an Ansible inventory (INI or YAML) or an OpenSSH config
    Import {
        /// The inventory, or the config
        file: PathBuf,
        /// What it is [default: told by its content]
        #[arg(long, value_enum)]
        format: Option<InventoryFormat>,
    },
}

/// Hosts of a project.
#[derive(clap::Args, Debug)]
pub(crate) struct ChosenHosts {
    /// Which hosts [default: all]
    pub(crate) selector: Option<String>,
    /// The project's folder, or one below it
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// `weir hosts config`
#[derive(clap::Args, Debug)]
pub(crate) struct HostConfig {
    /// The host's name
    pub(crate) host: String,
    /// A file there: its changes are shown, too
    pub(crate) path: Option<String>,
    /// How many changes at most, the newest ones
    #[arg(short = 'n', long, default_value_t = 50)]
    pub(crate) limit: usize,
    /// The project's folder, or one below it
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) dir: PathBuf,
}

/// What hosts are imported from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InventoryFormat {
    /// An Ansible inventory in INI
    Ini,
    /// An Ansible inventory in YAML
    Yaml,
    /// An OpenSSH client's config
    SshConfig,
}

/// `weir secret`
#[derive(clap::Args, Debug)]
pub(crate) struct Secret {
    #[command(subcommand)]
    pub(crate) what: SecretCommand,
}

/// What can be done with secrets.
#[derive(Subcommand, Debug)]
pub(crate) enum SecretCommand {
    /// Keep a value, read from standard input
    Set {
        /// Its name, as in secret('NAME')
        name: String,
        /// Only for the flows of this project
        #[arg(long, default_value = "", hide_default_value = true)]
        project: String,
    },
    /// List names; values are never shown
    List,
    /// Forget a value
    Rm {
        /// Its name
        name: String,
        /// The project it is for
        #[arg(long, default_value = "", hide_default_value = true)]
        project: String,
    },
}

/// `weir user`
#[derive(clap::Args, Debug)]
pub(crate) struct User {
    #[command(subcommand)]
    pub(crate) what: UserCommand,
}

/// What can be done with users.
#[derive(Subcommand, Debug)]
pub(crate) enum UserCommand {
    /// Add somebody; prints a one-time password
    Add {
        /// What they are called
        name: String,
        /// viewer, operator, author or admin
        #[arg(long, default_value = "viewer")]
        role: String,
        /// Only in this project
        #[arg(long, default_value = "", hide_default_value = true)]
        project: String,
        /// Take the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Give somebody a new password and end their sessions; prints a one-time password
    Password {
        /// Who
        name: String,
        /// Take the password from standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List everybody with their roles
    List,
    /// Remove somebody
    Rm {
        /// Who
        name: String,
    },
    /// Give a role
    Role {
        /// To whom
        name: String,
        /// viewer, operator, author, admin; or none
        role: String,
        /// Only in this project
        #[arg(long, default_value = "", hide_default_value = true)]
        project: String,
    },
}

/// `weir token`
#[derive(clap::Args, Debug)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) what: TokenCommand,
}

/// What can be done with tokens.
#[derive(Subcommand, Debug)]
pub(crate) enum TokenCommand {
    /// Make a token; prints it once
    Add {
        /// What it is called
        name: String,
        /// viewer, operator, author or admin
        #[arg(long, default_value = "viewer")]
        role: String,
        /// Only in this project
        #[arg(long, default_value = "", hide_default_value = true)]
        project: String,
        /// Days until it expires [default: never]
        #[arg(long)]
        days: Option<u32>,
    },
    /// List tokens; their values are never shown
    List,
    /// Remove a token
    Rm {
        /// Which
        name: String,
    },
}

/// `weir backup`
#[derive(clap::Args, Debug)]
pub(crate) struct Backup {
    /// A folder that is not there yet
    pub(crate) to: PathBuf,
    /// Leave the logs out
    #[arg(long)]
    pub(crate) no_logs: bool,
}

/// `weir restore`
#[derive(clap::Args, Debug)]
pub(crate) struct Restore {
    /// A folder that `weir backup` has written
    pub(crate) from: PathBuf,
}

/// `weir completions`
#[derive(clap::Args, Debug)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// The commands by what they are for.
const GROUPS: [(&str, &[&str]); 8] = [
    ("Run", &["run", "rerun", "serve"]),
    ("Time", &["schedules", "next", "backfill"]),
    ("Look before", &["check", "plan", "graph", "schema", "types"]),
    ("Look after", &["runs", "show", "logs", "events", "notices"]),
    (
        "By hand",
        &["cancel", "pause", "resume", "skip", "retry", "succeed", "fail", "approve", "reject"],
    ),
    ("Known failures", &["diagnose", "catalogue"]),
    ("Hosts", &["hosts"]),
    (
        "Keeping house",
        &[
            "secret",
            "user",
            "token",
            "prune",
            "verify",
            "backup",
            "restore",
            "doctor",
            "completions",
        ],
    ),
];

/// All that can be typed, with the commands of the help in groups.
pub(crate) fn command() -> clap::Command {
    let command = Args::command();
    let mut groups = String::new();
    for (title, names) in GROUPS {
        add!(groups, "\n{title}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            add!(groups, "  {name:<12}{}\n", about.map(ToString::to_string).unwrap_or_default());
        }
    }
    command
        .disable_help_subcommand(true)
        .help_template("{about}\n\n{usage-heading} {usage}{after-help}\n\n{options}")
        .after_help(format!(
            "{}\n`weir COMMAND --help` says more and shows examples.",
            groups.trim_start_matches('\n')
        ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_stands_in_one_group_of_the_help() {
        let listed: Vec<&str> = GROUPS.into_iter().flat_map(|(_, names)| names).copied().collect();
        let known: BTreeSet<String> = Args::command()
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        assert_eq!(listed.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), known);
        assert_eq!(listed.len(), known.len(), "a command stands in two groups");
        command().debug_assert();
    }
}
