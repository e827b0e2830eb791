//! What a person is asked when a flow waits for one: the fields of a form, and whether an answer fits them.

use regex::Regex;
use serde_json::{Map, Number, Value};

use crate::flow::ParamKind;
use crate::job_type::Fault;
use crate::outcome::Outputs;

/// One thing that a person is asked for. Read from `form.NAME`, with the keys of a flow's parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name; the answer becomes the output of that name.
    pub name: String,
    /// What values it takes. Never [`ParamKind::Secret`].
    pub kind: ParamKind,
    /// The only values allowed, if not empty.
    pub choices: Vec<Value>,
    /// The value when none is given.
    pub default: Option<Value>,
    /// Whether it must be answered. One that need not be and is not becomes `null`.
    pub required: bool,
    /// What a text must match as a whole (a regular expression).
    pub pattern: Option<String>,
    /// Least value for numbers, least length in characters for texts.
    pub min: Option<f64>,
    /// Greatest value for numbers, greatest length in characters for texts.
    pub max: Option<f64>,
    /// What people read.
    pub description: Option<String>,
}

/// The keys of a field.
const KEYS: [&str; 8] =
    ["type", "enum", "default", "required", "pattern", "min", "max", "description"];

/// The fields of the `form` in `with`, in the file's order; none if there is no form.
///
/// # Errors
/// Everything that is wrong with the form, by its pointer into `with`.
pub fn fields(with: &Value) -> Result<Vec<Field>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut fields = Vec::new();
    match with.get("form") {
        None | Some(Value::Null) => {}
        Some(Value::Object(form)) => {
            for (name, spec) in form {
                if let Some(field) = read_field(name, spec, &mut faults) {
                    fields.push(field);
                }
            }
        }
        Some(_) => faults.push(fault(
            "/form",
            "a form is a mapping of names to fields",
            "write `form: { size: { type: integer } }`",
        )),
    }
    if faults.is_empty() { Ok(fields) } else { Err(faults) }
}

/// Judges what a person answered to the form in `with`. Numbers, truth values, lists and mappings may also come as
/// text, as a command line gives them.
///
/// # Errors
/// Everything that is wrong with the answer, a sentence each.
pub fn check_answer(with: &Value, values: &Map<String, Value>) -> Result<Outputs, Vec<String>> {
    let fields = fields(with).map_err(|faults| {
        faults
            .into_iter()
            .map(|fault| format!("the form is wrong at `{}`: {}", fault.pointer, fault.message))
            .collect::<Vec<_>>()
    })?;
    let mut wrong = Vec::new();
    let mut outputs = Outputs::new();
    for name in values.keys() {
        if !fields.iter().any(|field| field.name == *name) {
            let known: Vec<_> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
            wrong.push(if known.is_empty() {
                format!("`{name}` is not asked for: the form has no fields")
            } else {
                format!("`{name}` is not asked for: the form has {}", known.join(", "))
            });
        }
    }
    for field in fields {
        let given = values.get(&field.name).filter(|value| !value.is_null());
        match given.or(field.default.as_ref()) {
            Some(value) => match field.accept(value) {
                Ok(value) => {
                    outputs.insert(field.name, value);
                }
                Err(why) => wrong.push(format!("`{}` {why}", field.name)),
            },
            None if field.required => wrong.push(format!("`{}` must be answered", field.name)),
            None => {
                outputs.insert(field.name, Value::Null);
            }
        }
    }
    if wrong.is_empty() { Ok(outputs) } else { Err(wrong) }
}

impl Field {
    /// The value in this field's kind.
    ///
    /// # Errors
    /// What it must be, to be read after the field's name.
    pub fn accept(&self, value: &Value) -> Result<Value, String> {
        let value = self.in_kind(value)?;
        if !self.choices.is_empty() && !self.choices.contains(&value) {
            let choices: Vec<_> = self.choices.iter().map(shown).collect();
            return Err(format!("must be one of {}", choices.join(", ")));
        }
        let (size, what) = match &value {
            Value::String(text) => (Some(text.chars().count() as f64), "characters"),
            Value::Number(number) => (number.as_f64(), ""),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => (None, ""),
        };
        let bound = |least: &str, bound: f64| {
            let text = format!("must be {least} {bound} {what}");
            Err(text.trim_end().to_owned())
        };
        match (size, self.min, self.max) {
            (Some(size), Some(min), _) if size < min => return bound("at least", min),
            (Some(size), _, Some(max)) if size > max => return bound("at most", max),
            _ => {}
        }
        if let (Some(pattern), Value::String(text)) = (&self.pattern, &value) {
            let fits = whole(pattern).map_err(|_| "has a pattern that is no regular expression")?;
            if !fits.is_match(text) {
                return Err(format!("must match `{pattern}`"));
            }
        }
        Ok(value)
    }

    fn in_kind(&self, value: &Value) -> Result<Value, String> {
        let parsed = match value {
            Value::String(text) if self.kind != ParamKind::String => {
                serde_json::from_str(text.trim()).ok()
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => Some(value.clone()),
        };
        let (fitting, must) = match self.kind {
            ParamKind::String | ParamKind::Secret => {
                (parsed.filter(Value::is_string), "must be a text")
            }
            ParamKind::Integer => (parsed.and_then(integer), "must be a whole number"),
            ParamKind::Number => (parsed.filter(Value::is_number), "must be a number"),
            ParamKind::Boolean => (parsed.filter(Value::is_boolean), "must be true or false"),
            ParamKind::List => (parsed.filter(Value::is_array), "must be a list"),
            ParamKind::Object => (parsed.filter(Value::is_object), "must be a mapping"),
        };
        fitting.ok_or_else(|| must.to_owned())
    }
}

/// A whole number however it is written: `3`, `3.0`.
fn integer(value: Value) -> Option<Value> {
    let whole = |number: f64| {
        let fits = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
        fits.then(|| Number::from(number as i64))
    };
    match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(Value::Number(number)),
        Value::Number(number) => number.as_f64().and_then(whole).map(Value::Number),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

fn read_field(name: &str, spec: &Value, faults: &mut Vec<Fault>) -> Option<Field> {
    let at = format!("/form/{}", name.replace('~', "~0").replace('/', "~1"));
    let before = faults.len();
    let Value::Object(spec) = spec else {
        faults.push(fault(&at, "a field is a mapping", "write `{ type: string }`"));
        return None;
    };
    let mut letters = name.chars();
    let begins_well = letters.next().is_some_and(|first| first.is_ascii_alphabetic());
    if !begins_well || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        faults.push(fault(
            &at,
            format!("`{name}` is no name for a field"),
            "use a letter, then letters, digits and `_`",
        ));
    }
    for key in spec.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        faults.push(fault(
            &format!("{at}/{key}"),
            format!("a field has no `{key}`"),
            format!("its keys are {}", KEYS.join(", ")),
        ));
    }
    let kind = match spec.get("type") {
        None => ParamKind::String,
        Some(kind) => match serde_json::from_value(kind.clone()) {
            Ok(ParamKind::Secret) => {
                faults.push(fault(
                    &format!("{at}/type"),
                    "a form can't ask for a secret: an answer is kept as an output",
                    "store it with `weir secret set`",
                ));
                ParamKind::Secret
            }
            Ok(kind) => kind,
            Err(_) => {
                faults.push(fault(
                    &format!("{at}/type"),
                    format!("{} is no type", shown(kind)),
                    "the types are string, integer, number, boolean, list, object",
                ));
                ParamKind::String
            }
        },
    };
    let text = |key: &str| spec.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| spec.get(key).and_then(Value::as_f64);
    let mut field = Field {
        name: name.to_owned(),
        kind,
        choices: spec.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
        default: spec.get("default").filter(|value| !value.is_null()).cloned(),
        required: spec.get("required").and_then(Value::as_bool).unwrap_or(true),
        pattern: text("pattern"),
        min: number("min"),
        max: number("max"),
        description: text("description"),
    };
    if let Some(pattern) = &field.pattern
        && let Err(error) = whole(pattern)
    {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default();
        faults.push(fault(&format!("{at}/pattern"), last.trim_start_matches("error: "), ""));
    }
    for choice in &mut field.choices {
        let of_kind = Field { choices: Vec::new(), ..plain(&field.name, field.kind) };
        match of_kind.in_kind(choice) {
            Ok(value) => *choice = value,
            Err(_) if is_template(choice) => {}
            Err(why) => faults.push(fault(&format!("{at}/enum"), format!("a choice {why}"), "")),
        }
    }
    if let Some(default) = &field.default
        && faults.len() == before
        && !is_template(default)
        && !field.choices.iter().any(is_template)
        && let Err(why) = field.accept(default)
    {
        faults.push(fault(&format!("{at}/default"), format!("the default {why}"), ""));
    }
    (faults.len() == before).then_some(field)
}

fn plain(name: &str, kind: ParamKind) -> Field {
    Field {
        name: name.to_owned(),
        kind,
        choices: Vec::new(),
        default: None,
        required: true,
        pattern: None,
        min: None,
        max: None,
        description: None,
    }
}

fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

fn is_template(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains("{{") || text.contains("{%"))
}

fn shown(value: &Value) -> String {
    format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn fault(pointer: &str, message: impl Into<String>, help: impl Into<String>) -> Fault {
    let help = Some(help.into()).filter(|help| !help.is_empty());
    Fault { pointer: pointer.to_owned(), message: message.into(), help }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form() -> Value {
        json!({ "message": "go on?", "form": {
            "size": { "type": "integer", "min": 1, "max": 5 },
            "zone": { "enum": ["a", "b"], "default": "a" },
            "note": { "required": false, "pattern": "[a-z ]*", "max": 8 },
            "sure": { "type": "boolean" },
        }})
    }

    fn answer(values: &Value) -> String {
        match check_answer(&form(), values.as_object().expect("an object")) {
            Ok(outputs) => serde_json::to_string(&outputs).expect("values are JSON"),
            Err(wrong) => wrong.join("; "),
        }
    }

    #[test]
    fn an_answer_is_judged_against_the_form() {
        let table = [
            (
                json!({ "size": "3", "sure": "true" }),
                r#"{"note":null,"size":3,"sure":true,"zone":"a"}"#,
            ),
            (
                json!({ "size": 3.0, "sure": false, "zone": "b", "note": "all well" }),
                r#"{"note":"all well","size":3,"sure":false,"zone":"b"}"#,
            ),
            (json!({}), "`size` must be answered; `sure` must be answered"),
            (
                json!({ "size": 9, "sure": true, "zone": "c", "note": "X" }),
                "`size` must be at most 5; `zone` must be one of `a`, `b`; `note` must match `[a-z ]*`",
            ),
            (
                json!({ "size": 0, "sure": 1, "note": "far too long" }),
                "`size` must be at least 1; `note` must be at most 8 characters; `sure` must be true or false",
            ),
            (
                json!({ "size": 1.5, "sure": true, "colour": "red" }),
                "`colour` is not asked for: the form has `size`, `zone`, `note`, `sure`; `size` must be a whole number",
            ),
        ];
        for (values, expected) in table {
            assert_eq!(answer(&values), expected);
        }
    }

    #[test]
    fn a_wrong_form_says_where() {
        let with = json!({ "form": {
            "1st": {}, "pass": { "type": "secret" }, "n": { "type": "integer", "default": "many" },
            "p": { "pattern": "(" }, "k": { "kind": "text" }, "t": { "type": "integer", "default": "{{ params.n }}" },
        }});
        let faults = fields(&with).expect_err("five fields are wrong");
        let said: Vec<_> =
            faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.message)).collect();
        assert_eq!(
            said,
            [
                "/form/1st: `1st` is no name for a field",
                "/form/pass/type: a form can't ask for a secret: an answer is kept as an output",
                "/form/n/default: the default must be a whole number",
                "/form/p/pattern: unclosed group",
                "/form/k/kind: a field has no `kind`",
            ]
        );
    }
}
