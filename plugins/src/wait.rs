//! `wait`: holds a flow until something is so: a time has come, a port answers, a page, a name, a file, a database. Ports
//! and pages can be looked at from a host.
//!
//! Looking happens in [`look`]; this module decides how often and how long. When it began stands in the handle, so
//! that a restart of the engine does not begin the wait anew.

mod dns;
mod http;
mod look;
mod sql;
pub(crate) mod tls;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{
    AttemptContext, Fault, Handle, JobError, JobType, Nature, Plan, PlanContext,
};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::schema::Schema;
use weir_core::time::{Timestamp, format_span, parse_span};

use crate::begun::Begun;
use crate::mask;
use crate::settings::{self, Span};
use crate::ssh::Pool;
use crate::stop::Stops;
use crate::way::{Address, Way};
use look::{Look, Seen};

/// The first pause between two looks; each next one is half as long again, if `every` is not said.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause if `every` is not said.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The longest sleep in one piece: the clock may be set while it lasts.
const NAP: Duration = Duration::from_mins(1);

/// The conditions, of which a job has one.
const CONDITIONS: [&str; 7] = ["for", "until", "tcp", "http", "dns", "file", "sql"];

/// Why a wait has no hosts.
const NOT_FROM_HOSTS: &str = "only `tcp` and `http` are looked at from a host";

/// The job type `wait`.
pub struct Wait {
    pool: Arc<Pool>,
    stops: Stops,
}

impl Wait {
    /// Looks from hosts over the connections of that pool.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self { pool, stops: Stops::default() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    hosts: Option<Value>,
    r#for: Option<Span>,
    until: Option<String>,
    tcp: Option<String>,
    http: Option<http::Settings>,
    dns: Option<dns::Settings>,
    file: Option<look::File>,
    sql: Option<sql::Settings>,
    within: Option<Span>,
    every: Option<Span>,
}

/// What is waited for.
enum Condition {
    /// So much time since the attempt began.
    For(Duration),
    /// A point in time.
    Until(Timestamp),
    /// Something to look at again and again.
    Look(Look),
}

impl Settings {
    fn read(with: &Value, cx: &AttemptContext) -> Result<(Self, Condition), JobError> {
        let mut settings: Self = settings::read(with, &cx.secrets)?;
        let condition =
            settings.condition().map_err(|why| settings::wrong(mask::hide(&why, &cx.secrets)))?;
        Ok((settings, condition))
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let found = [
            self.r#for.take().map(|span| Ok(Condition::For(span.0))),
            self.until.take().map(|at| {
                Timestamp::parse(at.trim()).map(Condition::Until).map_err(|_| no_time(&at))
            }),
            self.tcp
                .take()
                .map(|address| Ok(Condition::Look(Look::Tcp(Address::parse(&address)?)))),
            self.http.take().map(|page| Ok(Condition::Look(Look::Http(page.request()?)))),
            self.dns.take().map(|name| Ok(Condition::Look(Look::Dns(name.query()?)))),
            self.file.take().map(|file| Ok(Condition::Look(Look::File(file.compiled()?)))),
            self.sql.take().map(|sql| Ok(Condition::Look(Look::Sql(sql.question()?)))),
        ];
        let mut found = found.into_iter().flatten();
        match (found.next(), found.next()) {
            (Some(condition), None) => {
                let condition = condition?;
                match self.hosts {
                    Some(_) if !condition.is_seen_from_hosts() => Err(NOT_FROM_HOSTS.to_owned()),
                    _ => Ok(condition),
                }
            }
            _ => Err(format!("a wait has one of {}", CONDITIONS.join(", "))),
        }
    }
}

impl Condition {
    fn is_seen_from_hosts(&self) -> bool {
        match self {
            Self::For(_) | Self::Until(_) => false,
            Self::Look(look) => look.is_seen_from_hosts(),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::For(span) => format!("for {}", format_span(*span)),
            Self::Until(at) => format!("until {at}"),
            Self::Look(look) => look.in_words(),
        }
    }
}

#[async_trait]
impl JobType for Wait {
    fn name(&self) -> &'static str {
        "wait"
    }

    fn about(&self) -> &'static str {
        "Waits for a time, a port, a page, a name, a file or an answer of a database. Ports and pages also as hosts see \
         them."
    }

    fn schema(&self) -> Schema {
        schema()
    }

    fn nature(&self) -> Nature {
        Nature::Waits
    }

    fn works_on_hosts(&self) -> bool {
        true
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        let elsewhere = |name: &&str| !matches!(*name, "tcp" | "http") && with.get(name).is_some();
        if with.get("hosts").is_some() && CONDITIONS.iter().any(elsewhere) {
            faults.push(settings::fault(
                "/hosts",
                NOT_FROM_HOSTS,
                "leave `hosts` out, or look by a `command` on the host: `uses: ssh` with `retry`",
            ));
        }
        let given: Vec<_> =
            CONDITIONS.into_iter().filter(|name| with.get(name).is_some()).collect();
        match given.as_slice() {
            [] => faults.push(settings::fault(
                "",
                "nothing to wait for",
                "give it one of `for`, `until`, `tcp`, `http`, `dns`, `file`, `sql`",
            )),
            [_] => {}
            [first, second, ..] => faults.push(settings::fault(
                &format!("/{second}"),
                format!("a wait is for one thing, and this one has `{first}` already"),
                "make it two jobs",
            )),
        }
        if let Some(at) = settings::fixed(with, "/until")
            && Timestamp::parse(at.trim()).is_err()
        {
            faults.push(settings::fault(
                "/until",
                no_time(at),
                "write it as in RFC 3339, such as `2026-03-01T02:30:00+08:00`",
            ));
        }
        if let Some(address) = settings::fixed(with, "/tcp")
            && let Err(why) = Address::parse(address)
        {
            faults.push(settings::fault("/tcp", why, "write `host:port`"));
        }
        if let Some(url) = settings::fixed(with, "/http/url")
            && let Err(why) = http::check_url(url)
        {
            faults.push(settings::fault(
                "/http/url",
                why,
                "write `https://host:port/path`; for anything else use `curl` in a `command` with `retry`",
            ));
        }
        if let Some(database) = settings::fixed(with, "/sql/database")
            && let Err(why) = sql::check_database(database)
        {
            faults.push(settings::fault("/sql/database", why, "write `sqlite:FILE`"));
        }
        if let Some(name) = settings::fixed(with, "/dns/name")
            && let Err(why) = dns::check_name(name)
        {
            faults.push(settings::fault("/dns/name", why, ""));
        }
        if let Some(server) = settings::fixed(with, "/dns/server")
            && let Err(why) = dns::check_server(server)
        {
            faults.push(settings::fault("/dns/server", why, "write `10.0.0.2` or `10.0.0.2:5353`"));
        }
        let every = settings::fixed(with, "/every").map(parse_span);
        if every.is_some_and(|every| every.is_ok_and(|every| every.is_zero())) {
            faults.push(settings::fault("/every", "a pause of no time would never rest", ""));
        }
        faults
    }

    async fn plan(&self, with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        let mut settings: Settings = settings::read(with, &[])?;
        let condition = settings.condition().map_err(settings::wrong)?;
        let within = settings.within.map(|within| format!(", at most {}", format_span(within.0)));
        let from = settings::fixed(with, "/hosts").map(|hosts| format!(", as seen from {hosts}"));
        let step = [
            "wait ",
            &condition.in_words(),
            &from.unwrap_or_default(),
            &within.unwrap_or_default(),
        ]
        .concat();
        Ok(Plan { steps: vec![step], ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        let (_, condition) = Settings::read(with, cx)?;
        let from = cx.host.as_ref().map(|route| format!(", as seen from {}", route.host().name));
        cx.log.line(&format!("waits {}{}", condition.in_words(), from.unwrap_or_default()));
        Ok(Begun::now(cx))
    }

    async fn follow(
        &self,
        handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let stop = self.stops.watch(cx);
        let (settings, condition) = Settings::read(with, cx)?;
        let begun = Begun::read(handle, "wait")?;
        let deadline = settings.within.map(|within| begun.at.plus(within.0));
        let way = Way::of(cx, &self.pool);
        stop.or(wait(&condition, &way, begun.at, deadline, settings.every, cx)).await
    }

    async fn cancel(
        &self,
        _handle: Option<&Handle>,
        _with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError> {
        self.stops.stop(cx);
        Ok(())
    }
}

/// Waits, from wherever it stands.
async fn wait(
    condition: &Condition,
    way: &Way,
    begun: Timestamp,
    deadline: Option<Timestamp>,
    every: Option<Span>,
    cx: &AttemptContext,
) -> Result<Outcome, JobError> {
    let look = match condition {
        Condition::For(span) => return Ok(sleep_until(begun.plus(*span), deadline, cx).await),
        Condition::Until(at) => return Ok(sleep_until(*at, deadline, cx).await),
        Condition::Look(look) => look,
    };
    let mut said = String::new();
    let mut pause = every.map_or(FIRST_PAUSE, |every| every.0.max(Duration::from_millis(1)));
    loop {
        let seen = match look.look(way, cx).await? {
            Seen::Holds { seen, outputs } => {
                cx.log.line(&seen);
                return Ok(Outcome::Done { outputs, exit_code: None });
            }
            Seen::NotYet(seen) => mask::hide(&seen, &cx.secrets),
        };
        if seen != said {
            cx.log.line(&seen);
            said.clone_from(&seen);
        }
        let now = cx.clock.now();
        let mut rest = pause;
        if let Some(deadline) = deadline {
            if now >= deadline {
                return Ok(too_late(now.since(begun), &seen));
            }
            rest = rest.min(deadline.since(now));
        }
        cx.clock.sleep(rest).await;
        if every.is_none() {
            pause = (pause + pause / 2).min(LONGEST_PAUSE);
        }
    }
}

async fn sleep_until(at: Timestamp, deadline: Option<Timestamp>, cx: &AttemptContext) -> Outcome {
    let begun = cx.clock.now();
    loop {
        let now = cx.clock.now();
        if now >= at {
            return Outcome::Done { outputs: Outputs::new(), exit_code: None };
        }
        if deadline.is_some_and(|deadline| now >= deadline) {
            return too_late(now.since(begun), &format!("it is due at {at}"));
        }
        let next = deadline.map_or(at, |deadline| deadline.min(at));
        cx.clock.sleep(next.since(now).min(NAP)).await;
    }
}

fn too_late(waited: Duration, seen: &str) -> Outcome {
    Outcome::Failed(Failure::new(
        ErrorClass::Timeout,
        format!("waited {}; last seen: {seen}", format_span(waited)),
    ))
}

fn no_time(text: &str) -> String {
    format!("`{text}` is no date and time with an offset")
}

fn schema() -> Schema {
    let span = |about: &str| Schema::span().describe(about);
    let pattern = |about: &str| Schema::regex().describe(about);
    let page = Schema::object()
        .required("url", Schema::text().describe("The page.").example("http://10.0.0.5:8080/health"))
        .optional(
            "status",
            Schema::one_of([Schema::integer(), Schema::list(Schema::integer())]).describe(
                "The status, or those that are right. Any from 200 to 299 if not said.",
            ),
        )
        .optional(
            "body-matches",
            pattern(
                "A regular expression that must be found in the page's first MiB. What its named groups hold become \
                 outputs.",
            )
            .example("\"live_nodes\": (?<live>[3-9])"),
        )
        .optional(
            "headers",
            Schema::map(Schema::text())
                .describe("Headers to send.")
                .example(json!({ "Authorization": "Bearer {{ secret('token') }}" })),
        )
        .optional(
            "ca",
            Schema::text()
                .describe(
                    "For `https`: a file of certificates (PEM), from the working folder, of which one must stand for \
                     the page. Those that this machine believes if not said.",
                )
                .example("ca.pem"),
        )
        .describe(
            "Waits until a GET of a page answers as it should. Redirects are not followed, proxies not used. The \
             output `status` is the page's status.",
        );
    let name = Schema::object()
        .required("name", Schema::text().describe("The name.").example("ns1.example.org"))
        .optional("type", Schema::choice(dns::TYPES).default("A").fixed().describe("What is asked for."))
        .optional(
            "server",
            Schema::text()
                .describe(
                    "Who is asked: an address, with a port if it is not 53. This machine's own way (`/etc/hosts` and \
                     all for A and AAAA) if not said.",
                )
                .example("127.0.0.1:5353"),
        )
        .optional(
            "is",
            Schema::one_of([Schema::text(), Schema::list(Schema::text())])
                .describe(
                    "All that must be answered and nothing else, in any order. An empty list waits until the name is \
                     gone.",
                )
                .example("10.2.14.28"),
        )
        .describe("Waits until a name resolves. The output `answers` lists what was found.");
    let file = Schema::object()
        .required("path", Schema::text().describe("Where it is, from the working folder."))
        .optional(
            "exists",
            Schema::boolean()
                .default(true)
                .describe("Whether it must be there; `false` waits until it is gone."),
        )
        .optional("min-age", span("How long nobody may have written to it."))
        .optional(
            "matches",
            pattern(
                "A regular expression that must be found in its first MiB. What its named groups hold become outputs.",
            ),
        )
        .describe(
            "Waits for a file or folder on this machine. The output `size` is its size in bytes.",
        );
    let sql = Schema::object()
        .required(
            "database",
            Schema::text()
                .describe("The file of an SQLite database, from the working folder.")
                .example("sqlite:/srv/load/state.db"),
        )
        .required(
            "query",
            Schema::text()
                .describe("One statement that only reads.")
                .example("SELECT count(*) = 3 FROM loaded WHERE day = date('now')"),
        )
        .describe(
            "Waits until a query answers: until the first value of its first row is neither null, 0, false nor empty. \
             The output `value` is that value.",
        );
    Schema::object()
        .optional("for", span("Waits so long, counted from the start of the attempt."))
        .optional(
            "until",
            Schema::text()
                .describe("Waits until this date and time (RFC 3339). A time that is past is fine.")
                .example("2026-03-01T02:30:00+08:00"),
        )
        .optional(
            "tcp",
            Schema::text()
                .describe("Waits until `host:port` accepts a connection.")
                .example("{{ item.address }}:50010")
                .example("[::1]:8080"),
        )
        .optional("http", page)
        .optional(
            "hosts",
            Schema::text()
                .describe(
                    "The hosts of the project from which a port or a page is looked at, such as the machine that is to \
                     use it. This machine, if not said.",
                )
                .example("role=datanode"),
        )
        .optional("dns", name)
        .optional("file", file)
        .optional("sql", sql)
        .optional(
            "within",
            span("Gives up after so long, as class `timeout`. Without it the job's `timeout` decides."),
        )
        .optional("every", span("The pause between two looks. If not said it grows from 250ms to 5s."))
}
