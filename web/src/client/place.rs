//! Where a server is: `http://HOST:PORT`, as `WEIR_URL` says it.

use std::fmt::{Display, Formatter, Write as _};

use axum::http::Uri;
use weir_engine::api::Problem;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    is_tls: bool,
    host: String,
    port: u16,
    /// What stands before `/api/v1`: empty, or a path without a slash at its end.
    path: String,
}

/// An address that is none of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "WEIR_URL does not name a server: {0}\nhelp: write it like http://127.0.0.1:8180 or https://weir.example.org"
)]
pub struct Misplaced(&'static str);

impl Place {
    /// Reads an address.
    ///
    /// # Errors
    /// It is none. What it holds is not repeated: it may be a password.
    pub fn read(text: &str) -> Result<Self, Misplaced> {
        let uri: Uri = text.parse().map_err(|_| Misplaced("it can't be read"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(Misplaced("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or(Misplaced("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(Misplaced(
                "it has a user or a password in it; a token belongs into WEIR_TOKEN",
            ));
        }
        if uri.query().is_some() {
            return Err(Misplaced("it has a question mark in it"));
        }
        let host = authority.host();
        if host.is_empty() {
            return Err(Misplaced("it has no host"));
        }
        let usual = if is_tls { 443 } else { 80 };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self {
            is_tls,
            host: bare.to_owned(),
            port: authority.port_u16().unwrap_or(usual),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    pub(super) fn is_tls(&self) -> bool {
        self.is_tls
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Host and port as a request names them.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What answers there is no Weir.
    pub(super) fn no_weir(&self, why: &str) -> Problem {
        Problem::inner(format!(
            "what answers at {self} is no Weir server, or a much older one: {why}\nhelp: WEIR_URL holds what `weir serve` prints \
             behind `pages at`; with a certificate it begins with https://"
        ))
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// A task's path as a part of an address: slashes stay.
pub(super) fn encoded(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // A text takes all that memory can hold.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |text: &str| match Place::read(text) {
            Ok(place) => place.to_string(),
            Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        assert_eq!(read("http://127.0.0.1:8180/"), "http://127.0.0.1:8180");
        assert_eq!(read("https://weir.example.org"), "https://weir.example.org:443");
        assert_eq!(read("https://[::1]:8443/weir/"), "https://[::1]:8443/weir");
        for wrong in ["", "weir", "weir:8180", "ftp://weir", "http://", "http://a/?b", "/x"] {
            assert!(read(wrong).starts_with("WEIR_URL does not name a server: "), "{wrong}");
        }
        let held = read("https://ann:hunter2@weir.example.org");
        assert!(!held.contains("hunter2"), "{held}");
    }

    #[test]
    fn paths_of_tasks_are_encoded() {
        assert_eq!(encoded("all/load[0]"), "all/load%5B0%5D");
        assert_eq!(encoded("a?b#ü"), "a%3Fb%23%C3%BC");
    }
}
