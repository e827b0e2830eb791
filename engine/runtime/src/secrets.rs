//! Sealing what must not be read from the disk.
//!
//! `XChaCha20-Poly1305` with a key of 256 bits that is either in `WEIR_SECRET_KEY` or in the home's `secret.key`. What is
//! sealed is bound to its scope and name: moved to another row it does not open. Nothing here keeps a value for longer
//! than the call; the key is wiped when the vault is dropped.
//!
//! A sealed value is `1 | key id (8) | nonce (24) | ciphertext and tag`; as text it is `sealed:` and that in hex.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use weir_core::hex;
use weir_core::secret::Secret;
use zeroize::Zeroizing;

use crate::home::{self, Home};
use crate::store::rows::SecretRow;
use crate::store::{self, CommitError, Store};

/// The environment variable that may hold the key: 32 bytes in hex or base64. Must not be passed on to jobs.
pub const KEY_VARIABLE: &str = "WEIR_SECRET_KEY";

const VERSION: u8 = 1;
const KEY_ID: usize = 8;
const NONCE: usize = 24;
const HEAD: usize = 1 + KEY_ID + NONCE;
const TEXT_PREFIX: &str = "sealed:";

/// Why a value can't be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The variable holds no key.
    #[error(
        "WEIR_SECRET_KEY is not a key\nhelp: it takes 32 bytes in hex or base64, such as `openssl rand -hex 32` prints"
    )]
    BadVariable,
    /// The file holds no key.
    #[error(
        "{path} is not a key\nhelp: put the right file back from where it is kept; a new key can't open what the old one sealed"
    )]
    BadFile {
        /// The key file.
        path: PathBuf,
    },
    /// Others than its owner may read or write the file.
    #[error("{path} is open to others (mode {mode:04o})\nhelp: chmod 600 {path}")]
    OpenToOthers {
        /// The key file.
        path: PathBuf,
        /// Its mode's last nine bits.
        mode: u32,
    },
    /// The value is too short to be masked wherever it could be seen.
    #[error(
        "the value of `{name}` is shorter than {} bytes: too short to be masked in logs\nhelp: take a longer one; what need not be hidden is better a parameter or a variable",
        Secret::SHORTEST
    )]
    TooShort {
        /// The secret.
        name: String,
    },
    /// There are sealed values but no key.
    #[error(
        "the key is missing: {path} is not there and WEIR_SECRET_KEY is not set\nhelp: put the file back, or set the variable"
    )]
    NoKey {
        /// Where it should be.
        path: PathBuf,
    },
    /// The value was sealed with another key.
    #[error(
        "`{name}` was sealed with key {sealed}, this is key {ours}\nhelp: use the key it was sealed with, or set the secret again"
    )]
    OtherKey {
        /// The secret.
        name: String,
        /// The key it was sealed with.
        sealed: String,
        /// The key there is.
        ours: String,
    },
    /// The value was changed, or belongs to another name.
    #[error(
        "`{name}` can't be opened: it was changed, or moved from another name\nhelp: set the secret again"
    )]
    Changed {
        /// The secret.
        name: String,
    },
    /// The system gives no random numbers, or the file can't be read or written.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The store can't be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// What seals and opens.
pub struct Vault {
    cipher: XChaCha20Poly1305,
    key_id: [u8; KEY_ID],
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", self.key_id())
    }
}

impl Vault {
    /// The vault of a home. Makes a key if there is none and nothing could have been sealed yet (`fresh`).
    ///
    /// # Errors
    /// The key is missing, malformed, or open to others.
    pub fn open(home: &Home, fresh: bool) -> Result<Self, Error> {
        if let Some(value) = std::env::var_os(KEY_VARIABLE).filter(|value| !value.is_empty()) {
            let value = Zeroizing::new(value.into_string().map_err(|_| Error::BadVariable)?);
            let key = parse_key(value.trim()).ok_or(Error::BadVariable)?;
            return Ok(Self::with(&key));
        }
        let path = home.secret_key();
        match read_key(&path)? {
            Some(key) => Ok(Self::with(&key)),
            None if fresh => {
                let key = make_key(&path)?;
                Ok(Self::with(&key))
            }
            None => Err(Error::NoKey { path }),
        }
    }

    /// The vault that has this key.
    pub fn with(key: &[u8; 32]) -> Self {
        let cipher = XChaCha20Poly1305::new(key.into());
        // What the key makes of nothing names it without telling anything about it. The nonce is never used otherwise,
        // but for one chance in 2^192.
        let named = cipher
            .encrypt(&XNonce::default(), Payload { msg: b"", aad: b"weir key id" })
            .expect("nothing is never too long");
        let mut key_id = [0; KEY_ID];
        key_id.copy_from_slice(&named[..KEY_ID]);
        Self { cipher, key_id }
    }

    /// The name of the key, in hex. Not secret.
    pub fn key_id(&self) -> String {
        hex::encode(&self.key_id)
    }

    /// Seals a value for a scope (a project, a run) and a name in it.
    pub fn seal(&self, scope: &str, name: &str, value: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).expect("the system gives random numbers");
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: value, aad: &bound_to(scope, name) })
            .expect("a value is far below the limit of 256 GiB");
        [&[VERSION][..], &self.key_id, &nonce, &sealed].concat()
    }

    /// Opens what [`Vault::seal`] made for the same scope and name.
    ///
    /// # Errors
    /// It was sealed with another key, was changed, or is of another scope or name.
    pub fn open_sealed(
        &self,
        scope: &str,
        name: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let changed = || Error::Changed { name: name.to_owned() };
        if sealed.len() < HEAD || sealed[0] != VERSION {
            return Err(changed());
        }
        if sealed[1..=KEY_ID] != self.key_id {
            let sealed = hex::encode(&sealed[1..=KEY_ID]);
            return Err(Error::OtherKey { name: name.to_owned(), sealed, ours: self.key_id() });
        }
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&sealed[1 + KEY_ID..HEAD]);
        self.cipher
            .decrypt(
                &XNonce::from(nonce),
                Payload { msg: &sealed[HEAD..], aad: &bound_to(scope, name) },
            )
            .map(Zeroizing::new)
            .map_err(|_| changed())
    }

    /// Seals a value into a text: for secret parameters, which stand among others in a run's JSON.
    pub fn seal_text(&self, scope: &str, name: &str, value: &str) -> String {
        format!("{TEXT_PREFIX}{}", hex::encode(&self.seal(scope, name, value.as_bytes())))
    }

    /// Opens what [`Vault::seal_text`] made.
    ///
    /// # Errors
    /// As [`Vault::open_sealed`].
    pub fn open_text(
        &self,
        scope: &str,
        name: &str,
        text: &str,
    ) -> Result<Zeroizing<String>, Error> {
        let changed = || Error::Changed { name: name.to_owned() };
        let sealed = text.strip_prefix(TEXT_PREFIX).and_then(hex::decode).ok_or_else(changed)?;
        let value = self.open_sealed(scope, name, &sealed)?;
        std::str::from_utf8(&value)
            .map(|value| Zeroizing::new(value.to_owned()))
            .map_err(|_| changed())
    }

    /// Whether a text looks like what [`Vault::seal_text`] makes.
    pub fn is_sealed(text: &str) -> bool {
        text.starts_with(TEXT_PREFIX)
    }
}

/// The secrets of a store: named values, each in a scope (a project's name, or empty for all).
#[derive(Debug)]
pub struct Secrets {
    store: Store,
    vault: Vault,
}

impl Secrets {
    /// Opens the secrets of a home. The first one ever makes the key.
    ///
    /// # Errors
    /// The key is missing or unusable, or the store can't be read.
    pub async fn open(home: &Home, store: Store) -> Result<Self, Error> {
        let fresh = !store.has_secrets().await?;
        Ok(Self { vault: Vault::open(home, fresh)?, store })
    }

    /// What seals and opens, for values that have no name of their own in the store.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Keeps a value under a name, in place of what was there. `by` says who did it.
    ///
    /// # Errors
    /// It could not be committed.
    pub async fn set(&self, scope: &str, name: &str, value: &[u8], by: &str) -> Result<(), Error> {
        if !Secret::new(name, String::from_utf8_lossy(value)).is_maskable() {
            return Err(Error::TooShort { name: name.to_owned() });
        }
        let row = SecretRow {
            scope: scope.to_owned(),
            name: name.to_owned(),
            sealed: self.vault.seal(scope, name, value),
            key_id: self.vault.key_id(),
            at: home::now(),
            by: by.to_owned(),
        };
        Ok(self.store.set_secret(row).await?)
    }

    /// The value under a name.
    ///
    /// # Errors
    /// It can't be read or opened.
    pub async fn get(&self, scope: &str, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        match self.store.secret(scope, name).await? {
            Some(row) => self.vault.open_sealed(scope, name, &row.sealed).map(Some),
            None => Ok(None),
        }
    }

    /// All secrets but their values, by scope and name.
    ///
    /// # Errors
    /// The store can't be read.
    pub async fn list(&self) -> Result<Vec<SecretRow>, Error> {
        Ok(self.store.secrets().await?)
    }

    /// Forgets a secret. Says whether there was one.
    ///
    /// # Errors
    /// It could not be committed.
    pub async fn remove(&self, scope: &str, name: &str) -> Result<bool, Error> {
        let known = self.store.secret(scope, name).await?.is_some();
        self.store.remove_secret(scope, name).await?;
        Ok(known)
    }
}

/// The secrets that a project of a home may read, by name, whoever holds the home. For those who only look: nothing is
/// made or written.
///
/// # Errors
/// The database or the key can't be read.
pub async fn of_project(home: &Home, project: &str) -> Result<BTreeMap<String, Secret>, Error> {
    let rows = Store::secrets_of(home).await?;
    let mut known = BTreeMap::new();
    if rows.is_empty() {
        return Ok(known);
    }
    let vault = Vault::open(home, false)?;
    // A project's own secret goes before one of the same name for all.
    for scope in ["", project] {
        for row in rows.iter().filter(|row| row.scope == scope) {
            let value = vault.open_sealed(scope, &row.name, &row.sealed)?;
            let text = String::from_utf8_lossy(&value).into_owned();
            known.insert(row.name.clone(), Secret::new(row.name.as_str(), text));
        }
    }
    Ok(known)
}

/// What a sealed value is bound to. The length keeps `a`+`bc` and `ab`+`c` apart.
fn bound_to(scope: &str, name: &str) -> Vec<u8> {
    let mut bound = (scope.len() as u64).to_le_bytes().to_vec();
    bound.extend_from_slice(scope.as_bytes());
    bound.extend_from_slice(name.as_bytes());
    bound
}

fn read_key(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, Error> {
    let data = match fs::metadata(path) {
        Ok(data) => data,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(home::Error::of(path, error).into()),
    };
    let mode = data.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::OpenToOthers { path: path.to_path_buf(), mode });
    }
    let text = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| home::Error::of(path, error))?;
    parse_key(text.trim()).map(Some).ok_or_else(|| Error::BadFile { path: path.to_path_buf() })
}

/// Makes a key. It is whole and on the disk before anything is sealed with it; if two make one at once, the first stays.
fn make_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, Error> {
    let fail = |error| Error::Home(home::Error::of(path, error));
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(&mut key[..]).expect("the system gives random numbers");
    let draft = path.with_extension(format!("key-{}", std::process::id()));
    let written = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(Zeroizing::new(hex::encode(&key[..])).as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        })
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    let removed = fs::remove_file(&draft);
    written.and(removed).map_err(fail)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
    }
    read_key(path)?.ok_or_else(|| Error::NoKey { path: path.to_path_buf() })
}

fn parse_key(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes =
        Zeroizing::new(if text.len() == 64 { hex::decode(text)? } else { from_base64(text)? });
    let mut key = Zeroizing::new([0; 32]);
    if bytes.len() != key.len() {
        return None;
    }
    key.copy_from_slice(&bytes);
    Some(key)
}

/// Base64 of RFC 4648, with or without its padding.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let (mut bits, mut held) = (0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_its_own_name_opens_it() {
        let vault = Vault::with(&[7; 32]);
        let sealed = vault.seal("tap", "vcap", b"hunter2");
        assert_eq!(&vault.open_sealed("tap", "vcap", &sealed).expect("it opens")[..], b"hunter2");
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
        assert_ne!(sealed, vault.seal("tap", "vcap", b"hunter2"), "each has a nonce of its own");
        for (scope, name) in [("tap", "vca"), ("ta", "pvcap"), ("tapv", "cap"), ("", "vcap")] {
            assert!(matches!(vault.open_sealed(scope, name, &sealed), Err(Error::Changed { .. })));
        }
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(vault.open_sealed("tap", "vcap", &changed).is_err(), "byte {place}");
            assert!(vault.open_sealed("tap", "vcap", &sealed[..place]).is_err());
        }
        let other = Vault::with(&[8; 32]);
        let error = other.open_sealed("tap", "vcap", &sealed).expect_err("another key").to_string();
        assert!(error.contains(&vault.key_id()) && error.contains(&other.key_id()), "{error}");
    }

    #[test]
    fn texts_are_sealed_too() {
        let vault = Vault::with(&[7; 32]);
        let sealed = vault.seal_text("run 7", "password", "pässword");
        assert!(Vault::is_sealed(&sealed));
        assert_eq!(*vault.open_text("run 7", "password", &sealed).expect("it opens"), "pässword");
        for bad in ["", "sealed:", "sealed:0", "sealed:zz", "clear"] {
            assert!(vault.open_text("run 7", "password", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_read_in_hex_and_base64() {
        let key = [0xfb; 32];
        let hex = "fb".repeat(32);
        let base64 = "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=";
        assert_eq!(parse_key(&hex).as_deref(), Some(&key));
        assert_eq!(parse_key(base64).as_deref(), Some(&key));
        assert_eq!(parse_key(base64.trim_end_matches('=')).as_deref(), Some(&key));
        for bad in
            ["", "fb", &hex[2..], &"fg".repeat(32), "+/v7 /v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s="]
        {
            assert!(parse_key(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_key_file_is_for_its_owner_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::open(dir.path()).expect("it opens");
        assert!(matches!(Vault::open(&home, false), Err(Error::NoKey { .. })));
        let first = Vault::open(&home, true).expect("a key is made").key_id();
        assert_eq!(Vault::open(&home, false).expect("it is there").key_id(), first);
        assert_eq!(Vault::open(&home, true).expect("it is kept").key_id(), first);
        let path = home.secret_key();
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o660, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
            let error = Vault::open(&home, true).expect_err("open to others").to_string();
            assert!(
                error.contains(&format!("{mode:04o}")) && error.contains("chmod 600"),
                "{error}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        fs::write(&path, "short").expect("written");
        assert!(matches!(Vault::open(&home, true), Err(Error::BadFile { .. })));
    }
}
