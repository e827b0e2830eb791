//! What a plain scalar means: the core schema of YAML 1.2 (section 10.3).

use super::Data;

/// A number that can't be kept as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The value of a plain scalar.
///
/// # Errors
/// It reads as a number that is infinite or too large to be kept digit by digit.
pub(super) fn plain(text: &str) -> Result<Data, TooLarge> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Data::Null),
        "true" | "True" | "TRUE" => return Ok(Data::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Data::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Err(TooLarge),
        _ => {}
    }
    let (unsigned, is_signed) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Err(TooLarge);
    }
    let based = |prefix: &str, base: u32| {
        let digits = text.strip_prefix(prefix).filter(|_| !is_signed)?;
        let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
        is_number.then(|| i64::from_str_radix(digits, base).map_err(|_| TooLarge))
    };
    if let Some(number) = based("0o", 8).or_else(|| based("0x", 16)) {
        return number.map(Data::Int);
    }
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Data::Int).map_err(|_| TooLarge);
    }
    if is_float(unsigned) {
        let number: f64 = text.parse().map_err(|_| TooLarge)?;
        return if number.is_finite() { Ok(Data::Float(number)) } else { Err(TooLarge) };
    }
    Ok(Data::Text(text.into()))
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(text);
    let mut rest = &text[whole..];
    let mut fraction = 0;
    if let Some(after) = rest.strip_prefix('.') {
        fraction = digits(after);
        rest = &after[fraction..];
    }
    if whole + fraction == 0 {
        return false;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_decides_what_a_plain_scalar_is() {
        for (text, data) in [
            ("", Data::Null),
            ("~", Data::Null),
            ("True", Data::Bool(true)),
            ("yes", Data::Text("yes".into())),
            ("0", Data::Int(0)),
            ("-12", Data::Int(-12)),
            ("+12", Data::Int(12)),
            ("0755", Data::Int(755)),
            ("0o17", Data::Int(15)),
            ("0xff", Data::Int(255)),
            ("0x", Data::Text("0x".into())),
            ("1.5", Data::Float(1.5)),
            ("1.", Data::Float(1.0)),
            (".5", Data::Float(0.5)),
            ("1e3", Data::Float(1000.0)),
            ("1e", Data::Text("1e".into())),
            ("1.2.3", Data::Text("1.2.3".into())),
            (".", Data::Text(".".into())),
            ("-", Data::Text("-".into())),
            ("12:30", Data::Text("12:30".into())),
        ] {
            assert_eq!(plain(text), Ok(data), "{text}");
        }
        for text in ["9223372036854775808", ".inf", "-.INF", ".nan", "1e999"] {
            assert_eq!(plain(text), Err(TooLarge), "{text}");
        }
    }
}
