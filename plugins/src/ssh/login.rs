//! Logging in: with a key (a file, a text, the agent, the usual files), a password, or answers to questions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::MethodKind;
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{
    Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, decode_secret_key,
    load_openssh_certificate,
};
use weir_core::hosts::{Hop, Key};
use weir_core::outcome::ErrorClass;
use weir_core::secret::Secret;

use super::client::Client;
use super::trouble::Trouble;

/// The files that are tried if no key is named, in this order.
const USUAL: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];
/// How many keys are tried at most: sshd hangs up after six failures (`MaxAuthTries`), and the password is one more.
const TRIES: usize = 5;
/// How often a machine may ask questions.
const ROUNDS: usize = 6;

/// Where this process finds keys.
#[derive(Clone, Debug)]
pub(crate) struct Keyring {
    /// The user's home.
    pub(crate) home: PathBuf,
    /// The agent's socket.
    pub(crate) agent: Option<PathBuf>,
    /// Who logs in where a machine does not say.
    pub(crate) user: String,
}

impl Keyring {
    /// As the environment says.
    pub(crate) fn of_environment() -> Self {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let name = var("USER").or_else(|| var("LOGNAME"));
        Self {
            home: var("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from),
            agent: var("SSH_AUTH_SOCK").map(PathBuf::from),
            user: name
                .map_or_else(|| "root".to_owned(), |name| name.to_string_lossy().into_owned()),
        }
    }

    /// Who logs in on a machine.
    pub(crate) fn user<'a>(&'a self, hop: &'a Hop) -> &'a str {
        hop.user.as_deref().unwrap_or(&self.user)
    }
}

/// A key to try.
enum Try {
    Own { key: Arc<PrivateKey>, certificate: Option<Certificate>, name: String },
    Agent { identity: AgentIdentity, name: String },
}

/// Logs in on a machine.
///
/// # Errors
/// It refuses, the key can't be read, or the line broke.
pub(crate) async fn login(
    handle: &mut Handle<Client>,
    hop: &Hop,
    keyring: &Keyring,
) -> Result<(), Trouble> {
    let user = keyring.user(hop).to_owned();
    let mut tried: Vec<String> = Vec::new();
    let mut offered = match answer(handle.authenticate_none(&user).await)? {
        AuthResult::Success => return Ok(()),
        AuthResult::Failure { remaining_methods, .. } => remaining_methods,
    };
    let mut notes = Vec::new();
    if offered.contains(&MethodKind::PublicKey) {
        let mut agent = None;
        let keys = keys(hop, keyring, &mut agent, &mut notes).await?;
        for key in keys.into_iter().take(TRIES) {
            let (result, name) = match key {
                Try::Own { key, certificate: Some(certificate), name } => {
                    (handle.authenticate_openssh_cert(&user, key, certificate).await, name)
                }
                Try::Own { key, certificate: None, name } => {
                    let hash = rsa_hash(handle, key.public_key()).await;
                    let key = PrivateKeyWithHashAlg::new(key, hash);
                    (handle.authenticate_publickey(&user, key).await, name)
                }
                Try::Agent { identity, name } => {
                    let Some(agent) = agent.as_mut() else { continue };
                    match by_agent(handle, &user, &identity, agent).await {
                        Ok(result) => (Ok(result), name),
                        Err(why) => {
                            notes.push(format!("{name}: {why}"));
                            continue;
                        }
                    }
                }
            };
            match answer(result)? {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { remaining_methods, partial_success } => {
                    broken(handle)?;
                    offered = remaining_methods;
                    tried.push(name);
                    if partial_success {
                        break;
                    }
                }
            }
        }
    }
    if let Some(password) = &hop.password {
        if offered.contains(&MethodKind::Password) {
            let result = handle.authenticate_password(&user, password.expose()).await;
            match answer(result)? {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { .. } => {
                    broken(handle)?;
                    tried.push("the password".to_owned());
                }
            }
        } else if offered.contains(&MethodKind::KeyboardInteractive) {
            if by_questions(handle, &user, password).await? {
                return Ok(());
            }
            tried.push("the password as answer to its questions".to_owned());
        }
    }
    broken(handle)?;
    let tried = if tried.is_empty() { "nothing to try".to_owned() } else { tried.join(", ") };
    let takes: Vec<&str> = offered.iter().map(Into::into).collect();
    let notes = if notes.is_empty() { String::new() } else { format!("; {}", notes.join("; ")) };
    Err(Trouble::refused(
        format!(
            "the login as `{user}` was refused (tried: {tried}; it takes: {}{notes})",
            takes.join(", ")
        ),
        help(hop, &takes),
    ))
}

fn help(hop: &Hop, takes: &[&str]) -> String {
    match (&hop.key, &hop.password) {
        (_, None) if !takes.contains(&"publickey") => {
            "it takes no keys: give it a `password: { secret: NAME }`".to_owned()
        }
        (Key::Usual, _) => {
            "name the right `key` (or `password`) and `user` for it in the project's hosts".to_owned()
        }
        _ => "see that `user` is right, and that the key stands in this user's ~/.ssh/authorized_keys there".to_owned(),
    }
}

/// An answer, or why there is none.
fn answer(result: Result<AuthResult, russh::Error>) -> Result<AuthResult, Trouble> {
    result.map_err(|error| match error {
        russh::Error::Keys(error) => {
            Trouble::refused(format!("the key can't be used: {error}"), "")
        }
        error => Trouble::unreachable(format!("the line broke during the login: {error}")),
    })
}

/// A refusal may also mean that the line has gone.
fn broken(handle: &Handle<Client>) -> Result<(), Trouble> {
    if handle.is_closed() {
        // Whoever made the line knows more: see `client::Line`.
        return Err(Trouble::unreachable("the line broke during the login"));
    }
    Ok(())
}

/// How an RSA key signs. SHA-1 never: who can't do better must be given another key.
async fn rsa_hash(handle: &Handle<Client>, key: &PublicKey) -> Option<HashAlg> {
    if !key.algorithm().is_rsa() {
        return None;
    }
    let best = handle.best_supported_rsa_hash().await.ok().flatten().flatten();
    Some(best.unwrap_or(HashAlg::Sha512))
}

type Agent = AgentClient<tokio::net::UnixStream>;

async fn by_agent(
    handle: &mut Handle<Client>,
    user: &str,
    identity: &AgentIdentity,
    agent: &mut Agent,
) -> Result<AuthResult, String> {
    let hash = rsa_hash(handle, &identity.public_key()).await;
    let signed = match identity {
        AgentIdentity::PublicKey { key, .. } => {
            handle.authenticate_publickey_with(user, key.clone(), hash, agent).await
        }
        AgentIdentity::Certificate { certificate, .. } => {
            handle.authenticate_certificate_with(user, certificate.clone(), hash, agent).await
        }
    };
    signed.map_err(|error| format!("the agent does not sign: {error}"))
}

/// Answers what the machine asks with the password, as long as it asks for one thing that is not shown.
async fn by_questions(
    handle: &mut Handle<Client>,
    user: &str,
    password: &Secret,
) -> Result<bool, Trouble> {
    let gone = |error| Trouble::unreachable(format!("the line broke during the login: {error}"));
    let mut told =
        handle.authenticate_keyboard_interactive_start(user, None::<String>).await.map_err(gone)?;
    for _ in 0..ROUNDS {
        match told {
            KeyboardInteractiveAuthResponse::Success => return Ok(true),
            KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(false),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let asks = prompts.iter().filter(|prompt| !prompt.echo).count();
                if prompts.len() > 1 || prompts.len() != asks {
                    let asked: Vec<_> =
                        prompts.iter().map(|prompt| prompt.prompt.trim().to_owned()).collect();
                    return Err(Trouble::refused(
                        format!("it asks for more than a password: {}", asked.join(", ")),
                        "nobody can answer that while a flow runs: use a key",
                    ));
                }
                let answers = prompts.iter().map(|_| password.expose().to_owned()).collect();
                told = handle
                    .authenticate_keyboard_interactive_respond(answers)
                    .await
                    .map_err(gone)?;
            }
        }
    }
    Ok(false)
}

/// The keys to try, in order. What could not be read of the usual places is noted.
async fn keys(
    hop: &Hop,
    keyring: &Keyring,
    agent: &mut Option<Agent>,
    notes: &mut Vec<String>,
) -> Result<Vec<Try>, Trouble> {
    match &hop.key {
        // Used by the machine before; see `link`.
        Key::OnHopBefore { .. } => Ok(Vec::new()),
        Key::Text(secret) => {
            let text = secret.expose().replace("\r\n", "\n");
            let key = decode_secret_key(text.trim(), None).map_err(|error| {
                Trouble::new(
                    ErrorClass::Definition,
                    format!("the secret `{}` is no private key: {}", secret.name(), why(&error)),
                    "it takes the whole text, from -----BEGIN to -----END, without a passphrase",
                )
            })?;
            let name = format!("key {}", fingerprint(key.public_key()));
            Ok(vec![Try::Own { key: Arc::new(key), certificate: None, name }])
        }
        Key::File(path) => {
            let path = expand(path, &keyring.home);
            match from_file(&path) {
                Ok(key) => Ok(vec![key]),
                Err(Unread::Encrypted(public)) => {
                    let held = identities(keyring, agent, notes).await;
                    let found = held.into_iter().find(|identity| match (identity, &public) {
                        (Try::Agent { identity, .. }, Some(public)) => {
                            identity.public_key().key_data() == public.key_data()
                        }
                        _ => false,
                    });
                    found.map(|key| vec![key]).ok_or_else(|| {
                        Trouble::new(
                            ErrorClass::Definition,
                            format!("the key {} asks for a passphrase, and the agent does not hold it", path.display()),
                            "nobody can type it while a flow runs: load it into the agent (ssh-add), or take its passphrase off (ssh-keygen -p)",
                        )
                    })
                }
                Err(Unread::Bad(why)) => Err(Trouble::new(
                    ErrorClass::Definition,
                    format!("the key {} can't be used: {why}", path.display()),
                    "",
                )),
            }
        }
        Key::Usual => {
            let mut found = identities(keyring, agent, notes).await;
            for name in USUAL {
                let path = keyring.home.join(".ssh").join(name);
                if !path.exists() {
                    continue;
                }
                match from_file(&path) {
                    Ok(key) => found.push(key),
                    Err(Unread::Encrypted(_)) => {
                        notes.push(format!("{} asks for a passphrase", path.display()));
                    }
                    Err(Unread::Bad(why)) => notes.push(format!("{}: {why}", path.display())),
                }
            }
            Ok(found)
        }
    }
}

async fn identities(
    keyring: &Keyring,
    agent: &mut Option<Agent>,
    notes: &mut Vec<String>,
) -> Vec<Try> {
    let Some(socket) = &keyring.agent else { return Vec::new() };
    let held = match AgentClient::connect_uds(socket).await {
        Ok(mut client) => {
            let held = client.request_identities().await;
            *agent = Some(client);
            held
        }
        Err(error) => Err(error),
    };
    match held {
        Ok(held) => held
            .into_iter()
            .map(|identity| {
                let name = format!("agent's key {}", fingerprint(&identity.public_key()));
                Try::Agent { identity, name }
            })
            .collect(),
        Err(error) => {
            notes.push(format!("the agent at {} does not answer: {error}", socket.display()));
            Vec::new()
        }
    }
}

enum Unread {
    Encrypted(Option<Box<PublicKey>>),
    Bad(String),
}

fn from_file(path: &Path) -> Result<Try, Unread> {
    let text = std::fs::read_to_string(path).map_err(|error| Unread::Bad(error.to_string()))?;
    let key = decode_secret_key(&text, None).map_err(|error| match error {
        russh::keys::Error::KeyIsEncrypted => {
            let public =
                PrivateKey::from_openssh(&text).ok().map(|key| Box::new(key.public_key().clone()));
            Unread::Encrypted(public)
        }
        _ if text.contains("ENCRYPTED") => Unread::Encrypted(None),
        error => Unread::Bad(why(&error)),
    })?;
    // As OpenSSH does: a certificate beside the key is shown with it.
    let mut beside = path.as_os_str().to_owned();
    beside.push("-cert.pub");
    let certificate = load_openssh_certificate(Path::new(&beside)).ok();
    let name = format!("{} ({})", path.display(), fingerprint(key.public_key()));
    Ok(Try::Own { key: Arc::new(key), certificate, name })
}

fn why(error: &russh::keys::Error) -> String {
    match error {
        russh::keys::Error::KeyIsEncrypted => "it asks for a passphrase".to_owned(),
        russh::keys::Error::CouldNotReadKey => "it is no private key of a known form".to_owned(),
        error => error.to_string(),
    }
}

fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// `~/` is the user's home.
fn expand(path: &Path, home: &Path) -> PathBuf {
    path.strip_prefix("~").map_or_else(|_| path.to_owned(), |below| home.join(below))
}
