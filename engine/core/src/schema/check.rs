//! Holding a tree against a schema. Finds every mistake, not the first.

use regex::Regex;
use serde_json::Value;

use super::ready::{Ix, Kind, More, Reading, Shape, Shapes};
use super::suggest::nearest;
use super::{Schema, TextKind, words};
use crate::mistake::Place;
use crate::size::parse_size;
use crate::time::parse_span;
use crate::yaml::{Data, Node};

/// Findings after which no more are kept.
const MAX_FINDINGS: usize = 1_000;

/// Whether a text with a template may stand where something else is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Templates {
    /// It may: it is filled in before the value is used. A list or mapping can be made by a text that is one
    /// `{{ }}` as a whole.
    Filled,
    /// It may not: the value is used as it stands.
    Refused,
}

/// Something that does not fit a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which value: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// Where it stands; all zero in a value that stands nowhere.
    pub place: Place,
    /// A short name that stays the same, such as `unknown-key`.
    pub code: &'static str,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

/// A schema made ready to check many texts.
#[derive(Clone, Debug)]
pub struct Checker {
    schema: Schema,
    shapes: Shapes,
}

impl Checker {
    /// Makes a schema ready. A pattern that is no regular expression holds for every text.
    pub fn new(schema: Schema) -> Self {
        let shapes = Shapes::new(&schema);
        Self { schema, shapes }
    }

    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// What does not fit, in the order of the text. `owner` is what stands for the whole (the key that holds it):
    /// missing keys are marked there.
    pub fn check(&self, node: &Node, owner: Place, templates: Templates) -> Vec<Finding> {
        let mut walk =
            Walk { shapes: &self.shapes, templates, path: Vec::new(), found: Vec::new() };
        walk.visit(0, node, owner);
        walk.found
    }
}

impl Checker {
    /// How the text at a JSON pointer of settings is read. Where the schema leaves a choice, the first branch that
    /// knows the place decides.
    pub fn text_kind(&self, pointer: &str) -> TextKind {
        self.shapes.text_kind(pointer)
    }
}

impl Schema {
    /// What does not fit in a value that is used as it stands. To check many, make a [`Checker`].
    pub fn check_value(&self, value: &Value) -> Vec<Finding> {
        let checker = Checker::new(self.clone());
        checker.check(&Node::from_value(value), Place::default(), Templates::Refused)
    }
}

/// Whether a text is filled in before it is used.
pub(crate) fn has_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// Whether a text is one `{{ }}` as a whole, and so can stand for a list or mapping.
fn is_one_expression(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1
}

enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

struct Walk<'a> {
    shapes: &'a Shapes,
    templates: Templates,
    path: Vec<Step<'a>>,
    found: Vec<Finding>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, ix: Ix, node: &'a Node, owner: Place) {
        let shape = self.shapes.get(ix);
        if self.is_filled_in(shape, node) {
            return;
        }
        if !shape.branches.is_empty() {
            self.visit_branches(shape, node, owner);
        } else if let Some(choices) = &shape.choices {
            self.visit_choice(choices, node);
        } else if let Some(constant) = &shape.constant {
            if node.to_value() != *constant {
                let word = words::shown(constant);
                self.find(
                    node.place,
                    "not-a-choice",
                    format!("this must be `{word}`"),
                    format!("write `{word}`"),
                );
            }
        } else if shape.kind.is_some_and(|kind| !is_a(node, kind)) {
            self.wrong_type(&words::of_shape(shape), shape, node);
        } else {
            self.visit_data(shape, node, owner);
        }
    }

    fn visit_data(&mut self, shape: &'a Shape, node: &'a Node, owner: Place) {
        match &node.data {
            Data::Null | Data::Bool(_) => {}
            Data::Int(number) => self.visit_number(shape, *number as f64, node),
            Data::Float(number) => self.visit_number(shape, *number, node),
            Data::Text(text) => self.visit_text(shape, text, node),
            Data::List(items) => {
                self.count(shape, items.len(), ["item", "items"], node);
                if let Some(of_item) = shape.items {
                    for (at, item) in items.iter().enumerate() {
                        self.path.push(Step::Item(at));
                        self.visit(of_item, item, item.place);
                        self.path.pop();
                    }
                }
            }
            Data::Map(_) => self.visit_map(shape, node, owner),
        }
    }

    /// A template is judged when it is filled in, unless its text must be fixed.
    fn is_filled_in(&self, shape: &Shape, node: &Node) -> bool {
        if self.templates == Templates::Refused {
            return false;
        }
        let Some(text) = node.text().filter(|text| has_template(text)) else { return false };
        self.shapes.leaves(shape).any(|leaf| match (leaf.kind, leaf.reading) {
            // A span that is filled in is read then.
            (Some(Kind::Text), Reading::Span | Reading::Size) | (None, _) => true,
            (Some(Kind::Text | Kind::Integer | Kind::Number | Kind::Boolean), _) => !leaf.is_fixed,
            (Some(Kind::List | Kind::Map), _) => is_one_expression(text),
            (Some(Kind::Null), _) => false,
        } && !(leaf.is_fixed && leaf.reading == Reading::Letters))
    }

    fn visit_branches(&mut self, shape: &'a Shape, node: &'a Node, owner: Place) {
        let fitting: Vec<Ix> =
            shape.branches.iter().copied().filter(|branch| self.could_be(*branch, node)).collect();
        let Some((first, others)) = fitting.split_first() else {
            let mut known: Vec<String> = Vec::new();
            for leaf in self.shapes.leaves(shape) {
                let word = words::of_shape(leaf);
                if !known.contains(&word) {
                    known.push(word);
                }
            }
            let nearest = self.shapes.leaves(shape).next().unwrap_or(shape);
            self.wrong_type(&words::either(&known), nearest, node);
            return;
        };
        if others.is_empty() {
            self.visit(*first, node, owner);
            return;
        }
        // The branch with the fewest mistakes is what was meant; one without any is right.
        let before = std::mem::take(&mut self.found);
        let mut best: Option<Vec<Finding>> = None;
        for branch in fitting {
            self.visit(branch, node, owner);
            let found = std::mem::take(&mut self.found);
            if best.as_ref().is_none_or(|best| weight(&found) < weight(best)) {
                best = Some(found);
            }
        }
        self.found = before;
        self.found.extend(best.unwrap_or_default());
    }

    fn could_be(&self, branch: Ix, node: &Node) -> bool {
        self.shapes.leaves(self.shapes.get(branch)).any(|leaf| {
            match (leaf.kind, &leaf.constant, &leaf.choices) {
                (Some(kind), ..) => is_a(node, kind),
                (None, Some(constant), _) => *constant == node.to_value(),
                (None, None, Some(choices)) => choices.iter().any(|choice| same_type(choice, node)),
                (None, None, None) => true,
            }
        })
    }

    fn visit_choice(&mut self, choices: &[Value], node: &Node) {
        let is_known = match node.text() {
            Some(text) => choices.iter().any(|choice| choice.as_str() == Some(text)),
            None => choices.contains(&node.to_value()),
        };
        if is_known {
            return;
        }
        let known: Vec<String> = choices.iter().map(words::shown).collect();
        let all = words::quoted(choices);
        let near = node.text().and_then(|text| nearest(text, known.iter().map(String::as_str)));
        let help = match near {
            Some(near) => format!("did you mean `{near}`? it can be {all}"),
            None => format!("it can be {all}"),
        };
        let message = match node.text() {
            Some(text) => format!("`{}` is not one of the choices", words::short(text)),
            None if choices.iter().any(|choice| same_type(choice, node)) => {
                format!("`{}` is not one of the choices", words::shown(&node.to_value()))
            }
            None => format!("expected one of the choices, found {}", node.kind()),
        };
        self.find(node.place, "not-a-choice", message, help);
    }

    fn visit_number(&mut self, shape: &Shape, number: f64, node: &Node) {
        let code = "out-of-range";
        if let Some(least) = shape.least.filter(|least| number < *least) {
            let help = format!("write at least {least}");
            self.find(node.place, code, format!("{number} is too small"), help);
        }
        if let Some(greatest) = shape.greatest.filter(|greatest| number > *greatest) {
            let help = format!("write at most {greatest}");
            self.find(node.place, code, format!("{number} is too large"), help);
        }
    }

    fn visit_text(&mut self, shape: &Shape, text: &str, node: &Node) {
        let short = || words::short(text);
        match shape.reading {
            Reading::Span => {
                if parse_span(text).is_err() {
                    let help = "write a number and a unit (ms, s, m, h, d), largest first, such as `90s` or `1h30m`, at most ten years";
                    self.find(
                        node.place,
                        "bad-span",
                        format!("`{}` is no span of time", short()),
                        help.to_owned(),
                    );
                }
                return;
            }
            Reading::Size => {
                if parse_size(text).is_none() {
                    let help = "write a number and a unit (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), such as `512MiB`";
                    self.find(
                        node.place,
                        "bad-size",
                        format!("`{}` is no number of bytes", short()),
                        help.to_owned(),
                    );
                }
                return;
            }
            Reading::Regex => {
                if let Err(error) = Regex::new(text) {
                    let message =
                        format!("this is no regular expression: {}", words::regex_reason(&error));
                    let help = "put a backslash before a sign that means itself, and close each bracket; look-around and back-references are not known here";
                    self.find(node.place, "bad-regex", message, help.to_owned());
                }
            }
            Reading::Letters => {}
        }
        if shape.least_count.is_some() || shape.greatest_count.is_some() {
            self.count(shape, text.chars().count(), ["character", "characters"], node);
        }
        if let Some(pattern) =
            shape.pattern.as_ref().filter(|pattern| !pattern.regex.is_match(text))
        {
            let message = format!("`{}` does not have the right form", short());
            self.find(node.place, "wrong-form", message, pattern.help.clone());
        }
    }

    fn visit_map(&mut self, shape: &'a Shape, node: &'a Node, owner: Place) {
        let entries = node.entries();
        self.count(shape, entries.len(), ["entry", "entries"], node);
        for entry in entries {
            let key = &*entry.key;
            let known = shape.properties.get(key).copied();
            let inner = match (known, shape.more) {
                (Some(inner), _) | (None, More::Like(inner)) => Some(inner),
                (None, More::Nothing) => {
                    self.unknown_key(shape, entry.place, key);
                    continue;
                }
                (None, More::Anything) => None,
            };
            self.path.push(Step::Key(key));
            if let Some(names) = shape.names.as_ref().filter(|names| !names.regex.is_match(key)) {
                let message = format!("`{}` can't be a name here", words::short(key));
                self.find(entry.place, "bad-name", message, names.help.clone());
            }
            if let Some(inner) = inner {
                self.visit(inner, &entry.value, entry.place);
            }
            self.path.pop();
        }
        for key in &shape.required {
            if node.entry(key).is_none() {
                self.missing_key(shape, key, owner);
            }
        }
    }

    fn missing_key(&mut self, shape: &Shape, key: &str, owner: Place) {
        let message = match self.path.as_slice() {
            [.., Step::Key(whose)] => format!("`{}` has no `{key}`", words::short(whose)),
            [.., Step::Key(list), Step::Item(_)] => {
                format!("an item of `{}` has no `{key}`", words::short(list))
            }
            [] | [.., Step::Item(_)] => format!("`{key}` is missing"),
        };
        let inner = shape.properties.get(key).map(|ix| self.shapes.get(*ix));
        let help = match inner.and_then(|inner| inner.description.as_deref()) {
            Some(words) => format!("add `{key}:` ({})", words::lower_sentence(words)),
            None => format!("add `{key}:`"),
        };
        self.find(owner, "missing-key", message, help);
    }

    fn unknown_key(&mut self, shape: &Shape, place: Place, key: &str) {
        let help = if let Some(hint) = shape.hints.get(key) {
            hint.clone()
        } else if let Some(near) = nearest(key, shape.keys.iter().map(String::as_str)) {
            format!("did you mean `{near}`?")
        } else if shape.keys.is_empty() {
            "no keys are known here: remove it".to_owned()
        } else {
            format!("known keys: {}", shape.keys.join(", "))
        };
        self.find(place, "unknown-key", format!("`{}` is no key here", words::short(key)), help);
    }

    fn wrong_type(&mut self, expected: &str, shape: &Shape, node: &Node) {
        let help = words::instead(node, shape, expected);
        let message = format!("expected {expected}, found {}", node.kind());
        self.find(node.place, "wrong-type", message, help);
    }

    /// The length of a text, or how many items or keys there are. `units` is the word for one and for more.
    fn count(&mut self, shape: &Shape, count: usize, units: [&str; 2], node: &Node) {
        let [one, more] = units;
        if let Some(least) = shape.least_count.filter(|least| (count as u64) < *least) {
            let message = if count == 0 {
                "this is empty".to_owned()
            } else {
                format!("this has {count} {more}")
            };
            let unit = if least == 1 { one } else { more };
            self.find(node.place, "too-short", message, format!("write at least {least} {unit}"));
        }
        if let Some(most) = shape.greatest_count.filter(|most| count as u64 > *most) {
            let help = format!("write at most {most}");
            self.find(node.place, "too-long", format!("this has {count} {more}"), help);
        }
    }

    fn find(&mut self, place: Place, code: &'static str, message: String, help: String) {
        if self.found.len() >= MAX_FINDINGS {
            return;
        }
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
                Step::Item(at) => pointer.push_str(&at.to_string()),
            }
        }
        self.found.push(Finding { pointer, place, code, message, help: Some(help) });
    }
}

/// How far from right a branch is: a wrong shape weighs more than a wrong value.
fn weight(found: &[Finding]) -> usize {
    let weight = |finding: &Finding| match finding.code {
        "unknown-key" if finding.help.as_ref().is_some_and(|help| help.starts_with("did you")) => 2,
        "unknown-key" | "missing-key" => 3,
        "wrong-type" => 2,
        _ => 1,
    };
    found.iter().map(weight).sum()
}

fn is_a(node: &Node, kind: Kind) -> bool {
    match &node.data {
        Data::Null => kind == Kind::Null,
        Data::Bool(_) => kind == Kind::Boolean,
        Data::Int(_) => kind == Kind::Integer || kind == Kind::Number,
        Data::Float(number) => {
            kind == Kind::Number || (kind == Kind::Integer && number.fract() == 0.0)
        }
        Data::Text(_) => kind == Kind::Text,
        Data::List(_) => kind == Kind::List,
        Data::Map(_) => kind == Kind::Map,
    }
}

fn same_type(choice: &Value, node: &Node) -> bool {
    match choice {
        Value::Null => is_a(node, Kind::Null),
        Value::Bool(_) => is_a(node, Kind::Boolean),
        Value::Number(_) => is_a(node, Kind::Number),
        Value::String(_) => is_a(node, Kind::Text),
        Value::Array(_) => is_a(node, Kind::List),
        Value::Object(_) => is_a(node, Kind::Map),
    }
}
