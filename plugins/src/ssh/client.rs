//! The client's end of one SSH connection: handshake, host key, login, and why it ended.

use std::borrow::Cow;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use russh::client::{Config, DisconnectReason, Handle, Handler, connect_stream};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Disconnect, Preferred, cipher, compression};
use tokio::io::{AsyncRead, AsyncWrite};
use weir_core::hosts::Hop;

use super::known_hosts::Known;
use super::login::{self, Keyring};
use super::trouble::Trouble;

/// How long each step may take. Nothing waits without a bound.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For a TCP connection, names looked up included.
    pub connect: Duration,
    /// For the handshake up to the host's key.
    pub handshake: Duration,
    /// For the login: a wrong password is answered late on purpose.
    pub login: Duration,
    /// For a channel to open, and for a command to be taken on.
    pub open: Duration,
    /// For `sudo` to let the work begin.
    pub sudo: Duration,
    /// How often a silent line is asked whether it is there. It counts as dead after four times this.
    pub keep_alive: Duration,
    /// How long a connection that nobody uses is kept.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(15),
            handshake: seconds(20),
            login: seconds(30),
            open: seconds(20),
            sudo: seconds(20),
            keep_alive: seconds(5),
            idle: seconds(60),
        }
    }
}

/// How many unanswered questions make a line dead.
const SILENCES: usize = 3;

/// RSA with SHA-1 is not among them.
fn key_kinds() -> Vec<Algorithm> {
    let ecdsa = |curve| Algorithm::Ecdsa { curve };
    vec![
        Algorithm::Ed25519,
        ecdsa(EcdsaCurve::NistP256),
        ecdsa(EcdsaCurve::NistP384),
        ecdsa(EcdsaCurve::NistP521),
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ]
}

/// What AES in hardware makes fastest comes first.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

fn config(known: &Known, bounds: &Bounds) -> Config {
    let kinds = known.prefer(&key_kinds());
    let certificates = if known.has_authority() { kinds.clone() } else { Vec::new() };
    Config {
        preferred: Preferred {
            key: Cow::Owned(kinds),
            host_key_certificates: Cow::Owned(certificates),
            cipher: Cow::Borrowed(CIPHERS),
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        },
        keepalive_interval: Some(bounds.keep_alive),
        keepalive_max: SILENCES,
        // Also ends a line that takes no more bytes, where no question can be sent.
        inactivity_timeout: Some(
            bounds.keep_alive * (SILENCES as u32 + 1) + Duration::from_millis(500),
        ),
        nodelay: true,
        ..Config::default()
    }
}

/// What becomes known of a connection.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Why the machine's key was refused.
    refused: Mutex<Option<Trouble>>,
    /// The key that was trusted.
    key: OnceLock<PublicKey>,
    /// Why it ended.
    end: OnceLock<String>,
}

impl Line {
    /// Why it ended, if that is known.
    pub(crate) fn end(&self) -> String {
        self.end.get().cloned().unwrap_or_else(|| "the line broke".to_owned())
    }

    /// The key that the machine was trusted by.
    pub(crate) fn key(&self) -> Option<&PublicKey> {
        self.key.get()
    }
}

/// Judges the machine's key and hears of the end.
pub(crate) struct Client {
    hop: Hop,
    known: Known,
    line: Arc<Line>,
}

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        // Waits at most for the lock on a small file.
        match self.known.check(shown, &self.hop) {
            Ok(()) => {
                let _first = self.line.key.set(shown.public_key());
                Ok(true)
            }
            Err(trouble) => {
                *self.line.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(trouble);
                Ok(false)
            }
        }
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        let why = match &reason {
            DisconnectReason::ReceivedDisconnect(info) if info.message.is_empty() => {
                "the machine ended the connection".to_owned()
            }
            DisconnectReason::ReceivedDisconnect(info) => {
                format!("the machine ended the connection: {}", info.message.trim())
            }
            DisconnectReason::Error(
                russh::Error::KeepaliveTimeout | russh::Error::InactivityTimeout,
            ) => "the line is dead: nothing comes back".to_owned(),
            DisconnectReason::Error(error) => format!("the line broke: {}", in_words(error)),
        };
        let _first = self.line.end.set(why);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}

fn in_words(error: &russh::Error) -> String {
    match error {
        russh::Error::IO(error) => error.to_string(),
        russh::Error::HUP | russh::Error::Disconnect => "closed by the other side".to_owned(),
        error => error.to_string(),
    }
}

/// Runs a step within its time.
pub(crate) async fn within<T>(
    bound: Duration,
    what: &str,
    step: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(bound, step).await {
        Ok(result) => result,
        Err(_) => Err(Trouble::unreachable(format!("{what} within {} s", bound.as_secs_f32()))),
    }
}

/// Makes a connection over a stream up to the machine's key.
///
/// # Errors
/// The machine can't be reached, or its key can't be trusted.
pub(crate) async fn shake<S>(
    stream: S,
    hop: &Hop,
    known: Known,
    bounds: &Bounds,
) -> Result<(Handle<Client>, Arc<Line>), Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = Arc::new(config(&known, bounds));
    let line = Arc::new(Line::default());
    let client = Client { hop: hop.clone(), known, line: Arc::clone(&line) };
    let step = async {
        connect_stream(config, stream, client).await.map_err(|error| {
            let refused = line.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
            refused.unwrap_or_else(|| of_handshake(error))
        })
    };
    let handle = within(bounds.handshake, "it did not answer as an SSH server does", step).await?;
    Ok((handle, line))
}

fn of_handshake(error: russh::Error) -> Trouble {
    use russh::Error;
    match error {
        Error::NoCommonAlgo { kind, theirs, .. } => Trouble::refused(
            format!(
                "it has no {kind:?} algorithm that is safe to use; it offers: {}",
                theirs.join(", ")
            ),
            "update its sshd, or give it an ed25519 host key",
        ),
        Error::Version => Trouble::refused(
            "what answers there is no SSH server",
            "see that address and port are right",
        ),
        Error::WrongServerSig | Error::Kex | Error::KexInit | Error::PacketAuth => {
            Trouble::refused(format!("the handshake failed: {error}"), "somebody may be in between")
        }
        Error::IO(_) | Error::HUP | Error::Disconnect => Trouble::unreachable(format!(
            "it closed the connection before the login ({}): too many at once (MaxStartups), or not let in from here",
            in_words(&error)
        )),
        error => Trouble::unreachable(format!("the handshake broke off: {}", in_words(&error))),
    }
}

/// Makes a connection over a stream and logs in.
///
/// # Errors
/// The machine can't be reached, or refuses.
pub(crate) async fn enter<S>(
    stream: S,
    hop: &Hop,
    known: Known,
    keyring: &Keyring,
    bounds: &Bounds,
) -> Result<(Handle<Client>, Arc<Line>), Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut handle, line) = shake(stream, hop, known, bounds).await?;
    let step = async {
        login::login(&mut handle, hop, keyring).await.map_err(|trouble| {
            let Some(end) = line.end.get().filter(|_| trouble.is_unreachable()) else {
                return trouble;
            };
            if end.contains("Too many authentication failures") {
                return Trouble::refused(
                    "it hung up after too many refused keys",
                    "name the right `key` for it in the project's hosts, instead of all that the agent holds",
                );
            }
            Trouble::unreachable(format!("{end} (during the login)"))
        })
    };
    within(bounds.login, "it did not decide on the login", step).await?;
    Ok((handle, line))
}

/// Says goodbye, without waiting for an answer.
pub(crate) async fn leave(handle: &Handle<Client>) {
    // It may have gone already.
    let _gone = handle.disconnect(Disconnect::ByApplication, "", "").await;
}
