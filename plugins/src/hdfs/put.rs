//! `hdfs.put`: a file in HDFS, put there whole or not at all: under another name first, its checksum compared, then renamed.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use weir_core::hosts::Route;
use weir_core::job_type::{AttemptContext, Fault, Handle, JobError, JobType, Plan, PlanContext};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::schema::Schema;

use super::checksum::{Kind, Sum, Told};
use super::dir::{Rights, check_mode, ended, read_mode};
use super::names::{self, NameNodes, check_path, mode};
use super::source::Source;
use super::web::{Cluster, Trouble};
use crate::settings::{self, Flag, Whole, Word};
use crate::ssh::{Pool, become_of};
use crate::stop::Stops;
use crate::way::Way;

/// The blocks of most clusters, in bytes.
const BLOCK: u64 = 128 << 20;

/// The job type `hdfs.put`.
pub struct Put {
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
    path: String,
    content: Option<String>,
    source: Option<String>,
    #[serde(default)]
    on_host: Flag,
    #[serde(rename = "become")]
    become_user: Option<Word>,
    owner: Option<String>,
    group: Option<String>,
    mode: Option<Word>,
    replication: Option<Whole>,
    #[serde(default)]
    overwrite: Flag,
    #[serde(default)]
    make_folders: Flag,
}

impl Settings {
    fn read(with: &Value, secrets: &[weir_core::secret::Secret]) -> Result<Self, JobError> {
        let settings: Self = settings::read(with, secrets)?;
        check_path(&settings.path).map_err(settings::wrong)?;
        if settings.path == "/" {
            return Err(settings::wrong("`/` is no file of HDFS"));
        }
        read_mode(settings.mode.as_ref())?;
        Ok(settings)
    }

    fn rights(&self) -> Rights<'_> {
        Rights {
            owner: self.owner.as_deref().filter(|owner| !owner.is_empty()),
            group: self.group.as_deref().filter(|group| !group.is_empty()),
            mode: Some(self.mode.as_ref().map_or("644", |word| mode(&word.0))),
        }
    }

    fn source(
        &self,
        pool: &Arc<Pool>,
        host: Option<&Arc<Route>>,
        folder: &Path,
    ) -> Result<Source, JobError> {
        match (&self.content, &self.source, self.on_host.0) {
            (Some(content), None, false) => Ok(Source::Text(content.clone().into_bytes())),
            (None, Some(source), false) => Ok(Source::Here(folder.join(source))),
            (None, Some(path), true) => {
                let route = host.ok_or_else(|| {
                    settings::wrong("no host was chosen\n  help: `on-host` needs one in `hosts`")
                })?;
                if !path.starts_with('/') {
                    return Err(settings::wrong(format!(
                        "`{path}` does not begin at the root, and the file is on a host"
                    )));
                }
                let named = self.become_user.as_ref().map(|user| user.0.as_str());
                Ok(Source::There {
                    pool: Arc::clone(pool),
                    route: Arc::clone(route),
                    user: become_of(route, named),
                    path: path.clone(),
                })
            }
            _ => Err(settings::wrong("give it `content`, or a `source` to copy")),
        }
    }
}

/// What stands at the path now, beside what is to stand there.
enum Stand {
    Absent,
    Same(Value),
    Other { bytes: u64 },
}

/// A file on its way into HDFS.
struct Job<'a> {
    cluster: &'a Cluster,
    settings: &'a Settings,
    source: &'a Source,
    size: u64,
}

impl Job<'_> {
    async fn stand(&self) -> Result<Stand, Failure> {
        let path = &self.settings.path;
        let about = |trouble: Trouble| trouble.about(path);
        let Some(status) = self.cluster.status(path).await.map_err(about)? else {
            return Ok(Stand::Absent);
        };
        if status["type"] != "FILE" {
            let why = format!("{path} is a folder: name the file in it");
            return Err(Failure::new(ErrorClass::Refused, why));
        }
        let bytes = status["length"].as_u64().unwrap_or_default();
        if bytes != self.size || !self.is_same(path, &status, None).await? {
            return Ok(Stand::Other { bytes });
        }
        Ok(Stand::Same(status))
    }

    /// Whether a file of the same length holds the same. `sum` is what was sent, if it was added up.
    async fn is_same(&self, path: &str, status: &Value, sum: Option<Sum>) -> Result<bool, Failure> {
        if self.size == 0 {
            return Ok(true);
        }
        let block = self.block(status["blockSize"].as_u64().unwrap_or(BLOCK));
        let answer = self.cluster.ask("GET", path, "GETFILECHECKSUM", &[]).await;
        let answer = answer.map_err(|trouble| trouble.about(path))?;
        let unknown = |what: &str| {
            let why = format!("{path}: its checksum can't be compared: {what}");
            Failure::new(ErrorClass::Verify, why)
        };
        let told = Told::read(&answer, block).ok_or_else(|| unknown("HDFS tells none"))?;
        let kind = told.kind().ok_or_else(|| unknown(told.algorithm()))?;
        let sum = match sum {
            Some(sum) if *sum.kind() == kind => sum,
            _ => self.source.sum(&Sum::new(kind)).await?,
        };
        Ok(told.is(&sum.finish()))
    }

    /// Puts it under `aside`, and proves it.
    async fn upload(&self, aside: &str) -> Result<(), Failure> {
        let replication = self.settings.replication.map(|count| count.0.to_string());
        let rights = self.settings.rights();
        let mut params = vec![("overwrite", "true"), ("permission", rights.mode.unwrap_or("644"))];
        if let Some(replication) = &replication {
            params.push(("replication", replication));
        }
        let mut sum = Sum::new(Kind::usual(self.block(BLOCK)));
        let about = |trouble: Trouble| trouble.about(&self.settings.path);
        self.cluster
            .create(aside, &params, self.size, self.source, &mut sum)
            .await
            .map_err(about)?;
        let status = self.cluster.status(aside).await.map_err(about)?.unwrap_or_default();
        let bytes = status["length"].as_u64().unwrap_or_default();
        if bytes != self.size {
            let why =
                format!("{}: of {} bytes {bytes} have arrived", self.settings.path, self.size);
            return Err(Failure::new(ErrorClass::Verify, why));
        }
        if !self.is_same(aside, &status, Some(sum)).await? {
            let why = format!(
                "{}: what has arrived is not what was sent: the checksums differ",
                self.settings.path
            );
            return Err(Failure::new(ErrorClass::Verify, why));
        }
        for (step, _) in rights.open(aside, &status) {
            rights.bring(self.cluster, aside, step).await.map_err(about)?;
        }
        Ok(())
    }

    /// A file that fits in one block adds up to the same whatever blocks may hold.
    fn block(&self, bytes: u64) -> u64 {
        if self.size <= bytes { u64::MAX } else { bytes }
    }

    /// Gives it its name. What had that name is kept under another.
    async fn rename(&self, aside: &str, old: Option<&str>) -> Result<(), Failure> {
        let path = &self.settings.path;
        let about = |trouble: Trouble| trouble.about(path);
        if let Some(old) = old {
            let is_kept = self
                .cluster
                .does("PUT", path, "RENAME", &[("destination", old)])
                .await
                .map_err(about)?;
            if !is_kept {
                let why = format!("{path}: the old file can't be kept as {old}");
                return Err(Failure::new(ErrorClass::Exit, why));
            }
        }
        let is_done = self
            .cluster
            .does("PUT", aside, "RENAME", &[("destination", path)])
            .await
            .map_err(about)?;
        if is_done {
            return Ok(());
        }
        let why =
            format!("{path}: HDFS did not give the file its name: somebody else may have made it");
        Err(Failure::new(ErrorClass::Exit, why))
    }

    async fn is_folder_there(&self) -> Result<bool, Failure> {
        let above = above(&self.settings.path);
        let status = self.cluster.status(above).await.map_err(|trouble| trouble.about(above))?;
        Ok(status.is_some_and(|status| status["type"] == "DIRECTORY"))
    }

    fn is_in_the_way(&self, bytes: u64) -> Failure {
        let path = &self.settings.path;
        Failure::new(
            ErrorClass::Refused,
            format!(
                "{path} is there already, with something else in it ({bytes} bytes)\n  help: put it under another name; \
                 or set `overwrite`, which keeps the old file as {path}.before-run-N"
            ),
        )
    }

    fn no_folder(&self) -> Failure {
        let above = above(&self.settings.path);
        Failure::new(
            ErrorClass::Refused,
            format!("there is no folder {above} in HDFS\n  help: `make-folders` makes it"),
        )
    }

    async fn put(&self, aside: &str, cx: &AttemptContext) -> Result<(bool, Outputs), Failure> {
        let path = &self.settings.path;
        let mut outputs: Outputs = [
            ("path".to_owned(), path.as_str().into()),
            ("bytes".to_owned(), self.size.into()),
            ("backup".to_owned(), "".into()),
        ]
        .into();
        let old = match self.stand().await? {
            Stand::Same(status) => {
                let rights = self.settings.rights();
                let open = rights.open(path, &status);
                for (step, words) in &open {
                    cx.log.line(words);
                    let brought = rights.bring(self.cluster, path, *step).await;
                    brought.map_err(|trouble| trouble.about(path))?;
                }
                return Ok((!open.is_empty(), outputs));
            }
            Stand::Other { .. } if self.settings.overwrite.0 => {
                Some(format!("{path}.before-run-{}", cx.id.run.0))
            }
            Stand::Other { bytes } => return Err(self.is_in_the_way(bytes)),
            Stand::Absent => None,
        };
        if !self.settings.make_folders.0 && !self.is_folder_there().await? {
            return Err(self.no_folder());
        }
        cx.log.line(&format!("put {} as {path} ({} bytes)", self.source.name(), self.size));
        let put = async {
            self.upload(aside).await?;
            self.rename(aside, old.as_deref()).await
        };
        if let Err(failure) = put.await {
            // What is left of it is in nobody's way; it is worth one try.
            let _left = self.cluster.does("DELETE", aside, "DELETE", &[]).await;
            return Err(failure);
        }
        cx.log.line("its checksum is as it should be");
        if let Some(old) = old {
            outputs.insert("backup".to_owned(), old.into());
        }
        Ok((true, outputs))
    }
}

/// The folder of a file.
fn above(path: &str) -> &str {
    match path.rfind('/') {
        Some(at) if at > 0 => &path[..at],
        _ => "/",
    }
}

/// Where a file stands until it is whole. The same for all attempts of a task: what one leaves the next one replaces.
fn aside(path: &str, cx: &AttemptContext) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    format!("{folder}/.{name}.weir-{}-{}", cx.id.run.0, cx.id.task.0)
}

impl Put {
    /// Asks from hosts over the connections of that pool.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self { pool, stops: Stops::default() }
    }

    async fn all(
        &self,
        settings: &Settings,
        cluster: &Cluster,
        cx: &AttemptContext,
    ) -> Result<(bool, Outputs), Failure> {
        let source = settings.source(&self.pool, cx.host.as_ref(), &cx.working_dir)?;
        let size = source.size().await?;
        let job = Job { cluster, settings, source: &source, size };
        job.put(&aside(&settings.path, cx), cx).await
    }
}

#[async_trait]
impl JobType for Put {
    fn name(&self) -> &'static str {
        "hdfs.put"
    }

    fn about(&self) -> &'static str {
        "Puts a file into HDFS, whole and with its checksum compared; does nothing where it is there already."
    }

    fn schema(&self) -> Schema {
        let own = Schema::object()
            .required(
                "path",
                Schema::text()
                    .describe("The file in HDFS, from the root on.")
                    .example("/hadoop-2.3.0-cdh5.1.2-mesos-0.19.0.tar.gz"),
            )
            .optional("content", Schema::text().describe("What is to stand in it. Give this or `source`."))
            .optional(
                "source",
                Schema::text().describe(
                    "A file of this machine to copy, from the flow's folder on; with `on-host` one of the host in `hosts`, \
                     from the root on.",
                ),
            )
            .optional(
                "on-host",
                Schema::boolean().default(false).describe("Whether `source` is a file of the host in `hosts`."),
            );
        names::with_user(names::schema(own))
            .optional(
                "become",
                Schema::one_of([Schema::text(), Schema::boolean()])
                    .describe("The user who reads the file on the host, with `sudo`, instead of the host's own `become`."),
            )
            .optional("owner", Schema::text().describe("Whose it is. Without: who asks."))
            .optional("group", Schema::text().describe("Its group. Without: as HDFS decides."))
            .optional(
                "mode",
                Schema::one_of([Schema::text(), Schema::number()])
                    .default("0644")
                    .describe("Who may do what, in octal and as a text."),
            )
            .optional(
                "replication",
                Schema::integer().minimum(1).describe("How many copies. Without: as the cluster decides."),
            )
            .optional(
                "overwrite",
                Schema::boolean().default(false).describe(
                    "Whether a file that holds something else is replaced. The old one is kept as `PATH.before-run-N`.",
                ),
            )
            .optional(
                "make-folders",
                Schema::boolean().default(false).describe("Whether missing folders are made."),
            )
            .describe("Outputs: `path`, `bytes`, `backup` (where the old file is, if there was one).")
    }

    fn works_on_hosts(&self) -> bool {
        true
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        let mut faults = names::check(with);
        match (with.get("content"), with.get("source")) {
            (Some(_), Some(_)) => faults.push(settings::fault(
                "/source",
                "`content` and `source` can't both stand in it",
                "keep one of them",
            )),
            (None, None) => faults.push(settings::fault(
                "",
                "it does not say what is to stand in the file",
                "give it `content`, or a `source` to copy",
            )),
            _ => {}
        }
        if let Some(path) = settings::fixed(with, "/path")
            && let Err(why) = check_path(path)
        {
            faults.push(settings::fault("/path", why, ""));
        }
        if with.get("on-host") == Some(&Value::Bool(true)) && with.get("hosts").is_none() {
            faults.push(settings::fault(
                "/on-host",
                "it does not say on which host the file is",
                "name the host in `hosts`",
            ));
        }
        faults.extend(check_mode(with));
        faults
    }

    async fn plan(&self, with: &Value, cx: &PlanContext) -> Result<Plan, JobError> {
        let settings = Settings::read(with, &[])?;
        let way = Way::by(cx.host.as_ref(), &self.pool);
        let cluster = settings.name_node.cluster(way, settings.user.as_deref())?;
        let source = settings.source(&self.pool, cx.host.as_ref(), &cx.working_dir)?;
        let path = &settings.path;
        let unknown = |why: String| Plan {
            unknown: vec![format!("whether {path} is there as it should be: {why}")],
            ..Plan::default()
        };
        let size = match source.size().await {
            Ok(size) => size,
            // It may be made by a job before this one.
            Err(error) => return Ok(unknown(error.message)),
        };
        let job = Job { cluster: &cluster, settings: &settings, source: &source, size };
        let put = format!("put {} as {path} ({size} bytes)", source.name());
        let steps = match job.stand().await {
            Ok(Stand::Same(status)) => {
                let open = settings.rights().open(path, &status);
                open.into_iter().map(|(_, words)| words).collect()
            }
            Ok(Stand::Absent) => vec![put],
            Ok(Stand::Other { bytes }) if settings.overwrite.0 => {
                vec![format!("keep {path} ({bytes} bytes) under another name"), put]
            }
            Ok(Stand::Other { bytes }) => return Err(job.is_in_the_way(bytes)),
            Err(failure) if failure.class == ErrorClass::Connection => {
                return Ok(unknown(failure.message));
            }
            Err(failure) => return Err(failure),
        };
        let steps =
            if steps.is_empty() { vec!["nothing: it is so already".to_owned()] } else { steps };
        Ok(Plan { steps, ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        let settings = Settings::read(with, &cx.secrets)?;
        settings.name_node.cluster(Way::of(cx, &self.pool), None)?;
        settings.source(&self.pool, cx.host.as_ref(), &cx.working_dir)?;
        Ok(Handle("hdfs.put".to_owned()))
    }

    async fn follow(
        &self,
        _handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let settings = Settings::read(with, &cx.secrets)?;
        let way = Way::of(cx, &self.pool);
        let cluster = settings.name_node.cluster(way, settings.user.as_deref())?;
        let stop = self.stops.watch(cx);
        let done = tokio::select! {
            biased;
            () = stop.asked() => None,
            done = Box::pin(self.all(&settings, &cluster, cx)) => Some(done),
        };
        let Some(done) = done else {
            let aside = aside(&settings.path, cx);
            let _left = cluster.does("DELETE", &aside, "DELETE", &[]).await;
            return Ok(Outcome::Cancelled);
        };
        Ok(ended(done, cx))
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
