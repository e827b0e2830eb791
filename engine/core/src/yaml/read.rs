//! From text to tree.

mod refuse;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::ops::ControlFlow;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::{Data, Entry, MAX_BYTES, MAX_DEPTH, MAX_NODES, Node, Source, scalar};
use crate::mistake::{Mistake, Place, Severity};

/// Mistakes after which a text is given up.
const MAX_MISTAKES: usize = 100;

/// Reads one document. Mistakes that leave the rest readable are all found; a text that is no YAML gives `None` and
/// its first mistake.
pub fn read(file: &str, source: &Source<'_>) -> (Option<Node>, Vec<Mistake>) {
    let mut reader = Reader {
        file,
        source,
        mistakes: Vec::new(),
        open: Vec::new(),
        anchors: BTreeMap::new(),
        nodes: 0,
        root: None,
    };
    if source.text().len() > MAX_BYTES {
        let size = source.text().len();
        reader.mistake(
            Place { line: 1, column: 1, length: 1 },
            "yaml-too-big",
            format!("the file has {size} bytes, and {MAX_BYTES} at most are read"),
            "split the flow in several, and call them with `uses: flow`",
        );
        return (None, reader.mistakes);
    }
    let mut parser = Parser::new_from_str(source.text());
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => reader.take(event, span),
            Err(error) => {
                reader.broken(&error);
                ControlFlow::Break(())
            }
        };
        if step.is_break() {
            return (None, reader.mistakes);
        }
    }
    (reader.root, reader.mistakes)
}

struct Reader<'a> {
    file: &'a str,
    source: &'a Source<'a>,
    mistakes: Vec<Mistake>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, (Node, usize)>,
    nodes: usize,
    root: Option<Node>,
}

/// A list or mapping whose end has not been seen.
struct Open {
    anchor: usize,
    place: Place,
    is_flow: bool,
    nodes_before: usize,
    body: Body,
}

enum Body {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<(Box<str>, Place)>,
        seen: BTreeMap<Box<str>, u32>,
        /// It is no mapping at all, but `{{ }}` without quotes.
        is_template: bool,
    },
    /// A list or mapping that stands as a key, which is read over.
    Key,
}

impl Reader<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> ControlFlow<()> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {
                ControlFlow::Continue(())
            }
            Event::DocumentStart(_) => {
                if self.root.is_some() {
                    let place = self.place(span);
                    self.mistake(
                        place,
                        "yaml-several-documents",
                        "a second document begins here".to_owned(),
                        "keep one document a file: remove `---` and what follows, or move it to a file of its own",
                    );
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            }
            Event::Alias(id) => {
                let place = self.place(span);
                let Some((node, count)) =
                    self.anchors.get(&id).cloned_within(MAX_NODES - self.nodes.min(MAX_NODES))
                else {
                    let is_known = self.anchors.contains_key(&id);
                    return self.bad_alias(place, is_known);
                };
                self.nodes += count;
                self.add(node, place)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let node = self.scalar(&text, style, tag.as_deref(), span);
                self.nodes += 1;
                self.keep(anchor, &node, 1);
                let place = node.place;
                self.add(node, place)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span, "seq");
                self.open(anchor, span, Body::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span, "map");
                let body = Body::Map {
                    entries: Vec::new(),
                    key: None,
                    seen: BTreeMap::new(),
                    is_template: false,
                };
                self.open(anchor, span, body)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
        }
    }

    fn open(&mut self, anchor: usize, span: Span, body: Body) -> ControlFlow<()> {
        self.nodes += 1;
        let place = self.place(span);
        if self.open.len() >= MAX_DEPTH {
            self.too_deep(place);
            return ControlFlow::Break(());
        }
        let is_key = match self.open.last() {
            Some(Open { body: Body::Map { key: None, .. }, .. }) => {
                self.bad_key(place);
                true
            }
            Some(Open { body: Body::Key, .. }) => true,
            Some(Open { body: Body::List(_) | Body::Map { .. }, .. }) | None => false,
        };
        let body = if is_key { Body::Key } else { body };
        // What is written with brackets begins with one; an indented one begins nowhere.
        let is_flow = !span.is_empty();
        self.open.push(Open { anchor, place, is_flow, nodes_before: self.nodes - 1, body });
        ControlFlow::Continue(())
    }

    fn close(&mut self, span: Span) -> ControlFlow<()> {
        let Some(Open { anchor, mut place, is_flow, nodes_before, body }) = self.open.pop() else {
            return ControlFlow::Break(());
        };
        if is_flow {
            let end = span.end;
            place.length = if end.line() as u32 == place.line {
                (end.col() as u32 + 1).saturating_sub(place.column).max(1)
            } else {
                self.rest_of_line(place)
            };
        }
        let data = match body {
            Body::List(items) => Data::List(items.into()),
            Body::Map { is_template: true, .. } => Data::Text(self.source.at(place).into()),
            Body::Map { entries, .. } => {
                if let (false, Some(first)) = (is_flow, entries.first()) {
                    place = first.place;
                }
                Data::Map(entries.into())
            }
            Body::Key => {
                if let Some(Open { body: Body::Map { key, .. }, .. }) = self.open.last_mut() {
                    *key = Some(("".into(), place));
                }
                return ControlFlow::Continue(());
            }
        };
        let node = Node { place, data };
        self.keep(anchor, &node, self.nodes - nodes_before);
        self.add(node, place)
    }

    /// A text with very many mistakes is not read to its end.
    fn unless_hopeless(&self) -> ControlFlow<()> {
        if self.mistakes.len() < MAX_MISTAKES {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    /// Keeps what an anchor names. The copy counts, too: anchors in anchors would else copy without bound.
    fn keep(&mut self, anchor: usize, node: &Node, count: usize) {
        if anchor == 0 {
            return;
        }
        self.nodes += count;
        if self.nodes <= MAX_NODES {
            self.anchors.insert(anchor, (node.clone(), count));
        }
    }

    fn add(&mut self, mut node: Node, place: Place) -> ControlFlow<()> {
        if self.nodes > MAX_NODES {
            self.mistake(
                place,
                "yaml-too-big",
                format!(
                    "the file has more than {MAX_NODES} values, those counted that aliases repeat"
                ),
                "write fewer, or fewer aliases of aliases",
            );
            return ControlFlow::Break(());
        }
        match self.open.last_mut().map(|open| &mut open.body) {
            None => self.root = Some(node),
            Some(Body::Key) => {}
            Some(Body::List(items)) => items.push(node),
            Some(Body::Map { key: key @ None, .. }) => match node.data {
                Data::Text(text) => *key = Some((text, node.place)),
                Data::Null | Data::Bool(_) | Data::Int(_) | Data::Float(_) => {
                    // A key such as `404` or `true` means its own letters.
                    *key = Some((self.source.at(node.place).into(), node.place));
                }
                Data::List(_) | Data::Map(_) => {
                    *key = Some(("".into(), place));
                    self.bad_key(place);
                }
            },
            Some(Body::Map { entries, key, seen, .. }) => {
                let Some((key, place)) = key.take() else { return ControlFlow::Break(()) };
                if node.data == Data::Null && node.place.length == 0 {
                    node.place = place;
                }
                if &*key == "<<" {
                    self.mistake(
                        place,
                        "yaml-merge-key",
                        "`<<` does not merge mappings: YAML 1.2 has no merge keys".to_owned(),
                        "write the keys out, or put what all jobs share under `defaults` in project.yaml",
                    );
                } else {
                    match seen.entry(key.clone()) {
                        Slot::Vacant(slot) => {
                            slot.insert(place.line);
                            entries.push(Entry { key, place, value: node });
                        }
                        Slot::Occupied(_) if key.is_empty() => {}
                        Slot::Occupied(first) => {
                            let help = format!(
                                "keep one of the two; the first is in line {}",
                                first.get()
                            );
                            self.mistake(
                                place,
                                "yaml-duplicate-key",
                                format!("the key `{key}` stands here a second time"),
                                &help,
                            );
                        }
                    }
                }
            }
        }
        self.unless_hopeless()
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let is_text_by_tag =
            tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !is_text_by_tag {
            self.refuse_tag(tag, span, "str");
        }
        match style {
            ScalarStyle::Plain if !is_text_by_tag => {
                let mut place = self.place(span);
                if text.is_empty() {
                    place.length = 0;
                }
                let data = scalar::plain(text).unwrap_or_else(|scalar::TooLarge| {
                    self.mistake(
                        place,
                        "yaml-number",
                        format!("`{text}` is no number that can be kept digit by digit"),
                        &format!("write \"{text}\" in quotes if its digits matter"),
                    );
                    Data::Text(text.into())
                });
                Node { place, data }
            }
            ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                Node { place: self.place(span), data: Data::Text(text.into()) }
            }
            ScalarStyle::Literal | ScalarStyle::Folded => {
                Node { place: self.block_place(span, text), data: Data::Text(text.into()) }
            }
        }
    }

    /// The first character of a block text's body. The span begins at the first line that has something on it.
    fn block_place(&self, span: Span, text: &str) -> Place {
        let begin = self.place(span);
        let blank = text.chars().take_while(|c| *c == '\n').count();
        if blank == text.len() {
            return begin;
        }
        let line = begin.line.saturating_sub(blank as u32).max(1);
        let length = self.source.line(line).chars().count() as u32;
        Place {
            line,
            column: begin.column,
            length: (length + 1).saturating_sub(begin.column).max(1),
        }
    }

    fn place(&self, span: Span) -> Place {
        let line = span.start.line().max(1) as u32;
        let column = span.start.col() as u32 + 1;
        let mut place = Place { line, column, length: 1 };
        place.length = if span.end.line() == span.start.line() {
            (span.len() as u32).max(1)
        } else {
            self.rest_of_line(place)
        };
        place
    }

    fn rest_of_line(&self, place: Place) -> u32 {
        let line = self.source.line(place.line).trim_end().chars().count() as u32;
        (line + 1).saturating_sub(place.column).max(1)
    }

    fn mistake(&mut self, place: Place, code: &'static str, message: String, help: &str) {
        self.mistakes.push(Mistake {
            file: self.file.to_owned(),
            place,
            severity: Severity::Error,
            code,
            message,
            help: Some(help.to_owned()),
        });
    }
}

/// Copies an anchored node only if what it holds is within bounds.
trait ClonedWithin {
    fn cloned_within(self, room: usize) -> Option<(Node, usize)>;
}

impl ClonedWithin for Option<&(Node, usize)> {
    fn cloned_within(self, room: usize) -> Option<(Node, usize)> {
        self.filter(|(_, count)| *count <= room).cloned()
    }
}
