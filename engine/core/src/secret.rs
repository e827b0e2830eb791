//! Values that must never be seen, and the forms in which they could be.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// A value that must never be seen. Prints as `***`; its memory is not kept by any `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    name: String,
    value: String,
}

impl Secret {
    /// The least length in bytes of anything that is masked. Shorter values would turn a log into stars, and the
    /// stars would tell where they stand: whoever stores a secret refuses shorter ones.
    pub const SHORTEST: usize = 4;

    /// The least length in bytes of a line of a secret of several lines that is masked by itself.
    const SHORTEST_LINE: usize = 8;

    /// A secret with the name it is known by.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    /// What it is known by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value itself. Only for handing it to the work that needs it.
    pub fn expose(&self) -> &str {
        &self.value
    }

    /// Whether it is long enough to be masked.
    pub fn is_maskable(&self) -> bool {
        self.value.trim().len() >= Self::SHORTEST
    }

    /// All forms in which the value could be seen, each at least [`Secret::SHORTEST`] bytes: itself, base64 (both
    /// alphabets, embedded at any of the three alignments, and as lines of 76 or 64), URL-encoded, JSON-escaped (once
    /// and twice), hexadecimal, quoted for a shell, escaped for XML and HTML, and each longer line of several.
    ///
    /// Sorted, each once. Empty if the value is too short to be masked.
    pub fn forms(&self) -> Vec<Vec<u8>> {
        let mut forms = BTreeSet::new();
        if self.is_maskable() {
            let trimmed = self.value.trim_end_matches(['\r', '\n']);
            for value in [self.value.as_str(), trimmed] {
                add_forms(value, &mut forms);
            }
            if trimmed.contains('\n') {
                for line in trimmed.lines().map(str::trim) {
                    if line.len() >= Self::SHORTEST_LINE {
                        add_forms(line, &mut forms);
                    }
                }
            }
        }
        forms.into_iter().filter(|form| form.len() >= Self::SHORTEST).collect()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}: ***)", self.name)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn add_forms(value: &str, forms: &mut BTreeSet<Vec<u8>>) {
    forms.insert(value.as_bytes().to_vec());
    add_base64(value.as_bytes(), forms);
    let hex = |upper| value.bytes().map(|byte| hex_byte(byte, upper)).collect::<String>();
    let mut add = |text: String| {
        forms.insert(text.into_bytes());
    };
    add(hex(false));
    add(hex(true));
    // RFC 3986; what `encodeURIComponent` leaves; what `urllib.parse.quote` leaves.
    for kept in ["-._~", "-._~!*'()", "-._~/", "-._*"] {
        for upper in [false, true] {
            for space in ["%20", "+"] {
                add(url_encoded(value, kept, upper, space));
            }
        }
    }
    for text in json_escaped(value) {
        json_escaped(&text).into_iter().for_each(&mut add);
        add(text);
    }
    add(value.replace('\'', r"'\''"));
    add(value.replace('\'', r#"'"'"'"#));
    add(escaped_before(value, |c| matches!(c, '"' | '$' | '`' | '\\')));
    add(escaped_before(value, |c| !(c.is_alphanumeric() || "_@%+=:,./-".contains(c))));
    add(escaped_before(value, |c| matches!(c, '\'' | '\\'))
        .replace('\n', "\\n")
        .replace('\t', "\\t"));
    let xml = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    for quote in ["\"", "&quot;", "&#34;"] {
        for apostrophe in ["'", "&#39;", "&apos;", "&#x27;"] {
            add(xml.replace('"', quote).replace('\'', apostrophe));
        }
    }
}

fn add_base64(bytes: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    for alphabet in [BASE64, BASE64_URL] {
        let whole = base64(bytes, alphabet);
        for width in [76, 64] {
            if whole.len() > width {
                // A last line of a few letters says little and could be anything.
                let lines = whole.chunks(width).filter(|line| line.len() >= Secret::SHORTEST_LINE);
                forms.extend(lines.map(<[u8]>::to_vec));
            }
        }
        let padded = [whole.as_slice(), &b"=="[..(3 - bytes.len() % 3) % 3]].concat();
        forms.insert(padded);
        forms.insert(whole);
        // Inside longer data: only the letters that come from the secret's bits alone.
        for offset in 0..3 {
            let shifted = base64(&[&b"\0\0"[..offset], bytes].concat(), alphabet);
            let begin = (offset * 8).div_ceil(6);
            let end = (offset + bytes.len()) * 8 / 6;
            forms.insert(shifted[begin..end].to_vec());
        }
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64 (RFC 4648) without padding.
fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 4 / 3 + 3);
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for letter in 0..=three.len() {
            out.push(alphabet[(bits >> (18 - 6 * letter) & 63) as usize]);
        }
    }
    out
}

fn hex_byte(byte: u8, upper: bool) -> String {
    if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }
}

fn url_encoded(value: &str, kept: &str, upper: bool, space: &str) -> String {
    let mut out = String::new();
    for byte in value.bytes() {
        let letter = char::from(byte);
        if letter == ' ' {
            out.push_str(space);
        } else if letter.is_ascii_alphanumeric() || kept.contains(letter) {
            out.push(letter);
        } else {
            out.push('%');
            out.push_str(&hex_byte(byte, upper));
        }
    }
    out
}

/// The inside of the value as a JSON string: as is, with `\/`, and with all but ASCII as `\u`.
fn json_escaped(value: &str) -> Vec<String> {
    let quoted = Value::from(value).to_string();
    let plain = &quoted[1..quoted.len() - 1];
    let ascii = |upper: bool| {
        let mut out = String::new();
        for letter in plain.chars() {
            if letter.is_ascii() {
                out.push(letter);
            } else {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    let code = if upper { format!("{unit:04X}") } else { format!("{unit:04x}") };
                    out.push_str("\\u");
                    out.push_str(&code);
                }
            }
        }
        out
    };
    let html_safe =
        |text: &str| text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    vec![plain.to_owned(), plain.replace('/', "\\/"), ascii(false), ascii(true), html_safe(plain)]
}

fn escaped_before(value: &str, is_special: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    for letter in value.chars() {
        if is_special(letter) {
            out.push('\\');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn has(secret: &str, form: &str) -> bool {
        Secret::new("s", secret).forms().contains(&form.as_bytes().to_vec())
    }

    #[test]
    fn every_usual_form_is_known() {
        let secret = "p@ss/w'rd \"1\"";
        for form in [
            secret,
            "cEBzcy93J3JkICIxIg==",
            "cEBzcy93J3JkICIxIg",
            "70407373",
            "p%40ss%2Fw%27rd%20%221%22",
            "p%40ss%2fw%27rd+%221%22",
            "p%40ss/w%27rd%20%221%22",
            r#"p@ss/w'rd \"1\""#,
            r#"p@ss\/w'rd \"1\""#,
            r#"p@ss/w'\''rd "1""#,
            r#"p@ss/w\'rd\ \"1\""#,
            "p@ss/w&#39;rd &quot;1&quot;",
            "p@ss/w'rd \"1\"",
        ] {
            let found = Secret::new("s", secret)
                .forms()
                .iter()
                .any(|known| known.windows(form.len()).any(|part| part == form.as_bytes()));
            assert!(found, "{form}");
        }
        assert!(has("geheim\u{e4}", "geheim\\u00e4"));
        assert!(has("a-longer-line\nanother-line\n}\n", "another-line"));
        assert!(!has("a-longer-line\nanother-line\n}\n", "}"));
    }

    #[test]
    fn short_values_have_no_forms() {
        for value in ["", "a", "abc", " a\n"] {
            assert!(Secret::new("s", value).forms().is_empty(), "{value:?}");
        }
        assert!(
            Secret::new("s", "ab\nc").forms().iter().all(|form| form.len() >= Secret::SHORTEST)
        );
        assert_eq!(
            format!("{:?} {}", Secret::new("s", "abcd"), Secret::new("s", "abcd")),
            "Secret(s: ***) ***"
        );
    }

    proptest! {
        #[test]
        fn base64_of_data_around_it_shows_a_form(
            before in proptest::collection::vec(any::<u8>(), 0..20),
            secret in "[ -~]{4,40}",
            after in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            prop_assume!(Secret::new("s", secret.clone()).is_maskable());
            let all = [before.as_slice(), secret.as_bytes(), &after].concat();
            let forms = Secret::new("s", secret).forms();
            for alphabet in [BASE64, BASE64_URL] {
                let seen = base64(&all, alphabet);
                let is_found = forms.iter().any(|form| seen.windows(form.len()).any(|part| part == form));
                prop_assert!(is_found);
            }
        }
    }
}
