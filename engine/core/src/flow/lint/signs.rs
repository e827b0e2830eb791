//! Signs that look right and are wrong: full-width punctuation, typographic quotes and dots, addresses with too few
//! slashes. They come from texts that went through a word processor or an input method.

use std::sync::LazyLock;

use regex::Regex;

use super::Hurt;
use super::shell::{Quoting, Script};

/// A sign, and the one that was meant.
const SIGNS: [(char, &str); 31] = [
    ('\u{ff0c}', ","),
    ('\u{ff1b}', ";"),
    ('\u{ff1a}', ":"),
    ('\u{ff08}', "("),
    ('\u{ff09}', ")"),
    ('\u{ff02}', "\""),
    ('\u{ff07}', "'"),
    ('\u{ff5c}', "|"),
    ('\u{ff06}', "&"),
    ('\u{ff1e}', ">"),
    ('\u{ff1c}', "<"),
    ('\u{ff1d}', "="),
    ('\u{ff0d}', "-"),
    ('\u{ff0f}', "/"),
    ('\u{ff3c}', "\\"),
    ('\u{ff01}', "!"),
    ('\u{ff5e}', "~"),
    ('\u{ff04}', "$"),
    ('\u{ff0e}', "."),
    ('\u{3002}', "."),
    ('\u{3001}', ","),
    ('\u{3000}', " "),
    ('\u{a0}', " "),
    ('\u{201c}', "\""),
    ('\u{201d}', "\""),
    ('\u{2018}', "'"),
    ('\u{2019}', "'"),
    ('\u{2026}', "..."),
    ('\u{2013}', "-"),
    ('\u{2014}', "--"),
    ('\u{2212}', "-"),
];

static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(zk|hdfs):(/?)([A-Za-z0-9_.-]+|\{\{[^}]*\}\}):[0-9]+")
        .expect("the pattern is right")
});

/// Signs that a shell reads otherwise than a person.
pub(super) fn in_script(script: &Script<'_>, hurts: &mut Vec<Hurt>) {
    if script.source.is_ascii() {
        return;
    }
    for (at, sign) in script.source.char_indices() {
        let Some((_, meant)) = SIGNS.iter().find(|(known, _)| *known == sign) else { continue };
        let before = script.source[..at].chars().next_back();
        let after = script.source[at + sign.len_utf8()..].chars().next();
        let hurts_here = match script.quoting(at) {
            Quoting::Ignored | Quoting::Template => false,
            // In quotes it may be prose; between letters and digits of a setting it is not.
            Quoting::Quoted => {
                !is_prose_sign(sign) && before.is_some_and(is_code) && after.is_some_and(is_code)
            }
            Quoting::Bare => {
                let is_prose = before.is_some_and(is_ideograph)
                    && after.is_none_or(|c| is_ideograph(c) || c == '\n');
                let is_spoken = script.command_at(at).is_some_and(|command| {
                    let name = command.own().first().map(|word| word.text.as_str());
                    matches!(name, Some("echo" | "printf" | "logger"))
                });
                !is_prose && !is_spoken
            }
        };
        if hurts_here {
            let is_quoted = script.quoting(at) == Quoting::Quoted;
            hurts.push(hurt(at, sign, meant, is_quoted));
        }
    }
}

/// Addresses whose slashes are missing.
pub(super) fn in_text(text: &str, hurts: &mut Vec<Hurt>) {
    for found in ADDRESS.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        let scheme = &found[1];
        // `hdfs:hdfs` names a user and a group; with a port behind it is an address.
        hurts.push(Hurt {
            from: whole.start(),
            to: whole.end(),
            code: "lint-slashes",
            message: format!("`{scheme}:` needs two slashes before the host"),
            help: format!(
                "write `{scheme}://{}`",
                &whole.as_str()[scheme.len() + 1 + found[2].len()..]
            ),
        });
    }
}

fn hurt(at: usize, sign: char, meant: &str, is_quoted: bool) -> Hurt {
    let (code, kind) = match sign {
        '\u{201c}' | '\u{201d}' | '\u{2018}' | '\u{2019}' => {
            ("lint-typographic", "a typographic quote")
        }
        '\u{2026}' => ("lint-typographic", "a typographic ellipsis"),
        '\u{2013}' | '\u{2014}' | '\u{2212}' => ("lint-typographic", "a typographic dash"),
        '\u{a0}' => ("lint-typographic", "a space that does not break"),
        _ => ("lint-full-width", "a full-width sign"),
    };
    let shown = if meant == " " { "a plain space".to_owned() } else { format!("`{meant}`") };
    Hurt {
        from: at,
        to: at + sign.len_utf8(),
        code,
        message: format!(
            "{kind} (U+{:04X}) stands in a command, where it is a letter like others",
            u32::from(sign)
        ),
        help: if is_quoted {
            format!("write {shown}")
        } else {
            format!("write {shown}, or put the text in quotes")
        },
    }
}

fn is_prose_sign(sign: char) -> bool {
    matches!(
        sign,
        '\u{201c}'
            | '\u{201d}'
            | '\u{2018}'
            | '\u{2019}'
            | '\u{2026}'
            | '\u{2013}'
            | '\u{2014}'
            | '\u{a0}'
    )
}

fn is_code(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | ':' | '_' | '-' | '$' | '}' | '{')
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{2fff}' | '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}')
}
