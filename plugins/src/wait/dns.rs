//! A question to a name server (RFC 1035), over UDP and, if the answer does not fit, TCP.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use weir_core::outcome::Outputs;

use super::look::Seen;
use crate::settings::OneOrMany;
use crate::way::plain;

/// What can be asked for.
pub(super) const TYPES: [&str; 9] = ["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"];

/// Their numbers.
const NUMBERS: [u16; 9] = [1, 28, 5, 15, 2, 12, 6, 33, 16];

/// The setting `dns`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Settings {
    name: String,
    r#type: Option<String>,
    server: Option<String>,
    is: Option<OneOrMany<String>>,
}

impl Settings {
    pub(super) fn query(self) -> Result<Query, String> {
        check_name(&self.name)?;
        let kind = self.r#type.as_deref().unwrap_or("A").to_ascii_uppercase();
        let kind = TYPES
            .iter()
            .position(|name| *name == kind)
            .ok_or_else(|| format!("`dns.type` is one of {}", TYPES.join(", ")))?;
        let server = self.server.as_deref().map(check_server).transpose()?;
        let expected = self.is.map(|is| {
            let mut is: Vec<_> =
                is.into_vec().iter().map(|answer| normal(answer, NUMBERS[kind])).collect();
            is.sort();
            is.dedup();
            is
        });
        Ok(Query { name: self.name, kind, server, expected })
    }
}

/// Judges a name: labels of 1 to 63 letters, 253 in all.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if bare.len() <= 253 && bare.split('.').all(label) {
        Ok(())
    } else {
        Err(format!("`{name}` is no name that can be asked for"))
    }
}

/// Reads an address with or without a port.
pub(super) fn check_server(server: &str) -> Result<SocketAddr, String> {
    let server = server.trim();
    let bare = server.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(server);
    match (server.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
        (Ok(server), _) => Ok(server),
        (_, Ok(address)) => Ok(SocketAddr::new(address, 53)),
        _ => Err(format!("`{server}` is no address of a name server")),
    }
}

/// An answer as it is compared: names without case and last dot.
fn normal(answer: &str, kind: u16) -> String {
    match kind {
        16 => answer.to_owned(),
        28 => answer.parse::<Ipv6Addr>().map_or_else(|_| answer.to_owned(), |ip| ip.to_string()),
        _ => answer.trim_end_matches('.').to_ascii_lowercase(),
    }
}

/// A name to look up.
pub(super) struct Query {
    name: String,
    kind: usize,
    server: Option<SocketAddr>,
    expected: Option<Vec<String>>,
}

impl Query {
    pub(super) fn in_words(&self) -> String {
        let at = self.server.map_or_else(String::new, |server| format!(" at {server}"));
        format!("dns {} {}{at}", self.name, TYPES[self.kind])
    }

    pub(super) async fn look(&self) -> Result<Seen, String> {
        let what = self.in_words();
        let mut answers = match self.answers().await {
            Ok(answers) => answers,
            Err(error) => return Ok(Seen::NotYet(format!("{what}: {}", plain(&error)))),
        };
        answers.sort();
        answers.dedup();
        let list = if answers.is_empty() { "no answer".to_owned() } else { answers.join(", ") };
        let seen = format!("{what}: {list}");
        let holds = match &self.expected {
            Some(expected) => *expected == answers,
            None => !answers.is_empty(),
        };
        Ok(if holds {
            let answers = answers.into_iter().map(Value::String).collect();
            let outputs = Outputs::from([("answers".to_owned(), Value::Array(answers))]);
            Seen::Holds { seen, outputs }
        } else {
            Seen::NotYet(seen)
        })
    }

    async fn answers(&self) -> io::Result<Vec<String>> {
        let kind = NUMBERS[self.kind];
        let server = match self.server {
            Some(server) => server,
            None if matches!(kind, 1 | 28) => return self.ask_system(kind).await,
            None => system_server().await?,
        };
        let id = random();
        let question = question(id, &self.name, kind);
        let own: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own).await?;
        socket.connect(server).await?;
        socket.send(&question).await?;
        let mut packet = vec![0; 4096];
        loop {
            let length = socket.recv(&mut packet).await?;
            let packet = &packet[..length];
            // A stray or forged packet is not the answer: the real one may still come.
            if length < 12 || packet[..2] != id.to_be_bytes() || packet[2] & 0x80 == 0 {
                continue;
            }
            if packet[2] & 0x02 == 0 {
                return read(packet, kind);
            }
            let mut line = TcpStream::connect(server).await?;
            line.write_u16(question.len() as u16).await?;
            line.write_all(&question).await?;
            let length = line.read_u16().await?;
            let mut packet = vec![0; usize::from(length)];
            line.read_exact(&mut packet).await?;
            if packet.get(..2) != Some(&id.to_be_bytes()) {
                return Err(bad("its answer is to another question"));
            }
            return read(&packet, kind);
        }
    }

    async fn ask_system(&self, kind: u16) -> io::Result<Vec<String>> {
        match tokio::net::lookup_host((self.name.as_str(), 0)).await {
            Ok(found) => Ok(found
                .map(|address| address.ip())
                .filter(|ip| ip.is_ipv4() == (kind == 1))
                .map(|ip| ip.to_string())
                .collect()),
            // The system does not say "no such name" apart from "no server": the words tell.
            Err(error) if error.to_string().contains("not known") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// The first name server of this machine.
async fn system_server() -> io::Result<SocketAddr> {
    let text = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .find_map(|server| check_server(server).ok())
        .ok_or_else(|| bad("/etc/resolv.conf names no server"))
}

/// A number that can't be guessed: the keys of a hash map are made for that.
fn random() -> u16 {
    RandomState::new().build_hasher().finish() as u16
}

fn question(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    // Recursion desired, one question.
    for word in [id, 0x0100, 1, 0, 0, 0] {
        packet.extend(word.to_be_bytes());
    }
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    for word in [kind, 1] {
        packet.extend(word.to_be_bytes());
    }
    packet
}

/// Reads the answers of one kind out of a packet. No such name is no answer.
fn read(packet: &[u8], kind: u16) -> io::Result<Vec<String>> {
    match packet.get(3).map(|flags| flags & 0x0f) {
        Some(0 | 3) => {}
        Some(1) => return Err(bad("the server can't read the question (FORMERR)")),
        Some(2) => return Err(bad("the server fails (SERVFAIL)")),
        Some(5) => return Err(bad("the server refuses (REFUSED)")),
        Some(code) => return Err(bad(&format!("the server answers with code {code}"))),
        None => return Err(broken()),
    }
    let mut reader = Reader { packet, at: 4 };
    let questions = reader.word()?;
    let answers = reader.word()?;
    reader.at = 12;
    for _ in 0..questions {
        reader.name()?;
        reader.at += 4;
    }
    let mut found = Vec::new();
    for _ in 0..answers {
        reader.name()?;
        let this = reader.word()?;
        reader.at += 6;
        let length = usize::from(reader.word()?);
        let end = reader.at + length;
        if end > packet.len() {
            return Err(broken());
        }
        if this == kind {
            found.push(normal(&reader.data(kind, end)?, kind));
        }
        reader.at = end;
    }
    Ok(found)
}

/// A place in a packet.
struct Reader<'a> {
    packet: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.packet.get(self.at..self.at + N).ok_or_else(broken)?;
        self.at += N;
        Ok(bytes.try_into().expect("the slice has N bytes"))
    }

    fn word(&mut self) -> io::Result<u16> {
        self.take().map(u16::from_be_bytes)
    }

    fn number(&mut self) -> io::Result<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// A name, whose tail may stand earlier in the packet (RFC 1035, 4.1.4). Only ever jumps back, so that it ends.
    fn name(&mut self) -> io::Result<String> {
        let mut labels: Vec<String> = Vec::new();
        let mut length = 0;
        let mut at = self.at;
        let mut after = None;
        loop {
            let size = usize::from(*self.packet.get(at).ok_or_else(broken)?);
            match size >> 6 {
                0 if size == 0 => {
                    self.at = after.unwrap_or(at + 1);
                    return Ok(labels.join("."));
                }
                0 => {
                    let label = self.packet.get(at + 1..at + 1 + size).ok_or_else(broken)?;
                    length += size + 1;
                    if length > 255 {
                        return Err(broken());
                    }
                    labels.push(label.escape_ascii().to_string());
                    at += 1 + size;
                }
                3 => {
                    let low = usize::from(*self.packet.get(at + 1).ok_or_else(broken)?);
                    let target = (size & 0x3f) << 8 | low;
                    after.get_or_insert(at + 2);
                    if target >= at {
                        return Err(broken());
                    }
                    at = target;
                }
                _ => return Err(broken()),
            }
        }
    }

    /// What stands up to `end`, as `dig +short` writes it but without quotes and last dots.
    fn data(&mut self, kind: u16, end: usize) -> io::Result<String> {
        Ok(match kind {
            1 => Ipv4Addr::from(self.take::<4>()?).to_string(),
            28 => Ipv6Addr::from(self.take::<16>()?).to_string(),
            15 => format!("{} {}", self.word()?, self.name()?),
            33 => {
                let (priority, weight, port) = (self.word()?, self.word()?, self.word()?);
                format!("{priority} {weight} {port} {}", self.name()?)
            }
            6 => {
                let mut parts = vec![self.name()?, self.name()?];
                for _ in 0..5 {
                    parts.push(self.number()?.to_string());
                }
                parts.join(" ")
            }
            16 => {
                let mut text = Vec::new();
                while self.at < end {
                    let size = usize::from(self.take::<1>()?[0]);
                    text.extend(self.packet.get(self.at..self.at + size).ok_or_else(broken)?);
                    self.at += size;
                }
                String::from_utf8_lossy(&text).into_owned()
            }
            _ => self.name()?,
        })
    }
}

fn broken() -> io::Error {
    bad("its answer is broken")
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to `a.b`: header, question, then records of (name, kind, data).
    fn packet(records: &[(&[u8], u16, &[u8])]) -> Vec<u8> {
        let mut packet = question(7, "a.b", 1);
        packet[2] = 0x81;
        packet[7] = records.len() as u8;
        for (name, kind, data) in records {
            packet.extend(*name);
            packet.extend(kind.to_be_bytes());
            packet.extend([0, 1, 0, 0, 0, 60]);
            packet.extend((data.len() as u16).to_be_bytes());
            packet.extend(*data);
        }
        packet
    }

    const BACK: &[u8] = &[0xc0, 12];

    #[test]
    fn records_are_read() {
        let soa = [BACK, BACK, &[0; 3], &[9], &[0; 16]].concat();
        let table: [(u16, &[u8], &str); 7] = [
            (1, &[10, 0, 0, 1], "10.0.0.1"),
            (28, &[0; 16], "::"),
            (5, &[1, b'X', 0xc0, 12], "x.a.b"),
            (15, &[0, 10, 1, b'm', 0], "10 m"),
            (16, &[2, b'h', b'i', 1, b'!'], "hi!"),
            (33, &[0, 1, 0, 2, 0, 80, 1, b's', 0], "1 2 80 s"),
            (6, &soa, "a.b a.b 9 0 0 0 0"),
        ];
        for (kind, data, expected) in table {
            let packet = packet(&[(BACK, 99, b"other"), (BACK, kind, data)]);
            assert_eq!(read(&packet, kind).expect("it is whole"), [expected]);
        }
    }

    #[test]
    fn a_broken_packet_is_an_error_and_never_a_panic() {
        let whole = packet(&[(BACK, 1, &[10, 0, 0, 1]), (BACK, 16, &[2, b'h', b'i'])]);
        for kind in NUMBERS {
            for end in 0..whole.len() {
                assert!(read(&whole[..end], kind).is_err(), "{kind} cut at {end}");
            }
            for at in 0..whole.len() {
                for byte in [0, 1, 0x3f, 0xc0, 0xff] {
                    let mut packet = whole.clone();
                    packet[at] = byte;
                    // Right or wrong, it must come to an end.
                    drop(read(&packet, kind));
                }
            }
        }
        let forever = packet(&[(&[0xc0, 12 + 9], 1, &[10, 0, 0, 1])]);
        assert!(read(&forever, 1).is_err());
    }
}
