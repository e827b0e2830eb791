//! A GET over HTTP/1.1 (RFC 9112), plain or in TLS, as much of it as a look at a page needs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use weir_core::job_type::JobError;

use super::look::{Address, LIMIT, Seen, find};
use super::tls;
use crate::settings::{OneOrMany, Whole};
use crate::way::{Stream, Way, plain};

/// The longest head of an answer, in bytes.
const HEAD_LIMIT: usize = 64 << 10;

/// The setting `http`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Settings {
    url: String,
    status: Option<OneOrMany<Whole>>,
    body_matches: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    ca: Option<PathBuf>,
}

impl Settings {
    pub(super) fn request(self) -> Result<Request, String> {
        let url = Url::parse(&self.url)?;
        if self.ca.is_some() && url.scheme == Scheme::Http {
            return Err("`ca` is for a page of `https://`".to_owned());
        }
        let body = self.body_matches.map(|pattern| Regex::new(&pattern)).transpose();
        let body = body.map_err(|error| format!("`http.body-matches`: {error}"))?;
        for (name, value) in &self.headers {
            let token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) || value.contains(['\r', '\n', '\0']) {
                return Err(format!("the header `{name}` can't be sent"));
            }
        }
        let status =
            self.status.map(|codes| codes.into_vec().into_iter().map(|code| code.0).collect());
        Ok(Request { url, status, body, headers: self.headers, ca: self.ca })
    }
}

/// Judges a URL.
pub(super) fn check_url(url: &str) -> Result<(), String> {
    Url::parse(url).map(|_| ())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// The parts of a URL that a request needs.
struct Url {
    scheme: Scheme,
    /// As the `Host` header says it.
    authority: String,
    /// `host:port`.
    address: String,
    /// Path and query.
    target: String,
}

impl Url {
    fn parse(url: &str) -> Result<Self, String> {
        let url = url.trim();
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            _ => {
                return Err("this is no URL that begins with `http://` or `https://`".to_owned());
            }
        };
        let port = match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("a URL must not hold a user: use `headers`".to_owned());
        }
        let has_port = authority.rfind(':') > authority.rfind(']');
        let address = if has_port { authority.to_owned() } else { format!("{authority}:{port}") };
        Address::parse(&address)?;
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("blanks and other letters must be written as `%20` in a URL".to_owned());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        Ok(Self { scheme, authority: authority.to_owned(), address, target })
    }

    /// The name or address without its port.
    fn host(&self) -> &str {
        self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host)
    }
}

/// A page to look at, and what it must answer.
pub(super) struct Request {
    url: Url,
    status: Option<Vec<i64>>,
    body: Option<Regex>,
    headers: BTreeMap<String, String>,
    ca: Option<PathBuf>,
}

impl Request {
    /// Where the page is, without its query, which may hold what nobody should read.
    pub(super) fn url(&self) -> String {
        let path = self.url.target.split('?').next().unwrap_or_default();
        let scheme = match self.url.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        format!("{scheme}://{}{path}", self.url.authority)
    }

    /// Looks once; `folder` is where a relative `ca` is.
    ///
    /// # Errors
    /// As [`Address::connect`].
    pub(super) async fn look(&self, way: &Way, folder: &Path) -> Result<Seen, JobError> {
        let url = self.url();
        let address = Address::parse(&self.url.address).expect("it was judged with the URL");
        Ok(match address.connect(way).await? {
            Ok(line) => match self.get(line, folder).await {
                Ok((status, body)) => self.judge(status, &body),
                Err(error) => Seen::NotYet(format!("{url}: {}", plain(&error))),
            },
            Err(why) => Seen::NotYet(format!("{url}: {why}")),
        })
    }

    fn judge(&self, status: u16, body: &[u8]) -> Seen {
        let url = self.url();
        let right = match &self.status {
            Some(codes) => codes.contains(&i64::from(status)),
            None => (200..300).contains(&status),
        };
        if !right {
            return Seen::NotYet(format!("{url} answers {status}"));
        }
        let mut outputs = match &self.body {
            None => BTreeMap::new(),
            Some(pattern) => match find(pattern, &String::from_utf8_lossy(body)) {
                Some(outputs) => outputs,
                None => {
                    return Seen::NotYet(format!(
                        "{url} answers {status}, but the page does not match `{pattern}`"
                    ));
                }
            },
        };
        outputs.insert("status".to_owned(), status.into());
        Seen::Holds { seen: format!("{url} answers {status}"), outputs }
    }

    async fn get(&self, line: Box<dyn Stream>, folder: &Path) -> io::Result<(u16, Vec<u8>)> {
        match self.url.scheme {
            Scheme::Http => self.get_over(line).await,
            Scheme::Https => {
                let ca = self.ca.as_ref().map(|file| folder.join(file));
                self.get_over(tls::over(line, self.url.host(), ca.as_deref()).await?).await
            }
        }
    }

    async fn get_over(
        &self,
        mut line: impl AsyncRead + AsyncWrite + Unpin,
    ) -> io::Result<(u16, Vec<u8>)> {
        let said = |name: &str| self.headers.keys().any(|said| said.eq_ignore_ascii_case(name));
        let own =
            [("Host", self.url.authority.as_str()), ("User-Agent", "weir"), ("Accept", "*/*")]
                .into_iter()
                .filter(|(name, _)| !said(name));
        let given = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let headers: String =
            own.chain(given).map(|(name, value)| [name, ": ", value, "\r\n"].concat()).collect();
        let target = &self.url.target;
        let request = format!("GET {target} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        line.write_all(request.as_bytes()).await?;
        read_answer(&mut line).await
    }
}

/// Reads the status and the first [`LIMIT`] bytes of the body.
async fn read_answer(line: &mut (impl AsyncRead + Unpin)) -> io::Result<(u16, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if bytes.len() > HEAD_LIMIT {
                return Err(bad("the head of its answer has no end"));
            }
            if line.read_buf(&mut bytes).await? == 0 {
                return Err(bad("it closes the line without an HTTP answer"));
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes.drain(..end + 4);
        let status = head
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|code| code.parse::<u16>().ok())
            .ok_or_else(|| bad("it does not answer in HTTP/1"))?;
        // 1xx come before the answer proper.
        if status >= 200 {
            let body = read_body(line, bytes, &head, status).await?;
            return Ok((status, body));
        }
    }
}

async fn read_body(
    line: &mut (impl AsyncRead + Unpin),
    mut bytes: Vec<u8>,
    head: &str,
    status: u16,
) -> io::Result<Vec<u8>> {
    let header = |wanted: &str| {
        head.lines().skip(1).find_map(|header| {
            let (name, value) = header.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().to_ascii_lowercase())
        })
    };
    if matches!(status, 204 | 304) {
        return Ok(Vec::new());
    }
    let chunked = header("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked"));
    // Chunks carry their lengths along; what is beyond the limit is not looked at either way.
    let room = if chunked { 2 * LIMIT } else { LIMIT };
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    let wanted = length.filter(|_| !chunked).map_or(room, |length| length.min(room));
    while bytes.len() < wanted && !(chunked && bytes.ends_with(b"0\r\n\r\n")) {
        match line.read_buf(&mut bytes).await {
            Ok(0) => break,
            Ok(_) => {}
            // A body that tells no length ends where the line does: many servers just hang up on TLS.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && length.is_none() => break,
            Err(error) => return Err(error),
        }
    }
    let mut body = if chunked { unchunk(&bytes) } else { bytes };
    body.truncate(wanted.min(LIMIT));
    Ok(body)
}

/// The content of a chunked body (RFC 9112, 7.1), as far as it is whole.
fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..end]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        bytes = &bytes[end + 2..];
        body.extend_from_slice(&bytes[..size.min(bytes.len())]);
        if size == 0 || size.saturating_add(2) > bytes.len() {
            break;
        }
        bytes = &bytes[size + 2..];
    }
    body
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let table = [
            ("http://a", Ok(("a", "a:80", "/"))),
            ("HTTP://a:81?q=1#x", Ok(("a:81", "a:81", "/?q=1"))),
            ("http://[::1]/p", Ok(("[::1]", "[::1]:80", "/p"))),
            ("https://a/", Ok(("a", "a:443", "/"))),
            ("https://a:8443/", Ok(("a:8443", "a:8443", "/"))),
            ("a.b/c", Err("this is no URL that begins with `http://` or `https://`")),
            ("http://u:p@a/", Err("a URL must not hold a user: use `headers`")),
            ("http://:80/", Err("`:80` is no `host:port`")),
            ("http://a/b c", Err("blanks and other letters must be written as `%20` in a URL")),
        ];
        for (url, expected) in table {
            let parsed = Url::parse(url);
            let parsed = parsed
                .as_ref()
                .map(|url| (url.authority.as_str(), url.address.as_str(), url.target.as_str()))
                .map_err(String::as_str);
            assert_eq!(parsed, expected, "{url}");
        }
    }

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(unchunk(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"), b"abcde");
        assert_eq!(unchunk(b"3\r\nab"), b"ab");
        assert_eq!(unchunk(b"zz\r\n"), b"");
        assert_eq!(unchunk(b"ffffffffffffffff\r\nab"), b"ab");
    }
}
