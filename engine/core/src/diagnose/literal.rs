//! What a text must hold for a pattern to match it: the cheap question that is asked first.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Shorter ones are met everywhere and would save nothing.
const SHORTEST: usize = 3;

/// More alternatives than this are no longer cheap.
const MOST: usize = 24;

/// Texts of which every match of `pattern` holds at least one, compared without regard to ASCII case.
/// `None` if the pattern demands none.
pub(super) fn required(pattern: &str) -> Option<Vec<Vec<u8>>> {
    let hir = regex_syntax::ParserBuilder::new().utf8(false).build().parse(pattern).ok()?;
    demanded(&hir).filter(|set| shortest(set) >= SHORTEST && set.len() <= MOST)
}

fn shortest(set: &[Vec<u8>]) -> usize {
    set.iter().map(Vec::len).min().unwrap_or(0)
}

fn demanded(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    if let Some(text) = exact(hir) {
        return (!text.is_empty()).then(|| vec![text]);
    }
    match hir.kind() {
        HirKind::Capture(capture) => demanded(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => demanded(&repetition.sub),
        HirKind::Alternation(parts) => {
            let mut all = Vec::new();
            for part in parts {
                all.extend(demanded(part)?);
            }
            Some(all)
        }
        HirKind::Concat(parts) => {
            let mut sets = Vec::new();
            let mut run = Vec::new();
            for part in parts {
                if let Some(text) = exact(part) {
                    run.extend(text);
                } else {
                    sets.push(vec![std::mem::take(&mut run)]);
                    sets.extend(demanded(part));
                }
            }
            sets.push(vec![run]);
            sets.into_iter().max_by_key(|set| shortest(set)).filter(|set| shortest(set) > 0)
        }
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_) => None,
    }
}

/// The one text (but for ASCII case) that it matches, if there is only one.
fn exact(hir: &Hir) -> Option<Vec<u8>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(Vec::new()),
        HirKind::Literal(literal) => Some(literal.0.to_vec()),
        HirKind::Class(class) => one_letter(class).map(|letter| vec![letter]),
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Concat(parts) => {
            parts.iter().map(exact).collect::<Option<Vec<_>>>().map(|parts| parts.concat())
        }
        HirKind::Alternation(_) | HirKind::Repetition(_) => None,
    }
}

/// The letter of a class that holds only its two cases. `(?i)k` holds the Kelvin sign, too, and so is none.
fn one_letter(class: &Class) -> Option<u8> {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => {
            class.iter().map(|range| (range.start() as u32, range.end() as u32)).collect()
        }
        Class::Bytes(class) => {
            class.iter().map(|range| (u32::from(range.start()), u32::from(range.end()))).collect()
        }
    };
    let [(upper, upper_end), (lower, lower_end)] = ranges[..] else { return None };
    let letter = u8::try_from(lower).ok().filter(u8::is_ascii_lowercase)?;
    let is_pair =
        upper == upper_end && lower == lower_end && upper == u32::from(letter.to_ascii_uppercase());
    is_pair.then_some(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_sure_text_is_found() {
        let check = |pattern: &str, expected: &[&str]| {
            let found = required(pattern).map(|set| {
                set.into_iter()
                    .map(|text| String::from_utf8_lossy(&text).into_owned())
                    .collect::<Vec<_>>()
            });
            assert_eq!(found.unwrap_or_default(), expected, "{pattern}");
        };
        check("Name node is in safe mode", &["Name node is in safe mode"]);
        check(r"(?P<cmd>[^\s:]+): (?:command )?not found", &["not found"]);
        check("^FAILED (?P<name>[a-z]+)$", &["FAILED "]);
        check("(?i)quota exceeded|no (?:valid )?host", &["quota exceeded", "no "]);
        check("(?i)abc|def", &["abc", "def"]);
        check("a+b*", &[]);
        check("(?:abc)?", &[]);
        check("ab|abcdef", &[]);
    }
}
