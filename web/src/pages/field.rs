//! A parameter or a field of a question as a field of a form, and back.

use serde_json::{Map, Value};
use weir_core::flow::{Param, ParamKind};

use crate::form::Fields;
use crate::words::Words;

/// A field of a form.
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) look: &'static str,
    pub(crate) value: String,
    pub(crate) choices: Vec<String>,
    pub(crate) description: Option<String>,
    pub(crate) is_required: bool,
    pub(crate) wrong: Option<String>,
}

/// A value as it is typed.
pub(crate) fn typed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(_) | Value::Object(_) | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn look(kind: ParamKind, choices: &[Value]) -> &'static str {
    if !choices.is_empty() {
        return "choice";
    }
    match kind {
        ParamKind::Boolean => "boolean",
        ParamKind::List | ParamKind::Object => "long",
        ParamKind::Secret => "secret",
        ParamKind::Integer | ParamKind::Number => "number",
        ParamKind::String => "text",
    }
}

impl Field {
    /// A flow's parameter. `before` are the values of an earlier run, `given` what was typed.
    pub(crate) fn param(
        param: &Param,
        before: Option<&Map<String, Value>>,
        given: Option<&Fields>,
        words: &Words,
    ) -> Self {
        let key = format!("p.{}", param.name);
        let known = before.and_then(|before| before.get(&param.name)).or(param.default.as_ref());
        let is_secret = param.kind == ParamKind::Secret;
        let value = match given.and_then(|given| given.get(&key)) {
            // Secrets are never sent back.
            _ if is_secret => before.map_or("", |_| words.secret_kept).to_owned(),
            Some(given) => given.to_owned(),
            None => known.map(typed).unwrap_or_default(),
        };
        let mut choices: Vec<String> = param.choices.iter().map(typed).collect();
        if !choices.is_empty() && !choices.contains(&value) {
            choices.insert(0, String::new());
        }
        Self {
            name: param.name.clone(),
            look: look(param.kind, &param.choices),
            value,
            choices,
            description: param.description.clone(),
            is_required: param.default.is_none(),
            wrong: None,
        }
    }

    /// A field of what a person is asked.
    pub(crate) fn question(field: &weir_core::form::Field) -> Self {
        let value = field.default.as_ref().map(typed).unwrap_or_default();
        let mut choices: Vec<String> = field.choices.iter().map(typed).collect();
        if !choices.is_empty() && !choices.contains(&value) {
            choices.insert(0, String::new());
        }
        Self {
            name: field.name.clone(),
            look: look(field.kind, &field.choices),
            value,
            choices,
            description: field.description.clone(),
            is_required: field.required,
            wrong: None,
        }
    }
}

/// The values of a flow's parameters that were typed. An empty field is as good as none, where a text may not be empty
/// on purpose; a secret that was left empty stays as it was.
pub(crate) fn params(params: &[Param], fields: &Fields) -> Map<String, Value> {
    let mut values = Map::new();
    for param in params {
        let Some(text) = fields.get(&format!("p.{}", param.name)) else { continue };
        let has_default_or_must = match param.kind {
            // An empty text is a value, unless there is a default or only some values are allowed.
            ParamKind::String => {
                !text.is_empty()
                    || param.choices.iter().any(|choice| choice == "")
                    || (param.choices.is_empty()
                        && param.default.as_ref().is_some_and(|value| value != ""))
            }
            ParamKind::Integer
            | ParamKind::Number
            | ParamKind::Boolean
            | ParamKind::List
            | ParamKind::Object
            | ParamKind::Secret => !text.is_empty(),
        };
        if has_default_or_must {
            values.insert(param.name.clone(), Value::from(text));
        }
    }
    values
}

/// What is wrong with values, by parameter.
pub(crate) fn wrong(params: &[Param], values: &Map<String, Value>) -> Vec<(String, String)> {
    use weir_core::params::{Given, resolve};
    let given: Vec<(String, Given)> = values
        .iter()
        .map(|(name, value)| {
            let given = match value {
                Value::String(text) => Given::Text(text.clone()),
                other => Given::Json(other.clone()),
            };
            (name.clone(), given)
        })
        .collect();
    match resolve(params, &given) {
        Ok(_) => Vec::new(),
        Err(bad) => bad.into_iter().map(|bad| (bad.name, bad.message)).collect(),
    }
}
