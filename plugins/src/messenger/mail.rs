//! Mail over SMTP (RFC 5321), with TLS unless the server is on this machine or it was said that there is none.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message as Mail};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use weir_core::notice::{Message, Undelivered};
use weir_core::secret::Secret;

use crate::mask::hide;

/// The longest wait for one answer of the server.
const ANSWER: Duration = Duration::from_secs(20);

/// What the form of the secret is.
const FORM: &str = "write `smtps://USER:PASSWORD@HOST/?from=ADDRESS` (TLS from the start, port 465), `smtp://...` \
                    (STARTTLS, port 587), or `smtp://HOST:25/?from=ADDRESS&tls=none`";

/// A mail server, as the secret `mail` names it.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    security: Security,
    host: String,
    port: u16,
    login: Option<(String, String)>,
    from: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Tls,
    StartTls,
    None,
}

impl Server {
    /// Reads the secret. What is wrong is told without what stands in it.
    fn parse(address: &str) -> Result<Self, String> {
        let bad = |what: &str| format!("the secret `mail` {what}: {FORM}");
        let (security, port, rest) = if let Some(rest) = address.strip_prefix("smtps://") {
            (Security::Tls, 465, rest)
        } else if let Some(rest) = address.strip_prefix("smtp://") {
            (Security::StartTls, 587, rest)
        } else {
            return Err(bad("does not begin with `smtp://` or `smtps://`"));
        };
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = authority.trim_end_matches('/');
        // A password may hold an `@`: the last one counts.
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let login = match login.map(|login| login.split_once(':')) {
            None => None,
            Some(Some((user, password))) => match (decoded(user), decoded(password)) {
                (Some(user), Some(password)) => Some((user, password)),
                _ => return Err(bad("has a user or password that is not percent-encoded text")),
            },
            Some(None) => return Err(bad("has a user, but no password")),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, number)) if !number.ends_with(']') => {
                (host, number.parse().map_err(|_| bad("has a port that is no number"))?)
            }
            _ => (place, port),
        };
        if host.is_empty() {
            return Err(bad("names no host"));
        }
        let mut server = Self { security, host: host.to_owned(), port, login, from: String::new() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("from", from)) => {
                    server.from =
                        decoded(from).ok_or_else(|| bad("has a `from` that is no text"))?;
                }
                Some(("tls", "none")) if security == Security::StartTls => {
                    server.security = Security::None;
                }
                Some(("tls", "none")) => return Err(bad("says both `smtps` and `tls=none`")),
                _ => {
                    return Err(bad(
                        "has something else than `from` and `tls=none` behind its `?`",
                    ));
                }
            }
        }
        if server.from.is_empty() {
            return Err(bad("does not say who the mail is from"));
        }
        let is_here = matches!(server.host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
        if server.security == Security::None && server.login.is_some() && !is_here {
            return Err(bad("has a password that all could read on the way, without TLS"));
        }
        Ok(server)
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, Error> {
        let host = self.host.trim_matches(['[', ']']).to_owned();
        let tls = match self.security {
            Security::Tls => Tls::Wrapper(TlsParameters::new(host.clone())?),
            Security::StartTls => Tls::Required(TlsParameters::new(host.clone())?),
            Security::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(self.port)
            .tls(tls)
            .timeout(Some(ANSWER));
        if let Some((user, password)) = self.login.clone() {
            builder = builder.credentials(Credentials::new(user, password));
        }
        Ok(builder.build())
    }
}

/// Sends a mail, and returns when the server has taken it.
pub(super) async fn send(to: &str, address: &str, message: &Message) -> Result<(), Undelivered> {
    let server = Server::parse(address).map_err(Undelivered::Refused)?;
    let secrets: Vec<Secret> =
        server.login.iter().map(|(_, password)| Secret::new("mail", password.as_str())).collect();
    let mail = mail(to, &server.from, message).map_err(Undelivered::Refused)?;
    let transport = server.transport().map_err(|error| judge(&error, &secrets))?;
    match transport.send(mail).await {
        Ok(_) => Ok(()),
        Err(error) => Err(judge(&error, &secrets)),
    }
}

fn mail(to: &str, from: &str, message: &Message) -> Result<Mail, String> {
    let mailbox =
        |text: &str| text.parse::<Mailbox>().map_err(|_| format!("`{text}` is no mail address"));
    let from = mailbox(from)?;
    // The same each time it is sent: who has it twice all the same is shown it once.
    let id = format!("<weir-{}@{}>", message.id, from.email.domain());
    Mail::builder()
        .from(from)
        .to(mailbox(to)?)
        .subject(message.subject())
        .message_id(Some(id))
        .header(ContentType::TEXT_PLAIN)
        .body(message.body())
        .map_err(|error| format!("the mail can't be written: {error}"))
}

/// Whether the server surely has not taken it.
fn judge(error: &Error, secrets: &[Secret]) -> Undelivered {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_words = inner.to_string();
        if !words.contains(&inner_words) {
            words = format!("{words}: {inner_words}");
        }
        cause = inner.source();
    }
    let words: String =
        words.chars().take(500).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = format!("mail server: {}", hide(&words, secrets));
    let is_answer = error.is_transient() || error.is_permanent();
    let is_early = error.is_client() || error.is_tls();
    if is_answer || is_early { Undelivered::Refused(words) } else { Undelivered::Unknown(words) }
}

/// A text with its percent signs resolved (RFC 3986, 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_says_which_server_and_how() {
        let server = |address: &str| Server::parse(address).expect("it is right");
        assert_eq!(
            server("smtps://weir:p%40ss:word@mail.example.org/?from=weir@example.org"),
            Server {
                security: Security::Tls,
                host: "mail.example.org".to_owned(),
                port: 465,
                login: Some(("weir".to_owned(), "p@ss:word".to_owned())),
                from: "weir@example.org".to_owned(),
            }
        );
        let open = server("smtp://127.0.0.1:2525?from=a@b&tls=none");
        assert_eq!((open.security, open.port, open.login), (Security::None, 2525, None));
        assert_eq!(server("smtp://[::1]?from=a@b").port, 587);
    }

    #[test]
    fn what_is_wrong_with_the_secret_is_told_without_it() {
        for (address, what) in [
            ("mail.example.org", "does not begin with"),
            ("smtp://u@h?from=a@b", "has a user, but no password"),
            ("smtp://u:hunter2@h:x?from=a@b", "has a port that is no number"),
            ("smtp://u:hunter2@?from=a@b", "names no host"),
            ("smtp://u:hunter2@h", "does not say who the mail is from"),
            ("smtp://u:hunter2@h?from=a@b&tls=none", "without TLS"),
            ("smtps://u:hunter2@h?from=a@b&tls=none", "says both"),
            ("smtp://u:%zz@h?from=a@b", "percent-encoded"),
            ("smtp://h?form=a@b", "something else"),
        ] {
            let error = Server::parse(address).expect_err(address);
            assert!(error.contains(what) && error.contains("smtps://"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
