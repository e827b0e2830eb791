//! The difference of two texts, line by line, in the unified form.

/// Lines around a change that are shown.
const AROUND: usize = 3;

/// Beyond so many pairs of differing lines the middle is shown as replaced as a whole.
const PAIRS_MAX: usize = 4_000_000;

/// One line of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// The lines that differ, with a few around them; empty if none does. Each begins with `-`, `+`, a blank or `@@`.
pub fn unified(before: &str, after: &str) -> Vec<String> {
    let before: Vec<&str> = before.lines().collect();
    let after: Vec<&str> = after.lines().collect();
    hunks(&changes(&before, &after))
}

fn changes<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Change<'a>> {
    let head = before.iter().zip(after).take_while(|(one, other)| one == other).count();
    let (old, new) = (&before[head..], &after[head..]);
    let tail =
        old.iter().rev().zip(new.iter().rev()).take_while(|(one, other)| one == other).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let mut all: Vec<Change> = before[..head].iter().map(|line| Change::Same(line)).collect();
    all.extend(middle(old, new));
    all.extend(before[before.len() - tail..].iter().map(|line| Change::Same(line)));
    all
}

/// The longest common subsequence of two lists of lines, as changes.
fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Change<'a>> {
    if old.len().saturating_mul(new.len()) > PAIRS_MAX {
        let gone = old.iter().map(|line| Change::Gone(line));
        return gone.chain(new.iter().map(|line| Change::New(line))).collect();
    }
    let wide = new.len() + 1;
    let mut common = vec![0_u32; (old.len() + 1) * wide];
    for one in (0..old.len()).rev() {
        for other in (0..new.len()).rev() {
            common[one * wide + other] = if old[one] == new[other] {
                common[(one + 1) * wide + other + 1] + 1
            } else {
                common[(one + 1) * wide + other].max(common[one * wide + other + 1])
            };
        }
    }
    let (mut one, mut other) = (0, 0);
    let mut all = Vec::new();
    while one < old.len() || other < new.len() {
        let is_same = one < old.len() && other < new.len() && old[one] == new[other];
        if is_same {
            all.push(Change::Same(old[one]));
            (one, other) = (one + 1, other + 1);
        } else if other == new.len()
            || (one < old.len()
                && common[(one + 1) * wide + other] >= common[one * wide + other + 1])
        {
            all.push(Change::Gone(old[one]));
            one += 1;
        } else {
            all.push(Change::New(new[other]));
            other += 1;
        }
    }
    all
}

fn hunks(changes: &[Change]) -> Vec<String> {
    let is_near = |at: usize| {
        let from = at.saturating_sub(AROUND);
        let to = (at + AROUND + 1).min(changes.len());
        changes[from..to].iter().any(|change| !matches!(change, Change::Same(_)))
    };
    let mut out = Vec::new();
    let (mut old, mut new) = (1, 1);
    let mut is_inside = false;
    for (at, change) in changes.iter().enumerate() {
        let shows = is_near(at);
        if shows && !is_inside {
            out.push(format!("@@ line {old} before, line {new} now @@"));
        }
        is_inside = shows;
        let (sign, line) = match change {
            Change::Same(line) => (' ', line),
            Change::Gone(line) => ('-', line),
            Change::New(line) => ('+', line),
        };
        old += usize::from(sign != '+');
        new += usize::from(sign != '-');
        if shows {
            out.push(format!("{sign}{line}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        assert!(unified("a\nb\n", "a\nb").is_empty());
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12";
        let after = "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n11\n12\n13";
        let shown = unified(before, after).join("\n");
        assert_eq!(
            shown,
            "@@ line 2 before, line 2 now @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n@@ line 10 before, line 10 now @@\n 10\n 11\n 12\n+13"
        );
        assert_eq!(unified("", "a").join("|"), "@@ line 1 before, line 1 now @@|+a");
    }

    #[test]
    fn large_texts_do_not_take_all_memory() {
        let lines = |letter: &str| {
            (0..5000).map(|line| format!("{letter}{line}")).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(unified(&lines("a"), &lines("b")).len(), 10_001);
    }
}
