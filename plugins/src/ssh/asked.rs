//! What a job of the type `ssh` asks for: its settings, their shape, and what is to be done on the host.

use serde::Deserialize;
use serde_json::{Value, json};
use weir_core::hosts::{Become, Route};
use weir_core::job_type::{AttemptContext, Fault, JobError};
use weir_core::schema::Schema;

use super::remote::Work;
use super::sudo;
use crate::output::Format;
use crate::script;
use crate::settings::{self, Flag, OneOrMany, Whole, Word};

/// The settings of the job type `ssh`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(rename = "hosts")]
    _hosts: Option<Value>,
    pub(crate) script: Option<String>,
    pub(crate) command: Option<Vec<Word>>,
    interpreter: Option<OneOrMany<Word>>,
    #[serde(default)]
    env: serde_json::Map<String, Value>,
    #[serde(rename = "become")]
    become_user: Option<Word>,
    pub(crate) dir: Option<String>,
    pub(crate) stdin: Option<String>,
    #[serde(default)]
    pub(crate) attached: Flag,
    pub(crate) success_codes: Option<OneOrMany<Whole>>,
    #[serde(default)]
    pub(crate) output_format: Format,
}

impl Settings {
    /// The exit codes that mean it is done.
    pub(crate) fn codes(&self) -> Vec<i32> {
        match &self.success_codes {
            None => vec![0],
            Some(codes) => {
                let codes = codes.clone().into_vec();
                codes.into_iter().filter_map(|code| i32::try_from(code.0).ok()).collect()
            }
        }
    }

    /// The user to become: what the job says, else what the host says.
    pub(crate) fn user(&self, route: &Route, run_as: Option<&str>) -> Option<Become> {
        become_of(route, self.become_user.as_ref().map(|user| user.0.as_str()).or(run_as))
    }

    /// The interpreter's words; none for the shell.
    pub(crate) fn words(&self) -> Vec<String> {
        match &self.interpreter {
            None => Vec::new(),
            Some(OneOrMany::One(text)) => text.0.split_whitespace().map(str::to_owned).collect(),
            Some(OneOrMany::Many(words)) => words.iter().map(|word| word.0.clone()).collect(),
        }
    }

    /// What is to be done on the host.
    pub(crate) fn work(&self, cx: &AttemptContext) -> Result<Work, JobError> {
        let script = match (&self.script, &self.command) {
            (Some(script), None) => script.clone(),
            (None, Some(words)) => {
                let words: Vec<String> = words.iter().map(|word| word.0.clone()).collect();
                // Once it runs, every user of the host can read its arguments.
                script::refuse_secrets(&words, &cx.secrets)?;
                let words: Vec<String> = words.iter().map(|word| sudo::quoted(word)).collect();
                format!("exec {}\n", words.join(" "))
            }
            (None, None) | (Some(_), Some(_)) => {
                return Err(settings::wrong("it needs either a `script` or a `command`"));
            }
        };
        if script.contains('\0') {
            return Err(settings::wrong("the script holds a NUL character"));
        }
        let mut env: Vec<(String, String)> = cx.env.clone();
        for (name, value) in &self.env {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            env.retain(|(other, _)| other != name);
            env.push((name.clone(), text));
        }
        env.extend([
            ("WEIR_RUN".to_owned(), cx.id.run.to_string()),
            ("WEIR_PROJECT".to_owned(), cx.project.clone()),
            ("WEIR_FLOW".to_owned(), cx.flow.clone()),
            ("WEIR_JOB".to_owned(), cx.path.clone()),
            ("WEIR_ATTEMPT_NUMBER".to_owned(), cx.id.number.to_string()),
        ]);
        for (name, value) in &env {
            if !is_variable(name) {
                return Err(settings::wrong(format!(
                    "`{name}` can't be a variable: a name is a letter or `_`, then letters, digits and `_`"
                )));
            }
            if value.contains('\0') {
                return Err(settings::wrong(format!(
                    "the variable `{name}` holds a NUL character"
                )));
            }
        }
        Ok(Work {
            interpreter: if self.command.is_some() { Vec::new() } else { self.words() },
            script,
            env,
            stdin: self.stdin.clone(),
            dir: self.dir.clone(),
        })
    }
}

/// The user to become on a host: who is named, else who the host says. `false` is nobody.
pub(crate) fn become_of(route: &Route, named: Option<&str>) -> Option<Become> {
    match named {
        None => route.become_user.clone(),
        Some("" | "false") => None,
        Some(name) => {
            let known = route.become_user.as_ref();
            // The password that `sudo` asks for is that of who logs in, whoever is to be become.
            let password = known
                .and_then(|known| known.password.clone())
                .or_else(|| route.host().password.clone());
            Some(Become { user: name.to_owned(), password })
        }
    }
}

fn is_variable(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// The shape of the settings.
pub(crate) fn schema() -> Schema {
    let word = || Schema::one_of([Schema::text(), Schema::number(), Schema::boolean()]);
    let hosts = Schema::one_of([Schema::text(), Schema::list(Schema::text())])
        .describe("Which hosts of the project: a name, several names, labels, or `all`. Each is a task of its own.")
        .example("role=datanode,zone!=b");
    let script = Schema::text()
        .shell()
        .describe(
            "The script. Values filled in are quoted for the shell unless written `| raw`. It reaches the host \
             over the connection's input and stands in no argument there. Give this or `command`.",
        )
        .example("install -d -o hdfs -g hdfs -m 700 {{ params.nn_dirs }}");
    let command = Schema::list(word())
        .describe(
            "A program and its arguments. May hold no secret: every user of the host can read arguments.",
        )
        .example(json!(["service", "hadoop-hdfs-datanode", "start"]));
    let interpreter = Schema::one_of([Schema::text(), Schema::list(Schema::text())])
        .default("/bin/sh -eu")
        .describe(
            "What runs the script there: a program and its options. It is given the script as a file to read.",
        )
        .example("bash -euo pipefail");
    let env = Schema::map(word())
        .describe("Variables for the work there, besides the job's `env`. Secrets are welcome.")
        .example(json!({ "LANG": "C" }));
    let become_user = Schema::one_of([Schema::text(), Schema::boolean()])
        .describe(
            "The user to become there with `sudo`, instead of the host's own `become`; `false` for who logs in.",
        )
        .example("root");
    let dir = Schema::text()
        .describe("The folder there in which it begins. Without one: the user's home.")
        .example("/opt/hadoop");
    let stdin = Schema::text().describe("What it reads from its standard input. Without: nothing.");
    let attached = Schema::boolean().default(false).describe(
        "Whether it runs on the connection itself, for hosts that keep nothing running without one. Then it is \
         lost if the line breaks, and leaves no outputs.",
    );
    let codes = Schema::one_of([Schema::integer(), Schema::list(Schema::integer())])
        .default(json!([0]))
        .describe("The exit codes, from 0 to 255, that mean it is done.")
        .example(json!([0, 24]));
    let format = Schema::choice(["auto", "lines", "json"])
        .default("auto")
        .fixed()
        .describe("How the file `$WEIR_OUTPUT` is written there: as for `command`. At most 1 MiB.");
    Schema::object()
        .optional("hosts", hosts)
        .optional("script", script)
        .optional("command", command)
        .optional("interpreter", interpreter)
        .optional("env", env)
        .optional("become", become_user)
        .optional("dir", dir)
        .optional("stdin", stdin)
        .optional("attached", attached)
        .optional("success-codes", codes)
        .optional("output-format", format)
}

/// What is wrong beyond the shape.
pub(crate) fn check(with: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    match (with.get("script"), with.get("command")) {
        (None, None) => faults.push(settings::fault(
            "",
            "there is nothing to run",
            "give it a `script`, or a program and its arguments as `command`",
        )),
        (Some(_), Some(_)) => faults.push(settings::fault(
            "/command",
            "`script` and `command` can't both be run",
            "keep one of them, or make two jobs",
        )),
        (None, Some(command)) => {
            if command.as_array().is_some_and(Vec::is_empty) {
                faults.push(settings::fault("/command", "`command` names no program", ""));
            }
            if with.get("interpreter").is_some() {
                faults.push(settings::fault(
                    "/interpreter",
                    "an interpreter is for a `script`",
                    "make it the first word of `command`",
                ));
            }
        }
        (Some(script), None) => {
            if script.as_str().is_some_and(|script| script.trim().is_empty()) {
                faults.push(settings::fault("/script", "the script is empty", "use `noop`"));
            }
        }
    }
    for name in with.get("env").and_then(Value::as_object).into_iter().flat_map(|env| env.keys()) {
        if !is_variable(name) {
            faults.push(settings::fault(
                "/env",
                format!("`{name}` can't be a variable"),
                "a name is a letter or `_`, then letters, digits and `_`",
            ));
        }
    }
    if let Some(user) = settings::fixed(with, "/become")
        && user.starts_with('-')
    {
        faults.push(settings::fault("/become", format!("`{user}` is no user"), ""));
    }
    faults
}
