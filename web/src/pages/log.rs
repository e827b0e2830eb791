//! A task's log by itself: whole, as it grows, and the draft of an entry of the catalogue from chosen lines of it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde_json::Value;
use weir_core::diagnose::{compile_pattern, draft_entry, draft_pattern};
use weir_engine::people::Role;

use crate::address::{Path, Query};
use crate::error::PageError;
use crate::form::{Fields, task_address};
use crate::growing::Growing;
use crate::logs;
use crate::pages::run::allowed;
use crate::pages::task::{self, Which};
use crate::shell::{Page, Shell};
use crate::site::Shared;
use crate::who::Who;

/// The whole log as it is.
pub(crate) async fn download(
    State(site): State<Shared>,
    me: Who,
    Path(id): Path<i64>,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    allowed(&site, &me, id, Role::Viewer).await?;
    let (folder, number, _) = task::folder(&site, id, &which.path, which.attempt).await?;
    let body = whole(folder);
    let plain: String = which
        .path
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' })
        .collect();
    let name = format!("attachment; filename=\"run-{id}-{plain}-{number}.log\"");
    let kind = "text/plain; charset=utf-8".to_owned();
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], body).into_response())
}

/// A log from its beginning to its end as of now, piece by piece.
pub(crate) fn whole(folder: PathBuf) -> axum::body::Body {
    const PIECE: u64 = 256 * 1024;
    let pieces = stream::unfold(Some(0_u64), move |at| {
        let folder = folder.clone();
        async move {
            let at = at?;
            let read = tokio::task::spawn_blocking(move || {
                let Some(mut reader) = logs::open(&folder)? else { return Ok(None) };
                logs::piece(&mut reader, at, PIECE).map(Some)
            });
            match read.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                Ok(Some(piece)) if !piece.bytes.is_empty() => {
                    Some((Ok(piece.bytes), Some(piece.next)))
                }
                Ok(_) => None,
                Err(error) => Some((Err(error), None)),
            }
        }
    });
    axum::body::Body::from_stream(pieces)
}

/// The log as it grows: lines that are ready to be shown.
pub(crate) async fn live(
    State(site): State<Shared>,
    me: Who,
    Path(id): Path<i64>,
    Query(which): Query<Which>,
    headers: axum::http::HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, PageError> {
    allowed(&site, &me, id, Role::Viewer).await?;
    let (folder, number, _) = task::folder(&site, id, &which.path, which.attempt).await?;
    // A browser that comes back says what it has seen.
    let seen = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let from: u64 = seen.unwrap_or(which.from);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Event>(4);
    let mut growing = Growing::new(site, &folder, (id, which.path, number));
    growing.begin_at(from);
    tokio::spawn(async move {
        let mut at = from;
        let mut rest: Vec<u8> = Vec::new();
        loop {
            let piece = tokio::select! {
                () = sender.closed() => return,
                piece = growing.next() => piece,
            };
            let bytes = match piece {
                Ok(Some((_, bytes))) => bytes,
                Ok(None) => break,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return,
                Err(error) => {
                    tracing::warn!("a log can't be followed: {error}");
                    break;
                }
            };
            rest.extend_from_slice(&bytes);
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if whole == 0 {
                continue;
            }
            let lines: Vec<u8> = rest.drain(..whole).collect();
            if sender.send(event(&lines, at)).await.is_err() {
                return;
            }
            at += whole as u64;
        }
        if !rest.is_empty() && sender.send(event(&rest, at)).await.is_err() {
            return;
        }
        let _ = sender.send(Event::default().event("end").data("-")).await;
    });
    let events = stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        Some((Ok(event), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn event(bytes: &[u8], at: u64) -> Event {
    let lines: Vec<Value> = logs::lines(bytes, at)
        .into_iter()
        .map(|line| serde_json::json!({ "at": line.at, "html": line.html }))
        .collect();
    let end = at + bytes.len() as u64;
    Event::default().event("lines").id(end.to_string()).data(Value::from(lines).to_string())
}

#[derive(Template)]
#[template(path = "draft.html")]
struct Draft {
    s: Shell,
    run: i64,
    path: String,
    back: String,
    entry: String,
    matches: Vec<String>,
}

/// The draft of an entry of the catalogue from chosen lines, its pattern tried against the log.
pub(crate) async fn draft(
    State(site): State<Shared>,
    s: Shell,
    me: Who,
    Path(id): Path<i64>,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    allowed(&site, &me, id, Role::Viewer).await?;
    let fields = Fields(fields);
    let path = fields.text("path").to_owned();
    let attempt = fields.get("attempt").and_then(|number| number.parse().ok());
    let (folder, number, _) = task::folder(&site, id, &path, attempt).await?;
    let chosen: Vec<u64> = fields.all("l").filter_map(|at| at.parse().ok()).take(20).collect();
    let (draft, matches) = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
        const MOST: u64 = 16 * 1024 * 1024;
        let Some(mut reader) = logs::open(&folder)? else {
            return Ok((draft_entry(&[]), Vec::new()));
        };
        let mut lines = Vec::new();
        for at in chosen {
            let bytes = reader.read(at..at + 4096)?;
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            lines.push(String::from_utf8_lossy(line).into_owned());
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let draft = draft_entry(&lines);
        let size = reader.size()?;
        let text = reader.read(size.saturating_sub(MOST)..size)?;
        let text = String::from_utf8_lossy(&text);
        let pattern = draft_pattern(&lines);
        let matches =
            compile_pattern(&pattern).ok().filter(|_| !pattern.is_empty()).map(|pattern| {
                let found = text.lines().filter(|line| pattern.is_match(line.as_bytes()));
                found.take(200).map(str::to_owned).collect()
            });
        let matches: Vec<String> = matches.unwrap_or_default();
        Ok((draft, matches))
    })
    .await
    .map_err(PageError::broken)??;
    let back = format!("{}&attempt={number}", task_address(id, &path));
    Ok(Page(Draft { s, run: id, path, back, entry: draft, matches }).into_response())
}
