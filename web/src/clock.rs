//! Times and spans as people read them.

use std::time::Duration;

use weir_core::time::Timestamp;

/// A point in time: for programs and, in UTC, for people. Scripts show it in the reader's own zone.
pub(crate) struct At {
    pub(crate) exact: String,
    pub(crate) shown: String,
}

impl At {
    pub(crate) fn new(at: Timestamp) -> Self {
        let exact = at.to_string();
        // 2026-11-21T14:03:12.345Z
        let shown = format!(
            "{} {} UTC",
            &exact[..10.min(exact.len())],
            exact.get(11..19).unwrap_or_default()
        );
        Self { exact, shown }
    }
}

impl At {
    /// The time of day, in UTC.
    pub(crate) fn of_day(&self) -> &str {
        self.exact.get(11..19).unwrap_or_default()
    }
}

/// A span in its two largest units, such as `3m 12s`.
pub(crate) fn span(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0 => format!("{} ms", span.as_millis()),
        1..10 => format!("{}.{} s", secs, span.subsec_millis() / 100),
        10..60 => format!("{secs} s"),
        60..3600 => format!("{}m {}s", secs / 60, secs % 60),
        3600..86_400 => format!("{}h {}m", secs / 3600, secs % 3600 / 60),
        _ => format!("{}d {}h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// The span between two points, or up to now.
pub(crate) fn between(from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> String {
    from.map_or_else(String::new, |from| span(to.unwrap_or(now).since(from)))
}

/// Bytes in the largest fitting unit.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{}.{} kB", count / 1_000, count % 1_000 / 100),
        1_000_000..1_000_000_000 => {
            format!("{}.{} MB", count / 1_000_000, count % 1_000_000 / 100_000)
        }
        _ => format!("{}.{} GB", count / 1_000_000_000, count % 1_000_000_000 / 100_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let text = |ms| span(Duration::from_millis(ms));
        assert_eq!(
            [text(5), text(1_290), text(59_900), text(61_000), text(3_725_000), text(90_000_000)],
            ["5 ms", "1.2 s", "59 s", "1m 1s", "1h 2m", "1d 1h"]
        );
    }
}
