//! Whether a call from outside is signed by somebody who knows the secret, and fresh.
//!
//! The sender signs `TIMESTAMP.BODY` with HMAC-SHA256 (RFC 2104, FIPS 180-4) and sends the time in seconds since 1970 and
//! `sha256=HEX`. A call is good for a while around its time; whoever receives it remembers the signatures of that
//! while, so that none is good twice.

use std::time::Duration;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::hex;
use crate::time::Timestamp;

/// How long before and after its time a call is good.
pub const WINDOW: Duration = Duration::from_mins(5);

/// The longest body that is looked at, in bytes.
pub const BODY_MAX: usize = 1 << 20;

/// A call that is good, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What to remember: a second call with the same is a repeat.
    pub once: String,
    /// Until when to remember it.
    pub until: Timestamp,
}

/// Why a call is refused. None says which signature would have been right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no secret to hold it against.
    #[error("no secret is set for this webhook")]
    NoSecret,
    /// The time is no number of seconds.
    #[error("the timestamp is no number of seconds since 1970")]
    BadTime,
    /// It is too old, or from the future.
    #[error(
        "the timestamp is too far from now: check the sender's clock, or it is a repeat of an old call"
    )]
    Stale,
    /// The signature is not of the form `sha256=HEX`.
    #[error("the signature is not of the form `sha256=` and 64 hexadecimal digits")]
    BadForm,
    /// The signature is another.
    #[error("the signature does not fit the body, the timestamp and the secret")]
    Wrong,
    /// The body is larger than any trigger needs.
    #[error("the body is larger than 1 MiB")]
    TooLarge,
}

/// Judges a call.
///
/// # Errors
/// It is not signed, not fresh, or too large.
pub fn verify(
    secret: &[u8],
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Signed, Refused> {
    if secret.is_empty() {
        return Err(Refused::NoSecret);
    }
    if body.len() > BODY_MAX {
        return Err(Refused::TooLarge);
    }
    let is_number = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: i64 = timestamp.parse().ok().filter(|_| is_number).ok_or(Refused::BadTime)?;
    let at = Timestamp::from_millis(seconds.checked_mul(1_000).ok_or(Refused::BadTime)?);
    let given = signature.strip_prefix("sha256=").and_then(hex::decode);
    let given = given.filter(|bytes| bytes.len() == 32).ok_or(Refused::BadForm)?;
    // In a time that tells nothing of where they differ.
    mac(secret, &[timestamp.as_bytes(), b".", body])
        .verify_slice(&given)
        .map_err(|_| Refused::Wrong)?;
    if at.since(now) > WINDOW || now.since(at) > WINDOW {
        return Err(Refused::Stale);
    }
    Ok(Signed { once: signature.to_ascii_lowercase(), until: at.plus(WINDOW) })
}

/// The signature that a sender puts on a body, as `sha256=HEX`.
pub fn sign(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    let right = mac(secret, &[timestamp.as_bytes(), b".", body]).finalize().into_bytes();
    format!("sha256={}", hex::encode(&right))
}

fn mac(secret: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(secret).expect("a secret of any length will do");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        for (key, data, expected) in [
            (
                vec![0x0b; 20],
                b"Hi There".to_vec(),
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?".to_vec(),
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex::encode(&mac(&key, &[&data]).finalize().into_bytes()), expected);
        }
    }

    #[test]
    fn a_call_is_good_while_it_is_fresh_and_whole() {
        let now = Timestamp::from_millis(1_795_000_000_000);
        let (secret, body) = (b"secret", br#"{"params":{}}"#);
        let signature = sign(secret, "1795000000", body);
        let check = |timestamp: &str, signature: &str, body: &[u8], now| {
            verify(secret, timestamp, signature, body, now)
        };
        let good = check("1795000000", &signature, body, now).expect("it is signed");
        assert_eq!(good.once, signature);
        assert_eq!(good.until, now.plus(WINDOW));
        assert_eq!(
            check("1795000000", &signature.to_uppercase().replace("SHA", "sha"), body, now),
            Ok(good)
        );
        assert_eq!(check("1795000001", &signature, body, now), Err(Refused::Wrong));
        assert_eq!(check("1795000000", &signature, b"{}", now), Err(Refused::Wrong));
        assert_eq!(verify(b"other", "1795000000", &signature, body, now), Err(Refused::Wrong));
        assert_eq!(verify(b"", "1795000000", &signature, body, now), Err(Refused::NoSecret));
        for wrong in
            ["", "sha256=", &signature[..70], &signature.replace("sha256=", "sha1="), "sha256=é"]
        {
            assert_eq!(check("1795000000", wrong, body, now), Err(Refused::BadForm), "{wrong}");
        }
        for wrong in ["", "now", "-1", "+1795000000", "99999999999999999999", "9223372036854775807"]
        {
            assert_eq!(check(wrong, &signature, body, now), Err(Refused::BadTime), "{wrong}");
        }
        let late = now.plus(WINDOW).plus(Duration::from_millis(1));
        assert_eq!(check("1795000000", &signature, body, late), Err(Refused::Stale));
        let early = Timestamp::from_millis(now.millis() - 300_001);
        assert_eq!(check("1795000000", &signature, body, early), Err(Refused::Stale));
        assert_eq!(
            check("1795000000", &signature, &vec![0; BODY_MAX + 1], now),
            Err(Refused::TooLarge)
        );
    }
}
