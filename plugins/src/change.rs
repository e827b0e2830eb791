//! Job types that bring something about, on a host or here, and do nothing where it is so already: `file`, `package`,
//! `service`, `user`, `hdfs.format` and its like. Each is a script that looks, and then changes only what differs; what
//! carries it is the job type `ssh` on hosts and `command` here, so that a cut line or a restart loses nothing.

mod file;
mod history;
mod package;
mod service;
mod user;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use weir_core::job_type::{AttemptContext, Fault, Handle, JobError, JobType, Plan, PlanContext};
use weir_core::outcome::{ErrorClass, Failure, Outcome};
use weir_core::schema::Schema;
use weir_core::secret::Secret;

use crate::command::Command;
use crate::ssh::{Pool, Ssh, become_of, quoted};
use crate::{mask, settings};

pub use file::File;
pub use package::Package;
pub use service::Service;
pub use user::User;

/// What all scripts begin with: how they speak, and how they end.
const BEGIN: &str = r#"LC_ALL=C; export LC_ALL
wrong=70 refused=71 failed=72
changed=
# Something has to be done: says so, and tells whether to do it now.
must() { changed="$changed $1"; shift; if [ "$mode" = plan ]; then echo "step $*"; return 1; fi; echo "$*"; }
# It can't be done: the codes have their meaning in `change.rs`.
fail() { code=$1; shift; echo "weir: $*" >&2; exit "$code"; }
# Only a person can tell whether this may pass.
ask() {
    if [ "$mode" = plan ]; then echo "step ask a person: $*"; exit 0; fi
    echo "weir: $*"
    printf 'asks=%s\n' "$*" >>"$WEIR_OUTPUT"
    exit 0
}
finish() {
    [ "$mode" = act ] || exit 0
    if [ -n "$changed" ]; then echo "changed=true"; else echo "changed=false"; fi >>"$WEIR_OUTPUT"
    exit 0
}
"#;

/// The settings are wrong. These are the codes that [`BEGIN`] names.
const WRONG: i32 = 70;
/// Trying again will not help.
const REFUSED: i32 = 71;
/// It could not be brought about.
const FAILED: i32 = 72;

/// How long a look may take.
const LOOK: Duration = Duration::from_mins(1);

/// Whether something should be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    #[default]
    Present,
    Absent,
}

impl State {
    /// As the scripts know it.
    fn word(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Absent => "absent",
        }
    }
}

/// As the scripts know it.
pub(crate) fn yes_no(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

/// What is brought about.
pub trait Change: Send + Sync + 'static {
    /// The job type's name.
    const NAME: &'static str;
    /// What it is for.
    const ABOUT: &'static str;
    /// Whether it can be done on this machine, too.
    const IS_FOR_HERE: bool;

    /// Its own settings, added to those that all have.
    fn schema(schema: Schema) -> Schema;

    /// What is wrong with them beyond their shape.
    fn check(with: &Value) -> Vec<Fault>;

    /// The setting by which something is lost for good: see [`JobType::destroys_by`].
    fn destroys_by(_with: &Value) -> Option<&'static str> {
        None
    }

    /// The script that brings it about; `$mode` is `plan` if it may only look.
    ///
    /// # Errors
    /// A setting is wrong, or a file that it names can't be read.
    fn script(with: &Value, folder: &Path, secrets: &[Secret]) -> Result<String, JobError>;

    /// Keeps for people what was changed on the host.
    fn keep(_with: &Value, _cx: &AttemptContext) {}
}

/// A job type that brings something about.
pub struct Changing<C> {
    pool: Arc<Pool>,
    ssh: Arc<Ssh>,
    change: std::marker::PhantomData<fn() -> C>,
}

impl<C: Change> Changing<C> {
    /// Over the connections of `pool`, carried by `ssh`.
    pub fn new(pool: &Arc<Pool>, ssh: &Arc<Ssh>) -> Self {
        Self { pool: Arc::clone(pool), ssh: Arc::clone(ssh), change: std::marker::PhantomData }
    }

    /// The settings for what carries it.
    fn carried(with: &Value, cx: &AttemptContext) -> Result<Value, JobError> {
        let script = C::script(with, &cx.working_dir, &cx.secrets)?;
        let mut carried = Map::new();
        carried.insert("script".to_owned(), format!("mode=act\n{BEGIN}{script}finish\n").into());
        carried.insert("output-format".to_owned(), "lines".into());
        if let Some(user) = with.get("become") {
            carried.insert("become".to_owned(), user.clone());
        }
        Ok(Value::Object(carried))
    }

    /// The settings for what carries it, where nothing is to begin any more.
    fn spare(with: &Value) -> Value {
        let mut spare = json!({ "script": "exit 1", "output-format": "lines" });
        if let Some(user) = with.get("become") {
            spare["become"] = user.clone();
        }
        spare
    }

    fn by<'a>(&'a self, with: &Value, cx: &AttemptContext) -> Result<&'a dyn JobType, JobError> {
        match (&cx.host, C::IS_FOR_HERE) {
            (Some(_), _) => Ok(&*self.ssh),
            (None, true) if with.get("become").is_some() => Err(settings::wrong(
                "`become` is for hosts\n  help: for work on this machine set the job's `run-as`",
            )),
            (None, true) => Ok(&Command),
            (None, false) => Err(settings::wrong(
                "no host was chosen\n  help: name some in `with.hosts`, and describe them in project.yaml",
            )),
        }
    }
}

#[async_trait]
impl<C: Change> JobType for Changing<C> {
    fn name(&self) -> &str {
        C::NAME
    }

    fn about(&self) -> &str {
        C::ABOUT
    }

    fn works_on_hosts(&self) -> bool {
        true
    }

    fn schema(&self) -> Schema {
        let where_else = if C::IS_FOR_HERE { " Without: this machine." } else { "" };
        let hosts = Schema::one_of([Schema::text(), Schema::list(Schema::text())])
            .describe(&format!(
                "Which hosts of the project: a name, several names, labels, or `all`. Each is a task of its own.{where_else}"
            ))
            .example("role=datanode");
        let become_user = Schema::one_of([Schema::text(), Schema::boolean()])
            .describe(
                "The user to become there with `sudo`, instead of the host's own `become`; `false` for who logs in.",
            )
            .example("root");
        let own = C::schema(Schema::object());
        own.optional("hosts", hosts).optional("become", become_user)
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        C::check(with)
    }

    fn destroys_by(&self, with: &Value) -> Option<&'static str> {
        C::destroys_by(with)
    }

    async fn plan(&self, with: &Value, cx: &PlanContext) -> Result<Plan, JobError> {
        let script = C::script(with, &cx.working_dir, &[])?;
        let Some(route) = &cx.host else {
            let unknown = vec!["how it stands now: it is looked at when it runs".to_owned()];
            let steps = vec![format!("see to it that it is so: {}", summary(with))];
            return Ok(Plan { steps, unknown, ..Plan::default() });
        };
        let named = with.get("become").map(|user| user.as_str().unwrap_or("false"));
        let user = become_of(route, named);
        let script = format!("mode=plan\n{BEGIN}{script}finish\n");
        let ran = self.pool.look(route, user.as_ref(), &script, LOOK).await?;
        let text = String::from_utf8_lossy(&ran.out).into_owned();
        if ran.code != 0 {
            let said = String::from_utf8_lossy(&ran.err);
            let why = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let why = why.strip_prefix("weir: ").unwrap_or(why);
            return Err(failure(ran.code, why));
        }
        let (steps, diff) = text.split_once("diff\n").unwrap_or((&text, ""));
        let mut plan = Plan::default();
        for line in steps.lines() {
            if let Some(step) = line.strip_prefix("step ") {
                plan.steps.push(step.to_owned());
            } else if let Some(lost) = line.strip_prefix("destroys ") {
                plan.destroys.push(lost.to_owned());
            } else if let Some(open) = line.strip_prefix("unknown ") {
                plan.unknown.push(open.to_owned());
            }
        }
        if !diff.trim().is_empty() {
            plan.diffs.push(diff.to_owned());
        }
        if plan.steps.is_empty() && plan.unknown.is_empty() {
            plan.steps.push("nothing: it is so already".to_owned());
        }
        Ok(plan)
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        self.by(with, cx)?.start(&Self::carried(with, cx)?, cx).await
    }

    async fn follow(
        &self,
        handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        // A file that was read for the start may be gone by now: nothing of it is needed to follow.
        let carried = Self::carried(with, cx).unwrap_or_else(|_| Self::spare(with));
        let outcome = self.by(with, cx)?.follow(handle, &carried, cx).await?;
        Ok(match outcome {
            Outcome::Done { mut outputs, .. } if outputs.contains_key("asks") => {
                let asked = outputs.remove("asks");
                let message = asked.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
                Outcome::Ask { message, outputs }
            }
            Outcome::Done { outputs, .. }
                if outputs.get("changed").and_then(Value::as_str) == Some("false") =>
            {
                Outcome::AlreadyDone { outputs }
            }
            Outcome::Failed(failed) => Outcome::Failed(told(failed, cx)),
            outcome @ Outcome::Done { .. } => {
                C::keep(with, cx);
                outcome
            }
            outcome => outcome,
        })
    }

    async fn is_reachable(&self, handle: &Handle, with: &Value, cx: &AttemptContext) -> bool {
        match self.by(with, cx) {
            Ok(by) => by.is_reachable(handle, &Self::spare(with), cx).await,
            Err(_) => false,
        }
    }

    async fn cancel(
        &self,
        handle: Option<&Handle>,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError> {
        self.by(with, cx)?.cancel(handle, &Self::spare(with), cx).await
    }
}

/// A setting or two, for people.
fn summary(with: &Value) -> String {
    let words = ["path", "name", "names", "state"];
    let told =
        words.iter().filter_map(|word| with.get(word).map(|value| format!("{word} {value}")));
    told.collect::<Vec<_>>().join(", ")
}

/// A failure in the words that the script left in the log.
fn told(mut failed: Failure, cx: &AttemptContext) -> Failure {
    let Some(code) = failed.exit_code.filter(|code| (WRONG..=FAILED).contains(code)) else {
        return failed;
    };
    let log = std::fs::read(cx.folder.join("log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log[log.len().saturating_sub(4096)..]).into_owned();
    if let Some(why) = log.lines().rev().find_map(|line| line.strip_prefix("weir: ")) {
        let words = failure(code, &mask::hide(why, &cx.secrets));
        failed.class = words.class;
        failed.message = words.message;
    }
    failed
}

fn failure(code: i32, why: &str) -> Failure {
    let class = match code {
        WRONG => ErrorClass::Definition,
        REFUSED => ErrorClass::Refused,
        _ => ErrorClass::Exit,
    };
    let message = if why.is_empty() { format!("ended with code {code}") } else { why.to_owned() };
    Failure { class, exit_code: Some(code), signal: None, message }
}

/// Assignments of shell variables, a line each.
pub(crate) fn assign(values: &[(&str, &str)]) -> String {
    values
        .iter()
        .map(|(name, value)| format!("{name}={}\n", quoted(value)))
        .collect::<Vec<_>>()
        .concat()
}
