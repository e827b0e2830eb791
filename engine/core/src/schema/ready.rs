//! A schema made ready for checking: JSON read once into numbers, so that a hundred thousand jobs are checked
//! without looking a word of it up again.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::{Schema, TextKind};

/// The number of a shape.
pub(super) type Ix = usize;

/// All shapes of a schema. The first is the outermost.
#[derive(Clone, Debug)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
}

/// What one value may be.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    pub(super) kind: Option<Kind>,
    /// `oneOf`
    pub(super) branches: Vec<Ix>,
    /// Itself, or all that its branches come to in the end.
    pub(super) leaves: Vec<Ix>,
    /// `enum`
    pub(super) choices: Option<Vec<Value>>,
    /// `const`
    pub(super) constant: Option<Value>,
    pub(super) least: Option<f64>,
    pub(super) greatest: Option<f64>,
    /// The least length of a text, count of items or of keys.
    pub(super) least_count: Option<u64>,
    pub(super) greatest_count: Option<u64>,
    pub(super) pattern: Option<Pattern>,
    pub(super) reading: Reading,
    pub(super) is_fixed: bool,
    /// How templates in it are filled in, where the schema says so.
    pub(super) text: Option<TextKind>,
    pub(super) items: Option<Ix>,
    /// The keys in the order they are told in.
    pub(super) keys: Vec<String>,
    pub(super) properties: BTreeMap<String, Ix>,
    pub(super) more: More,
    pub(super) names: Option<Pattern>,
    pub(super) required: Vec<String>,
    /// What to say of keys that are known elsewhere.
    pub(super) hints: BTreeMap<String, String>,
    pub(super) description: Option<String>,
}

/// What kind of value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Map,
}

/// How a text is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    /// As it stands.
    #[default]
    Letters,
    /// As a span of time.
    Span,
    /// As a number of bytes.
    Size,
    /// As a regular expression.
    Regex,
}

/// Keys that are not named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum More {
    /// They may be anything.
    #[default]
    Anything,
    /// There are none.
    Nothing,
    /// They have a shape.
    Like(Ix),
}

/// What a text must match, and what to say if it does not.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    pub(super) help: String,
}

impl Shapes {
    pub(super) fn new(schema: &Schema) -> Self {
        let mut build = Build { shapes: vec![Shape::default()], named: BTreeMap::new() };
        let defined = schema.0.get("$defs").and_then(Value::as_object);
        for (name, shape) in defined.into_iter().flatten() {
            build.named.insert(name, (build.shapes.len(), shape));
            build.shapes.push(Shape::default());
        }
        for (ix, shape) in build.named.clone().into_values() {
            build.shapes[ix] = build.shape(shape);
        }
        build.shapes[0] = build.shape(&schema.0);
        let mut shapes = Self { shapes: build.shapes };
        for ix in 0..shapes.shapes.len() {
            let mut leaves = Vec::new();
            shapes.leaves_of(ix, 0, &mut leaves);
            shapes.shapes[ix].leaves = leaves;
        }
        shapes
    }

    pub(super) fn get(&self, ix: Ix) -> &Shape {
        &self.shapes[ix]
    }

    pub(super) fn leaves(&self, shape: &Shape) -> impl Iterator<Item = &Shape> {
        shape.leaves.iter().map(|ix| &self.shapes[*ix])
    }

    /// How the text at a JSON pointer is read: as the first leaf that knows the place says.
    pub(super) fn text_kind(&self, pointer: &str) -> TextKind {
        let mut at = vec![0];
        for part in pointer.split('/').skip(1) {
            let key = part.replace("~1", "/").replace("~0", "~");
            let mut inner = Vec::new();
            for shape in at.into_iter().flat_map(|ix| self.leaves(&self.shapes[ix])) {
                let more = match shape.more {
                    More::Like(ix) => Some(ix),
                    More::Nothing | More::Anything => None,
                };
                let is_item = part.bytes().all(|byte| byte.is_ascii_digit());
                let item = shape.items.filter(|_| is_item);
                inner.extend(shape.properties.get(&key).copied().or(more).or(item));
            }
            at = inner;
        }
        let mut leaves = at.into_iter().flat_map(|ix| self.leaves(&self.shapes[ix]));
        leaves.find_map(|leaf| leaf.text).unwrap_or_default()
    }

    fn leaves_of(&self, ix: Ix, depth: usize, leaves: &mut Vec<Ix>) {
        let shape = &self.shapes[ix];
        if shape.branches.is_empty() || depth > 16 {
            leaves.push(ix);
            return;
        }
        for branch in &shape.branches {
            self.leaves_of(*branch, depth + 1, leaves);
        }
    }
}

struct Build<'a> {
    shapes: Vec<Shape>,
    named: BTreeMap<&'a str, (Ix, &'a Value)>,
}

impl Build<'_> {
    /// The number of a shape within another: the one it refers to, or a new one.
    fn ix(&mut self, schema: &Value) -> Ix {
        if let Some(ix) = self.referred(schema) {
            return ix;
        }
        let shape = self.shape(schema);
        self.shapes.push(shape);
        self.shapes.len() - 1
    }

    fn referred(&self, schema: &Value) -> Option<Ix> {
        let name = schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?;
        self.named.get(name).map(|(ix, _)| *ix)
    }

    fn shape(&mut self, schema: &Value) -> Shape {
        // A name that stands for another name: as if it had that one's branches.
        if let Some(ix) = self.referred(schema) {
            return Shape { branches: vec![ix], ..Shape::default() };
        }
        let word = |word: &str| schema.get(word);
        let text = |key: &str| word(key).and_then(Value::as_str);
        let flag = |key: &str| word(key).is_some_and(|value| *value != Value::Bool(false));
        let number = |key: &str| word(key).and_then(Value::as_f64);
        let count = |keys: [&str; 3]| keys.into_iter().find_map(|key| word(key)?.as_u64());
        let properties = word("properties").and_then(Value::as_object);
        let required = word("required").and_then(Value::as_array);
        let hints = word("x-weir-hints").and_then(Value::as_object);
        let branches = word("oneOf").and_then(Value::as_array);
        let names = word("propertyNames");
        Shape {
            kind: text("type").and_then(Kind::named),
            branches: branches.into_iter().flatten().map(|branch| self.ix(branch)).collect(),
            leaves: Vec::new(),
            choices: word("enum").and_then(Value::as_array).cloned(),
            constant: word("const").cloned(),
            least: number("minimum"),
            greatest: number("maximum"),
            least_count: count(["minLength", "minItems", "minProperties"]),
            greatest_count: count(["maxLength", "maxItems", "maxProperties"]),
            pattern: Pattern::of(schema),
            reading: if flag("x-weir-span") {
                Reading::Span
            } else if flag("x-weir-size") {
                Reading::Size
            } else if text("format") == Some("regex") {
                Reading::Regex
            } else {
                Reading::Letters
            },
            is_fixed: text("x-weir-text") == Some("fixed"),
            text: text("x-weir-text").map(TextKind::named),
            items: word("items").map(|items| self.ix(items)),
            keys: properties.into_iter().flatten().map(|(key, _)| key.clone()).collect(),
            properties: properties
                .into_iter()
                .flatten()
                .map(|(key, shape)| (key.clone(), self.ix(shape)))
                .collect(),
            more: match word("additionalProperties") {
                Some(Value::Bool(false)) => More::Nothing,
                Some(shape @ Value::Object(_)) => More::Like(self.ix(shape)),
                Some(_) | None => More::Anything,
            },
            names: names.and_then(Pattern::of),
            required: required
                .into_iter()
                .flatten()
                .filter_map(|key| key.as_str().map(str::to_owned))
                .collect(),
            hints: hints
                .into_iter()
                .flatten()
                .filter_map(|(key, hint)| Some((key.clone(), hint.as_str()?.to_owned())))
                .collect(),
            description: text("description").map(str::to_owned),
        }
    }
}

impl Kind {
    fn named(name: &str) -> Option<Self> {
        match name {
            "null" => Some(Self::Null),
            "boolean" => Some(Self::Boolean),
            "integer" => Some(Self::Integer),
            "number" => Some(Self::Number),
            "string" => Some(Self::Text),
            "array" => Some(Self::List),
            "object" => Some(Self::Map),
            _ => None,
        }
    }
}

impl Pattern {
    /// The pattern of a schema. One that is no regular expression holds for every text.
    fn of(schema: &Value) -> Option<Self> {
        let pattern = schema.get("pattern")?.as_str()?;
        let regex = Regex::new(pattern).ok()?;
        let form = schema.get("x-weir-form").and_then(Value::as_str);
        let example = schema.get("examples").and_then(|examples| examples.get(0));
        let help = match (form, example) {
            (Some(form), _) => form.to_owned(),
            (None, Some(example)) => {
                format!(
                    "write it like `{}`; it must match `{pattern}`",
                    super::words::shown(example)
                )
            }
            (None, None) => format!("it must match `{pattern}`"),
        };
        Some(Self { regex, help })
    }
}
