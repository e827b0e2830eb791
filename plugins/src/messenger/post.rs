//! A webhook is called.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use weir_core::notice::{Channel, Message, Undelivered};

use super::chat::{Call, Kind};
use crate::http::{self, Scheme, Url};
use crate::wait::tls;
use crate::way::Stream;

/// Calls a webhook, and returns when it says that it has taken the notice.
pub(super) async fn send(channel: &Channel, message: &Message) -> Result<(), Undelivered> {
    let (kind, url) = Kind::of(channel.address.expose());
    let sign = channel.sign.as_ref().map(weir_core::secret::Secret::expose);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let Call { url, headers, body } = kind.call(url, message, sign, now.as_millis() as i64);
    // The address is a secret: what is wrong with it may be told, it itself may not.
    let url = Url::parse(&url).map_err(|_| {
        Undelivered::Refused(
            "the webhook's address is no URL of `http://` or `https://`".to_owned(),
        )
    })?;
    let mut line = connect(&url).await.map_err(|error| {
        Undelivered::Refused(format!("no line to the webhook: {}", words(&error)))
    })?;
    let unknown = |error: io::Error| {
        Undelivered::Unknown(format!("the webhook's line broke: {}", words(&error)))
    };
    let (status, answer) = post(&mut line, &url, &headers, &body).await.map_err(unknown)?;
    kind.judge(status, &answer).map_err(Undelivered::Refused)
}

/// So much of an answer is read, in bytes.
const LIMIT: usize = 64 << 10;

/// A line to the host of a URL.
async fn connect(url: &Url) -> io::Result<Box<dyn Stream>> {
    let host = url.address.host.trim_matches(['[', ']']);
    let line = TcpStream::connect((host, url.address.port)).await?;
    Ok(match url.scheme {
        Scheme::Http => Box::new(line),
        Scheme::Https => Box::new(tls::over(line, &url.address.host, None).await?),
    })
}

/// Posts JSON; the status and the beginning of the answer. If the line breaks, nobody knows whether it was taken.
async fn post(
    line: &mut Box<dyn Stream>,
    url: &Url,
    headers: &[(&'static str, String)],
    body: &str,
) -> io::Result<(u16, Vec<u8>)> {
    let length = body.len().to_string();
    let mut all = vec![
        ("Content-Type", "application/json; charset=utf-8"),
        ("Content-Length", length.as_str()),
    ];
    all.extend(headers.iter().map(|(name, value)| (*name, value.as_str())));
    line.write_all(url.request("POST", &all).as_bytes()).await?;
    line.write_all(body.as_bytes()).await?;
    line.flush().await?;
    let answer = http::read_answer(line, LIMIT).await?;
    Ok((answer.status, answer.body))
}

/// What went wrong, without the name of the host.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        io::ErrorKind::UnexpectedEof => "the other side closes it".to_owned(),
        io::ErrorKind::ConnectionReset => "the other side cuts it".to_owned(),
        _ => error.to_string(),
    }
}
