//! Did you mean ...? The known word nearest to one that was written.

/// The known word that `written` most likely stands for, if any is near: letters swapped, dropped, added or changed,
/// `_` for `-`, capitals.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (mut own, mut other) = (Vec::new(), Vec::new());
    plain_into(written, &mut own);
    let room = match own.len() {
        0..=2 => 0,
        3..=4 => 1,
        5..=8 => 2,
        _ => 3,
    };
    let mut rows = Rows::default();
    let mut best: Option<(usize, &str)> = None;
    for word in known {
        plain_into(word, &mut other);
        let most = best.map_or(room + 1, |(least, _)| least);
        if own.len().abs_diff(other.len()) < most {
            let distance = rows.distance(&own, &other);
            if distance < most {
                best = Some((distance, word));
            }
        }
    }
    best.map(|(_, word)| word)
}

/// A word without what is easily mixed up.
fn plain_into(word: &str, plain: &mut Vec<char>) {
    plain.clear();
    let chars = word.chars().take(64).flat_map(char::to_lowercase);
    plain.extend(chars.map(|c| if matches!(c, '_' | ' ' | '.') { '-' } else { c }));
}

/// Three rows of the table of distances, kept from word to word.
#[derive(Default)]
struct Rows {
    before: Vec<usize>,
    last: Vec<usize>,
    row: Vec<usize>,
}

impl Rows {
    /// Single-letter changes between two words, a swap of neighbours counted as one (optimal string alignment).
    fn distance(&mut self, a: &[char], b: &[char]) -> usize {
        let Self { before, last, row } = self;
        last.clear();
        last.extend(0..=b.len());
        before.clear();
        for i in 1..=a.len() {
            row.clear();
            row.push(i);
            for j in 1..=b.len() {
                let change = usize::from(a[i - 1] != b[j - 1]);
                let mut least = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + change);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(before[j - 2] + 1);
                }
                row.push(least);
            }
            std::mem::swap(before, last);
            std::mem::swap(last, row);
        }
        last[b.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_word_is_not() {
        let known = ["needs", "retry", "timeout", "on-failure", "uses", "with"];
        for (written, expected) in [
            ("need", Some("needs")),
            ("retyr", Some("retry")),
            ("timeuot", Some("timeout")),
            ("on_failure", Some("on-failure")),
            ("onFailure", Some("on-failure")),
            ("use", Some("uses")),
            ("xy", None),
            ("depends", None),
        ] {
            assert_eq!(nearest(written, known), expected, "{written}");
        }
    }
}
