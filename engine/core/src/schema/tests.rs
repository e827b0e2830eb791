//! Which values fit a schema.

use super::*;
use crate::mistake::Place;
use crate::yaml::{Source, read};

fn schema() -> Schema {
    Schema::object()
        .required(
            "script",
            Schema::text().shell().not_empty().describe("What the shell runs. More words."),
        )
        .optional("count", Schema::integer().minimum(1).maximum(10))
        .optional("ratio", Schema::number())
        .optional("fast", Schema::boolean())
        .optional("mode", Schema::choice(["quick", "slow"]))
        .optional("within", Schema::span())
        .optional("memory", Schema::size())
        .optional("match", Schema::regex())
        .optional("name", Schema::text().pattern("^[a-z]+$").fixed().example("abc"))
        .optional("tags", Schema::list(Schema::text()).not_empty())
        .optional("env", Schema::map(Schema::text()).keys_like("^[A-Z]+$"))
        .optional(
            "key",
            Schema::one_of([
                Schema::text(),
                Schema::object().required("secret", Schema::text()),
                Schema::object()
                    .required("file", Schema::text())
                    .optional("mode", Schema::integer()),
            ]),
        )
        .optional("tree", Schema::reference("tree"))
        .define("tree", Schema::object().optional("next", Schema::reference("tree")))
}

fn check(text: &str) -> String {
    let (node, mistakes) = read("f", &Source::new(text));
    assert_eq!(mistakes, []);
    let node = node.expect("the text is YAML");
    let found = Checker::new(schema()).check(
        &node,
        Place { line: 9, column: 9, length: 1 },
        Templates::Filled,
    );
    let lines: Vec<String> = found
        .iter()
        .map(|f| {
            let Place { line, column, length } = f.place;
            let help = f.help.as_deref().unwrap_or("-");
            format!("{line}:{column}+{length} {} [{}] {} | {help}\n", f.pointer, f.code, f.message)
        })
        .collect();
    lines.concat()
}

#[test]
fn every_mistake_is_found_with_its_place_and_a_cure() {
    insta::assert_snapshot!(check(
        "scrpt: x\ncount: 11\nratio: a\nfast: yes\nmode: quik\nwithin: 10\nmemory: 1XB\nmatch: '(a'\nname: ABC\ntags: []\nenv: { path: 1 }\nkey: { fil: x }\ntree: { next: { next: { nxt: 1 } } }\n"
    ), @r#"
    1:1+5  [unknown-key] `scrpt` is no key here | did you mean `script`?
    2:8+2 /count [out-of-range] 11 is too large | write at most 10
    3:8+1 /ratio [wrong-type] expected a number, found text | write digits only
    4:7+3 /fast [wrong-type] expected `true` or `false`, found text | write `true` without quotes
    5:7+4 /mode [not-a-choice] `quik` is not one of the choices | did you mean `quick`? it can be `quick` or `slow`
    6:9+2 /within [wrong-type] expected a span of time such as `90s` or `0`, found a whole number | add a unit: ms, s, m, h or d
    7:9+3 /memory [bad-size] `1XB` is no number of bytes | write a number and a unit (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), such as `512MiB`
    8:8+4 /match [bad-regex] this is no regular expression: unclosed group | put a backslash before a sign that means itself, and close each bracket; look-around and back-references are not known here
    9:7+3 /name [wrong-form] `ABC` does not have the right form | write it like `abc`; it must match `^[a-z]+$`
    10:7+2 /tags [too-short] this is empty | write at least 1 item
    11:8+4 /env/path [bad-name] `path` can't be a name here | it must match `^[A-Z]+$`
    11:14+1 /env/path [wrong-type] expected text, found a whole number | put quotes around it
    12:8+3 /key [unknown-key] `fil` is no key here | did you mean `file`?
    12:1+3 /key [missing-key] `key` has no `file` | add `file:`
    13:25+3 /tree/next/next [unknown-key] `nxt` is no key here | did you mean `next`?
    9:9+1  [missing-key] `script` is missing | add `script:` (what the shell runs)
    "#);
    insta::assert_snapshot!(check("script: ''\ncount: 1.5\ntags: x\nenv: [a]\nkey: [a]\nwithin: 90 s\nmode: 5\ntree:\n"), @r#"
    1:9+2 /script [too-short] this is empty | write at least 1 character
    2:8+3 /count [wrong-type] expected a whole number, found a number | write it without a fraction
    3:7+1 /tags [wrong-type] expected a list, found text | write [x]
    4:6+3 /env [wrong-type] expected a mapping, found a list | write keys and values below it, each on a line of its own: `key: value`
    5:6+3 /key [wrong-type] expected text or a mapping, found a list | write text or a mapping
    6:9+4 /within [bad-span] `90 s` is no span of time | write a number and a unit (ms, s, m, h, d), largest first, such as `90s` or `1h30m`, at most ten years
    7:7+1 /mode [not-a-choice] expected one of the choices, found a whole number | it can be `quick` or `slow`
    8:1+4 /tree [wrong-type] expected a mapping, found nothing | write a value, or remove the key
    "#);
}

#[test]
fn what_fits_fits() {
    assert_eq!(
        check(
            "script: |\n  date\ncount: 10\nratio: 1\nfast: true\nmode: slow\nwithin: 1h30m\nmemory: 512MiB\nmatch: a+\nname: abc\ntags: [a]\nenv: { PATH: /bin }\nkey: { file: k, mode: 600 }\n"
        ),
        ""
    );
    assert_eq!(check("script: x\nwithin: 0\nmemory: 4096\nkey: k\n"), "");
}

#[test]
fn a_template_stands_for_what_it_makes() {
    assert_eq!(
        check(
            "script: x\ncount: '{{ a }}'\nratio: '{{ a }}'\nfast: '{{ a }}'\nmode: 'q{{ a }}'\nwithin: '{{ a }}s'\ntags: '{{ a }}'\nkey: '{{ a }}'\n"
        ),
        ""
    );
    insta::assert_snapshot!(check("script: x\nname: 'a{{ b }}'\ntags: 'x {{ a }}'\n"), @r#"
    2:7+10 /name [wrong-form] `a{{ b }}` does not have the right form | write it like `abc`; it must match `^[a-z]+$`
    3:7+11 /tags [wrong-type] expected a list, found text | write [x {{ a }}]
    "#);
}

#[test]
fn the_kind_of_a_text_is_found_by_its_pointer() {
    let schema = Schema::object()
        .optional("script", Schema::text().shell())
        .optional(
            "list",
            Schema::list(Schema::object().optional("when", Schema::text().expression())),
        )
        .optional("map", Schema::map(Schema::one_of([Schema::integer(), Schema::text().fixed()])));
    for (pointer, kind) in [
        ("/script", TextKind::Shell),
        ("/list/3/when", TextKind::Expression),
        ("/map/any~1thing", TextKind::Fixed),
        ("/unknown", TextKind::Plain),
    ] {
        assert_eq!(schema.text_kind(pointer), kind, "{pointer}");
    }
}
