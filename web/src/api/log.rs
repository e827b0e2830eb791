//! The log of an attempt: whole, a range of its bytes, its last lines, or as it grows.

use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::mpsc;
use weir_engine::logs::Reader;

use crate::error::PageError;
use crate::growing::Growing;
use crate::logs;
use crate::pages::{log as whole_log, task};
use crate::site::Shared;

/// The longest range that is sent at once, in bytes.
const LONGEST: u64 = 16 * 1024 * 1024;
/// What is read at once, in bytes.
const PIECE: u64 = 256 * 1024;
/// What stands before a line of which nobody knows when it was written.
const NO_TIME: &str = "-";

/// Which attempt, and what of its log.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    attempt: Option<NonZeroU32>,
    tail: Option<u32>,
    #[serde(default)]
    times: bool,
    #[serde(default)]
    follow: bool,
}

pub(crate) async fn show(
    site: Shared,
    headers: &HeaderMap,
    id: i64,
    path: &str,
    which: Which,
) -> Result<Response, PageError> {
    let (folder, number, is_open) =
        task::folder(&site, id, path, which.attempt.map(NonZeroU32::get)).await?;
    let kind = (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned());
    if which.tail.is_some() || which.times || which.follow {
        let (sender, receiver) = mpsc::channel(4);
        let growing = (which.follow && is_open)
            .then(|| Growing::new(site, &folder, (id, path.to_owned(), number)));
        tokio::spawn(async move {
            if let Err(error) = send(&folder, &which, growing, &sender).await {
                // The answer is cut off: whoever reads it must not take it for whole.
                let _ = sender.send(Err(error)).await;
            }
        });
        let pieces = stream::unfold(receiver, |mut receiver: Pieces| async move {
            Some((receiver.recv().await?, receiver))
        });
        return Ok(([kind], Body::from_stream(pieces)).into_response());
    }
    let range =
        headers.get(header::RANGE).and_then(|value| value.to_str().ok()?.strip_prefix("bytes="));
    let Some(range) = range else {
        let accepts = (header::ACCEPT_RANGES, "bytes".to_owned());
        return Ok(([kind, accepts], whole_log::whole(folder)).into_response());
    };
    let range = range.to_owned();
    let read = tokio::task::spawn_blocking(move || part(&folder, &range));
    let (size, part) = read.await.map_err(PageError::broken)??;
    let Some((from, to, bytes)) = part else {
        let range = format!("bytes */{size}");
        let headers = [(header::CONTENT_RANGE, range), kind];
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response());
    };
    let range = format!("bytes {from}-{}/{size}", to - 1);
    let headers = [(header::CONTENT_RANGE, range), kind];
    Ok((StatusCode::PARTIAL_CONTENT, headers, Body::from(bytes)).into_response())
}

type Pieces = mpsc::Receiver<io::Result<Vec<u8>>>;

/// A part of a log: from where to where, and its bytes.
type Part = (u64, u64, Vec<u8>);

/// The size of a log, and the part of it that a Range asks for, if there is such a part.
fn part(folder: &Path, range: &str) -> io::Result<(u64, Option<Part>)> {
    let Some(mut reader) = logs::open(folder)? else { return Ok((0, None)) };
    let size = reader.size()?;
    let wanted = range.split_once('-').and_then(|(from, to)| match (from, to) {
        ("", last) => Some((size.saturating_sub(last.parse().ok()?), size)),
        (from, "") => Some((from.parse().ok()?, size)),
        (from, to) => Some((from.parse().ok()?, to.parse::<u64>().ok()?.saturating_add(1))),
    });
    let Some((from, to)) = wanted.filter(|(from, to)| from < to && *from < size) else {
        return Ok((size, None));
    };
    let to = to.min(size).min(from + LONGEST);
    Ok((size, Some((from, to, reader.read(from..to)?))))
}

/// Sends the log from its last lines on, if they are asked for; then all that comes, if it grows.
async fn send(
    folder: &Path,
    which: &Which,
    growing: Option<Growing>,
    sender: &mpsc::Sender<io::Result<Vec<u8>>>,
) -> io::Result<()> {
    let mut times = which.times.then(|| Times::new(folder));
    let dress = |times: &mut Option<Times>, at: u64, bytes: Vec<u8>| match times {
        Some(times) => times.put(at, &bytes),
        None => bytes,
    };
    let mut at = match (which.tail, logs::open(folder)?) {
        (Some(lines), Some(mut reader)) => reader.tail_start(lines as usize)?,
        (Some(_), None) | (None, _) => 0,
    };
    if let Some(mut growing) = growing {
        growing.begin_at(at);
        loop {
            tokio::select! {
                () = sender.closed() => return Ok(()),
                piece = growing.next() => match piece? {
                    Some((at, bytes)) => {
                        let bytes = dress(&mut times, at, bytes);
                        let _ = sender.send(Ok(bytes)).await;
                    }
                    None => return Ok(()),
                },
            }
        }
    }
    let folder = folder.to_owned();
    loop {
        let folder = folder.clone();
        let read = tokio::task::spawn_blocking(move || {
            let Some(mut reader) = logs::open(&folder)? else { return Ok(None) };
            logs::piece(&mut reader, at, PIECE).map(Some)
        });
        let Some(piece) = read.await.map_err(io::Error::other)?? else { return Ok(()) };
        if piece.bytes.is_empty() {
            return Ok(());
        }
        let bytes = dress(&mut times, piece.at, piece.bytes);
        if sender.send(Ok(bytes)).await.is_err() {
            return Ok(());
        }
        at = piece.next;
    }
}

/// Puts the time before each line.
struct Times {
    folder: PathBuf,
    reader: Option<Reader>,
    is_line_start: bool,
}

impl Times {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), reader: None, is_line_start: true }
    }

    /// Bytes that begin at this place of the log, with the times of the lines that begin in them.
    fn put(&mut self, offset: u64, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 2);
        let mut at = offset;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.is_line_start {
                if self.reader.is_none() {
                    self.reader = Reader::open(&self.folder).ok();
                }
                let known = self.reader.as_mut().and_then(|reader| reader.time_at(at).ok()?);
                let known = known.map_or_else(|| NO_TIME.to_owned(), |at| at.to_string());
                out.extend_from_slice(known.as_bytes());
                out.push(b' ');
            }
            out.extend_from_slice(line);
            self.is_line_start = line.ends_with(b"\n");
            at += line.len() as u64;
        }
        out
    }
}
