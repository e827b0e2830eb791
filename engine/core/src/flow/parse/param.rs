//! Parameters: what they are, and whether their defaults and choices are values of theirs.

use super::settings::number;
use super::{Reader, named};
use crate::flow::{Param, ParamKind};
use crate::schema::{Checker, Templates};
use crate::yaml::{Data, Entry, Node};

impl Reader<'_> {
    /// The parameters of a mapping, in the file's order.
    pub(super) fn params(&mut self, node: &Node) -> Vec<Param> {
        node.entries().iter().map(|entry| self.param(entry)).collect()
    }

    fn param(&mut self, entry: &Entry) -> Param {
        let node = &entry.value;
        let text = |key: &str| node.get(key).and_then(|node| node.text()).map(str::to_owned);
        let choices = node.get("enum").map(Node::items).unwrap_or_default();
        let param = Param {
            name: entry.key.to_string(),
            kind: node.get("type").and_then(|node| named(node, kind)).unwrap_or(ParamKind::String),
            default: node.get("default").map(Node::to_value),
            choices: choices.iter().map(Node::to_value).collect(),
            pattern: text("pattern"),
            min: node.get("min").and_then(number),
            max: node.get("max").and_then(number),
            description: text("description"),
            place: entry.place,
        };
        self.param_together(node, &param);
        param
    }

    fn param_together(&mut self, node: &Node, param: &Param) {
        let mut mistake = |key: &str, message: String, help: &str| {
            if let Some(entry) = node.entry(key) {
                self.mistake(entry.place, "wrong-bound", message, Some(help.to_owned()));
            }
        };
        let is_text = matches!(param.kind, ParamKind::String | ParamKind::Secret);
        let name = param.kind.name();
        if !is_text {
            let message =
                format!("`pattern` is for texts, and `{}` is of type `{name}`", param.name);
            mistake("pattern", message, "remove it, or write `type: string`");
        }
        if matches!(param.kind, ParamKind::Boolean | ParamKind::Object) {
            for key in ["min", "max"] {
                let message = format!(
                    "`{key}` bounds numbers and lengths, and `{}` is of type `{name}`",
                    param.name
                );
                mistake(key, message, "remove it");
            }
        }
        if let (Some(min), Some(max)) = (param.min, param.max)
            && min > max
        {
            mistake(
                "max",
                "the greatest value is less than the least".to_owned(),
                "write a `max` of at least `min`",
            );
        }
        let is_readable = node.get("type").is_none_or(|node| named(node, kind).is_some())
            && param.pattern.as_deref().is_none_or(|pattern| regex::Regex::new(pattern).is_ok());
        if !is_readable {
            return;
        }
        let shape = Checker::new(param.shape());
        for choice in node.get("enum").map(Node::items).unwrap_or_default() {
            self.value_of(param, &shape, choice, "bad-choice");
        }
        let whole = Checker::new(param.schema());
        if let Some(default) = node.entry("default") {
            if default.value.data == Data::Null {
                self.mistake(
                    default.place,
                    "bad-default",
                    format!("the default of `{}` is nothing", param.name),
                    Some("write a value, \"\" for an empty text, or remove `default` if it must be given".to_owned()),
                );
            } else if !param.choices.is_empty()
                && shape.check(&default.value, default.place, Templates::Refused).is_empty()
            {
                self.value_of(param, &whole, &default.value, "bad-default");
            } else {
                self.value_of(param, &shape, &default.value, "bad-default");
            }
        }
    }

    fn value_of(&mut self, param: &Param, shape: &Checker, value: &Node, code: &'static str) {
        for mut finding in shape.check(value, value.place, Templates::Refused) {
            finding.code = code;
            let what = if code == "bad-choice" { "a choice" } else { "the default" };
            finding.message =
                format!("{what} of `{}` does not fit it: {}", param.name, finding.message);
            if finding.help.as_deref() == Some("put quotes around it") {
                finding.help = Some("put quotes around it, or write another `type:`".to_owned());
            }
            self.add(finding);
        }
    }
}

fn kind(name: &str) -> Option<ParamKind> {
    let all = [
        ParamKind::String,
        ParamKind::Integer,
        ParamKind::Number,
        ParamKind::Boolean,
        ParamKind::List,
        ParamKind::Object,
        ParamKind::Secret,
    ];
    all.into_iter().find(|kind| kind.name() == name)
}
