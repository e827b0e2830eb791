//! Points in time and spans of it. Nothing here reads a clock: time comes in as an argument.

use std::fmt::{self, Write};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Serialises as RFC 3339 with milliseconds in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first point in time there is.
    pub const ZERO: Self = Self(0);

    /// A point so many milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This point moved on by `span`; stays at the last representable point rather than wrap.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(span))
    }

    /// The time that has gone by since `earlier`; zero if that is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).try_into().unwrap_or(0))
    }

    /// Reads RFC 3339 text.
    ///
    /// # Errors
    /// The text is not a date and time with an offset.
    pub fn parse(text: &str) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(text).map(|at| Self(at.timestamp_millis()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Reads a span such as `250ms`, `10s`, `5m`, `1h30m`, `2d`. A bare `0` is no time at all.
///
/// # Errors
/// Says what a span looks like.
pub fn parse_span(text: &str) -> Result<Duration, BadSpan> {
    let bad = || BadSpan(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut last_unit = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        if unit >= last_unit {
            return Err(bad());
        }
        last_unit = unit;
        rest = &rest[letters..];
        millis =
            number.checked_mul(unit).and_then(|part| millis.checked_add(part)).ok_or_else(bad)?;
    }
    if text.is_empty() || millis > 10 * 365 * 86_400_000 {
        return Err(bad());
    }
    Ok(Duration::from_millis(millis))
}

/// Writes a span the way [`parse_span`] reads it.
pub fn format_span(span: Duration) -> String {
    let mut millis = span.as_millis();
    if millis == 0 {
        return "0".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
    {
        if millis >= size {
            write!(text, "{}{unit}", millis / size).expect("a string takes text");
            millis %= size;
        }
    }
    text
}

/// A text that is no span of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no span of time: write a number and a unit (ms, s, m, h, d), largest first, such as `90s` or `1h30m`, at most ten years"
)]
pub struct BadSpan(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_back_as_written() {
        for text in ["0", "250ms", "10s", "1m30s", "1h30m", "2d", "1d1h1m1s1ms"] {
            assert_eq!(format_span(parse_span(text).expect(text)), text);
        }
        for text in
            ["", "10", "s", "10 s", "1.5h", "-1s", "1s1h", "99999999999999999999s", "4000d", "1s1s"]
        {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(at.to_string(), "2023-11-14T22:13:20.123Z");
        assert_eq!(Timestamp::parse(&at.to_string()), Ok(at));
    }
}
