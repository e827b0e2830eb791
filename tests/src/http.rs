//! Requests as small as they can be: for the pages of a server on this machine, and for a browser's driver.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::LIMIT;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// What came, as text.
    pub body: String,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends a request and reads the answer to its end.
///
/// # Panics
/// Nobody answers, or what comes is no HTTP.
pub fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    read(&mut ask(to, method, path, headers, body), Vec::new())
}

/// Sends a request that is answered bit by bit: waits until `words` have come. [`rest`] reads on.
///
/// # Panics
/// Nobody answers, or the words do not come.
pub fn follow(
    to: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    words: &str,
) -> (TcpStream, Vec<u8>) {
    let mut stream = ask(to, "GET", path, headers, "");
    let mut all = Vec::new();
    let mut piece = [0; 16 * 1024];
    while !String::from_utf8_lossy(&all).contains(words) {
        let count = stream.read(&mut piece).expect("more comes");
        assert!(count > 0, "it ended: {}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&piece[..count]);
    }
    (stream, all)
}

/// What has come of an answer that is followed, read to its end.
pub fn rest((mut stream, all): (TcpStream, Vec<u8>)) -> Answer {
    read(&mut stream, all)
}

fn ask(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(to).expect("somebody listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if !body.is_empty() || method == "POST" {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).expect("it is sent");
    stream.write_all(body.as_bytes()).expect("it is sent");
    stream
}

fn read(stream: &mut TcpStream, mut all: Vec<u8>) -> Answer {
    let mut piece = [0; 16 * 1024];
    // Some keep the connection open, others close it roughly: what came until then counts.
    while !is_whole(&all)
        && let Ok(count @ 1..) = stream.read(&mut piece)
    {
        all.extend_from_slice(&piece[..count]);
    }
    parse(&all)
}

/// Whether an answer that says its length is there.
fn is_whole(all: &[u8]) -> bool {
    let Some(end) = all.windows(4).position(|part| part == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.is_some_and(|length: usize| all.len() >= end + 4 + length)
}

/// Fields as a form sends them.
pub fn form(fields: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", encoded(name), encoded(value));
    fields.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// A text as a part of an address.
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn parse(all: &[u8]) -> Answer {
    let end = all.windows(4).position(|part| part == b"\r\n\r\n").expect("headers end");
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let is_chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value.contains("chunked"));
    let raw = &all[end + 4..];
    let body = if is_chunked { unchunked(raw) } else { raw.to_vec() };
    Answer {
        status: status.expect("a status"),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}

fn unchunked(mut raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = raw.windows(2).position(|part| part == b"\r\n") {
        let line = String::from_utf8_lossy(&raw[..end]).into_owned();
        let size = usize::from_str_radix(line.split(';').next().unwrap_or("0").trim(), 16);
        let Ok(size @ 1..) = size else { break };
        let from = end + 2;
        let to = (from + size).min(raw.len());
        out.extend_from_slice(&raw[from..to]);
        raw = raw.get(to + 2..).unwrap_or_default();
    }
    out
}
