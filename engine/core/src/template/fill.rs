//! Filling in: minijinja's environments, and the walk over settings.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use chrono::DateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Object, ObjectRepr, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};
use serde_json::Value as Json;

use super::context::{Context, Missing, Root, Trace};
use super::error::TemplateError;
use super::{Rendered, shell};
use crate::flow::Places;
use crate::schema::{Schema, TextKind};
use crate::secret::Secret;

/// Steps that one template may take.
const FUEL: u64 = 2_000_000;

/// A value made from a secret is masked, too, if it is at least so long: shorter ones (`true`, a port) say little.
const SHORTEST_DERIVED: usize = 8;

/// A value that is written into a script as it is.
#[derive(Debug)]
struct Raw(String);

impl Object for Raw {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// One filling-in: what is seen, and what was touched.
pub(super) struct Filler {
    root: Value,
    trace: Trace,
}

impl Filler {
    pub(super) fn new(cx: &Context) -> Self {
        let trace = Trace::default();
        let root = Value::from_object(Root { cx: cx.clone(), trace: trace.clone() });
        Self { root, trace }
    }

    pub(super) fn secrets(&self) -> Vec<Secret> {
        self.trace.with(|touched| touched.secrets.clone())
    }

    /// How many secrets were read so far, each time counted.
    fn reads(&self) -> usize {
        self.trace.with(|touched| touched.fresh)
    }

    fn told(&self, error: &Error) -> TemplateError {
        self.trace.with(|touched| TemplateError::of(error, Missing::meant(&touched.missing)))
    }

    /// Remembers a value that was made from secrets, so that it is masked as they are.
    fn derived(&self, reads_before: usize, value: &Json) {
        match value {
            Json::String(text) if text.len() >= SHORTEST_DERIVED => self.trace.with(|touched| {
                let is_made = touched.fresh > reads_before;
                let is_known = touched.secrets.iter().any(|secret| secret.expose() == text);
                if is_made && !is_known {
                    let name = touched.secrets.last().map_or("secret", Secret::name).to_owned();
                    touched.secrets.push(Secret::new(name, text.clone()));
                }
            }),
            Json::Array(items) => items.iter().for_each(|item| self.derived(reads_before, item)),
            Json::Object(map) => map.values().for_each(|item| self.derived(reads_before, item)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
}

/// What people call a value.
pub(super) fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "a mapping",
    }
}

/// Fills in a text, for a shell if `kind` says so.
pub(super) fn fill_text(
    filler: &Filler,
    source: &str,
    kind: TextKind,
) -> Result<String, TemplateError> {
    match kind {
        TextKind::Fixed => return Ok(source.to_owned()),
        _ if !has_template(source) => return Ok(source.to_owned()),
        TextKind::Plain | TextKind::Shell | TextKind::Expression => {}
    }
    let marks = [shell::BEGIN, shell::NEXT, shell::END];
    if source.contains(marks) {
        let message = "the text holds a character that means nothing (U+FDD0 to U+FDD2)".to_owned();
        return Err(TemplateError::new(message, Some("take it out".to_owned())));
    }
    let reads = filler.reads();
    // All values are marked first, also where they are not quoted, so that those made from secrets are known.
    let env = if kind == TextKind::Shell { shell_environment() } else { plain_environment() };
    let template = env.template_from_str(source).map_err(|error| filler.told(&error))?;
    let marked = template.render(filler.root.clone()).map_err(|error| filler.told(&error))?;
    if filler.reads() > reads {
        for value in
            marked.split(shell::BEGIN).skip(1).filter_map(|part| part.split_once(shell::END))
        {
            for word in value.0.split(shell::NEXT) {
                filler.derived(reads, &Json::from(word));
            }
        }
    }
    if kind == TextKind::Shell {
        shell::quoted(&marked).map_err(|refused| {
            let line = line_of_value(source, refused.value);
            TemplateError { line, ..TemplateError::new(refused.message, Some(refused.help)) }
        })
    } else {
        Ok(unmarked(&marked))
    }
}

/// The line of a text's `number`th placeholder; right as long as none stands in a loop.
fn line_of_value(source: &str, number: usize) -> u32 {
    let at = source.match_indices("{{").nth(number).map_or(0, |(at, _)| at);
    source[..at].matches('\n').count() as u32 + 1
}

/// The value of an expression, with or without `{{ }}`. A text with anything around the braces is a text.
pub(super) fn fill_value(filler: &Filler, source: &str) -> Result<Json, TemplateError> {
    match whole_expression(source) {
        Some(expression) => evaluate(filler, expression),
        None if has_template(source) => fill_text(filler, source, TextKind::Plain).map(Json::from),
        None => evaluate(filler, source),
    }
}

fn evaluate(filler: &Filler, expression: &str) -> Result<Json, TemplateError> {
    let reads = filler.reads();
    let compiled =
        plain_environment().compile_expression(expression).map_err(|error| filler.told(&error))?;
    let found = compiled.eval(filler.root.clone()).map_err(|error| filler.told(&error))?;
    if found.is_undefined() {
        return Err(filler.told(&Error::from(ErrorKind::UndefinedError)));
    }
    let value = to_json(&found).map_err(|error| filler.told(&error))?;
    filler.derived(reads, &value);
    Ok(value)
}

fn to_json(value: &Value) -> Result<Json, Error> {
    if let Some(raw) = value.downcast_object_ref::<Raw>() {
        return Ok(Json::from(raw.0.as_str()));
    }
    serde_json::to_value(value).map_err(|error| {
        Error::new(
            ErrorKind::BadSerialization,
            format!("this is no value that can be handed on: {error}"),
        )
    })
}

/// The expression of a text that is `{{ expression }}` and nothing else.
fn whole_expression(source: &str) -> Option<&str> {
    let inner = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    // `{{ a }} {{ b }}` has no expression inside its outermost braces.
    plain_environment().compile_expression(inner).is_ok().then_some(inner)
}

fn has_template(source: &str) -> bool {
    source.contains("{{") || source.contains("{%") || source.contains("{#")
}

fn plain_environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT
        .get_or_init(|| environment(SyntaxConfig::builder().keep_trailing_newline(true).build()))
}

/// As the plain one, but without `{# comments #}`: `${#name}` is a length in a shell.
fn shell_environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut syntax = SyntaxConfig::builder();
        syntax.keep_trailing_newline(true).comment_delimiters("{#\u{fdd0}", "\u{fdd0}#}");
        environment(syntax.build())
    })
}

fn environment(syntax: Result<SyntaxConfig, Error>) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_syntax(syntax.expect("the delimiters differ"));
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    env.set_fuel(Some(FUEL));
    env.set_debug(false);
    // They would mark a text as safe, which here says nothing.
    for name in ["safe", "escape", "e"] {
        env.remove_filter(name);
    }
    env.remove_global("debug");
    env.add_filter("raw", |value: &Value| -> Result<Value, Error> {
        Ok(Value::from_object(Raw(shown(value)?)))
    });
    env.add_filter("json", |value: &Value| -> Result<String, Error> {
        Ok(to_json(value)?.to_string())
    });
    env.add_filter("date", date);
    env.set_formatter(write_value);
    env
}

/// Writes a value between marks, or as it is if it is raw.
fn write_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let put = |out: &mut Output<'_>, text: &str| {
        out.write_str(text).map_err(|_| Error::from(ErrorKind::WriteFailure))
    };
    if let Some(raw) = value.downcast_object_ref::<Raw>() {
        return put(out, &unmarked(&raw.0));
    }
    let mut text = String::new();
    text.push(shell::BEGIN);
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
        && value.try_iter()?.all(|item| is_word(&item))
    {
        text.push(shell::NEXT);
        for item in value.try_iter()? {
            text.push_str(&unmarked(&shown(&item)?));
            text.push(shell::NEXT);
        }
    } else {
        text.push_str(&unmarked(&shown(value)?));
    }
    text.push(shell::END);
    put(out, &text)
}

fn is_word(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::String | ValueKind::Number | ValueKind::Bool)
}

/// A value as text: texts, numbers and booleans as they are, all else as JSON.
fn shown(value: &Value) -> Result<String, Error> {
    if let Some(raw) = value.downcast_object_ref::<Raw>() {
        return Ok(raw.0.clone());
    }
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => Err(Error::new(
            ErrorKind::InvalidOperation,
            "the value is null, which is no text: write `... or ''` if it may be empty",
        )),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::String | ValueKind::Number => Ok(value.to_string()),
        _ => Ok(to_json(value)?.to_string()),
    }
}

/// The text without marks; a space is left between the items of a list.
fn unmarked(text: &str) -> String {
    let marks = [shell::BEGIN, shell::NEXT, shell::END];
    if !text.contains(marks) {
        return text.to_owned();
    }
    let first: String = [shell::BEGIN, shell::NEXT].iter().collect();
    let last: String = [shell::NEXT, shell::END].iter().collect();
    text.replace(&first, "").replace(&last, "").replace(shell::NEXT, " ").replace(marks, "")
}

/// `run.due | date('%Y%m%d')`: a point in time in the words of `strftime`.
fn date(value: &str, format: &str) -> Result<String, Error> {
    use std::fmt::Write;
    let invalid = |message: String| Error::new(ErrorKind::InvalidOperation, message);
    let at = DateTime::parse_from_rfc3339(value)
        .map_err(|_| invalid(format!("`{value}` is no time such as 2023-11-14T22:13:20Z")))?;
    let mut text = String::new();
    write!(text, "{}", at.format(format))
        .map_err(|_| invalid(format!("`{format}` is no format for a time")))?;
    Ok(text)
}

/// The walk over settings.
pub(super) struct Walk<'a> {
    schema: &'a Schema,
    places: &'a Places,
    filler: Filler,
    errors: Vec<TemplateError>,
    secret_at: BTreeSet<String>,
    /// The interpreter of the scripts in the mapping that is walked, if it is no shell.
    foreign: Option<String>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(schema: &'a Schema, places: &'a Places, cx: &Context) -> Self {
        let filler = Filler::new(cx);
        Self {
            schema,
            places,
            filler,
            errors: Vec::new(),
            secret_at: BTreeSet::new(),
            foreign: None,
        }
    }

    pub(super) fn value(&mut self, value: &Json, pointer: &str) -> Json {
        match value {
            Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
            Json::String(text) => self.text(text, pointer),
            Json::Array(items) => {
                let items = items.iter().enumerate();
                items.map(|(index, item)| self.value(item, &format!("{pointer}/{index}"))).collect()
            }
            Json::Object(map) => {
                let before = std::mem::replace(
                    &mut self.foreign,
                    foreign_interpreter(map.get("interpreter")),
                );
                let filled = map
                    .iter()
                    .map(|(key, value)| {
                        let key_part = key.replace('~', "~0").replace('/', "~1");
                        (key.clone(), self.value(value, &format!("{pointer}/{key_part}")))
                    })
                    .collect();
                self.foreign = before;
                Json::Object(filled)
            }
        }
    }

    fn text(&mut self, source: &str, pointer: &str) -> Json {
        let kind = self.schema.text_kind(pointer);
        if kind == TextKind::Fixed || (kind != TextKind::Expression && !has_template(source)) {
            return Json::from(source);
        }
        let reads = self.filler.reads();
        let found = match (kind, &self.foreign) {
            (TextKind::Shell, Some(interpreter)) => self.foreign_script(source, interpreter),
            (TextKind::Shell, None) => fill_text(&self.filler, source, kind).map(Json::from),
            (TextKind::Expression, _) => fill_value(&self.filler, source),
            (TextKind::Plain | TextKind::Fixed, _) => match whole_expression(source) {
                Some(expression) => {
                    evaluate(&self.filler, expression).map(|value| self.fitted(value, pointer))
                }
                None => fill_text(&self.filler, source, kind).map(Json::from),
            },
        };
        if self.filler.reads() > reads {
            self.secret_at.insert(pointer.to_owned());
        }
        found.unwrap_or_else(|error| {
            let place = self.places.get(pointer).unwrap_or_default();
            self.errors.push(error.at(pointer, place));
            Json::Null
        })
    }

    /// A script for something that is no shell: only raw values can be put in.
    fn foreign_script(&self, source: &str, interpreter: &str) -> Result<Json, TemplateError> {
        let env = shell_environment();
        let told = |error: &Error| self.filler.told(error);
        let template = env.template_from_str(source).map_err(|error| told(&error))?;
        let marked = template.render(self.filler.root.clone()).map_err(|error| told(&error))?;
        if let Some(at) = marked.find(shell::BEGIN) {
            let number = marked[..at].matches(shell::BEGIN).count();
            let line = line_of_value(source, number);
            let message = format!("a value can't be quoted for `{interpreter}`");
            let help =
                "hand it over in `env` and read it there, or write `| raw` if it can do no harm";
            return Err(TemplateError {
                line,
                ..TemplateError::new(message, Some(help.to_owned()))
            });
        }
        Ok(Json::from(marked))
    }

    /// A number or a boolean where only a text is taken is meant as one.
    fn fitted(&self, value: Json, pointer: &str) -> Json {
        match value {
            Json::Number(_) | Json::Bool(_) if self.schema.takes_only_text(pointer) => {
                Json::from(value.to_string())
            }
            value => value,
        }
    }

    pub(super) fn end(self, with: Json) -> Result<Rendered, Vec<TemplateError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        Ok(Rendered { with, secrets: self.filler.secrets(), secret_at: self.secret_at })
    }
}

/// The name of an interpreter that is no POSIX shell.
fn foreign_interpreter(interpreter: Option<&Json>) -> Option<String> {
    const SHELLS: [&str; 9] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox", "env"];
    let words: Vec<&str> = match interpreter? {
        Json::String(text) => text.split_whitespace().collect(),
        Json::Array(items) => items.iter().filter_map(Json::as_str).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => return None,
    };
    let program = |word: &&str| !word.starts_with('-') && !word.contains('=');
    let base = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let mut programs = words.into_iter().filter(program).map(base);
    let first = programs.next()?;
    let name = if first == "env" { programs.next()? } else { first };
    (!SHELLS.contains(&name.as_str())).then_some(name)
}
