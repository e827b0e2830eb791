//! Scripts with values in them, run by real shells: whatever a value holds, the script gets it as it is.

use std::process::{Command, Stdio};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use weir_core::flow::Text;
use weir_core::params::Values;
use weir_core::schema::TextKind;
use weir_core::template::{Context, text};

/// Each place in which a value may stand.
const SCRIPT: &str = r#"# it's a comment: {{ params.v }}
printf '%s\0' {{ params.v }}
printf '%s\0' "a$HOME{{ params.v }}b" 'c{{ params.v }}d' e{{ params.v }}f
printf '%s\0' "$(printf '%s.' "{{ params.v }}" '{{ params.v }}' {{ params.v }})"
printf '%s\0' $(( {{ params.n }} + 1 )) ${#HOME}
printf '%s\0' {{ params.list }} "{{ params.list }}"
x={{ params.v }}; printf '%s\0' "$x"
case {{ params.v }} in {{ params.v }}) printf 'same\0';; *) printf 'other\0';; esac
cat <<EOF
$HOME it's "{{ params.v }}" \$
EOF
cat <<-'E"F'; printf '\0%s\0' {{ params.v }} # {{ params.v }}
	${x} `{{ params.v }}
	E"F
printf '%s' {{ params.v }}"#;

#[expect(clippy::disallowed_methods, reason = "only a shell can say how a shell reads")]
fn run(shell: &str, script: &str) -> Option<Vec<u8>> {
    let mut shell = Command::new(shell);
    shell
        .arg("-c")
        .arg(script)
        .env_clear()
        .env("HOME", "/h")
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null());
    let output = shell.output().ok()?;
    assert!(output.status.success(), "{}\n{script}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

fn expected(value: &str, list: &[String]) -> String {
    let words: String = list.iter().flat_map(|word| [word.as_str(), "\0"]).collect();
    format!(
        "{value}\0a/h{value}b\0c{value}d\0e{value}f\0{value}.{value}.{value}.\08\02\0{words}{joined}\0{value}\0same\0\
         /h it's \"{value}\" $\n${{x}} `{value}\n\0{value}\0{value}",
        joined = list.join(" "),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_script_gets_every_value_as_it_is(
        value in r#"([ab'"$`\\#(){}\[\]<>|&;*?~!= \n-]|\$\(|EOF|\t|中){0,12}"#,
        list in proptest::collection::vec(r#"['"$ `\\a*\n]{0,4}"#, 0..3),
    ) {
        // A tab at a line's beginning would be taken away by `<<-`, which is what it is for.
        prop_assume!(!value.split('\n').skip(1).any(|line| line.starts_with('\t')));
        // A document's last line is refused, which other tests show.
        prop_assume!(!value.split('\n').any(|line| line == "EOF"));
        // dash garbles the first character past the word that ends a document, if it is not of ASCII.
        prop_assume!(!value.split('\n').any(|line| line.starts_with("EOF") && !line.is_ascii()));
        let plain = [("v".to_owned(), json!(value)), ("n".to_owned(), json!(7)), ("list".to_owned(), json!(list))];
        let values = Values { plain: plain.into(), ..Values::default() };
        let cx = Context { params: Arc::new(values), ..Context::default() };
        let source = Text { source: SCRIPT.to_owned(), ..Text::default() };
        let script = text(&source, TextKind::Shell, &cx).expect("each place can hold a value").value;
        for shell in ["sh", "bash", "ksh"] {
            let Some(output) = run(shell, &script) else { continue };
            let output = String::from_utf8_lossy(&output).into_owned();
            prop_assert_eq!(output, expected(&value, &list), "{}: {}", shell, &script);
        }
    }
}
