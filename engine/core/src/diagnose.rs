//! Finds known failures in a log: a stream of bytes in, the diagnosis out.
//!
//! The log is read once, in bounded memory. Most of it is only searched for texts that some pattern demands
//! ([`literal`]); the regular expressions see no other lines.
//!
//! What is the cause (`wire`: "matching rules"):
//! 1. Only what stands before the first marker counts.
//! 2. A job's own entries go before its project's, those before the catalogue's; general ones come last of all.
//! 3. Among these, a primary or guard match goes before a transient one; then the first in the log; then the list's order.
//! 4. An entry of rank `ok` counts only if nothing else does and only blank lines and noise come after it.

mod draft;
mod line;
mod literal;
mod patterns;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::catalogue::{Entry, Rank};
use crate::flow::Signature;
use crate::outcome::ErrorClass;

pub use draft::{draft_entry, draft_pattern};
pub use patterns::{BadPattern, Patterns, compile_pattern};

/// Lines of evidence kept before and after a match.
pub const EVIDENCE_LINES: usize = 20;

/// Bytes of a line that are looked at; the rest is passed over.
pub const LINE_CAP: usize = 64 * 1024;

/// Bytes of a line that are kept as evidence.
const SHOWN_CAP: usize = 1024;

/// Bytes that are gathered before they are searched.
const BLOCK: usize = 256 * 1024;

/// A failure that is looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// What it is called.
    pub id: String,
    /// What a match says.
    pub rank: Rank,
    /// Who knows it.
    pub layer: Layer,
    /// It counts only where no specific one matches.
    pub is_general: bool,
    /// What it looks like.
    pub signature: Signature,
}

/// Who knows a failure: the nearer to the job, the earlier it is tried.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// The job's own `recover`.
    Job,
    /// The project's.
    Project,
    /// The catalogue.
    #[default]
    Catalogue,
}

impl From<&Entry> for Known {
    fn from(entry: &Entry) -> Self {
        Self {
            id: entry.id.clone(),
            rank: entry.rank,
            layer: Layer::Catalogue,
            is_general: entry.is_general,
            signature: entry.signature.clone(),
        }
    }
}

/// A known failure that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Its place in the list that was looked for.
    pub index: usize,
    /// What it is called.
    pub id: String,
    /// What it says.
    pub rank: Rank,
    /// The line of the first match, from 1; 0 if it was known by exit code or class alone.
    pub line: u64,
    /// Where that line begins, in bytes from the start of the log.
    pub offset: u64,
    /// That line, without control sequences.
    pub text: String,
    /// The named groups of the pattern.
    pub captures: BTreeMap<String, String>,
    /// The number of the first line of `evidence`.
    pub evidence_from: u64,
    /// The line with up to [`EVIDENCE_LINES`] before and after it.
    pub evidence: Vec<String>,
    /// How many lines matched.
    pub count: u64,
}

/// What a log tells about a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The cause, if it is known.
    pub primary: Option<Match>,
    /// All else that was found, in the log's order.
    pub others: Vec<Match>,
    /// The line of the first marker: matches from there on are not the cause.
    pub cut_at_marker: Option<u64>,
}

/// The search through one log.
#[derive(Debug)]
pub struct Matcher {
    patterns: Arc<Patterns>,
    /// Lines already searched, kept as evidence, and from `fresh` on bytes not yet searched.
    buffer: Vec<u8>,
    fresh: usize,
    /// Where the buffer's first byte stands in the log, right for all fresh bytes.
    base: u64,
    /// The number of the line at `fresh`.
    line: u64,
    /// Inside the rest of a line that is longer than the cap.
    is_passing_over: bool,
    found: Vec<Option<Match>>,
    /// Matches whose evidence still lacks lines, and how many.
    open: Vec<(usize, usize)>,
    marker: Option<u64>,
}

impl Matcher {
    /// A search for these.
    pub fn new(patterns: Arc<Patterns>) -> Self {
        let found = patterns.known().iter().map(|_| None).collect();
        Self {
            patterns,
            buffer: Vec::new(),
            fresh: 0,
            base: 0,
            line: 1,
            is_passing_over: false,
            found,
            open: Vec::new(),
            marker: None,
        }
    }

    /// Takes the next piece of the log; it may be cut anywhere.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.is_passing_over {
                let newline = memchr::memchr(b'\n', piece);
                self.base += newline.unwrap_or(piece.len()) as u64;
                self.is_passing_over = newline.is_none();
                // The newline itself was put into the buffer when the line was cut.
                piece = newline.map_or(&[], |at| &piece[at + 1..]);
                continue;
            }
            let room = BLOCK.saturating_sub(self.buffer.len() - self.fresh).max(1);
            let (now, later) = piece.split_at(room.min(piece.len()));
            self.buffer.extend_from_slice(now);
            piece = later;
            if self.buffer.len() - self.fresh >= BLOCK {
                self.search_block();
            }
        }
    }

    /// The log has ended: what it tells of a failure with this exit code and class. `None` is not known, and does not
    /// speak against a match in the log.
    pub fn finish(mut self, exit: Option<i32>, class: Option<ErrorClass>) -> Diagnosis {
        if self.buffer.last().is_some_and(|last| *last != b'\n') {
            self.buffer.push(b'\n');
        }
        self.search_lines(self.buffer.len());
        let last_words = self.last_words();
        let Self { patterns, found, marker, .. } = self;
        let mut matches: Vec<Match> = found.into_iter().flatten().collect();
        for (index, one) in patterns.known().iter().enumerate() {
            let Signature { log, exit: exits, class: classes, .. } = &one.signature;
            let is_told = exit.is_some_and(|exit| exits.contains(&exit))
                || class.is_some_and(|class| classes.contains(&class));
            if log.is_none() && is_told {
                matches.push(Match::without_line(index, one));
            }
        }
        matches.retain(|hit| patterns.known()[hit.index].signature.allows(exit, class));
        let cause = matches
            .iter()
            .enumerate()
            .filter(|(_, hit)| match hit.rank {
                Rank::Primary | Rank::Guard | Rank::Transient => {
                    marker.is_none_or(|marker| hit.line < marker)
                }
                Rank::Ok => last_words.contains(&hit.index),
                Rank::Secondary | Rank::Marker | Rank::Info | Rank::Noise => false,
            })
            .min_by_key(|(_, hit)| {
                let one = &patterns.known()[hit.index];
                let time = if hit.line == 0 { u64::MAX } else { hit.line };
                let is_transient = hit.rank == Rank::Transient;
                (hit.rank == Rank::Ok, one.is_general, one.layer, is_transient, time, hit.index)
            })
            .map(|(at, _)| at);
        let primary = cause.map(|at| matches.remove(at));
        matches.sort_by_key(|hit| (hit.line, hit.index));
        Diagnosis { primary, others: matches, cut_at_marker: marker }
    }

    fn search_block(&mut self) {
        if let Some(last) = memchr::memrchr(b'\n', &self.buffer[self.fresh..]) {
            self.search_lines(self.fresh + last + 1);
        } else {
            let cut = self.fresh + LINE_CAP;
            self.base += (self.buffer.len() - cut) as u64;
            self.buffer.truncate(cut);
            self.buffer.push(b'\n');
            self.is_passing_over = true;
            self.search_lines(self.buffer.len());
        }
    }

    /// Searches all lines up to `end`, which is the end of a line.
    fn search_lines(&mut self, end: usize) {
        let patterns = Arc::clone(&self.patterns);
        let buffer = std::mem::take(&mut self.buffer);
        self.add_evidence(&buffer[self.fresh..end]);
        let mut counted = self.fresh;
        let mut at = self.fresh;
        while let Some(hit) = patterns.next(&buffer[..end], at) {
            let begin =
                memchr::memrchr(b'\n', &buffer[at..hit]).map_or(at, |newline| at + newline + 1);
            let stop =
                memchr::memchr(b'\n', &buffer[hit..end]).map_or(end, |newline| hit + newline);
            self.line += newlines(&buffer[counted..begin]);
            counted = begin;
            self.look_at(&buffer, begin, stop, end);
            at = stop + 1;
        }
        self.line += newlines(&buffer[counted..end]);
        let kept = lines_back(&buffer[..end], EVIDENCE_LINES);
        self.buffer = buffer;
        self.fresh = end;
        if kept >= BLOCK || kept == end {
            self.buffer.drain(..kept);
            self.fresh -= kept;
            self.base += kept as u64;
        }
    }

    /// Looks at the line from `begin` to `stop`; lines up to `end` are there to be shown.
    fn look_at(&mut self, buffer: &[u8], begin: usize, stop: usize, end: usize) {
        let patterns = Arc::clone(&self.patterns);
        let clean = line::without_controls(&buffer[begin..stop.min(begin + LINE_CAP)]);
        for part in line::overprints(&clean) {
            let hits = patterns.matching(part);
            let is_any = |rank| hits.iter().any(|index| patterns.known()[*index].rank == rank);
            if is_any(Rank::Noise) {
                continue;
            }
            // The exit code is not known yet: a signature that asks for one can't be sure of its line.
            let is_claimed = hits.iter().any(|index| {
                let one = &patterns.known()[*index];
                !one.is_general && one.signature.exit.is_empty() && one.signature.class.is_empty()
            });
            if is_any(Rank::Marker) {
                self.marker.get_or_insert(self.line);
            }
            for index in hits {
                let one = &patterns.known()[index];
                if one.is_general && is_claimed {
                    continue;
                }
                if let Some(first) = &mut self.found[index] {
                    first.count += 1;
                    continue;
                }
                let regex = patterns.regex(index).expect("only patterns match lines");
                self.found[index] = Some(self.first_match(index, regex, part, buffer, begin));
                self.open.push((index, EVIDENCE_LINES));
                let after = buffer.get(stop + 1..end).unwrap_or_default();
                let newest = self.open.split_off(self.open.len() - 1);
                let older = std::mem::replace(&mut self.open, newest);
                self.add_evidence(after);
                self.open.splice(..0, older);
            }
        }
    }

    fn first_match(
        &self,
        index: usize,
        regex: &regex::bytes::Regex,
        part: &[u8],
        buffer: &[u8],
        begin: usize,
    ) -> Match {
        let one = &self.patterns.known()[index];
        let mut captures = BTreeMap::new();
        if let Some(groups) = regex.captures(part) {
            for name in regex.capture_names().flatten() {
                if let Some(group) = groups.name(name) {
                    captures.insert(name.to_owned(), line::shown(group.as_bytes(), SHOWN_CAP));
                }
            }
        }
        let from = lines_back(&buffer[..begin], EVIDENCE_LINES);
        let mut evidence: Vec<String> = shown_lines(&buffer[from..begin]).collect();
        let evidence_from = self.line - evidence.len() as u64;
        let text = line::shown(part, SHOWN_CAP);
        evidence.push(text.clone());
        Match {
            index,
            id: one.id.clone(),
            rank: one.rank,
            line: self.line,
            offset: self.base + begin as u64,
            text,
            captures,
            evidence_from,
            evidence,
            count: 1,
        }
    }

    /// Adds lines that came after the open matches.
    fn add_evidence(&mut self, lines: &[u8]) {
        for (index, missing) in &mut self.open {
            let hit = self.found[*index].as_mut().expect("an open match was found");
            let before = hit.evidence.len();
            hit.evidence.extend(shown_lines(lines).take(*missing));
            *missing -= hit.evidence.len() - before;
        }
        self.open.retain(|(_, missing)| *missing > 0);
    }

    /// The patterns of rank `ok` that have the log's last word.
    fn last_words(&self) -> Vec<usize> {
        let mut words = Vec::new();
        if self.marker.is_some() {
            return words;
        }
        let from = lines_back(&self.buffer, EVIDENCE_LINES);
        for line in self.buffer[from..].rsplit(|byte| *byte == b'\n') {
            let clean = line::without_controls(&line[..line.len().min(LINE_CAP)]);
            for part in line::overprints(&clean) {
                let hits = self.patterns.matching(part);
                let ranked = |rank| {
                    hits.iter()
                        .copied()
                        .filter(move |index| self.patterns.known()[*index].rank == rank)
                };
                if ranked(Rank::Noise).next().is_some() {
                    continue;
                }
                let before = words.len();
                words.extend(ranked(Rank::Ok));
                if words.len() == before {
                    return words;
                }
            }
        }
        words
    }
}

impl Match {
    fn without_line(index: usize, one: &Known) -> Self {
        Self {
            index,
            id: one.id.clone(),
            rank: one.rank,
            line: 0,
            offset: 0,
            text: String::new(),
            captures: BTreeMap::new(),
            evidence_from: 0,
            evidence: Vec::new(),
            count: 1,
        }
    }
}

impl Signature {
    /// Whether a failure with this exit code and class can be it. What is not known does not speak against it.
    pub fn allows(&self, exit: Option<i32>, class: Option<ErrorClass>) -> bool {
        (self.exit.is_empty() || exit.is_none_or(|exit| self.exit.contains(&exit)))
            && (self.class.is_empty() || class.is_none_or(|class| self.class.contains(&class)))
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Where the last `count` whole lines of `bytes` begin.
fn lines_back(bytes: &[u8], count: usize) -> usize {
    memchr::memrchr_iter(b'\n', bytes).nth(count).map_or(0, |newline| newline + 1)
}

fn shown_lines(bytes: &[u8]) -> impl Iterator<Item = String> {
    let lines = bytes.strip_suffix(b"\n").map(|bytes| bytes.split(|byte| *byte == b'\n'));
    lines.into_iter().flatten().map(|line| line::shown(line, SHOWN_CAP))
}

#[cfg(test)]
mod tests;
