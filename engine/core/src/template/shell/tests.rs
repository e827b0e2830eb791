//! What a script becomes, value by value.

use super::*;

/// `<a b>` stands for a value, `<a|b>` for a list.
fn check(script: &str, expected: &str) {
    let marked: String = script
        .chars()
        .map(|letter| match letter {
            '\u{ab}' => BEGIN,
            '\u{bb}' => END,
            '\u{a6}' => NEXT,
            _ => letter,
        })
        .collect();
    let found = quoted(&marked).unwrap_or_else(|refused| format!("no: {}", refused.message));
    assert_eq!(found, expected, "{script}");
}

#[test]
fn a_value_is_quoted_for_its_place() {
    check("echo \u{ab}it's $x\u{bb};", r"echo 'it'\''s $x';");
    check("echo \u{ab}\u{a6}a b\u{a6}c\u{a6}\u{bb} \u{ab}\u{bb}.", "echo 'a b' 'c' ''.");
    check(
        "echo \u{ab}\u{a6}\u{a6}\u{a6}\u{bb} \"\u{ab}\u{a6}a\u{a6}b\u{a6}\u{bb}\"",
        "echo '' '' \"\"'a b'\"\"",
    );
    check("echo \u{ab}\u{a6}\u{bb}.", "echo .");
    check("echo \"$HOME\u{ab}a\"b\u{bb}\"", "echo \"$HOME\"'a\"b'\"\"");
    check("echo 'x \u{ab}it's\u{bb}'", r"echo 'x it'\''s'");
    check("# don't \u{ab}a\nb\u{bb}\necho \u{ab}c\u{bb}", "# don't a b\necho 'c'");
    check("echo a#'b \u{ab}c\u{bb}'", "echo a#'b c'");
    check(
        "echo \"$(echo \"\u{ab}x\u{bb}\" '\u{ab}y\u{bb}' \u{ab}z\u{bb})\u{ab}w\u{bb}\"",
        "echo \"$(echo \"\"'x'\"\" 'y' 'z')\"'w'\"\"",
    );
    check("echo $((\u{ab}3\u{bb} + (2))) \u{ab}x\u{bb}", "echo $(( 3  + (2))) 'x'");
    check("x=$'\\n'; echo \u{ab}y\u{bb}", "x=$'\\n'; echo 'y'");
    check("echo ${x#\"}\"} \u{ab}y\u{bb}", "echo ${x#\"}\"} 'y'");
    check("cat <<<\u{ab}y\u{bb}", "cat <<<'y'");
    check("case x in a) echo \"\u{ab}y\u{bb}\";; esac", "case x in a) echo \"\"'y'\"\";; esac");
}

#[test]
fn here_documents_hold_values_as_they_are() {
    check("cat <<EOF\n${HOME} $(\u{ab}", "cat <<EOF\n${HOME} $(");
    check(
        "cat <<EOF >x\nit's ${HOME} \u{ab}$a`b\\\u{bb}\nEOF\necho \u{ab}x\u{bb}",
        "cat <<EOF >x\nit's ${HOME} \\$a\\`b\\\\\nEOF\necho 'x'",
    );
    check(
        "cat <<-'E O'\n\t\u{ab}$a\u{bb} $(\n\tE O\necho \u{ab}x\u{bb}",
        "cat <<-'E O'\n\t$a $(\n\tE O\necho 'x'",
    );
    check(
        "cat <<A <<\\B\n\u{ab}a\u{bb}\nA\n\u{ab}$\u{bb}\nB\n\u{ab}x\u{bb}",
        "cat <<A <<\\B\na\nA\n$\nB\n'x'",
    );
    for value in ["a\nEOF\nrm -rf /", "EOF"] {
        let script = format!("cat <<EOF\n\u{ab}{value}\u{bb}\nEOF\n");
        check(&script, "no: the value holds the line that ends the here-document");
    }
    check("cat <<EOF\nE\u{ab}OF\u{bb}", "no: the value holds the line that ends the here-document");
}

#[test]
fn where_no_quoting_is_right_a_value_is_refused() {
    for (script, why) in [
        ("echo ${x:-\u{ab}v\u{bb}}", "inside `${...}`"),
        ("echo \"${x:-\"\u{ab}v\u{bb}\"}\"", "inside `${...}`"),
        ("echo `echo \u{ab}v\u{bb}`", "inside backticks"),
        ("echo $'\u{ab}v\u{bb}'", "inside `$'...'`"),
        ("echo $'\\'' \u{ab}v\u{bb}", "shells differ"),
        ("echo \\\u{ab}v\u{bb}", "backslash"),
        ("echo \"\\\u{ab}v\u{bb}\"", "backslash"),
        ("echo $\u{ab}v\u{bb}", "`$` stands right before"),
        ("cat <<\u{ab}v\u{bb}\n", "delimiter"),
        ("cat <<E\u{ab}v\u{bb}\n", "delimiter"),
        ("cat <<E\n$x\u{ab}v\u{bb}\nE\n", "`$` name"),
        ("cat <<E\n$\u{ab}v\u{bb}\nE\n", "`$` name"),
        ("cat <<E\n$(echo \u{ab}v\u{bb})\nE\n", "expansion"),
        ("cat <<E\n${x:-\u{ab}v\u{bb}}\nE\n", "expansion"),
        ("echo $((\u{ab}x\u{bb}))", "whole number"),
        ("x=\"$(case a in a) echo;; esac)\" \u{ab}v\u{bb}", "`case`"),
        ("((x = 1 << 2)); echo \u{ab}v\u{bb}", "`<<` inside"),
        ("echo \u{ab}a\0b\u{bb}", "NUL"),
    ] {
        let marked = script.replace('\u{ab}', "\u{fdd0}").replace('\u{bb}', "\u{fdd2}");
        let refused = quoted(&marked).expect_err(script);
        assert!(refused.message.contains(why), "{script}: {}", refused.message);
    }
}
