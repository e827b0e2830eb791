//! What is said of texts that are no YAML, or YAML that means nothing here.

use std::ops::ControlFlow;

use saphyr_parser::{ScanError, Span, Tag};

use super::{Body, Open, Reader};
use crate::mistake::{Mistake, Place};
use crate::yaml::{MAX_DEPTH, MAX_NODES};

impl Reader<'_> {
    pub(super) fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span, usual: &str) {
        let Some(tag) = tag else { return };
        if tag.is_yaml_core_schema() && tag.suffix == usual {
            return;
        }
        let place = self.place(span);
        let name =
            if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { tag.to_string() };
        self.mistake(
            place,
            "yaml-tag",
            format!("the tag `{name}` means nothing here"),
            "remove it; put quotes around what must stay text",
        );
    }

    pub(super) fn bad_key(&mut self, place: Place) {
        let line = self.source.line(place.line);
        let from = line.char_indices().nth(place.column.saturating_sub(1) as usize);
        let rest = from.map_or("", |(at, _)| &line[at..]);
        // `key: {{ x }}` reads as a mapping whose key is a mapping.
        if line.contains("{{") {
            if let Some(Open { body: Body::Map { is_template, .. }, .. }) = self.open.last_mut() {
                *is_template = true;
            }
            let value = line.split_once("{{").map_or(rest, |(_, after)| after);
            let value = value.split_once("}}").map_or(value, |(inside, _)| inside);
            let column = line.split("{{").next().unwrap_or("").chars().count() as u32 + 1;
            let length = value.chars().count() as u32 + 4;
            self.mistake(
                Place { line: place.line, column, length },
                "yaml-unquoted-template",
                "a value that begins with `{{` must stand in quotes, else YAML takes it for a mapping".to_owned(),
                &format!("write \"{{{{{value}}}}}\""),
            );
            return;
        }
        self.mistake(
            place,
            "yaml-key",
            "a list or mapping can't be a key".to_owned(),
            "write a text as key; put quotes around a value that begins with `{` or `[`",
        );
    }

    pub(super) fn too_deep(&mut self, place: Place) {
        self.mistake(
            place,
            "yaml-too-deep",
            format!("lists and mappings stand in each other deeper than {MAX_DEPTH}"),
            "move the inner part to a flow of its own, and call it with `uses: flow`",
        );
    }

    pub(super) fn bad_alias(&mut self, place: Place, is_known: bool) -> ControlFlow<()> {
        if is_known {
            self.mistake(
                place,
                "yaml-too-big",
                format!(
                    "aliases repeat so much that the file would have more than {MAX_NODES} values"
                ),
                "write fewer aliases of aliases",
            );
        } else {
            self.mistake(
                place,
                "yaml-alias",
                "this alias stands inside of what it repeats".to_owned(),
                "let it name an anchor that has ended before it",
            );
        }
        ControlFlow::Break(())
    }

    pub(super) fn broken(&mut self, error: &ScanError) {
        let at = error.marker();
        let mut line = (at.line() as u32).max(1);
        let mut column = at.col() as u32 + 1;
        // The end of the text is marked on the last line that has something on it.
        while line > 1 && self.source.line(line).trim().is_empty() {
            line -= 1;
            column = self.source.line(line).trim_end().chars().count().max(1) as u32;
        }
        let place = Place { line, column, length: 1 };
        let info = error.info();
        if info.contains("recursion limit") {
            self.too_deep(place);
            return;
        }
        let text = self.source.line(line);
        let is_told = |mistake: &Mistake| {
            mistake.place.line == line && mistake.code == "yaml-unquoted-template"
        };
        if self.mistakes.iter().any(is_told) {
            return;
        }
        let help = if text.contains(": {{") || text.contains("- {{") {
            "put quotes around a value that begins with `{{`"
        } else if info.contains("tab") || text.trim_start_matches(' ').starts_with('\t') {
            "indent with spaces; YAML allows no tabs there"
        } else if info.contains("mapping values are not allowed") {
            "put quotes around a text that holds `: `, or align the key with its neighbours"
        } else if info.contains("simple key")
            || info.contains("expected key")
            || info.contains("expected ':'")
        {
            "write `key: value`, and align the key with its neighbours"
        } else if info.contains("quoted scalar") || info.contains("escape") {
            "close the quote; in double quotes write `\\\\` for a backslash, or use single quotes"
        } else if info.contains("anchor") {
            "name an anchor that stands above as `&name`; put quotes around a text that begins with `*`"
        } else if info.contains("flow") || info.contains("',' or") {
            "close each `[` and `{`, put commas between their items, and indent them deeper than their key"
        } else {
            "compare the indentation with the lines above, and put quotes around texts with special characters"
        };
        let message = format!("this is no YAML: {}", in_plain_words(info));
        self.mistake(place, "yaml-syntax", message, help);
    }
}

/// The parser's words with those of the standard that mean something else here.
fn in_plain_words(info: &str) -> String {
    let words = [
        ("a flow sequence", "a list in brackets"),
        ("a flow mapping", "a mapping in braces"),
        ("flow construct", "what stands in brackets"),
        ("a block mapping", "a mapping"),
        ("a block collection", "a list"),
        ("scalar", "text"),
        ("mapping values are not allowed in this context", "a `:` must not stand here"),
    ];
    let plain =
        words.iter().fold(lower_first(info), |text, (word, plain)| text.replace(word, plain));
    plain.replace('\'', "`")
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}
