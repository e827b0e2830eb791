//! What a log is searched for: the patterns of known failures, and the texts that they demand.

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};
use regex::bytes::{Regex, RegexBuilder};

use super::{Known, literal};

/// The longest a compiled pattern may be, in bytes.
const PATTERN_CAP: usize = 4 * 1024 * 1024;

/// Known failures made ready for the search. May be shared and kept.
#[derive(Debug)]
pub struct Patterns {
    known: Vec<Known>,
    regexes: Vec<Option<Regex>>,
    search: Option<AhoCorasick>,
    /// For each text searched for, the pattern that demands it. The last text is the escape character.
    owner: Vec<usize>,
    /// Patterns that demand no text and so see every line.
    undemanding: Vec<usize>,
}

/// A pattern that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern of {id} can't be used: {reason}")]
pub struct BadPattern {
    /// Whose pattern it is.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// Compiles the pattern of a signature as the search does.
///
/// # Errors
/// It is no regular expression, or too large a one.
pub fn compile_pattern(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(PATTERN_CAP).dfa_size_limit(PATTERN_CAP).build()
}

impl Patterns {
    /// Makes them ready, in the order in which they are tried.
    ///
    /// # Errors
    /// A pattern is no regular expression, or too large a one.
    pub fn new(known: Vec<Known>) -> Result<Self, BadPattern> {
        let mut regexes = Vec::with_capacity(known.len());
        let mut texts = Vec::new();
        let mut owner = Vec::new();
        let mut undemanding = Vec::new();
        for (index, one) in known.iter().enumerate() {
            let Some(pattern) = &one.signature.log else {
                regexes.push(None);
                continue;
            };
            let regex = compile_pattern(pattern)
                .map_err(|error| BadPattern { id: one.id.clone(), reason: error.to_string() })?;
            regexes.push(Some(regex));
            match literal::required(pattern) {
                Some(set) => {
                    owner.extend(set.iter().map(|_| index));
                    texts.extend(set);
                }
                None => undemanding.push(index),
            }
        }
        let search = (!texts.is_empty()).then(|| {
            // A colour may stand inside a text: such lines are cleaned first.
            texts.push(b"\x1b".to_vec());
            AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::DFA))
                .ascii_case_insensitive(true)
                .build(&texts)
                .expect("some hundred short texts make a small automaton")
        });
        Ok(Self { known, regexes, search, owner, undemanding })
    }

    /// What is looked for, in the order given.
    pub fn known(&self) -> &[Known] {
        &self.known
    }

    /// The regular expression of one of them, if it has any.
    pub(super) fn regex(&self, index: usize) -> Option<&Regex> {
        self.regexes[index].as_ref()
    }

    /// The patterns that match a clean line, in order.
    pub(super) fn matching(&self, line: &[u8]) -> Vec<usize> {
        let mut candidates = self.undemanding.clone();
        if let Some(search) = &self.search {
            let found = search.find_overlapping_iter(line);
            candidates.extend(found.filter_map(|hit| self.owner.get(hit.pattern().as_usize())));
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|index| {
            self.regexes[*index].as_ref().is_some_and(|regex| regex.is_match(line))
        });
        candidates
    }

    /// The next place from `from` on where a line must be looked at.
    pub(super) fn next(&self, data: &[u8], from: usize) -> Option<usize> {
        if from >= data.len() {
            return None;
        }
        if !self.undemanding.is_empty() {
            return Some(from);
        }
        self.search.as_ref()?.find(Input::new(data).range(from..)).map(|hit| hit.start())
    }
}
