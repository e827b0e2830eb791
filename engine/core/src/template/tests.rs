//! What templates and expressions become.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::flow::Host;
use crate::hosts::Login;
use crate::mistake::Place;
use crate::params::Values;
use crate::time::Timestamp;

fn context() -> Context {
    let plain = json!({
        "name": "it's", "n": 3, "yes": true, "none": null, "dirs": ["/a b", "/c"], "labels": {"a": 1}, "empty": [],
    });
    let plain = plain.as_object().expect("a mapping").clone().into_iter().collect();
    let secrets = [("pw".to_owned(), Secret::new("pw", "hunter22"))].into();
    let format =
        JobFacts { state: "succeeded".to_owned(), outputs: json!({ "id": "x1", "block-size": 7 }) };
    let jobs = [("format".to_owned(), format.clone()), ("name-node".to_owned(), format)];
    let host = |name: &str| Host {
        name: name.to_owned(),
        address: format!("10.0.0.{}", name.len()),
        labels: [("role".to_owned(), "data".to_owned())].into(),
        login: Login {
            password: Some("written-out".to_owned()),
            port: Some(22),
            ..Login::default()
        },
        ..Host::default()
    };
    Context {
        params: Arc::new(Values { plain, secrets }),
        run: RunFacts {
            id: 7,
            due: Timestamp::from_millis(1_700_000_000_000),
            ..RunFacts::default()
        },
        jobs: Some(Arc::new(BTreeMap::from(jobs))),
        host: None,
        item: Some(json!({ "name": "d1" })),
        secrets: Some(Arc::new(BTreeMap::from([(
            "token".to_owned(),
            Secret::new("token", "s3cr3t-t0ken"),
        )]))),
        hosts: Arc::new([("d1".to_owned(), host("d1")), ("d10".to_owned(), host("d10"))].into()),
        failed: None,
    }
}

fn written(source: &str) -> Text {
    Text { source: source.to_owned(), place: Place { line: 10, column: 5, length: 3 } }
}

fn plain(source: &str) -> String {
    match text(&written(source), TextKind::Plain, &context()) {
        Ok(filled) => filled.value,
        Err(error) => format!("no: {error}"),
    }
}

fn script(source: &str) -> String {
    match text(&written(source), TextKind::Shell, &context()) {
        Ok(filled) => filled.value,
        Err(error) => format!("no: {error}"),
    }
}

#[test]
fn names_are_filled_in() {
    for (source, expected) in [
        ("a\n", "a\n"),
        ("{{ params.name }} {{ params.n + 1 }} {{ params.yes }}\n", "it's 4 true\n"),
        ("{{ params.dirs }} {{ params.labels }} {{ params.empty }}.", "/a b /c {\"a\":1} ."),
        (
            "{{ jobs.format.outputs.id }} {{ jobs.name_node.state }} {{ jobs['name-node'].outputs.block_size }}",
            "x1 succeeded 7",
        ),
        ("{{ run.id }} {{ run.due | date('%Y%m%d') }} {{ item.name }}", "7 20231114 d1"),
        (
            "{% for host in hosts('role=data') %}{{ host.name }}={{ host.address }} {% endfor %}",
            "d1=10.0.0.2 d10=10.0.0.3 ",
        ),
        (
            "{{ hosts('d1') | json }}",
            r#"[{"address":"10.0.0.2","labels":{"role":"data"},"name":"d1","port":22,"vars":{}}]"#,
        ),
        (
            "{{ params.dirs | json }} {{ params.missing | default('d') }}{# gone #}",
            "[\"/a b\",\"/c\"] d",
        ),
        ("{{ params.none or 'nothing' }} {% raw %}{{.Names}}{% endraw %}", "nothing {{.Names}}"),
        (
            "{{ params | json }}",
            r#"{"dirs":["/a b","/c"],"empty":[],"labels":{"a":1},"n":3,"name":"it's","none":null,"yes":true}"#,
        ),
    ] {
        assert_eq!(plain(source), expected, "{source}");
    }
}

#[test]
fn what_is_not_there_is_named() {
    for (source, expected) in [
        ("x {{ params.nmae }}", "`params.nmae` is not defined (help: did you mean `name`?)"),
        ("{{ parms.name }}", "`parms` is not defined (help: did you mean `params`?)"),
        ("{{ jobs.formt.state }}", "`jobs.formt` is not defined (help: did you mean `format`?)"),
        (
            "{{ jobs.name-node.state }}",
            "`jobs.name` is not defined (help: a name with `-` is written `jobs['name-node']` or `jobs.name_node`)",
        ),
        (
            "{{ jobs.format.outputs.di }} ",
            "`jobs.format.outputs.di` is not defined (help: there is: id, block-size)",
        ),
        (
            "{{ jobs.format.output }} ",
            "`jobs.format.output` is not defined (help: did you mean `outputs`?)",
        ),
        (
            "{{ failed.job }}!",
            "`failed` is not defined (help: there is: params, run, hosts, item, jobs, secret)",
        ),
        ("{{ secret('tokn') }}!", "there is no secret `tokn` here: did you mean `token`?"),
        ("{{ hosts('d11') }}!", "there is no host `d11`: did you mean `d1`?"),
        (
            "{{ params.none }}!",
            "the value is null, which is no text: write `... or ''` if it may be empty",
        ),
        (
            "{% for x in range(100000) %}{% for y in range(100000) %}{% endfor %}{% endfor %}",
            "the template does not end",
        ),
        ("{{ params.name | safe }}", "filter safe is unknown"),
        ("{% include 'x' %}", "this is no template: unknown statement include"),
    ] {
        let found = plain(source);
        assert!(found.starts_with(&format!("no: {expected}")), "{source}: {found}");
    }
    let error = text(&written("a\n\n{{ params.nmae }}"), TextKind::Plain, &context())
        .expect_err("undefined");
    assert_eq!((error.line, error.place), (3, Place { line: 12, column: 1, length: 1 }));
}

#[test]
fn scripts_are_quoted() {
    for (source, expected) in [
        (
            "echo {{ params.name }} {{ params.dirs }} {{ params.empty }}",
            r"echo 'it'\''s' '/a b' '/c' ",
        ),
        ("echo \"{{ params.name }}\" '{{ params.dirs }}'", r#"echo ""'it'\''s'"" '/a b /c'"#),
        ("echo {{ params.name | raw }} {{ 'a b' | raw }}", "echo it's a b"),
        ("echo {{ params.name | raw | upper }}", "echo 'IT'\\''S'"),
        ("echo {{ params.name | raw ~ ';' }}", "echo 'it'\\''s;'"),
        ("{% set x %}a {{ params.name }}{% endset %}echo {{ x }}", r"echo 'a it'\''s'"),
        ("echo ${#x} ${x%%.*} {{ params.n }}", "echo ${#x} ${x%%.*} '3'"),
        ("{% for d in params.dirs %}ls {{ d }}\n{% endfor %}", "ls '/a b'\nls '/c'\n"),
        ("echo {{ params.labels }}", "echo '{\"a\":1}'"),
        (
            "echo ${x:-{{ params.n }}}",
            "no: a value can't be quoted inside `${...}` (help: give it to a variable first: `x={{ ... }}`, and use that)",
        ),
    ] {
        assert_eq!(script(source), expected, "{source}");
    }
    let error =
        text(&written("a\nb {{ params.n }}\n`{{ params.n }}`"), TextKind::Shell, &context());
    assert_eq!(error.expect_err("refused").place.line, 12);
}

#[test]
fn no_filter_makes_a_value_raw_but_raw() {
    let mut cx = context();
    let evil = json!("'; \u{fdd0}$(rm)\u{fdd2} `x` \"\n#");
    cx.params = Arc::new(Values { plain: [("x".to_owned(), evil)].into(), ..Values::default() });
    for filter in [
        "upper",
        "lower",
        "title",
        "trim",
        "replace('a', 'b')",
        "join('-')",
        "default('x')",
        "string",
        "indent(2)",
        "json",
        "pprint",
        "lines | join",
        "list | join",
        "first ~ params.x",
        "format(1)",
        "reverse",
        "capitalize",
    ] {
        let source = format!("echo {{{{ params.x | {filter} }}}}");
        let Ok(found) = text(&written(&source), TextKind::Shell, &cx) else { continue };
        let value = found
            .value
            .strip_prefix("echo '")
            .and_then(|value| value.strip_suffix('\''))
            .expect(filter);
        assert!(!value.replace(r"'\''", "").contains('\''), "{filter}: {value}");
        assert!(!value.contains('\u{fdd0}'));
    }
}

#[test]
fn an_expression_keeps_its_kind() {
    let found = |source: &str| match value(&written(source), &context()) {
        Ok(filled) => filled.value.to_string(),
        Err(error) => format!("no: {error}"),
    };
    assert_eq!(found("{{ params.dirs }}"), r#"["/a b","/c"]"#);
    assert_eq!(found("params.n * 2"), "6");
    assert_eq!(found("{{ params.n }} {{ params.n }}"), "\"3 3\"");
    assert_eq!(found("{{- {'a': [1, none]} -}}"), r#"{"a":[1,null]}"#);
    assert_eq!(found("hosts('role=none')"), "[]");
    assert!(found("params.nmae").contains("did you mean `name`?"));
    assert!(found("params.n +").starts_with("no: this is no template"));
    let holds = |source: &str| condition(&written(source), &context());
    assert_eq!(holds("jobs.format.state == 'succeeded' and params.n > 2"), Ok(true));
    assert_eq!(holds("{{ 'x' in params.dirs }}"), Ok(false));
    assert!(holds("params.name").expect_err("a text").message.contains("and this is a text"));
    assert!(
        list(&written("params.name"), &context())
            .expect_err("a text")
            .message
            .contains("a foreach needs a list")
    );
    assert_eq!(list(&written("params.dirs"), &context()).expect("a list").value.len(), 2);
}

#[test]
fn settings_are_walked_and_secrets_told() {
    let schema = Schema::object()
        .optional("script", Schema::text().shell())
        .optional("title", Schema::text())
        .optional("when", Schema::text().expression())
        .optional("fixed", Schema::text().fixed())
        .optional("env", Schema::map(Schema::text()))
        .optional("any", Schema::anything());
    let with = json!({
        "script": "login {{ secret('token') }} {{ params.name }}",
        "title": "{{ params.n }}",
        "when": "params.yes",
        "fixed": "{{ not.touched }}",
        "env": { "A/B": "Basic {{ params.pw ~ ':' ~ secret('token') }}", "C": "{{ params.name }}" },
        "any": { "list": ["{{ params.dirs }}", 3, "x{{ params.n }}"], "flag": "{{ params.yes }}" },
    });
    let rendered = settings(&with, &schema, &Places::default(), &context()).expect("good");
    assert_eq!(
        rendered.with,
        json!({
            "script": r"login 's3cr3t-t0ken' 'it'\''s'",
            "title": "3",
            "when": true,
            "fixed": "{{ not.touched }}",
            "env": { "A/B": "Basic hunter22:s3cr3t-t0ken", "C": "it's" },
            "any": { "list": [["/a b", "/c"], 3, "x3"], "flag": true },
        })
    );
    let at: Vec<&str> = rendered.secret_at.iter().map(String::as_str).collect();
    assert_eq!(at, ["/env/A~1B", "/script"]);
    let values: Vec<&str> = rendered.secrets.iter().map(Secret::expose).collect();
    assert_eq!(values, ["s3cr3t-t0ken", "hunter22", "hunter22:s3cr3t-t0ken"]);
    let bad = json!({ "title": "{{ params.a }} ", "env": { "X": "a\n{{ params.b }}", "Y": "{{ secret('none') }}" } });
    let places = [("/env/X", Place { line: 5, column: 9, length: 2 })].into_iter().collect();
    let errors = settings(&bad, &schema, &places, &context()).expect_err("bad");
    let told: Vec<String> =
        errors.iter().map(|error| format!("{} {}", error.place.line, error.pointer)).collect();
    assert_eq!(told, ["0 /title", "6 /env/X", "0 /env/Y"]);
}

#[test]
fn scripts_of_other_languages_take_no_values() {
    let schema = Schema::object()
        .optional("script", Schema::text().shell())
        .optional("interpreter", Schema::anything());
    let fill = |interpreter: Value, script: &str| {
        let with = json!({ "interpreter": interpreter, "script": script });
        match settings(&with, &schema, &Places::default(), &context()) {
            Ok(rendered) => rendered.with["script"].as_str().unwrap_or_default().to_owned(),
            Err(errors) => errors[0].message.clone(),
        }
    };
    assert_eq!(fill(json!("bash"), "echo {{ params.n }}"), "echo '3'");
    assert_eq!(fill(json!(["/usr/bin/env", "-S", "dash"]), "echo {{ params.n }}"), "echo '3'");
    assert_eq!(
        fill(json!("python3 -u"), "print({{ params.n }})"),
        "a value can't be quoted for `python3`"
    );
    assert_eq!(fill(json!(["/usr/bin/env", "perl"]), "print {{ params.n | raw }}"), "print 3");
}

#[test]
fn the_jobs_of_a_remedy_see_what_failed() {
    let captures = [("dir".to_owned(), "/x".to_owned())].into();
    let failed = Failed {
        job: "g/a[0]".to_owned(),
        host: None,
        message: "exit code 1".to_owned(),
        captures,
    };
    let cx = Context { failed: Some(failed), ..context() };
    let source =
        "{{ remedy.captures.dir }} {{ failed.job }} {{ failed.message }} {{ failed.host or '-' }}";
    assert_eq!(
        text(&written(source), TextKind::Plain, &cx).expect("good").value,
        "/x g/a[0] exit code 1 -"
    );
}
