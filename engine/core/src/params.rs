//! From what a person gives to a run's parameters to typed values, or all that is wrong with them.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use crate::flow::{Param, ParamKind};
use crate::schema::nearest;
use crate::secret::Secret;

/// The parameters of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// All that may be seen, by name.
    pub plain: BTreeMap<String, Value>,
    /// All that must not, by name.
    pub secrets: BTreeMap<String, Secret>,
}

/// A value as it was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// From a command line or a form: text that is read as the parameter's kind.
    Text(String),
    /// From JSON or YAML: already of a kind.
    Json(Value),
}

/// What is wrong with a parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{message}")]
pub struct BadParam {
    /// The parameter.
    pub name: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// Reads `K=V` as on a command line.
///
/// # Errors
/// There is no `=`, or nothing before it.
pub fn split(text: &str) -> Result<(String, Given), BadParam> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), Given::Text(value.to_owned())))
        }
        Some(_) | None => Err(BadParam {
            name: text.to_owned(),
            message: format!("`{text}` gives no parameter a value"),
            help: Some("write `NAME=VALUE`".to_owned()),
        }),
    }
}

/// The values of all parameters: those given, the defaults of the others. Of a name given twice the last counts.
///
/// # Errors
/// All that is wrong: unknown names, missing values, wrong kinds, values that are not allowed. None holds the value of a
/// secret.
pub fn resolve(params: &[Param], given: &[(String, Given)]) -> Result<Values, Vec<BadParam>> {
    let mut bad = Vec::new();
    let mut by_name: BTreeMap<&str, &Given> = BTreeMap::new();
    for (name, value) in given {
        if params.iter().any(|param| param.name == *name) {
            by_name.insert(name, value);
        } else {
            bad.push(unknown(params, name));
        }
    }
    let mut values = Values::default();
    for param in params {
        let found = match (by_name.get(param.name.as_str()), &param.default) {
            (Some(Given::Text(text)), _) => read(param, text),
            (Some(Given::Json(value)), _) => typed(param, value),
            (None, Some(default)) => typed(param, default),
            (None, None) => Err((
                format!("parameter `{}` is missing", param.name),
                Some(if param.kind == ParamKind::Secret {
                    "give it on standard input or in a form: others can see a command line"
                        .to_owned()
                } else {
                    format!("give it with `-p {}={}`", param.name, example(param))
                }),
            )),
        };
        let judged = found.and_then(|value| judge(param, value));
        match (judged, param.kind) {
            (Ok(Value::String(text)), ParamKind::Secret) => {
                values.secrets.insert(param.name.clone(), Secret::new(param.name.clone(), text));
            }
            (Ok(value), _) => {
                values.plain.insert(param.name.clone(), value);
            }
            (Err((message, help)), _) => {
                bad.push(BadParam { name: param.name.clone(), message, help });
            }
        }
    }
    if bad.is_empty() { Ok(values) } else { Err(bad) }
}

/// Judges one value as a parameter's, such as a default: the value in its own kind.
///
/// # Errors
/// What is wrong with it.
pub fn check(param: &Param, value: &Value) -> Result<Value, BadParam> {
    let judged = typed(param, value).and_then(|value| judge(param, value));
    judged.map_err(|(message, help)| BadParam { name: param.name.clone(), message, help })
}

type Wrong = (String, Option<String>);

fn unknown(params: &[Param], name: &str) -> BadParam {
    let names = params.iter().map(|param| param.name.as_str());
    let help = match nearest(name, names.clone()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if params.is_empty() => Some("the flow takes no parameters".to_owned()),
        None => Some(format!("there is: {}", names.collect::<Vec<_>>().join(", "))),
    };
    BadParam { name: name.to_owned(), message: format!("the flow has no parameter `{name}`"), help }
}

fn kind_name(kind: ParamKind) -> &'static str {
    match kind {
        ParamKind::String => "a text",
        ParamKind::Integer => "a whole number",
        ParamKind::Number => "a number",
        ParamKind::Boolean => "true or false",
        ParamKind::List => "a list",
        ParamKind::Object => "a mapping",
        ParamKind::Secret => "a secret text",
    }
}

fn example(param: &Param) -> String {
    let choice = param.choices.first().map(shown);
    choice.unwrap_or_else(|| {
        match param.kind {
            ParamKind::String => "TEXT",
            ParamKind::Integer => "1",
            ParamKind::Number => "1.5",
            ParamKind::Boolean => "true",
            ParamKind::List => "a,b",
            ParamKind::Object => "'{\"a\": 1}'",
            ParamKind::Secret => "...",
        }
        .to_owned()
    })
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn wrong_kind(param: &Param, what: &str) -> Wrong {
    let message = match param.kind {
        ParamKind::Secret => format!("parameter `{}` must be a text", param.name),
        kind => format!("parameter `{}` must be {}, not `{what}`", param.name, kind_name(kind)),
    };
    (message, Some(format!("such as `{}={}`", param.name, example(param))))
}

/// A text as the parameter's kind.
fn read(param: &Param, text: &str) -> Result<Value, Wrong> {
    let wrong = || wrong_kind(param, text);
    let trimmed = text.trim();
    match param.kind {
        ParamKind::String | ParamKind::Secret => Ok(Value::from(text)),
        ParamKind::Integer => trimmed.parse::<i64>().map(Value::from).map_err(|_| wrong()),
        ParamKind::Number => {
            let number = trimmed.parse::<f64>().ok().filter(|number| number.is_finite());
            number.map(Value::from).ok_or_else(wrong)
        }
        ParamKind::Boolean => match trimmed {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(wrong()),
        },
        ParamKind::List if trimmed.starts_with('[') => {
            json(trimmed).filter(Value::is_array).ok_or_else(wrong)
        }
        ParamKind::List if trimmed.is_empty() => Ok(Value::Array(Vec::new())),
        ParamKind::List => Ok(trimmed.split(',').map(|item| Value::from(item.trim())).collect()),
        ParamKind::Object => json(trimmed).filter(Value::is_object).ok_or_else(wrong),
    }
}

fn json(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// A value that has a kind already, as the parameter's.
fn typed(param: &Param, value: &Value) -> Result<Value, Wrong> {
    let fits = match param.kind {
        ParamKind::String | ParamKind::Secret => value.is_string(),
        ParamKind::Integer => {
            // JSON has no whole numbers of its own: 3.0 is one.
            let whole =
                value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15);
            match (value.as_i64(), whole) {
                (Some(_), _) => true,
                (None, Some(number)) => return Ok(Value::from(number as i64)),
                (None, None) => false,
            }
        }
        ParamKind::Number => value.is_number(),
        ParamKind::Boolean => value.is_boolean(),
        ParamKind::List => value.is_array(),
        ParamKind::Object => value.is_object(),
    };
    if fits { Ok(value.clone()) } else { Err(wrong_kind(param, &shown(value))) }
}

/// Whether a value of the right kind is allowed.
fn judge(param: &Param, value: Value) -> Result<Value, Wrong> {
    let name = &param.name;
    let seen = if param.kind == ParamKind::Secret {
        "its value".to_owned()
    } else {
        format!("`{}`", shown(&value))
    };
    let is_choice = |choice: &Value| {
        choice == &value
            || matches!((choice.as_f64(), value.as_f64()), (Some(a), Some(b)) if a.total_cmp(&b).is_eq())
    };
    if !param.choices.is_empty() && !param.choices.iter().any(is_choice) {
        let choices: Vec<String> = param.choices.iter().map(shown).collect();
        let near = value.as_str().filter(|_| param.kind != ParamKind::Secret);
        let near = near.and_then(|text| nearest(text, choices.iter().map(String::as_str)));
        let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let help = format!("{near}one of: {}", choices.join(", "));
        return Err((format!("parameter `{name}` may not be {seen}"), Some(help)));
    }
    if let (Some(pattern), Value::String(text)) = (&param.pattern, &value) {
        let is_match =
            Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(text));
        if !is_match {
            let message = format!("parameter `{name}` does not match its pattern: {seen}");
            return Err((message, Some(format!("the whole text must match `{pattern}`"))));
        }
    }
    let (size, of) = match &value {
        Value::String(text) => (Some(text.chars().count() as f64), " characters"),
        Value::Array(items) => (Some(items.len() as f64), " items"),
        Value::Number(number) => (number.as_f64(), ""),
        Value::Null | Value::Bool(_) | Value::Object(_) => (None, ""),
    };
    let Some(size) = size else { return Ok(value) };
    let bound = |word: &str, bound: f64| {
        let message = format!("parameter `{name}` must be {word} {bound}{of}: {seen}");
        Err((message, param.description.clone()))
    };
    match (param.min, param.max) {
        (Some(min), _) if size < min => bound("at least", min),
        (_, Some(max)) if size > max => bound("at most", max),
        (Some(_) | None, Some(_) | None) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mistake::Place;

    fn param(name: &str, kind: ParamKind) -> Param {
        Param {
            name: name.to_owned(),
            kind,
            default: None,
            choices: vec![],
            pattern: None,
            min: None,
            max: None,
            description: None,
            place: Place::default(),
        }
    }

    fn params() -> Vec<Param> {
        vec![
            Param {
                choices: vec![json!("c1"), json!("c2")],
                default: Some(json!("c1")),
                ..param("cluster", ParamKind::String)
            },
            Param {
                min: Some(1.0),
                max: Some(9.0),
                default: Some(json!(3)),
                ..param("count", ParamKind::Integer)
            },
            Param { default: Some(json!(0.5)), ..param("ratio", ParamKind::Number) },
            Param { default: Some(json!(false)), ..param("reformat", ParamKind::Boolean) },
            Param { default: Some(json!([])), max: Some(2.0), ..param("dirs", ParamKind::List) },
            Param { default: Some(json!({})), ..param("labels", ParamKind::Object) },
            Param {
                min: Some(4.0),
                pattern: Some("[a-z]+".to_owned()),
                ..param("password", ParamKind::Secret)
            },
        ]
    }

    /// `name=value` is text, `name:value` is JSON.
    fn told(given: &[&str]) -> String {
        let given: Vec<(String, Given)> = given
            .iter()
            .map(|text| match text.split_once(':') {
                Some((name, value)) if !name.contains('=') => {
                    (name.to_owned(), Given::Json(serde_json::from_str(value).expect("json")))
                }
                _ => split(text).expect("a pair"),
            })
            .collect();
        match resolve(&params(), &given) {
            Ok(values) => {
                let plain: Vec<String> =
                    values.plain.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let secrets: Vec<&str> = values.secrets.values().map(Secret::expose).collect();
                format!("{} secrets {secrets:?}", plain.join(" "))
            }
            Err(bad) => bad
                .into_iter()
                .map(|bad| format!("{}; {}", bad.message, bad.help.unwrap_or_default()))
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }

    #[test]
    fn values_have_their_kinds() {
        insta::assert_snapshot!(told(&["password=geheim"]), @r#"cluster="c1" count=3 dirs=[] labels={} ratio=0.5 reformat=false secrets ["geheim"]"#);
        insta::assert_snapshot!(
            told(&[
                "cluster=c2", "count= 7", "ratio=1e3", "reformat=true", "dirs=/a, /b", "labels={\"a\": [1]}",
                "password=first", "password=second",
            ]),
            @r#"cluster="c2" count=7 dirs=["/a","/b"] labels={"a":[1]} ratio=1000.0 reformat=true secrets ["second"]"#
        );
        insta::assert_snapshot!(
            told(&["count:4.0", "ratio:2", "reformat:true", "dirs:[1, null]", "password:\"geheim\""]),
            @r#"cluster="c1" count=4 dirs=[1,null] labels={} ratio=2 reformat=true secrets ["geheim"]"#
        );
    }

    #[test]
    fn all_that_is_wrong_is_told_and_no_secret() {
        let text = told(&[
            "clutser=c1",
            "cluster=c3",
            "count=10",
            "ratio=NaN",
            "reformat=yes",
            "dirs=[1",
            "labels=[]",
            "password=GEHEIM",
        ]);
        assert!(!text.contains("GEHEIM"));
        insta::assert_snapshot!(text, @r#"
        the flow has no parameter `clutser`; did you mean `cluster`?
        parameter `cluster` may not be `c3`; one of: c1, c2
        parameter `count` must be at most 9: `10`; 
        parameter `ratio` must be a number, not `NaN`; such as `ratio=1.5`
        parameter `reformat` must be true or false, not `yes`; such as `reformat=true`
        parameter `dirs` must be a list, not `[1`; such as `dirs=a,b`
        parameter `labels` must be a mapping, not `[]`; such as `labels='{"a": 1}'`
        parameter `password` does not match its pattern: its value; the whole text must match `[a-z]+`
        "#);
        let text =
            told(&["count:\"3\"", "ratio:null", "reformat:1", "dirs:[1, 2, 3]", "cluster:1"]);
        insta::assert_snapshot!(text, @r#"
        parameter `cluster` must be a text, not `1`; such as `cluster=c1`
        parameter `count` must be a whole number, not `3`; such as `count=1`
        parameter `ratio` must be a number, not `null`; such as `ratio=1.5`
        parameter `reformat` must be true or false, not `1`; such as `reformat=true`
        parameter `dirs` must be at most 2 items: `[1,2,3]`; 
        parameter `password` is missing; give it on standard input or in a form: others can see a command line
        "#);
        assert!(!told(&["password:[\"geheim\"]"]).contains("geheim"));
        assert!(split("novalue").is_err() && split("=x").is_err());
        assert_eq!(split("a=b=c"), Ok(("a".to_owned(), Given::Text("b=c".to_owned()))));
    }
}
