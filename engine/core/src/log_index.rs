//! What stands beside a log: which time is where in it, and which part of one that grew too large was dropped. Numbers
//! only: whoever keeps a log does the reading and writing.

use crate::time::Timestamp;

/// How large a log may grow if nothing else is said, in bytes.
pub const LIMIT: u64 = 1 << 30;
/// The bytes of a record: an offset and a time in milliseconds, both little-endian.
pub const RECORD: usize = 16;
/// Set in the first number of a record that tells of a hole: where it begins and where it ends.
const HOLE: u64 = 1 << 63;
/// Holes begin and end at multiples of this, which all file systems can do.
const BLOCK: u64 = 64 * 1024;
/// As [`BLOCK`], where a log may not grow to several of those.
const SMALL_BLOCK: u64 = 4 * 1024;
/// A log has room for its two ends at least.
const LEAST: u64 = 4 * SMALL_BLOCK;

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The log had this size then.
    Point(u64, Timestamp),
    /// What stood from here to there was dropped. The last such record counts: a hole only grows, and only at its end.
    Hole(u64, u64),
}

impl Entry {
    /// The record that tells it.
    pub fn record(self) -> [u8; RECORD] {
        let (first, second) = match self {
            Self::Point(size, at) => (size, at.millis() as u64),
            Self::Hole(begin, end) => (begin | HOLE, end),
        };
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&first.to_le_bytes());
        record[8..].copy_from_slice(&second.to_le_bytes());
        record
    }

    /// All that the bytes of an index tell. A record that was cut off by a full disk is left out.
    pub fn all(bytes: &[u8]) -> impl Iterator<Item = Self> {
        bytes.chunks_exact(RECORD).map(|record| {
            let number = |at: usize| {
                let part = record[at..at + 8].try_into().expect("a record has sixteen bytes");
                u64::from_le_bytes(part)
            };
            let (first, second) = (number(0), number(8));
            if first & HOLE == 0 {
                Self::Point(first, Timestamp::from_millis(second as i64))
            } else {
                Self::Hole(first & !HOLE, second)
            }
        })
    }
}

/// How large a log may grow: beyond that the first quarter of it stays, and the last three.
#[derive(Clone, Debug)]
pub struct Bound {
    limit: u64,
    /// Where the hole ends, if there is one.
    hole_end: u64,
}

/// What is to be dropped of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess {
    /// Where the hole begins.
    pub begin: u64,
    /// Up to here it is there already; `begin` if it is not.
    pub from: u64,
    /// Where it will end.
    pub end: u64,
}

impl Bound {
    /// For a log that may grow to `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit: limit.max(LEAST), hole_end: 0 }
    }

    /// How large it may grow.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Where the hole ends; 0 if there is none.
    pub fn hole_end(&self) -> u64 {
        self.hole_end
    }

    /// How much of its beginning stays.
    pub fn kept_begin(&self) -> u64 {
        (self.limit / 4).next_multiple_of(self.block())
    }

    fn block(&self) -> u64 {
        if self.limit < 8 * BLOCK { SMALL_BLOCK } else { BLOCK }
    }

    /// What is to be dropped of a log that has this size, if it is too large.
    pub fn excess(&self, size: u64) -> Option<Excess> {
        let begin = self.kept_begin();
        let from = begin.max(self.hole_end);
        let kept = begin + size.saturating_sub(from);
        if kept <= self.limit {
            return None;
        }
        let end = (size - (self.limit - begin)).next_multiple_of(self.block());
        (end > from).then_some(Excess { begin, from, end })
    }

    /// The hole ends there.
    pub fn dropped(&mut self, end: u64) {
        self.hole_end = self.hole_end.max(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() {
        let all = [
            Entry::Point(0, Timestamp::from_millis(1_000)),
            Entry::Hole(4096, 8192),
            Entry::Point(u64::from(u32::MAX), Timestamp::from_millis(2_000)),
        ];
        let mut bytes = all.map(Entry::record).concat();
        bytes.extend([1, 2, 3]);
        assert_eq!(Entry::all(&bytes).collect::<Vec<_>>(), all);
    }

    #[test]
    fn a_log_keeps_its_ends() {
        let mut bound = Bound::new(64 << 10);
        let begin = 16 << 10;
        assert_eq!(bound.excess(64 << 10), None);
        let excess = bound.excess((64 << 10) + 1).expect("one byte too many");
        assert_eq!(excess, Excess { begin, from: begin, end: begin + (4 << 10) });
        bound.dropped(excess.end);
        assert_eq!(bound.excess(68 << 10), None, "a block makes room for a block");
        let excess = bound.excess(1 << 20).expect("too large");
        assert_eq!(excess, Excess { begin, from: 20 << 10, end: (1 << 20) - (48 << 10) });
        assert_eq!(Bound::new(1).limit(), 16 << 10);
    }
}
