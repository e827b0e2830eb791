//! What reads texts that people or machines wrote is fed damaged ones: it takes them or refuses them, it never panics,
//! and it never takes long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use weir_core::catalogue::Catalogue;
use weir_core::diagnose::{Known, Matcher, Patterns, compile_pattern};
use weir_core::flow::Text;
use weir_core::mask::Masker;
use weir_core::schema::TextKind;
use weir_core::secret::Secret;
use weir_core::template::{self, Context};
use weir_core::{form, hosts, params, size, time};

/// No text of a few kilobytes takes longer, not even in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

fn catalogue_texts() -> Vec<String> {
    let paths = crate::files("../../../flows/catalogue", ".yaml");
    assert!(paths.len() > 5, "the catalogue is not where it was");
    paths.iter().map(|path| crate::read(path)).collect()
}

/// A text with some of its parts cut out, doubled, or replaced.
fn damaged(text: &str, wounds: &[(Index, u8, Index)]) -> String {
    let mut text = text.to_owned();
    for (at, kind, piece) in wounds {
        if text.is_empty() {
            break;
        }
        let from = floor(&text, at.index(text.len()));
        let to = floor(&text, (from + 1 + usize::from(*kind)).min(text.len()));
        let cut = text[from..to].to_owned();
        match kind % 4 {
            0 => text.replace_range(from..to, ""),
            1 => text.insert_str(from, &cut),
            2 => text.replace_range(from..to, PIECES[piece.index(PIECES.len())]),
            _ => text.insert_str(from, PIECES[piece.index(PIECES.len())]),
        }
    }
    text
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// What damage is made of: the signs that the languages read here give a meaning to.
const PIECES: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "|",
    "'",
    "\"",
    "\\",
    "\n",
    "\t",
    "  ",
    "- ",
    ": ",
    "&a ",
    "*a ",
    "<<: *a",
    "!!int ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "=",
    "!=",
    "(",
    ")",
    "(?P<",
    "[^",
    "{9999999}",
    "*",
    "+?",
    "\\p{",
    "$(",
    "`",
    "<<E",
    "#",
    "99999999999999999999",
    "-1",
    "1e999",
    "0x",
    "null",
    "\u{feff}",
    "\u{2028}",
    "\0",
    "\u{10ffff}",
    "for i in range(9**9)",
];

fn wounds() -> impl Strategy<Value = Vec<(Index, u8, Index)>> {
    proptest::collection::vec(any::<(Index, u8, Index)>(), 1..8)
}

fn in_time<T>(what: &str, text: &str, work: impl FnOnce() -> T) -> T {
    let (result, took) = crate::timed(work);
    assert!(took < PATIENCE, "{what} took {took:?} for {text:?}");
    result
}

/// Templates that use what the language has.
const TEMPLATES: &[&str] = &[
    "echo {{ params.who }} {{ params.list | join(',') }} {{ params.map.key | default('x') | raw }}",
    "{% for x in params.list %}{{ loop.index }}:{{ x }}{% if not loop.last %},{% endif %}{% endfor %}",
    "cat <<E\n{{ params.who }}\nE\nif [ \"{{ params.n }}\" -gt 3 ]; then echo '{{ params.who }}' `date`; fi",
    "{{ (params.n + 3) * 2 > 9 and params.who in ['a', 'b'] or not params.list[0] }}",
    "{{ params.who | upper | replace('A', 'b') | trim }}{# remark #}{% set y = params.n %}{{ y ~ y }}",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_catalogue_is_read_or_refused(which in any::<Index>(), wounds in wounds()) {
        let texts = catalogue_texts();
        let text = damaged(&texts[which.index(texts.len())], &wounds);
        match in_time("the catalogue", &text, || Catalogue::parse(&[("c.yaml", &text)])) {
            Ok(catalogue) => {
                // What is taken can be used.
                let known = catalogue.entries().iter().map(|entry| Known::from(&**entry)).collect();
                let _bad_pattern = Patterns::new(known);
            }
            Err(mistakes) => {
                assert!(!mistakes.is_empty());
                for mistake in mistakes {
                    let _ = mistake.render(&text).to_string();
                }
            }
        }
    }

    #[test]
    fn a_damaged_template_is_filled_or_refused(which in any::<Index>(), wounds in wounds()) {
        let source = damaged(TEMPLATES[which.index(TEMPLATES.len())], &wounds);
        let plain = BTreeMap::from([
            ("who".to_owned(), json!("a'b\"c $(d)")),
            ("n".to_owned(), json!(7)),
            ("list".to_owned(), json!(["x", "y z"])),
            ("map".to_owned(), json!({ "key": 1 })),
        ]);
        let values = params::Values { plain, ..params::Values::default() };
        let cx = Context { params: Arc::new(values), ..Context::default() };
        let text = Text { source: source.clone(), ..Text::default() };
        for kind in [TextKind::Plain, TextKind::Shell] {
            let _refused = in_time("the template", &source, || template::text(&text, kind, &cx));
        }
        let _refused = in_time("the condition", &source, || template::condition(&text, &cx));
        let _refused = in_time("the list", &source, || template::list(&text, &cx));
    }

    #[test]
    fn small_texts_are_read_or_refused(text in "\\PC{0,40}", wounds in wounds()) {
        let none = BTreeMap::new();
        for text in [text.clone(), damaged(&text, &wounds), damaged("role=data,zone!=b", &wounds), damaged("2h30m", &wounds)] {
            let _refused = in_time("a selector", &text, || hosts::select(&none, &text).is_ok());
            let _refused = in_time("a span", &text, || time::parse_span(&text));
            let _refused = in_time("a size", &text, || size::parse_size(&text));
            let _refused = in_time("a time", &text, || time::Timestamp::parse(&text));
            let _refused = in_time("a parameter", &text, || params::split(&text));
            let _refused = in_time("a pattern", &text, || compile_pattern(&text));
            let _refused = form::fields(&json!({ "form": { text.clone(): { "type": text.clone() } } }));
            let _refused = form::fields(&json!({ "message": "m", "form": [text.clone()] }));
        }
    }

    #[test]
    fn any_log_is_searched_whatever_its_pieces(lines in proptest::collection::vec((any::<Index>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..60), cuts in proptest::collection::vec(any::<Index>(), 0..6)) {
        let texts = catalogue_texts();
        // Lines of the samples among them, so that there is something to find.
        let samples: Vec<&str> = texts.iter().flat_map(|text| text.lines()).map(str::trim).collect();
        let mut bytes = Vec::new();
        for (sample, noise) in &lines {
            bytes.extend_from_slice(samples[sample.index(samples.len())].as_bytes());
            bytes.extend_from_slice(noise);
            bytes.push(b'\n');
        }
        let files: Vec<(String, &str)> =
            texts.iter().enumerate().map(|(at, text)| (at.to_string(), text.as_str())).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        let catalogue = Catalogue::parse(&files).expect("the shipped one is right");
        let known = catalogue.entries().iter().map(|entry| Known::from(&**entry)).collect();
        let patterns = Arc::new(Patterns::new(known).expect("the shipped patterns are right"));
        let secrets = [Secret::new("s", "hunter2hunter2")];
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let (mut whole, mut pieces) = (Matcher::new(Arc::clone(&patterns)), Matcher::new(patterns));
        let (mut masker, mut masked) = (Masker::new(&secrets), Vec::new());
        whole.feed(&bytes);
        for pair in cuts.windows(2) {
            pieces.feed(&bytes[pair[0]..pair[1]]);
            masker.push(&bytes[pair[0]..pair[1]], &mut masked);
        }
        masker.finish(&mut masked);
        assert_eq!(whole.finish(Some(1), None), pieces.finish(Some(1), None));
        assert_eq!(masked, bytes, "random bytes hold no secret");
    }
}
