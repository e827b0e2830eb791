//! Passwords and tokens: made, hashed, compared. Nothing here keeps one.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;
use weir_core::hex;

/// The fewest characters of a password that a person chooses.
pub const SHORTEST: usize = 10;

/// Hashing takes 19 MiB: no more than so many at once.
static HASHING: Semaphore = Semaphore::const_new(4);

/// A password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password can't be hashed: {0}")]
pub struct HashError(String);

/// The hash of a password as PHC text (Argon2id).
///
/// # Errors
/// There is no memory for it.
pub async fn hash(password: &str) -> Result<String, HashError> {
    let password = password.to_owned();
    let _turn = HASHING.acquire().await;
    let hashed = tokio::task::spawn_blocking(move || {
        Argon2::default().hash_password(password.as_bytes()).map(|hash| hash.to_string())
    });
    match hashed.await {
        Ok(Ok(hash)) => Ok(hash),
        Ok(Err(error)) => Err(HashError(error.to_string())),
        Err(error) => Err(HashError(error.to_string())),
    }
}

/// Whether a password fits a hash. Takes as long where there is none (`None`), so that nobody can tell names by time.
pub async fn fits(password: &str, hash: Option<&str>) -> bool {
    /// Of a password that nobody has: the hash of no text that a form can send.
    const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let is_somebody = hash.is_some_and(|hash| !hash.is_empty());
    let hash = hash.filter(|hash| !hash.is_empty()).unwrap_or(NOBODY).to_owned();
    let password = password.to_owned();
    let _turn = HASHING.acquire().await;
    let compared = tokio::task::spawn_blocking(move || {
        PasswordHash::new(&hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    });
    compared.await.unwrap_or(false) && is_somebody
}

/// A password for one login: 20 characters that are not mistaken for each other, in groups.
pub fn one_time() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).expect("the system gives random numbers");
    let mut word = String::new();
    for (at, byte) in bytes.into_iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            word.push('-');
        }
        word.push(char::from(LETTERS[usize::from(byte % 32)]));
    }
    word
}

/// A new value for a cookie or a token: 256 random bits as hex.
pub fn secret() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system gives random numbers");
    hex::encode(&bytes)
}

/// A token's text; its beginning says what it is when it is found somewhere.
pub fn token() -> String {
    format!("weir_{}", secret())
}

/// What is kept of a cookie's value or a token.
pub fn digest(secret: &str) -> String {
    hex::sha256(secret.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn only_the_right_password_fits() {
        let hashed = hash("correct horse").await.expect("it is hashed");
        assert!(hashed.starts_with("$argon2id$"));
        assert!(fits("correct horse", Some(&hashed)).await);
        assert!(!fits("wrong horse", Some(&hashed)).await);
        assert!(!fits("", Some("")).await);
        assert!(!fits("x", None).await);
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(one_time(), one_time());
        assert_ne!(token(), token());
        assert_eq!(one_time().len(), 23);
        assert_eq!(digest("a").len(), 64);
    }
}
