//! `fetch`: files of hosts, brought here as artifacts of the task.
//!
//! Reading again changes nothing: after a restart it simply begins anew.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::hosts::{Become, Route};
use weir_core::job_type::{AttemptContext, Fault, Handle, JobError, JobType, Plan, PlanContext};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::schema::Schema;

use crate::settings::{self, Flag, OneOrMany, Whole};
use crate::ssh::{Pool, become_of, quoted};
use crate::stop::Stops;

/// The folder in the attempt's own that they come to.
const ARTIFACTS: &str = "artifacts";
/// How much is brought at most if nothing else is said.
const LARGEST: i64 = 100 << 20;
/// How many files are brought at most.
const MOST: usize = 1000;

/// The job type `fetch`.
pub struct Fetch {
    pool: Arc<Pool>,
    stops: Stops,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    #[serde(rename = "become")]
    become_user: Option<settings::Word>,
    paths: OneOrMany<String>,
    most_bytes: Option<Whole>,
    #[serde(default)]
    optional: Flag,
}

/// A file on the host.
struct Found {
    path: String,
    size: u64,
}

impl Fetch {
    /// Over the connections of `pool`.
    pub fn new(pool: Arc<Pool>) -> Self {
        Self { pool, stops: Stops::default() }
    }

    /// The files that the paths mean.
    async fn list(
        &self,
        settings: &Settings,
        route: &Route,
        user: Option<&Become>,
    ) -> Result<Vec<Found>, JobError> {
        let paths = settings.paths.clone().into_vec();
        let words: Vec<String> = paths.iter().map(|path| pattern(path)).collect();
        let script = format!(
            "for f in {}; do if [ -f \"$f\" ]; then if [ -r \"$f\" ]; then stat -L -c '%s %n' \"$f\"; else echo \"- $f\"; fi; fi; done",
            words.join(" ")
        );
        let ran = self.pool.look(route, user, &script, std::time::Duration::from_mins(1)).await?;
        let text = String::from_utf8_lossy(&ran.out).into_owned();
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for line in text.lines() {
            let Some((size, path)) = line.split_once(' ') else { continue };
            if size == "-" {
                return Err(JobError::new(
                    ErrorClass::Refused,
                    format!("{path} can't be read there\n  help: set `become` to somebody who may"),
                ));
            }
            if let Ok(size) = size.parse()
                && seen.insert(path.to_owned())
            {
                found.push(Found { path: path.to_owned(), size });
            }
        }
        if found.is_empty() && !settings.optional.0 {
            return Err(JobError::new(
                ErrorClass::Exit,
                format!("no file there is meant by {}", paths.join(", ")),
            ));
        }
        let most = settings.most_bytes.map_or(LARGEST, |most| most.0);
        let bytes: u64 = found.iter().map(|file| file.size).sum();
        if found.len() > MOST {
            return Err(JobError::new(
                ErrorClass::Quota,
                format!("{} files are meant, and at most {MOST} are fetched", found.len()),
            ));
        }
        if i64::try_from(bytes).is_ok_and(|bytes| bytes > most) {
            return Err(JobError::new(
                ErrorClass::Quota,
                format!(
                    "{} files have {bytes} bytes, and at most {most} are fetched\n  help: raise `most-bytes`, or name fewer files",
                    found.len()
                ),
            ));
        }
        Ok(found)
    }

    async fn bring(
        &self,
        file: &Found,
        route: &Route,
        user: Option<&Become>,
        folder: &Path,
    ) -> Result<(), JobError> {
        let target = folder.join(below(&file.path));
        let here = |error: io::Error| {
            JobError::new(
                ErrorClass::Internal,
                format!("{} can't be kept here: {error}", target.display()),
            )
        };
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(here)?;
        }
        let mut aside = target.clone().into_os_string();
        aside.push(".part");
        let mut opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .map_err(here)?;
        // A log may grow meanwhile: what stood there when it was listed is what comes.
        let script = format!("head -c {} {}", file.size, quoted(&file.path));
        let mut written: io::Result<()> = Ok(());
        let code = self
            .pool
            .read(route, user, &script, |bytes| {
                if written.is_ok() {
                    written = opened.write_all(bytes);
                }
                written.is_ok()
            })
            .await?;
        written.map_err(here)?;
        if code != 0 {
            return Err(JobError::new(
                ErrorClass::Exit,
                format!("{} could not be read there (code {code})", file.path),
            ));
        }
        opened.sync_data().map_err(here)?;
        fs::rename(&aside, &target).map_err(here)
    }

    async fn all(&self, settings: &Settings, cx: &AttemptContext) -> Result<Outcome, JobError> {
        let route = route(cx.host.as_ref())?;
        let named = settings.become_user.as_ref().map(|user| user.0.as_str());
        let user = become_of(route, named.or(cx.run_as.as_deref()));
        let folder = cx.folder.join(ARTIFACTS);
        let found = self.list(settings, route, user.as_ref()).await?;
        for file in &found {
            self.bring(file, route, user.as_ref(), &folder).await?;
            cx.log.line(&format!("{} ({} bytes)", file.path, file.size));
        }
        let bytes: u64 = found.iter().map(|file| file.size).sum();
        let files: Vec<&str> = found.iter().map(|file| file.path.as_str()).collect();
        let outputs: Outputs =
            [("files".to_owned(), json!(files)), ("bytes".to_owned(), json!(bytes))].into();
        Ok(Outcome::Done { outputs, exit_code: None })
    }
}

fn route(host: Option<&Arc<Route>>) -> Result<&Route, JobError> {
    host.map(|route| &**route).ok_or_else(|| {
        settings::wrong(
            "no host was chosen\n  help: name some in `with.hosts`, and describe them in project.yaml",
        )
    })
}

/// Where a file comes to below the folder of artifacts.
fn below(path: &str) -> PathBuf {
    Path::new(path)
        .components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part),
            _ => None,
        })
        .collect()
}

/// A path whose `*`, `?` and `[...]` the shell fills in, and nothing else.
fn pattern(path: &str) -> String {
    let mut word = String::new();
    for letter in path.chars() {
        if !(letter.is_alphanumeric() || "/._-+=:,@%*?[]!^".contains(letter)) {
            word.push('\\');
        }
        word.push(letter);
    }
    word
}

/// Whether a path leads from the root straight to a file.
fn is_straight(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|part| part != "..")
}

#[async_trait]
impl JobType for Fetch {
    fn name(&self) -> &'static str {
        "fetch"
    }

    fn about(&self) -> &'static str {
        "Brings files of hosts here, as artifacts of the task."
    }

    fn works_on_hosts(&self) -> bool {
        true
    }

    fn schema(&self) -> Schema {
        let one_or_many = || Schema::one_of([Schema::text(), Schema::list(Schema::text())]);
        Schema::object()
            .required(
                "paths",
                one_or_many()
                    .describe("The files, from the root on; `*`, `?` and `[...]` are filled in there.")
                    .example(json!(["/var/log/cloud-init-output.log", "/var/log/mesos/*.INFO"])),
            )
            .optional(
                "hosts",
                one_or_many()
                    .describe("Which hosts of the project: a name, several names, labels, or `all`. Each is a task of its own.")
                    .example("role=nginx"),
            )
            .optional(
                "become",
                Schema::one_of([Schema::text(), Schema::boolean()])
                    .describe("The user to become there with `sudo`, instead of the host's own `become`; `false` for who logs in."),
            )
            .optional(
                "most-bytes",
                Schema::integer()
                    .minimum(1)
                    .default(LARGEST)
                    .describe("How many bytes are brought at most, in all. More is a failure of the class `quota`."),
            )
            .optional(
                "optional",
                Schema::boolean().default(false).describe("Whether it is well if there is no such file."),
            )
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        let bad = settings::fixed_texts(with, "paths").into_iter().find(|path| !is_straight(path));
        bad.map(|path| {
            settings::fault(
                "/paths",
                format!("`{path}` does not lead from the root straight to a file"),
                "write the whole path, such as /var/log/syslog*, without `..`",
            )
        })
        .into_iter()
        .collect()
    }

    async fn plan(&self, with: &Value, cx: &PlanContext) -> Result<Plan, JobError> {
        let settings: Settings = settings::read(with, &[])?;
        let Some(route) = &cx.host else {
            let paths = settings.paths.into_vec().join(", ");
            return Ok(Plan { steps: vec![format!("fetch {paths}")], ..Plan::default() });
        };
        let user = become_of(route, settings.become_user.as_ref().map(|user| user.0.as_str()));
        let found = self.list(&settings, route, user.as_ref()).await?;
        let steps = found
            .iter()
            .map(|file| {
                format!("fetch {} ({} bytes) from {}", file.path, file.size, route.host().name)
            })
            .collect();
        Ok(Plan { steps, ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        for path in settings.paths.into_vec() {
            if !is_straight(&path) {
                return Err(settings::wrong(format!(
                    "`{path}` does not lead from the root straight to a file"
                )));
            }
        }
        route(cx.host.as_ref())?;
        Ok(Handle("fetch".to_owned()))
    }

    async fn follow(
        &self,
        _handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let stop = self.stops.watch(cx);
        tokio::select! {
            fetched = Box::pin(self.all(&settings, cx)) => match fetched {
                Ok(outcome) => Ok(outcome),
                // Nothing goes on there: a host that can't be reached is for `retry` to try again.
                Err(failure) => Ok(Outcome::Failed(Failure { exit_code: None, ..failure })),
            },
            () = stop.asked() => Ok(Outcome::Cancelled),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patterns_are_left_to_the_shell() {
        assert_eq!(pattern("/var/log/*.log"), "/var/log/*.log");
        assert_eq!(pattern("/a b/$(x)'\"`;&|"), "/a\\ b/\\$\\(x\\)\\'\\\"\\`\\;\\&\\|");
        assert_eq!(below("/var/../log//x"), Path::new("var/log/x"));
    }
}
