//! HTTP/1.1 (RFC 9112) over a line that somebody else has opened: here, through a host, in TLS. A request's head, and the
//! answer to it; nothing is followed, kept or tried again.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::way::Address;

/// The longest head of an answer, in bytes.
const HEAD_LIMIT: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// The parts of a URL that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    /// As the `Host` header says it.
    pub(crate) authority: String,
    /// Where that is.
    pub(crate) address: Address,
    /// Path and query.
    pub(crate) target: String,
}

impl Url {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// It is none of `http` or `https`, or holds what must not stand in it.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
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
        let address = Address::parse(&address)?;
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("blanks and other letters must be written as `%20` in a URL".to_owned());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        let target = format!("{slash}{target}");
        Ok(Self { scheme, authority: authority.to_owned(), address, target })
    }

    /// The head of a request; `headers` stand beside those that every request has, and win.
    pub(crate) fn request(&self, method: &str, headers: &[(&str, &str)]) -> String {
        let said = |name: &str| headers.iter().any(|(said, _)| said.eq_ignore_ascii_case(name));
        let own = [("Host", self.authority.as_str()), ("User-Agent", "weir"), ("Accept", "*/*")]
            .into_iter()
            .filter(|(name, _)| !said(name));
        let lines: String = own
            .chain(headers.iter().copied())
            .map(|(name, value)| [name, ": ", value, "\r\n"].concat())
            .collect();
        format!("{method} {} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n", self.target)
    }
}

/// What was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first value of a header.
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|header| {
            let (name, value) = header.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    }
}

/// Reads an answer and the first `limit` bytes of its body.
///
/// # Errors
/// The line broke, or what came is no HTTP.
pub(crate) async fn read_answer(
    line: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> io::Result<Answer> {
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
            let mut answer = Answer { status, head, body: Vec::new() };
            read_body(line, bytes, &mut answer, limit).await?;
            return Ok(answer);
        }
    }
}

async fn read_body(
    line: &mut (impl AsyncRead + Unpin),
    mut bytes: Vec<u8>,
    answer: &mut Answer,
    limit: usize,
) -> io::Result<()> {
    if matches!(answer.status, 204 | 304) {
        return Ok(());
    }
    let header = |name: &str| answer.header(name).map(str::to_ascii_lowercase);
    let chunked = header("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked"));
    // Chunks carry their lengths along; what is beyond the limit is not looked at either way.
    let room = if chunked { 2 * limit } else { limit };
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
    body.truncate(wanted.min(limit));
    answer.body = body;
    Ok(())
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

/// What may stand in a path or a query, and the rest as `%20` (RFC 3986). Slashes stay.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
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
            let parsed = parsed.map(|url| (url.authority, url.address.to_string(), url.target));
            let expected = expected
                .map(|(authority, address, target)| {
                    (authority.to_owned(), address.to_owned(), target.to_owned())
                })
                .map_err(str::to_owned);
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

    #[test]
    fn what_may_not_stand_in_a_url_is_escaped() {
        assert_eq!(escaped("/a b/ü?&=+%~x"), "/a%20b/%C3%BC%3F%26%3D%2B%25~x");
    }
}
