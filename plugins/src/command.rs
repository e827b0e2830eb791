//! `command`: a script or a program on this machine, in a session of its own that outlives the engine.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::job_type::{AttemptContext, Fault, Handle, JobError, JobType, Plan, PlanContext};
use weir_core::outcome::Outcome;
use weir_core::schema::Schema;

use crate::output::{self, Format};
use crate::settings::{self, OneOrMany, Whole, Word};
use crate::{process_end, script};

/// The job type `command`. The attempt's folder tells all about its work.
pub struct Command;

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Settings {
    script: Option<String>,
    argv: Option<Vec<Word>>,
    interpreter: Option<OneOrMany<Word>>,
    success_codes: Option<OneOrMany<Whole>>,
    #[serde(default)]
    output_format: Format,
}

impl Settings {
    /// The interpreter's words; none for the shell.
    fn interpreter(&self) -> Vec<String> {
        match &self.interpreter {
            None => Vec::new(),
            Some(OneOrMany::One(text)) => text.0.split_whitespace().map(str::to_owned).collect(),
            Some(OneOrMany::Many(words)) => words.iter().map(|word| word.0.clone()).collect(),
        }
    }

    fn success_codes(&self) -> Vec<i32> {
        match &self.success_codes {
            None => vec![0],
            Some(codes) => {
                let codes = codes.clone().into_vec();
                codes.into_iter().filter_map(|code| i32::try_from(code.0).ok()).collect()
            }
        }
    }
}

#[async_trait]
impl JobType for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn about(&self) -> &'static str {
        "Runs a script or a program on this machine."
    }

    fn schema(&self) -> Schema {
        let script = Schema::text()
            .shell()
            .describe(
                "The script. Values filled in are quoted for the shell unless written `| raw`. It reads nothing from \
                 its standard input. Give this or `argv`.",
            )
            .example("tar -czf {{ params.file }} .\necho size=$(stat -c %s {{ params.file }}) >>\"$WEIR_OUTPUT\"");
        let word = || Schema::one_of([Schema::text(), Schema::number(), Schema::boolean()]);
        let argv = Schema::list(word())
            .describe(
                "A program and its arguments, run without a shell. May hold no secret: every user of the machine can \
                 read arguments.",
            )
            .example(json!(["rsync", "-a", "{{ params.from }}/", "/srv/mirror/"]));
        let interpreter = Schema::one_of([Schema::text(), Schema::list(Schema::text())])
            .default(script::SHELL.join(" "))
            .describe(
                "What runs the script: a program and its options, as a text that is split at blanks or as a list. It \
                 is given the script as a file to read. With the default shell the script ends at the first command \
                 that fails (-e) and at a variable that is not set (-u). Values are quoted for a shell whatever the \
                 interpreter is; for others hand them over in `env`.",
            )
            .example("bash -euo pipefail")
            .example(json!(["python3"]));
        let codes = Schema::one_of([Schema::integer(), Schema::list(Schema::integer())])
            .default(json!([0]))
            .describe("The exit codes, from 0 to 255, that mean it is done.")
            .example(json!([0, 24]));
        let format = Schema::choice(["auto", "lines", "json"]).default("auto").fixed().describe(
            "How the file `$WEIR_OUTPUT` is written: `lines` of `key=value` (or `key<<END`, more lines, `END`), or \
             one `json` object; `auto` takes what begins with `{` as JSON. At most 1 MiB.",
        );
        Schema::object()
            .optional("script", script)
            .optional("argv", argv)
            .optional("interpreter", interpreter)
            .optional("success-codes", codes)
            .optional("output-format", format)
    }

    fn begins_at_once(&self) -> bool {
        true
    }

    fn check(&self, with: &Value) -> Vec<Fault> {
        let mut faults = Vec::new();
        match (with.get("script"), with.get("argv")) {
            (None, None) => faults.push(settings::fault(
                "",
                "there is nothing to run",
                "give it a `script`, or a program and its arguments as `argv`",
            )),
            (Some(_), Some(_)) => faults.push(settings::fault(
                "/argv",
                "`script` and `argv` can't both be run",
                "keep one of them, or make two jobs",
            )),
            (None, Some(argv)) => {
                if argv.as_array().is_some_and(Vec::is_empty) {
                    faults.push(settings::fault("/argv", "`argv` names no program", ""));
                }
                if with.get("interpreter").is_some() {
                    faults.push(settings::fault(
                        "/interpreter",
                        "an interpreter is for a `script`",
                        "make it the first word of `argv`",
                    ));
                }
            }
            (Some(script), None) => {
                if script.as_str().is_some_and(|script| script.trim().is_empty()) {
                    faults.push(settings::fault("/script", "the script is empty", "use `noop`"));
                }
            }
        }
        let empty = match with.get("interpreter") {
            Some(Value::String(text)) => text.trim().is_empty(),
            Some(Value::Array(words)) => words.is_empty(),
            _ => false,
        };
        if empty {
            faults.push(settings::fault("/interpreter", "the interpreter has no name", ""));
        }
        let codes = match with.get("success-codes") {
            Some(Value::Array(codes)) => codes.clone(),
            Some(code) => vec![code.clone()],
            None => Vec::new(),
        };
        let possible = |code: &Value| code.as_i64().is_none_or(|code| (0..=255).contains(&code));
        if !codes.iter().all(possible) {
            faults.push(settings::fault(
                "/success-codes",
                "an exit code is a number from 0 to 255",
                "",
            ));
        }
        faults
    }

    async fn plan(&self, with: &Value, cx: &PlanContext) -> Result<Plan, JobError> {
        let settings: Settings = settings::read(with, &[])?;
        let folder = cx.working_dir.display();
        let mut steps = Vec::new();
        match (&settings.script, &settings.argv) {
            (Some(script), _) => {
                let interpreter = settings.interpreter();
                let by = if interpreter.is_empty() {
                    script::SHELL.join(" ")
                } else {
                    interpreter.join(" ")
                };
                steps.push(format!("run with {by} in {folder}:"));
                steps.extend(script.trim_end().lines().map(|line| format!("  {line}")));
            }
            (None, argv) => {
                let words: Vec<_> =
                    argv.iter().flatten().map(|word| script::shown(&word.0)).collect();
                steps.push(format!("run in {folder}: {}", words.join(" ")));
            }
        }
        let unknown = vec!["what it changes: it is not run".to_owned()];
        Ok(Plan { steps, unknown, ..Plan::default() })
    }

    async fn start(&self, with: &Value, cx: &AttemptContext) -> Result<Handle, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let interpreter = settings.interpreter();
        let (argv, script) = match (settings.script, settings.argv) {
            (Some(script), None) => script::command(&script, &interpreter, &cx.secrets),
            (None, Some(argv)) => (argv.into_iter().map(|word| word.0).collect(), None),
            (None, None) | (Some(_), Some(_)) => {
                return Err(settings::wrong("a command needs either `script` or `argv`"));
            }
        };
        let launch = script::launch(argv, script, cx)?;
        cx.processes.launch(&cx.process_id(), launch).await?;
        Ok(Handle::folder())
    }

    async fn follow(
        &self,
        _handle: &Handle,
        with: &Value,
        cx: &AttemptContext,
    ) -> Result<Outcome, JobError> {
        let settings: Settings = settings::read(with, &cx.secrets)?;
        let end = cx.processes.wait(&cx.process_id()).await?;
        // Read even after a failure: a secret must not stay in the file.
        let outputs = output::read(&cx.folder, settings.output_format, &cx.secrets).await;
        let code = match process_end::judge(&end, &settings.success_codes(), &cx.limits) {
            Ok(code) => code,
            Err(outcome) => return Ok(outcome),
        };
        Ok(match outputs {
            Ok(outputs) => Outcome::Done { outputs, exit_code: Some(code) },
            Err(mut failure) => {
                failure.exit_code = Some(code);
                Outcome::Failed(failure)
            }
        })
    }

    async fn cancel(
        &self,
        _handle: Option<&Handle>,
        _with: &Value,
        cx: &AttemptContext,
    ) -> Result<(), JobError> {
        cx.processes.cancel(&cx.process_id(), cx.grace).await
    }
}
