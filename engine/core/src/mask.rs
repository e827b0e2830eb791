//! Hides secrets in a stream of bytes, wherever the stream is cut.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::secret::Secret;

/// Replaces each form of each secret by `***`, in a stream that comes in pieces.
///
/// Where several forms begin at one place the longest wins; what is hidden does not depend on how the stream is cut.
/// Bytes are held back only while they may be the beginning of a form.
#[derive(Debug)]
pub struct Masker {
    /// `None` if there is nothing to hide.
    search: Option<AhoCorasick>,
    /// All forms, sorted: those that begin with the same bytes stand together.
    forms: Vec<Vec<u8>>,
    longest: usize,
    is_first: Box<[bool; 256]>,
    held: Vec<u8>,
}

/// What stands for a secret.
pub const MASK: &[u8] = b"***";

impl Masker {
    /// A masker for all forms of these secrets.
    pub fn new(secrets: &[Secret]) -> Self {
        let mut forms: Vec<Vec<u8>> = secrets.iter().flat_map(Secret::forms).collect();
        forms.sort_unstable();
        forms.dedup();
        let mut is_first = Box::new([false; 256]);
        for form in &forms {
            is_first[form[0] as usize] = true;
        }
        let search = (!forms.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(&forms)
                .expect("secrets are at most some KiB, and an automaton may have 2^31 states")
        });
        let longest = forms.iter().map(Vec::len).max().unwrap_or(0);
        Self { search, forms, longest, is_first, held: Vec::new() }
    }

    /// Whether nothing is hidden: then all bytes pass as they are.
    pub fn is_idle(&self) -> bool {
        self.search.is_none()
    }

    /// Takes the next piece and adds to `out` what is safe to show.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let Some(search) = &self.search else {
            out.extend_from_slice(input);
            return;
        };
        let joined;
        let data = if self.held.is_empty() {
            input
        } else {
            self.held.extend_from_slice(input);
            joined = std::mem::take(&mut self.held);
            &joined
        };
        let mut at = 0;
        let mut hold = self.open_from(data, at);
        // A match that begins before `hold` is the longest there can be; one at `hold` may still grow.
        while let Some(found) = search.find(&data[at..]) {
            let (start, end) = (at + found.start(), at + found.end());
            if start >= hold {
                break;
            }
            out.extend_from_slice(&data[at..start]);
            out.extend_from_slice(MASK);
            at = end;
            if hold < at {
                hold = self.open_from(data, at);
            }
        }
        out.extend_from_slice(&data[at..hold]);
        self.held = data[hold..].to_vec();
    }

    /// The stream has ended: adds what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        let Some(search) = &self.search else { return };
        let mut at = 0;
        for found in search.find_iter(&held) {
            out.extend_from_slice(&held[at..found.start()]);
            out.extend_from_slice(MASK);
            at = found.end();
        }
        out.extend_from_slice(&held[at..]);
    }

    /// How many of the last bytes are held back: what came before them has been decided.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// The first place from `from` on where a form may begin that the data does not yet hold whole.
    fn open_from(&self, data: &[u8], from: usize) -> usize {
        let begin = from.max((data.len() + 1).saturating_sub(self.longest));
        (begin..data.len())
            .find(|at| self.is_first[data[*at] as usize] && self.is_beginning(&data[*at..]))
            .unwrap_or(data.len())
    }

    /// Whether some form begins with `bytes` and is longer.
    fn is_beginning(&self, bytes: &[u8]) -> bool {
        // The first form that sorts after `bytes` begins with them if any longer one does.
        let at = self.forms.partition_point(|form| form.as_slice() <= bytes);
        self.forms.get(at).is_some_and(|form| form.starts_with(bytes))
    }
}

/// Replaces each form of each secret in a text.
pub fn mask(text: &str, secrets: &[Secret]) -> String {
    let mut masker = Masker::new(secrets);
    let mut out = Vec::with_capacity(text.len());
    masker.push(text.as_bytes(), &mut out);
    masker.finish(&mut out);
    // A form is whole characters or ASCII, but a base64 or hex form never cuts into one either.
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masked(secrets: &[Secret], pieces: &[&[u8]]) -> Vec<u8> {
        let mut masker = Masker::new(secrets);
        let mut out = Vec::new();
        for piece in pieces {
            masker.push(piece, &mut out);
        }
        masker.finish(&mut out);
        out
    }

    #[test]
    fn a_secret_cut_in_two_is_hidden() {
        let secrets = [Secret::new("a", "hunter22"), Secret::new("b", "hunter22-and-more")];
        assert_eq!(masked(&secrets, &[b"x hunt", b"er22 y"]), b"x *** y");
        assert_eq!(masked(&secrets, &[b"hunter22", b"-and-more"]), b"***");
        assert_eq!(masked(&secrets, &[b"hunter22-and-", b"less"]), b"***-and-less");
        assert_eq!(masked(&secrets, &[b"hunter22"]), b"***");
        assert_eq!(masked(&secrets, &[b"aHVudGVy", b"MjI="]), b"***");
    }

    #[test]
    fn what_begins_no_form_is_shown_at_once() {
        let mut masker = Masker::new(&[Secret::new("a", "hunter22")]);
        let mut out = Vec::new();
        masker.push(b"a line\nhunter2", &mut out);
        assert_eq!(out, b"a line\n");
        masker.push(b"1\n", &mut out);
        assert_eq!(out, b"a line\nhunter21\n");
        assert!(Masker::new(&[Secret::new("short", "abc")]).is_idle());
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_and_no_form_survives(
            values in proptest::collection::vec("[ab]{4,6}|[a-c/'\n ]{4,12}", 1..4),
            parts in proptest::collection::vec((any::<prop::sample::Index>(), "[ab]{0,4}|[a-c/'\n ]{0,6}"), 0..12),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let secrets: Vec<Secret> = values.into_iter().map(|value| Secret::new("s", value)).collect();
            let forms: Vec<Vec<u8>> = secrets.iter().flat_map(Secret::forms).collect();
            prop_assume!(!forms.is_empty());
            let mut input = Vec::new();
            for (index, text) in parts {
                input.extend_from_slice(text.as_bytes());
                input.extend_from_slice(index.get(&forms).as_slice());
            }
            let whole = masked(&secrets, &[&input]);
            for form in &forms {
                prop_assert!(!whole.windows(form.len()).any(|part| part == form), "{}", String::from_utf8_lossy(form));
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
            prop_assert_eq!(&masked(&secrets, &pieces), &whole);
            let bytes: Vec<&[u8]> = input.chunks(1).collect();
            prop_assert_eq!(&masked(&secrets, &bytes), &whole);
        }
    }
}
