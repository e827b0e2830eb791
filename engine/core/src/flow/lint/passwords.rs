//! Passwords in plain text: whoever reads the flow has them, and so have its history and its logs.

use std::sync::LazyLock;

use regex::Regex;

use super::Hurt;
use super::shell::{Quoting, Script};

static NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)(^|[_.-])(password|passwd|passphrase|secret|secret[_-]?key|api[_-]?key|access[_-]?key|auth[_-]?token|token)$")
        .expect("the pattern is right")
});
static IN_SCRIPT: LazyLock<[Regex; 4]> = LazyLock::new(|| {
    [
        r#"(?i)(?:^|\s)--?(?:password|passwd|passphrase|token|secret)[= ]['"]?([^\s'";|&]+)"#,
        r#"(?i)(?:^|[\s;])(?:export\s+)?[a-z0-9_]*(?:password|passwd|passphrase|secret|_token|api_?key)=['"]?([^\s'";|&]+)"#,
        r#"(?:^|\s)(?:sshpass\s+-p\s*|mysql\S*\s(?:[^|;&\n]*\s)?-p)['"]?([^\s'";|&]+)"#,
        r"://[^/\s:@]+:([^@\s/]+)@",
    ]
    .map(|pattern| Regex::new(pattern).expect("the pattern is right"))
});

/// Whether a setting of that name holds a password.
pub(super) fn is_name_of_one(name: &str) -> bool {
    NAME.is_match(name)
}

/// Whether a text is a password itself, and not a name, a place or a template for one.
pub(super) fn is_plain(value: &str) -> bool {
    let is_other = value.contains("{{")
        || value.contains('$')
        || value.contains('`')
        || value.starts_with(['/', '<', '@', '-', '*', '.', '('])
        || value.chars().all(|c| c.is_ascii_digit() || c == '*' || c == 'x')
        || matches!(
            value.to_lowercase().as_str(),
            "none" | "null" | "true" | "false" | "yes" | "no" | "ask" | "prompt" | "env" | "file"
        );
    value.chars().count() >= 3 && !is_other
}

/// A setting whose name says that it is one.
pub(super) fn in_setting(name: &str, value: &str, hurts: &mut Vec<Hurt>) {
    if is_name_of_one(name) && is_plain(value) {
        hurts.push(hurt(0, value.len()));
    } else if let Some(found) = IN_SCRIPT[3].captures(value).and_then(|found| found.get(1))
        && is_plain(found.as_str())
    {
        hurts.push(hurt(found.start(), found.end()));
    }
}

/// Passwords in a script.
pub(super) fn in_script(script: &Script<'_>, hurts: &mut Vec<Hurt>) {
    let mut seen = Vec::new();
    for pattern in IN_SCRIPT.iter() {
        for found in pattern.captures_iter(script.source).filter_map(|found| found.get(1)) {
            let is_read = script.quoting(found.start()) != Quoting::Ignored;
            if is_read && is_plain(found.as_str()) && !seen.contains(&found.start()) {
                seen.push(found.start());
                hurts.push(hurt(found.start(), found.end()));
            }
        }
    }
}

fn hurt(from: usize, to: usize) -> Hurt {
    Hurt {
        from,
        to,
        code: "lint-password",
        message: "a password stands here in plain text".to_owned(),
        help: "store it with `weir secret set NAME`, hand it over as `env: { PASSWORD: \"{{ secret('NAME') }}\" }`, and use $PASSWORD".to_owned(),
    }
}
