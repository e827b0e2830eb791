//! Whether the key that a machine shows is the one it should have: the files `known_hosts` of OpenSSH, with hashed
//! names, patterns, authorities and revoked keys (the manual page sshd(8) has their form).

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ring::hmac;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};
use rustix::fs::{FlockOperation, flock};
use weir_core::hosts::{Hop, KnownHosts};
use weir_core::outcome::ErrorClass;

use super::trouble::Trouble;

/// How long a lock on a file of keys may be waited for.
const LOCK: Duration = Duration::from_secs(10);

/// What the files say of one machine.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// What it is called in the files.
    name: String,
    /// Its address alone, as certificates name it.
    address: String,
    /// All lines that speak of it.
    lines: Vec<Line>,
    /// The file that new keys go to.
    learn: Option<PathBuf>,
    /// Where an unknown key could be added.
    add_to: PathBuf,
}

#[derive(Clone, Debug)]
struct Line {
    file: PathBuf,
    number: usize,
    marker: Option<Marker>,
    key: PublicKey,
}

impl Line {
    fn place(&self) -> String {
        format!("line {} of {}", self.number, self.file.display())
    }
}

/// Reads what is known of a machine. A file that is not there knows nothing.
///
/// # Errors
/// A file can't be read.
pub(crate) fn read(hop: &Hop, known: &KnownHosts, home: &Path) -> Result<Known, Trouble> {
    let own = home.join(".ssh/known_hosts");
    let (files, learn) = match known {
        KnownHosts::Usual => (vec![own.clone(), PathBuf::from("/etc/ssh/ssh_known_hosts")], None),
        KnownHosts::File(file) => (vec![file.clone()], None),
        KnownHosts::AcceptNew(file) => (vec![file.clone()], Some(file.clone())),
    };
    let name = name(hop);
    let mut lines = Vec::new();
    for file in &files {
        let text = match fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(file, &error)),
        };
        add_lines(&String::from_utf8_lossy(&text), file, &name, &hop.address, &mut lines);
    }
    let add_to = files.into_iter().next().unwrap_or(own);
    Ok(Known { name, address: hop.address.to_lowercase(), lines, learn, add_to })
}

fn unreadable(file: &Path, error: &io::Error) -> Trouble {
    Trouble::new(
        ErrorClass::Definition,
        format!("the known keys can't be read: {}: {error}", file.display()),
        "",
    )
}

/// What the files call a machine.
fn name(hop: &Hop) -> String {
    let address = hop.address.to_lowercase();
    if hop.port == 22 { address } else { format!("[{address}]:{}", hop.port) }
}

fn add_lines(text: &str, file: &Path, name: &str, address: &str, lines: &mut Vec<Line>) {
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first().is_none_or(|word| word.starts_with('#')) {
            continue;
        }
        // A line that can't be read says nothing: such files live long, and hold keys of kinds long gone.
        let Ok(entry) = words.join(" ").parse::<Entry>() else { continue };
        let marker = entry.marker().copied();
        let is_meant = matches(entry.host_patterns(), name)
            // An authority vouches for a machine, not for a port.
            || (marker == Some(Marker::CertAuthority) && matches(entry.host_patterns(), &address.to_lowercase()));
        if is_meant {
            let key = entry.public_key().clone();
            lines.push(Line { file: file.to_owned(), number: at + 1, marker, key });
        }
    }
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, name.as_bytes(), hash).is_ok()
        }
        HostPatterns::Patterns(patterns) => {
            let is_met = |pattern: &str| fits(pattern.to_lowercase().as_bytes(), name.as_bytes());
            let mut is_named = false;
            for pattern in patterns {
                match pattern.strip_prefix('!') {
                    Some(pattern) if is_met(pattern) => return false,
                    Some(_) => {}
                    None => is_named |= is_met(pattern),
                }
            }
            is_named
        }
    }
}

/// Whether a pattern of letters, `*` and `?` fits the whole text.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(letter) if *letter == b'?' || *letter == text[place] => {
                at += 1;
                place += 1;
            }
            _ => match star {
                Some((from, taken)) => {
                    star = Some((from, taken + 1));
                    at = from + 1;
                    place = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == b'*')
}

impl Known {
    /// The kinds of keys to ask the machine for, those that are known of it first, so that it shows one that can be
    /// compared.
    pub(crate) fn prefer(&self, usual: &[Algorithm]) -> Vec<Algorithm> {
        let is_known = |algorithm: &&Algorithm| {
            self.lines
                .iter()
                .any(|line| line.marker.is_none() && same_kind(&line.key.algorithm(), algorithm))
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = usual.iter().partition(is_known);
        first.extend(rest);
        first.into_iter().cloned().collect()
    }

    /// Whether an authority is known that may vouch for it.
    pub(crate) fn has_authority(&self) -> bool {
        self.lines.iter().any(|line| line.marker == Some(Marker::CertAuthority))
    }

    /// Whether it may be trusted with the key that it shows. May add a line to a file, and wait for its lock.
    ///
    /// # Errors
    /// It may not be trusted.
    pub(crate) fn check(&self, shown: &PublicKeyOrCertificate, hop: &Hop) -> Result<(), Trouble> {
        let key = shown.public_key();
        let revoked = self.lines.iter().find(|line| {
            line.marker == Some(Marker::Revoked)
                && (same(&line.key, &key)
                    || shown
                        .certificate()
                        .is_some_and(|cert| cert.signature_key() == line.key.key_data()))
        });
        if let Some(line) = revoked {
            return Err(Trouble::refused(
                format!("its key {} has been revoked by {}", print(&key), line.place()),
                "give the machine a new key, or find out who answers there",
            ));
        }
        if let Some(certificate) = shown.certificate()
            && let Some(told) = self.certified(certificate)
        {
            return told;
        }
        let plain = || self.lines.iter().filter(|line| line.marker.is_none());
        if plain().any(|line| same(&line.key, &key)) {
            return Ok(());
        }
        if let Some(line) = plain()
            .find(|line| same_kind(&line.key.algorithm(), &key.algorithm()))
            .or(plain().next())
        {
            return Err(Trouble::refused(
                format!(
                    "its key has changed: it shows {}, {} knows it by {}",
                    print(&key),
                    line.place(),
                    print(&line.key)
                ),
                format!(
                    "if the machine was set up anew: ssh-keygen -f {} -R '{}'; if not, somebody may be in between",
                    line.file.display(),
                    self.name
                ),
            ));
        }
        match &self.learn {
            Some(file) => self.learn(file, &key, shown, hop),
            None => Err(Trouble::refused(
                format!("its key {} is not known", print(&key)),
                format!(
                    "compare it with the machine's own (ssh-keygen -lf /etc/ssh/ssh_host_*.pub), then: ssh-keyscan -p \
                     {} {} >>{}; or set `known-hosts: accept-new`",
                    hop.port,
                    hop.address,
                    self.add_to.display()
                ),
            )),
        }
    }

    /// What an authority that is known says; `None` if none that is known has signed it.
    fn certified(&self, certificate: &Certificate) -> Option<Result<(), Trouble>> {
        let line = self.lines.iter().find(|line| {
            line.marker == Some(Marker::CertAuthority)
                && line.key.key_data() == certificate.signature_key()
        })?;
        let principals = certificate.valid_principals();
        let is_named = principals.is_empty()
            || principals
                .iter()
                .any(|name| fits(name.to_lowercase().as_bytes(), self.address.as_bytes()));
        let wrong = if certificate.cert_type() != CertType::Host {
            "is not made for hosts".to_owned()
        } else if !is_named {
            format!("is made for {}", principals.join(", "))
        } else if !certificate.critical_options().is_empty() {
            "asks for what is not known here".to_owned()
        } else if certificate.validate([&line.key.fingerprint(HashAlg::Sha256)]).is_err() {
            "has run out, is not yet valid, or is badly signed".to_owned()
        } else {
            return Some(Ok(()));
        };
        Some(Err(Trouble::refused(
            format!(
                "its certificate `{}` {wrong} (authority: {})",
                certificate.key_id(),
                line.place()
            ),
            "have the machine's key signed anew",
        )))
    }

    /// Keeps a key that is met for the first time; somebody else may have been faster.
    fn learn(
        &self,
        file: &Path,
        key: &PublicKey,
        shown: &PublicKeyOrCertificate,
        hop: &Hop,
    ) -> Result<(), Trouble> {
        let cant = |error: io::Error| {
            Trouble::new(
                ErrorClass::Definition,
                format!("its key can't be kept in {}: {error}", file.display()),
                "",
            )
        };
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(cant)?;
        }
        let mut opened = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(file)
            .map_err(cant)?;
        let since = Instant::now();
        while let Err(error) = flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            if since.elapsed() > LOCK {
                return Err(cant(error.into()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut text = String::new();
        opened.read_to_string(&mut text).map_err(cant)?;
        let mut lines = Vec::new();
        add_lines(&text, file, &self.name, &self.address, &mut lines);
        if !lines.is_empty() {
            return Self { lines, learn: None, ..self.clone() }.check(shown, hop);
        }
        let bare = PublicKey::new(key.key_data().clone(), "");
        let words = bare.to_openssh().map_err(|error| cant(io::Error::other(error.to_string())))?;
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        let line = format!("{gap}{} {}\n", self.name, words.trim_end());
        opened.write_all(line.as_bytes()).and_then(|()| opened.sync_data()).map_err(cant)
    }

    /// The line that says of this machine what we know now: for the `ssh` of a hop.
    pub(crate) fn line_for(&self, key: &PublicKey) -> String {
        let bare = PublicKey::new(key.key_data().clone(), "");
        format!("{} {}\n", self.name, bare.to_openssh().unwrap_or_default().trim_end())
    }
}

fn same(one: &PublicKey, other: &PublicKey) -> bool {
    one.key_data() == other.key_data()
}

/// Whether keys of these kinds can be compared: an RSA key is one whatever it signs with.
fn same_kind(one: &Algorithm, other: &Algorithm) -> bool {
    match (one, other) {
        (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
        (one, other) => one == other,
    }
}

/// A key in words, as `ssh-keygen -l` shows it.
pub(crate) fn print(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const TWO: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";

    fn told(text: &str, address: &str, port: u16, shown: &str) -> String {
        let hop = Hop { address: address.to_owned(), port, ..Hop::default() };
        let mut lines = Vec::new();
        add_lines(text, Path::new("kh"), &name(&hop), address, &mut lines);
        let known = Known {
            name: name(&hop),
            address: address.to_owned(),
            lines,
            learn: None,
            add_to: "kh".into(),
        };
        let key: PublicKey = shown.parse().expect("a key");
        match known.check(&key.into(), &hop) {
            Ok(()) => "trusted".to_owned(),
            Err(trouble) => trouble.message,
        }
    }

    #[test]
    fn names_are_plain_hashed_patterns_or_with_a_port() {
        let hashed = "|1|O33ESRMWPVkMYIwJ1Uw+n877jTo=|nuuC5vEqXlEZ/8BXQR7m619W6Ak=";
        for (names, address, port, is_met) in [
            ("h", "h", 22, true),
            ("H", "h", 22, true),
            ("h", "h", 2222, false),
            ("[h]:2222", "h", 2222, true),
            ("x,h,y", "h", 22, true),
            ("*.example.org", "a.example.org", 22, true),
            ("*.example.org,!a.*", "a.example.org", 22, false),
            ("10.2.14.?", "10.2.14.1", 22, true),
            ("10.2.14.?", "10.2.14.11", 22, false),
            (hashed, "example.com", 22, true),
            (hashed, "example.org", 22, false),
        ] {
            let text = format!("# a comment\n\n{names} {ONE} somebody\n");
            let expected = if is_met { "trusted" } else { "is not known" };
            assert!(told(&text, address, port, ONE).ends_with(expected), "{names} {address}");
        }
    }

    #[test]
    fn a_changed_or_revoked_key_is_refused_and_the_line_is_named() {
        let text = format!("# one\nh {ONE}\n@revoked * {TWO}\n");
        assert_eq!(told(&text, "h", 22, ONE), "trusted");
        let changed = told(&format!("# one\n\nh {ONE}\n"), "h", 22, TWO);
        assert!(changed.contains("line 3 of kh knows it by ssh-ed25519 SHA256:"), "{changed}");
        let revoked = told(&text, "h", 22, TWO);
        assert!(revoked.ends_with("revoked by line 3 of kh"), "{revoked}");
        // Another kind of key than the one that is known is a change, too: the known kind is asked for first.
        let rsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";
        assert!(told(&format!("h {ONE}\n"), "h", 22, rsa).contains("has changed"));
    }
}
