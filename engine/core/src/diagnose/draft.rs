//! From chosen log lines to the draft of a new entry for the catalogue.

/// The pattern of a draft: the lines with what changes from run to run made general.
pub fn draft_pattern(lines: &[&str]) -> String {
    let lines = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
    lines.map(generalised).collect::<Vec<_>>().join("|")
}

/// A draft in the catalogue's format: the lines with what changes from run to run (numbers, ids, addresses, paths)
/// made general, and gaps where only a person knows.
pub fn draft_entry(lines: &[&str]) -> String {
    let lines: Vec<&str> =
        lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let pattern = draft_pattern(&lines);
    let title: String = lines.first().copied().unwrap_or_default().chars().take(72).collect();
    let mut sample = String::new();
    for line in &lines {
        sample.push_str("      - ");
        sample.push_str(&quoted(line));
        sample.push('\n');
    }
    format!(
        "entries:
  - id: NEW-01
    title: {}
    rank: primary
    match:
      uses: [command, ssh]
      log: {}
    diagnosis: What went wrong, in one sentence.
    advice:
      - What to do first.
    then: ask
    sample:
{sample}",
        quoted(&title),
        quoted(&pattern),
    )
}

/// A YAML text in double quotes.
fn quoted(text: &str) -> String {
    // A JSON text is a YAML text.
    serde_json::Value::from(text).to_string()
}

/// A regular expression for the line in which what changes from run to run may be anything like it.
fn generalised(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let is_inside = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let word = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-_.:/%+@".contains(c))
                .len();
        let text = rest[..word].trim_end_matches(['.', ':']);
        let (length, pattern) = if is_inside || text.is_empty() {
            (0, "")
        } else if is_path(text) || is_url(text) {
            (text.len(), r"\S+")
        } else if is_uuid_or_hash(text) {
            (text.len(), "[0-9a-fA-F-]+")
        } else if is_stamp(text) {
            (text.len(), "[0-9T:.Z+-]+")
        } else {
            (0, "")
        };
        if length > 0 {
            out.push_str(pattern);
            rest = &rest[length..];
        } else if first.is_ascii_digit() {
            out.push_str(r"\d+");
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        } else if first.is_whitespace() {
            out.push(' ');
            rest = &rest[first.len_utf8()..];
        } else {
            // A dash is plain outside of a class; escaping it would only be hard to read.
            let letter = &rest[..first.len_utf8()];
            out.push_str(&if letter == "-" { letter.to_owned() } else { regex::escape(letter) });
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

fn is_path(text: &str) -> bool {
    text.starts_with('/') && text[1..].contains('/')
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn is_uuid_or_hash(text: &str) -> bool {
    text.len() >= 7
        && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
        && text.chars().any(|c| c.is_ascii_digit())
        && text.chars().any(|c| c.is_ascii_alphabetic())
}

/// Dates, times and addresses: digits and what joins them.
fn is_stamp(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    digits >= 4
        && text.chars().any(|c| ".:-".contains(c))
        && text.chars().all(|c| c.is_ascii_digit() || "T:.Z+-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_made_general() {
        let line = "2016-04-29 08:01:39.123 ERROR host 10.2.14.28:5000 (req 7d9b5e26-d96e-4596) can't open /opt/stack/x.log after 3 tries";
        let pattern = generalised(line);
        let other = "2026-11-21 10:00:00.5 ERROR host 10.9.9.9:80 (req 11111111-aaaa-0000) can't open /srv/y after 12 tries";
        let regex = regex::Regex::new(&pattern).expect("escaped");
        assert!(regex.is_match(line) && regex.is_match(other), "{pattern}");
        assert!(!regex.is_match("ERROR host"));
    }

    #[test]
    fn a_draft_is_an_entry() {
        insta::assert_snapshot!(draft_entry(&["E: can't reach \"node-7\" [3 of 5]", ""]), @r#"
        entries:
          - id: NEW-01
            title: "E: can't reach \"node-7\" [3 of 5]"
            rank: primary
            match:
              uses: [command, ssh]
              log: "E: can't reach \"node-\\d+\" \\[\\d+ of \\d+\\]"
            diagnosis: What went wrong, in one sentence.
            advice:
              - What to do first.
            then: ask
            sample:
              - "E: can't reach \"node-7\" [3 of 5]"
        "#);
    }
}
