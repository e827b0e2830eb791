//! `checklist`: named checks, each measured and held against what is required, told as a table.
//!
//! Each check that needs a script has a process and a folder of its own (`check-0`, `check-1` ... in the attempt's),
//! one after the other, so that a restart of the engine finds what was measured already.

mod table;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use weir_core::job_type::{
    AttemptContext, Fault, Handle, JobError, JobType, Plan, PlanContext, ProcessEnd, ProcessId,
};
use weir_core::outcome::{ErrorClass, Failure, Outcome, Outputs};
use weir_core::schema::Schema;

use crate::settings::{self, Word};
use crate::{mask, output, process_end, script};
use table::{Row, Verdict};

/// The job type `checklist`.
pub struct Checklist;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    checks: Vec<Check>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Check {
    name: String,
    script: Option<String>,
    value: Option<Word>,
    required: Option<Value>,
    compare: Option<Compare>,
    unit: Option<String>,
    #[serde(default)]
    severity: Severity,
    help: Option<String>,
}

/// How what was measured is held against what is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Compare {
    #[serde(rename = ">=")]
    AtLeast,
    #[serde(rename = "<=")]
    AtMost,
    #[serde(rename = "==")]
    Equal,
    #[serde(rename = "matches")]
    Matches,
}

/// What it means if a check does not hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Severity {
    /// The job fails.
    #[default]
    Must,
    /// A person decides.
    Should,
}

#[async_trait]
impl JobType for Checklist {
    fn name(&self) -> &'static str {
        "checklist"
    }

    fn about(&self) -> &'static str {
        "Measures named things and holds them against what is required."
    }

    fn schema(&self) -> Schema {
        let scalar = || Schema::one_of([Schema::text(), Schema::number(), Schema::boolean()]);
        let check = Schema::object()
            .required("name", Schema::text().not_empty().describe("What is checked; the output of that name holds what was measured."))
            .optional("script", Schema::text().shell().describe(
                "A script for `/bin/sh -eu`. What it writes to its standard output is what was measured. If it fails, so \
                 does the check.",
            ).example("nproc"))
            .optional("value", scalar().describe("What was measured, instead of a script.").example("{{ jobs.facts.outputs.memory }}"))
            .optional("required", scalar().describe(
                "What is required. Without it the check holds if its script ends well, or its value is neither empty, \
                 `0` nor `false`.",
            ).example(4))
            .optional("compare", Schema::choice([">=", "<=", "==", "matches"]).fixed().describe(
                "How the two are compared: as numbers (`>=`, `<=`), as numbers if both are and else as texts (`==`), or by \
                 a regular expression that must match as a whole. `>=` if a number is required, else `==`.",
            ))
            .optional("unit", Schema::text().describe("The unit of both, for people; dropped from what was measured.").example("GiB"))
            .optional("severity", Schema::choice(["must", "should"]).default("must").fixed().describe(
                "If it does not hold: `must` fails the job, `should` has a person decide.",
            ))
            .optional("help", Schema::text().describe("What to do if it does not hold.").example("apt-get install bind9"));
        Schema::object().required(
            "checks",
            Schema::list(check).not_empty().describe(
                "The checks, in their order. All are made, whatever the first ones show.",
            ),
        )
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let checks = with.get("checks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (at, check) in checks.iter().enumerate() {
            let at = format!("/checks/{at}");
            if let Some(name) = settings::fixed(check, "/name") {
                if names.contains(&name) {
                    let name = format!("there is another check named `{name}`");
                    faults.push(settings::fault(&format!("{at}/name"), name, ""));
                }
                names.push(name);
            }
            let (script, value) = (check.get("script"), check.get("value"));
            if script.is_some() == value.is_some() {
                faults.push(settings::fault(
                    &at,
                    "a check has either a `script` or a `value`",
                    "say how it is measured",
                ));
            }
            let required = check.get("required");
            match (check.get("compare").and_then(Value::as_str), required) {
                (Some(_), None) => faults.push(settings::fault(
                    &format!("{at}/compare"),
                    "there is nothing to compare with",
                    "say what is `required`",
                )),
                (Some("matches"), Some(Value::String(pattern)))
                    if !settings::is_template(pattern) =>
                {
                    faults.extend(settings::regex_fault(&format!("{at}/required"), pattern));
                }
                (Some(">=" | "<="), Some(Value::String(text)))
                    if !settings::is_template(text) && table::number(text).is_none() =>
                {
                    faults.push(settings::fault(
                        &format!("{at}/required"),
                        format!("`{text}` is no number"),
                        "compare texts with `==` or `matches`",
                    ));
                }
                _ => {}
            }
        }
        faults
    }

    async fn plan(&self, with: &Value, _cx: &PlanContext) -> Result<Plan, JobError> {
        let settings: Settings = settings::read(with, &[])?;
        let mut steps = vec!["measure:".to_owned()];
        for check in &settings.checks {
            let required = check.required_in_words();
            let colon = if required.is_empty() { "" } else { ": " };
            steps.push(format!("  {}{colon}{required}", check.name));
        }
        Ok(Plan { steps, ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        settings::read::<Settings>(with, &cx.secrets)?;
        make(cx).await?;
        Ok(Handle::folder())
    }

    async fn follow(
        &self,
        _handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let mut rows = Vec::new();
        let mut outputs = Outputs::new();
        for (at, check) in settings.checks.iter().enumerate() {
            let measured = match (&check.script, &check.value) {
                (Some(script), _) => measure(at, script, cx).await?,
                (None, Some(value)) => Measured::Value(value.0.clone()),
                (None, None) => {
                    return Err(settings::wrong(format!(
                        "check `{}` has neither `script` nor `value`",
                        check.name
                    )));
                }
            };
            let row = match measured {
                Measured::Value(text) => check.row(&Ok(text)),
                Measured::Not(why) => check.row(&Err(why)),
                Measured::Ended(outcome) => return Ok(outcome),
            };
            outputs.insert(check.name.clone(), row.output.clone());
            rows.push(row);
        }
        Ok(conclude(&rows, outputs, cx))
    }

    async fn cancel(
        &self,
        _handle: Option<&Handle>,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        make(cx).await?;
        // Also those that have not begun: they never shall.
        for (at, check) in settings.checks.iter().enumerate() {
            if check.script.is_some() {
                cx.processes.cancel(&process(at, cx), cx.grace).await?;
            }
        }
        Ok(())
    }
}

impl Check {
    fn compare(&self) -> Compare {
        self.compare.unwrap_or(match &self.required {
            Some(Value::Number(_)) => Compare::AtLeast,
            _ => Compare::Equal,
        })
    }

    /// What is required, as text; empty if nothing is.
    fn required(&self) -> String {
        match &self.required {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(other) => other.to_string(),
        }
    }

    fn required_in_words(&self) -> String {
        let required = self.required();
        let sign = match self.compare() {
            _ if required.is_empty() => return String::new(),
            Compare::AtLeast => ">= ",
            Compare::AtMost => "<= ",
            Compare::Equal => "",
            Compare::Matches => "matches ",
        };
        let unit = self.unit.as_ref().map(|unit| format!(" {unit}")).unwrap_or_default();
        format!("{sign}{required}{unit}")
    }

    /// Judges what was measured, or why it could not be.
    fn row(&self, measured: &Result<String, String>) -> Row {
        let (shown, value, holds) = match measured {
            Err(why) => (why.clone(), None, false),
            Ok(text) => {
                let mut text = text.trim();
                if let Some(unit) = &self.unit {
                    text = text.strip_suffix(unit.as_str()).unwrap_or(text).trim_end();
                }
                (text.to_owned(), Some(text), self.holds(text))
            }
        };
        let verdict = match (holds, self.severity) {
            (true, _) => Verdict::Holds,
            (false, Severity::Must) => Verdict::Fails,
            (false, Severity::Should) => Verdict::Waivable,
        };
        let unit = self.unit.as_ref().filter(|_| value.is_some());
        Row {
            name: self.name.clone(),
            measured: unit.map_or_else(|| shown.clone(), |unit| format!("{shown} {unit}")),
            required: self.required_in_words(),
            verdict,
            help: self.help.clone().filter(|_| !holds),
            output: value.map_or(Value::Null, table::typed),
        }
    }

    fn holds(&self, measured: &str) -> bool {
        let required = self.required();
        if self.required.is_none() {
            return match self.script {
                Some(_) => true,
                None => !matches!(measured, "" | "0" | "false"),
            };
        }
        let numbers = table::number(measured).zip(table::number(&required));
        match self.compare() {
            Compare::AtLeast => numbers.is_some_and(|(measured, required)| measured >= required),
            Compare::AtMost => numbers.is_some_and(|(measured, required)| measured <= required),
            Compare::Equal => match numbers {
                Some((measured, required)) => measured.total_cmp(&required).is_eq(),
                None => measured == required,
            },
            Compare::Matches => regex::Regex::new(&format!("^(?s:{required})$"))
                .is_ok_and(|pattern| pattern.is_match(measured)),
        }
    }
}

/// What the table comes to.
fn conclude(rows: &[Row], outputs: Outputs, cx: &AttemptContext) -> Outcome {
    let table = mask::hide(&table::draw(rows), &cx.secrets);
    for line in table.lines() {
        cx.log.line(line);
    }
    let secret = rows.iter().find_map(|row| mask::find(&row.measured, &cx.secrets));
    if let Some(secret) = secret {
        return Outcome::Failed(Failure::new(
            ErrorClass::Output,
            format!("a check measured the secret `{}`: outputs are kept and shown", secret.name()),
        ));
    }
    let named = |verdict: Verdict| {
        let rows = rows.iter().filter(|row| row.verdict == verdict);
        rows.map(|row| row.name.as_str()).collect::<Vec<_>>()
    };
    let (fails, waivable) = (named(Verdict::Fails), named(Verdict::Waivable));
    match (fails.as_slice(), waivable.as_slice()) {
        ([], []) => Outcome::Done { outputs, exit_code: None },
        ([], waivable) => Outcome::Ask {
            message: format!(
                "{} of {} checks should hold and do not; let it pass?\n{}",
                waivable.len(),
                rows.len(),
                table.trim_end()
            ),
            outputs,
        },
        (fails, _) => Outcome::Failed(Failure::new(
            ErrorClass::Exit,
            format!("{} of {} checks do not hold: {}", fails.len(), rows.len(), fails.join(", ")),
        )),
    }
}

/// What came of measuring.
enum Measured {
    /// This was measured.
    Value(String),
    /// It could not be, for this reason.
    Not(String),
    /// The attempt has ended over it.
    Ended(Outcome),
}

/// Runs one check's script, or finds that it ran.
async fn measure(at: usize, text: &str, cx: &AttemptContext) -> Result<Measured, JobError> {
    let id = process(at, cx);
    // The outer shell only sends the output to its file, and becomes the inner one.
    let shell = script::SHELL.join(" ");
    let (inner, stdin) = if script::may_be_seen(text, &cx.secrets) {
        (format!("exec {shell} -c \"$1\" weir >\"$WEIR_OUTPUT\""), None)
    } else {
        let file = script::OPEN_FILE;
        (format!("exec {shell} {file} >\"$WEIR_OUTPUT\""), Some(text.as_bytes().to_vec()))
    };
    let mut argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), inner, "weir".to_owned()];
    if stdin.is_none() {
        argv.push(text.to_owned());
    }
    let here = AttemptContext { folder: id.folder.clone(), ..cx.clone() };
    cx.processes.launch(&id, script::launch(argv, stdin, &here)?).await?;
    let end = cx.processes.wait(&id).await?;
    match process_end::judge(&end, &[0], &cx.limits) {
        Ok(_) => {}
        Err(Outcome::Failed(failure)) if !matches!(end, ProcessEnd::Lost) => {
            return Ok(Measured::Not(failure.message));
        }
        Err(outcome) => return Ok(Measured::Ended(outcome)),
    }
    let path = id.folder.join(output::FILE);
    let text = match output::slurp(path.clone()).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(failure) => return Ok(Measured::Not(failure.message)),
    };
    match output::refuse_secrets(&text, &path, &cx.secrets).await {
        Ok(()) => Ok(Measured::Value(text)),
        Err(failure) => Ok(Measured::Ended(Outcome::Failed(failure))),
    }
}

fn process(at: usize, cx: &AttemptContext) -> ProcessId {
    ProcessId { folder: cx.folder.join(format!("check-{at}")), ..cx.process_id() }
}

async fn make(cx: &AttemptContext) -> Result<(), JobError> {
    tokio::fs::create_dir_all(&cx.folder).await.map_err(|error| {
        let folder = cx.folder.display();
        JobError::new(ErrorClass::Internal, format!("{folder} can't be made: {error}"))
    })
}
