//! What YAML is read as, with its places.

use std::fmt::Write as _;

use super::*;

fn tree(text: &str) -> String {
    let source = Source::new(text);
    let (node, mistakes) = read("f", &source);
    let mut out = String::new();
    for mistake in &mistakes {
        out.push_str(&mistake.render(text).to_string());
    }
    if let Some(node) = node {
        show(&node, "", &source, &mut out);
    }
    out
}

fn show(node: &Node, path: &str, source: &Source<'_>, out: &mut String) {
    let Place { line, column, .. } = node.place;
    match &node.data {
        Data::List(items) => {
            for (at, item) in items.iter().enumerate() {
                show(item, &format!("{path}/{at}"), source, out);
            }
        }
        Data::Map(entries) => {
            for entry in entries {
                show(&entry.value, &format!("{path}/{}", entry.key), source, out);
            }
        }
        scalar => {
            let text = source.at(node.place);
            writeln!(out, "{path} {scalar:?} @{line}:{column} [{text}]")
                .expect("a String takes all");
        }
    }
}

#[test]
fn every_scalar_knows_its_place() {
    insta::assert_snapshot!(
        tree("a: 1\nb: { c: 'it''s', d: [x, \"y\\n\"] }\n非: full\nempty:\n404: !!str 7\ns: |\n  one\n    two\n\nt: >-\n  a\n  b\n"),
        @r#"
    /a Int(1) @1:4 [1]
    /b/c Text("it's") @2:9 ['it''s']
    /b/d/0 Text("x") @2:22 [x]
    /b/d/1 Text("y\n") @2:25 ["y\n"]
    /非 Text("full") @3:4 [full]
    /empty Null @4:1 [empty]
    /404 Text("7") @5:6 [!!str 7]
    /s Text("one\n  two\n") @7:3 [one]
    /t Text("a b") @11:3 [a]
    "#
    );
}

/// Each `X` of a text must be found again from its offset in the scalar.
#[track_caller]
fn finds(text: &str) {
    let source = Source::new(text);
    let (node, mistakes) = read("f", &source);
    assert_eq!(mistakes, []);
    let node = node.expect("the text is YAML");
    let scalar = &node.entries()[0].value;
    let value = scalar.text().expect("the value is a text");
    let found: Vec<_> = value
        .match_indices('X')
        .map(|(at, _)| source.inside(scalar.place, value, at, at + 1))
        .map(|place| (place.line as usize, place.column as usize))
        .collect();
    let expected: Vec<_> = text
        .lines()
        .enumerate()
        .flat_map(|(at, line)| {
            line.chars()
                .enumerate()
                .filter(|(_, c)| *c == 'X')
                .map(move |(column, _)| (at + 1, column + 1))
        })
        .collect();
    assert_eq!(found, expected, "{value:?}");
}

#[test]
fn a_character_of_a_scalar_is_found_again_in_the_file() {
    finds("a: plain X and X\n");
    finds("a: plain X\n   folded X over\n\n   lines X\n");
    finds("a: 'it''s X and ''X'''\n");
    finds("a: \"tab\\tX é \\u00e9X \\x41X \\\\X \\\"X\"\n");
    finds("a: \"one X\n  two X\n\n  three \\\n  X\"\n");
    finds("a: |\n  X\n    indented X\n\n  é X\n");
    finds("a: |-  # words\n\n\n    X\n    X\n");
    finds("a: |2\n    X stands in by two\n  X\n");
    finds("a: >\n  folded X\n  line X\n\n  X after a gap\n");
    finds("a:\n  plain on\n  the next X line\n");
    finds("a: !!str X\n");
}

#[test]
fn a_text_that_is_no_yaml_says_where_and_what_would_be_right() {
    insta::assert_snapshot!(tree("a: 1\na: 2\n<<: {b: 1}\nn: 99999999999999999999\nt: !x 1\nv: {{ params.x }}\n? [q]\n: 1\n"), @r#"
    error[yaml-duplicate-key]: the key `a` stands here a second time
     --> f:2:1
      |
    2 | a: 2
      | ^
      = help: keep one of the two; the first is in line 1
    error[yaml-merge-key]: `<<` does not merge mappings: YAML 1.2 has no merge keys
     --> f:3:1
      |
    3 | <<: {b: 1}
      | ^^
      = help: write the keys out, or put what all jobs share under `defaults` in project.yaml
    error[yaml-number]: `99999999999999999999` is no number that can be kept digit by digit
     --> f:4:4
      |
    4 | n: 99999999999999999999
      |    ^^^^^^^^^^^^^^^^^^^^
      = help: write "99999999999999999999" in quotes if its digits matter
    error[yaml-tag]: the tag `!x` means nothing here
     --> f:5:4
      |
    5 | t: !x 1
      |    ^^^^
      = help: remove it; put quotes around what must stay text
    error[yaml-unquoted-template]: a value that begins with `{{` must stand in quotes, else YAML takes it for a mapping
     --> f:6:4
      |
    6 | v: {{ params.x }}
      |    ^^^^^^^^^^^^^^
      = help: write "{{ params.x }}"
    error[yaml-key]: a list or mapping can't be a key
     --> f:7:3
      |
    7 | ? [q]
      |   ^
      = help: write a text as key; put quotes around a value that begins with `{` or `[`
    /a Int(1) @1:4 [1]
    /n Text("99999999999999999999") @4:4 [99999999999999999999]
    /t Int(1) @5:4 [!x 1]
    /v Text("{{ params.x }}") @6:4 [{{ params.x }}]
    / Int(1) @8:3 [1]
    "#);
    insta::assert_snapshot!(tree("a:\n\tb: 1\n"), @r#"
    error[yaml-syntax]: this is no YAML: tabs disallowed within this context (block indentation)
     --> f:2:2
      |
    2 | 	b: 1
      | 	^
      = help: indent with spaces; YAML allows no tabs there
    "#);
    insta::assert_snapshot!(tree("a: b: c\n"), @r#"
    error[yaml-syntax]: this is no YAML: a `:` must not stand here
     --> f:1:5
      |
    1 | a: b: c
      |     ^
      = help: put quotes around a text that holds `: `, or align the key with its neighbours
    "#);
    insta::assert_snapshot!(tree("a: [1, 2\nb: 3\n"), @r#"
    error[yaml-syntax]: this is no YAML: illegal placement of `:` indicator
     --> f:2:2
      |
    2 | b: 3
      |  ^
      = help: compare the indentation with the lines above, and put quotes around texts with special characters
    "#);
    insta::assert_snapshot!(tree("a: \"open\n"), @r#"
    error[yaml-syntax]: this is no YAML: while scanning a quoted text, found unexpected end of stream
     --> f:1:4
      |
    1 | a: "open
      |    ^
      = help: close the quote; in double quotes write `\\` for a backslash, or use single quotes
    "#);
    insta::assert_snapshot!(tree("a: *none\n"), @r#"
    error[yaml-syntax]: this is no YAML: while parsing node, found unknown anchor
     --> f:1:4
      |
    1 | a: *none
      |    ^
      = help: name an anchor that stands above as `&name`; put quotes around a text that begins with `*`
    "#);
    insta::assert_snapshot!(tree("a: {{ x }} and more\n"), @r#"
    error[yaml-unquoted-template]: a value that begins with `{{` must stand in quotes, else YAML takes it for a mapping
     --> f:1:4
      |
    1 | a: {{ x }} and more
      |    ^^^^^^^
      = help: write "{{ x }}"
    "#);
    insta::assert_snapshot!(tree("a: 1\n---\nb: 2\n"), @r#"
    error[yaml-several-documents]: a second document begins here
     --> f:2:1
      |
    2 | ---
      | ^^^
      = help: keep one document a file: remove `---` and what follows, or move it to a file of its own
    "#);
    insta::assert_snapshot!(tree("a: &a [*a]\n"), @r#"
    error[yaml-alias]: this alias stands inside of what it repeats
     --> f:1:8
      |
    1 | a: &a [*a]
      |        ^^
      = help: let it name an anchor that has ended before it
    "#);
    insta::assert_snapshot!(tree("a: 1\n b: 2\n"), @r#"
    error[yaml-syntax]: this is no YAML: a `:` must not stand here
     --> f:2:3
      |
    2 |  b: 2
      |   ^
      = help: put quotes around a text that holds `: `, or align the key with its neighbours
    "#);
    insta::assert_snapshot!(tree("a: \"\\d\"\n"), @r#"
    error[yaml-syntax]: this is no YAML: while parsing a quoted text, found unknown escape character
     --> f:1:4
      |
    1 | a: "\d"
      |    ^
      = help: close the quote; in double quotes write `\\` for a backslash, or use single quotes
    "#);
}

#[test]
fn what_a_text_can_make_us_spend_is_bounded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        let _ = writeln!(bomb, "a{level}: &a{level} [{}]", vec![before; 10].join(", "));
    }
    let code = |text: &str| {
        let (node, mistakes) = read("f", &Source::new(text));
        assert_eq!(node, None);
        mistakes.last().map(|mistake| mistake.code)
    };
    assert_eq!(code(&bomb), Some("yaml-too-big"));
    assert_eq!(code(&format!("a: {}", "[".repeat(100_000))), Some("yaml-too-deep"));
    assert_eq!(code(&"- ".repeat(100_000)), Some("yaml-too-deep"));
    assert_eq!(code(&"a".repeat(MAX_BYTES + 1)), Some("yaml-too-big"));
    assert_eq!(code(&"- x\n".repeat(MAX_NODES + 1)), Some("yaml-too-big"));
    // Anchors in anchors copy what they hold: the copies count.
    let nested = format!("a: &a [&b [&c [{}]]]", "x,".repeat(MAX_NODES / 3));
    assert_eq!(code(&nested), Some("yaml-too-big"));
}
