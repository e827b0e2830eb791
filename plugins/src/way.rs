//! From where something is looked at: from here, or from a host, over the line to it.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use weir_core::hosts::Route;
use weir_core::job_type::{AttemptContext, JobError};
use weir_core::outcome::ErrorClass;

use crate::ssh::{NOT_CONNECTED, Pool};

/// From where something is looked at.
#[derive(Clone)]
pub(crate) enum Way {
    /// From here.
    Here,
    /// From a host.
    Host(Arc<Pool>, Arc<Route>),
}

/// A connection, wherever it begins.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Way {
    /// As the settings of an attempt say.
    pub(crate) fn of(cx: &AttemptContext, pool: &Arc<Pool>) -> Self {
        Self::by(cx.host.as_ref(), pool)
    }

    /// From that host if there is one.
    pub(crate) fn by(host: Option<&Arc<Route>>, pool: &Arc<Pool>) -> Self {
        match host {
            Some(route) => Self::Host(Arc::clone(pool), Arc::clone(route)),
            None => Self::Here,
        }
    }

    /// Connects to a machine by its name or address.
    ///
    /// # Errors
    /// Of the class `connection` if it does not answer, or the host that looks can't be reached; of another if that
    /// host lets nobody look.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, JobError> {
        match self {
            Self::Here => match TcpStream::connect((host, port)).await {
                Ok(line) => Ok(Box::new(line)),
                Err(error) => Err(JobError::new(ErrorClass::Connection, plain(&error))),
            },
            Self::Host(pool, route) => match pool.reach(route, host, port).await {
                Ok(line) => Ok(Box::new(line)),
                // The host is there, and what it says of the other machine is what matters.
                Err(error) if error.message.contains(NOT_CONNECTED) => Err(JobError::new(
                    error.class,
                    format!("{} {NOT_CONNECTED}", route.host().name),
                )),
                Err(error) => Err(error),
            },
        }
    }
}

/// A machine and a port there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    shown: String,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// Reads `host:port`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no `host:port`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let bracketed = bare.is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        let named = !host.is_empty() && !host.contains([':', '/', '[', ']', ' ', '@']);
        if !bracketed && !named {
            return Err(wrong());
        }
        Ok(Self { shown: text.to_owned(), host: bare.unwrap_or(host).to_owned(), port })
    }

    /// Connects to it; says what was seen instead if that fails.
    ///
    /// # Errors
    /// It never will: whoever looks from a host is refused there.
    pub(crate) async fn connect(
        &self,
        way: &Way,
    ) -> Result<Result<Box<dyn Stream>, String>, JobError> {
        match way.connect(&self.host, self.port).await {
            Ok(line) => Ok(Ok(line)),
            Err(error) if error.class == ErrorClass::Connection => Ok(Err(error.message)),
            Err(error) => Err(error),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A server: where it listens, its usual port if nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Server {
    /// Reads `host` or `host:port`; an IPv6 address in brackets.
    pub(crate) fn parse(text: &str, usual: u16) -> Result<Self, String> {
        let text = text.trim();
        let bad = || format!("`{text}` is no server");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(bad)?)
            }
            _ => (text, usual),
        };
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_good = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
            }
        };
        if !is_good {
            return Err(bad());
        }
        Ok(Self { host: bare.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What went wrong, without the number that the system has for it.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        for (text, expected) in [
            ("master1", "master1:2181"),
            (" 10.2.14.11:2182 ", "10.2.14.11:2182"),
            ("[::1]", "[::1]:2181"),
            ("[::1]:99", "[::1]:99"),
            ("a:0", "`a:0` is no server"),
            ("a:b", "`a:b` is no server"),
            ("", "`` is no server"),
            ("zk://a", "`zk://a` is no server"),
            ("a，b", "`a，b` is no server"),
            ("[zz]", "`[zz]` is no server"),
        ] {
            let read = match Server::parse(text, 2181) {
                Ok(server) => server.to_string(),
                Err(why) => why,
            };
            assert_eq!(read, expected);
        }
    }
}
