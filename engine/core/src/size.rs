//! Numbers of bytes as people write them.

/// Reads a number of bytes such as `4096`, `64KB`, `512MiB`, `2 GiB`. `K`, `M`, `G` and `T` alone count by 1024, as
/// does `KiB`; `KB` counts by 1000. `None` if the text is no such number or does not fit.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim_start() {
        "" | "B" => 1,
        "k" | "K" | "Ki" | "KiB" => 1 << 10,
        "kB" | "KB" => 1_000,
        "M" | "Mi" | "MiB" => 1 << 20,
        "MB" => 1_000_000,
        "G" | "Gi" | "GiB" => 1 << 30,
        "GB" => 1_000_000_000,
        "T" | "Ti" | "TiB" => 1 << 40,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(unit).filter(|bytes| i64::try_from(*bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64KB", 64_000),
            ("64KiB", 65_536),
            ("2 GiB", 2 << 30),
            ("1M", 1 << 20),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "MB", "1.5G", "-1", "1XB", "99999999999999999999", "9999999999T"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
