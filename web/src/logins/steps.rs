//! What the two halves of a login by a provider have in common: it follows from a secret that the browser keeps, so nothing
//! need be remembered here.

use weir_core::hex;

/// Proves that the browser that comes back is the one that left.
pub(crate) fn state(secret: &str) -> String {
    derived(secret, "state")
}

/// Proves that a token was made for this login.
pub(crate) fn nonce(secret: &str) -> String {
    derived(secret, "nonce")
}

/// Proves to the provider that we began this login (RFC 7636).
pub(crate) fn verifier(secret: &str) -> String {
    derived(secret, "verifier")
}

/// Each tells nothing of the others, nor of the secret.
fn derived(secret: &str, step: &str) -> String {
    hex::sha256(format!("{step} {secret}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_a_secret_differs() {
        let steps = [state("a secret"), nonce("a secret"), verifier("a secret")];
        assert!(steps[0] != steps[1] && steps[1] != steps[2] && steps[0] != steps[2]);
        assert_ne!(state("another"), steps[0]);
        // RFC 7636, 4.1.
        assert!((43..=128).contains(&steps[2].len()));
    }
}
