//! What wrecks unattended runs though it is no mistake of the language: warnings, each at its place in the script.
//!
//! A warning that is wrong teaches people to read none: where it is not clear that something hurts, nothing is said.

mod commands;
mod passwords;
mod shell;
mod signs;

use serde_json::Value;

use super::check::Around;
use super::{Flow, Job, ParamKind, Recover, Text, Uses};
use crate::mistake::{Mistake, Place, Severity};
use crate::schema::TextKind;

/// Something that may hurt, in bytes of the text it stands in.
struct Hurt {
    from: usize,
    to: usize,
    code: &'static str,
    message: String,
    help: String,
}

/// What may hurt in a flow.
pub(super) fn flow(flow: &Flow, around: &Around<'_>) -> Vec<Mistake> {
    let mut lint = Lint { around, mistakes: Vec::new() };
    for param in &flow.params {
        let is_open = param.kind != ParamKind::Secret && passwords::is_name_of_one(&param.name);
        let default = param.default.as_ref().and_then(Value::as_str).unwrap_or("");
        if passwords::is_plain(default) && (is_open || param.kind == ParamKind::Secret) {
            lint.warn(
                param.place,
                "lint-password",
                format!("the default of `{}` is a password in plain text", param.name),
                "remove the default, and store it with `weir secret set`".to_owned(),
            );
        }
    }
    lint.jobs(&flow.jobs);
    let hooks = &flow.hooks;
    for jobs in [&hooks.on_start, &hooks.on_success, &hooks.on_failure, &hooks.on_exit] {
        lint.jobs(jobs);
    }
    lint.mistakes
}

/// What may hurt in what a project adds to flows.
pub(super) fn recovers(recovers: &[Recover], around: &Around<'_>) -> Vec<Mistake> {
    let mut lint = Lint { around, mistakes: Vec::new() };
    for recover in recovers {
        lint.jobs(&recover.jobs);
    }
    lint.mistakes
}

struct Lint<'a> {
    around: &'a Around<'a>,
    mistakes: Vec<Mistake>,
}

impl Lint<'_> {
    fn jobs(&mut self, jobs: &[Job]) {
        for job in jobs {
            let defaults = &self.around.project.defaults.env;
            for (name, text) in job.env.iter() {
                let is_inherited =
                    defaults.iter().any(|(known, value)| known == name && value == text);
                if !is_inherited {
                    self.setting(name, text);
                }
            }
            for uses in job.uses.iter().chain(&job.unless).chain(&job.verify) {
                self.uses(uses);
            }
            self.jobs(&job.jobs);
            for recover in &job.recover {
                self.jobs(&recover.jobs);
            }
        }
    }

    fn uses(&mut self, uses: &Uses) {
        let known = self.around.types.get(&uses.job_type);
        let of_shell = |pointer: &str| {
            known.is_some_and(|known| known.checker().text_kind(pointer) == TextKind::Shell)
        };
        let interpreter = uses.with.get("interpreter").map(Value::to_string).unwrap_or_default();
        let is_shell = interpreter.is_empty() || interpreter.contains("sh");
        for (pointer, place) in uses.places.iter() {
            let Some(source) = uses.with.pointer(pointer).and_then(Value::as_str) else { continue };
            let text = Text { source: source.to_owned(), place };
            if of_shell(pointer) {
                if is_shell {
                    self.script(&text);
                }
            } else if let Some(name) = pointer.rsplit('/').next() {
                self.setting(name, &text);
            }
        }
        self.argv(uses);
    }

    fn script(&mut self, text: &Text) {
        let script = shell::read(&text.source);
        let mut hurts = Vec::new();
        signs::in_script(&script, &mut hurts);
        signs::in_text(&text.source, &mut hurts);
        commands::in_script(&script, &mut hurts);
        passwords::in_script(&script, &mut hurts);
        self.hurts(text, hurts);
    }

    /// A program and its arguments, without a shell.
    fn argv(&mut self, uses: &Uses) {
        let Some(argv) = uses.with.get("argv").and_then(Value::as_array) else { return };
        let words: Vec<&str> = argv.iter().map(|word| word.as_str().unwrap_or("0")).collect();
        let Some(place) = uses.places.get("/argv/0") else { return };
        let mut hurts = Vec::new();
        commands::in_argv(&words, &mut hurts);
        for hurt in hurts {
            self.warn(place, hurt.code, hurt.message, hurt.help);
        }
    }

    fn setting(&mut self, name: &str, text: &Text) {
        let mut hurts = Vec::new();
        signs::in_text(&text.source, &mut hurts);
        passwords::in_setting(name, &text.source, &mut hurts);
        self.hurts(text, hurts);
    }

    fn hurts(&mut self, text: &Text, hurts: Vec<Hurt>) {
        for Hurt { from, to, code, message, help } in hurts {
            let place = self.around.source.inside(text.place, &text.source, from, to);
            self.warn(place, code, message, help);
        }
    }

    fn warn(&mut self, place: Place, code: &'static str, message: String, help: String) {
        let file = self.around.file.to_owned();
        self.mistakes.push(Mistake {
            file,
            place,
            severity: Severity::Warning,
            code,
            message,
            help: Some(help),
        });
    }
}

#[cfg(test)]
mod tests;
