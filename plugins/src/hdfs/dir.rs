//! `hdfs.dir`: folders of HDFS, whose they are and who may do what in them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{AttemptContext, Fault, Handle, JobError, JobType, Plan, PlanContext};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::schema::Schema;

use super::names::{self, NameNodes, check_path, is_mode, mode};
use super::web::{Cluster, Trouble};
use crate::settings::{self, OneOrMany, Word};
use crate::ssh::Pool;
use crate::stop::Stops;
use crate::way::Way;

/// The job type `hdfs.dir`.
pub struct Dir {
    pool: Arc<Pool>,
    stops: Stops,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    /// Read by the engine, which finds the way.
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    name_node: NameNodes,
    user: Option<String>,
    path: OneOrMany<String>,
    owner: Option<String>,
    group: Option<String>,
    mode: Option<Word>,
}

impl Settings {
    fn rights(&self) -> Rights<'_> {
        Rights {
            owner: self.owner.as_deref().filter(|owner| !owner.is_empty()),
            group: self.group.as_deref().filter(|group| !group.is_empty()),
            mode: self.mode.as_ref().map(|word| mode(&word.0)),
        }
    }
}

/// Whose something is, and who may do what with it; what is not said stays as it is.
#[derive(Clone, Copy)]
pub(super) struct Rights<'a> {
    pub(super) owner: Option<&'a str>,
    pub(super) group: Option<&'a str>,
    /// As HDFS writes it.
    pub(super) mode: Option<&'a str>,
}

impl Rights<'_> {
    /// What has to be done that `status` (a `FileStatus`) becomes so.
    pub(super) fn open(&self, path: &str, status: &Value) -> Vec<(Step, String)> {
        let is = |name: &str| status[name].as_str().unwrap_or_default();
        let mut open = Vec::new();
        let owner = self.owner.filter(|owner| *owner != is("owner"));
        let group = self.group.filter(|group| *group != is("group"));
        if let Some(owner) = owner {
            open.push((Step::Owner, format!("give {path} to {owner} (it is {}'s)", is("owner"))));
        }
        if let Some(group) = group {
            let words = format!("give {path} to the group {group} (it is {}'s)", is("group"));
            open.push((Step::Group, words));
        }
        if let Some(wanted) = self.mode.filter(|wanted| *wanted != mode(is("permission"))) {
            let words = format!("set the mode of {path} to {wanted} (it is {})", is("permission"));
            open.push((Step::Mode, words));
        }
        open
    }

    /// Does one of these.
    pub(super) async fn bring(
        &self,
        cluster: &Cluster,
        path: &str,
        step: Step,
    ) -> Result<(), Trouble> {
        let (op, name, value) = match step {
            Step::Owner => ("SETOWNER", "owner", self.owner),
            Step::Group => ("SETOWNER", "group", self.group),
            Step::Mode => ("SETPERMISSION", "permission", self.mode),
        };
        let value = value.unwrap_or_default();
        cluster.ask("PUT", path, op, &[(name, value)]).await.map(|_| ())
    }
}

/// A right that is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Owner,
    Group,
    Mode,
}

impl Dir {
    /// Asks from hosts over the connections of that pool.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self { pool, stops: Stops::default() }
    }

    async fn all(&self, settings: &Settings, cx: &AttemptContext) -> Result<bool, Failure> {
        let way = Way::of(cx, &self.pool);
        let cluster = settings.name_node.cluster(way, settings.user.as_deref())?;
        let rights = settings.rights();
        let mut has_changed = false;
        for path in settings.path.clone().into_vec() {
            let about = |trouble: Trouble| trouble.about(&path);
            let found = cluster.status(&path).await.map_err(about)?;
            let status = if let Some(status) = found {
                status
            } else {
                cx.log.line(&format!("make the folder {path}"));
                let permission = rights.mode.map(|mode| ("permission", mode));
                let params: Vec<(&str, &str)> = permission.into_iter().collect();
                has_changed = true;
                if !cluster.does("PUT", &path, "MKDIRS", &params).await.map_err(about)? {
                    return Err(Failure::new(
                        ErrorClass::Exit,
                        format!("{path}: HDFS did not make the folder, and does not say why"),
                    ));
                }
                let made = cluster.status(&path).await.map_err(about)?;
                made.ok_or_else(|| {
                    let why = format!("{path} is not there after it was made");
                    Failure::new(ErrorClass::Verify, why)
                })?
            };
            is_folder(&path, &status)?;
            for (step, words) in rights.open(&path, &status) {
                cx.log.line(&words);
                has_changed = true;
                rights.bring(&cluster, &path, step).await.map_err(about)?;
            }
        }
        Ok(has_changed)
    }
}

fn is_folder(path: &str, status: &Value) -> Result<(), Failure> {
    match status["type"].as_str() {
        Some("DIRECTORY") => Ok(()),
        _ => Err(Failure::new(ErrorClass::Refused, format!("{path} is a file, not a folder"))),
    }
}

#[async_trait]
impl JobType for Dir {
    fn name(&self) -> &'static str {
        "hdfs.dir"
    }

    fn about(&self) -> &'static str {
        "Sees to it that folders are in HDFS, with their owner and mode; does nothing where they are."
    }

    fn schema(&self) -> Schema {
        let one_or_many = Schema::one_of([Schema::text(), Schema::list(Schema::text())]);
        let own = Schema::object().required(
            "path",
            one_or_many
                .describe(
                    "The folder or folders, from the root on. Those above them are made, too.",
                )
                .example("/user/hive")
                .example(json!(["/tmp", "/user"])),
        );
        names::with_user(names::schema(own))
            .optional(
                "owner",
                Schema::text().describe("Whose they are. Without: as it is, or who asks."),
            )
            .optional("group", Schema::text().describe("Their group. Without: as it is."))
            .optional(
                "mode",
                Schema::one_of([Schema::text(), Schema::number()])
                    .describe("Who may do what, in octal and as a text. Without: as it is.")
                    .example("1777"),
            )
    }

    fn works_on_hosts(&self) -> bool {
        true
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        let mut faults = names::check(with);
        faults.extend(
            settings::fixed_texts(with, "path")
                .into_iter()
                .filter_map(|path| check_path(path).err())
                .map(|why| settings::fault("/path", why, "")),
        );
        faults.extend(check_mode(with));
        faults
    }

    async fn plan(&self, with: &Value, cx: &PlanContext) -> Result<Plan, JobError> {
        let settings: Settings = settings::read(with, &[])?;
        let way = Way::by(cx.host.as_ref(), &self.pool);
        let cluster = settings.name_node.cluster(way, settings.user.as_deref())?;
        let rights = settings.rights();
        let mut plan = Plan::default();
        for path in settings.path.clone().into_vec() {
            match cluster.status(&path).await {
                Ok(None) => plan.steps.push(format!("make the folder {path}")),
                Ok(Some(status)) => {
                    is_folder(&path, &status)?;
                    plan.steps
                        .extend(rights.open(&path, &status).into_iter().map(|(_, words)| words));
                }
                Err(trouble) => plan.unknown.push(format!("whether {path} is there: {trouble}")),
            }
        }
        if plan.steps.is_empty() && plan.unknown.is_empty() {
            plan.steps.push("nothing: it is so already".to_owned());
        }
        Ok(plan)
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        settings.name_node.cluster(Way::of(cx, &self.pool), None)?;
        for path in settings.path.clone().into_vec() {
            check_path(&path).map_err(settings::wrong)?;
        }
        read_mode(settings.mode.as_ref())?;
        Ok(Handle("hdfs.dir".to_owned()))
    }

    async fn follow(
        &self,
        _handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let stop = self.stops.watch(cx);
        stop.or(async {
            Ok(ended(self.all(&settings, cx).await.map(|changed| (changed, Outputs::new())), cx))
        })
        .await
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

/// How an attempt ended that asked HDFS. Why it failed stands in the log, too, where known failures are looked for. Nothing
/// goes on there, so that a name node that can't be reached is for `retry` to try again.
pub(super) fn ended(done: Result<(bool, Outputs), Failure>, cx: &AttemptContext) -> Outcome {
    match done {
        Ok((true, outputs)) => Outcome::Done { outputs, exit_code: None },
        Ok((false, outputs)) => Outcome::AlreadyDone { outputs },
        Err(mut failure) => {
            failure.message = crate::mask::hide(&failure.message, &cx.secrets);
            failure.message.lines().for_each(|line| cx.log.line(line));
            Outcome::Failed(failure)
        }
    }
}

/// What is wrong with `mode`.
pub(super) fn check_mode(with: &Value) -> Option<Fault> {
    let help = "write it in octal and in quotes, such as '0755'";
    if with.get("mode").is_some_and(Value::is_number) {
        return Some(settings::fault(
            "/mode",
            "a mode is a text: as a number it may be read as decimal",
            help,
        ));
    }
    let mode = settings::fixed(with, "/mode").filter(|mode| !is_mode(mode))?;
    Some(settings::fault("/mode", format!("`{mode}` is no mode"), help))
}

/// Judges a mode that a template has filled in.
pub(super) fn read_mode(mode: Option<&Word>) -> Result<(), JobError> {
    match mode {
        Some(mode) if !is_mode(&mode.0) => Err(settings::wrong(format!(
            "`{}` is no mode: write it in octal, such as 0755",
            mode.0
        ))),
        _ => Ok(()),
    }
}
