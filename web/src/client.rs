//! The other side of the API: how the command line asks a server.
//!
//! The token goes into one header and nowhere else.

mod line;
mod place;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};
use weir_engine::api::{Problem, Request};

use crate::guard::VERSION_HEADER;
use crate::password;
use line::Dial;
pub use place::{Misplaced, Place};

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_mins(2);
/// A line on which nothing came for so long is cut: a server that lives says so every 15 seconds.
const SILENCE: Duration = Duration::from_secs(45);
/// How long a server that had answered is waited for when it is gone: it may be started anew.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long to wait before it is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// The longest line of a watch, in bytes.
const LONGEST: usize = 16 * 1024 * 1024;
/// This program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

type Sender = http1::SendRequest<Full<Bytes>>;

/// Asks a server.
pub struct Client {
    place: Place,
    token: Option<HeaderValue>,
    dial: Dial,
    /// A line that is open and idle.
    kept: Mutex<Option<Sender>>,
    has_answered: AtomicBool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Client({})", self.place)
    }
}

/// Why there is no answer.
enum Failure {
    /// The server could not be reached: nothing was asked.
    Away(Problem),
    /// It was asked, and went away before it answered.
    Cut(String),
    /// It answered so.
    Said(Problem),
}

/// The token can't be sent.
#[derive(Debug, thiserror::Error)]
#[error("WEIR_TOKEN has signs that no token has\nhelp: `weir token add` on the server prints one")]
pub struct BadToken;

impl Client {
    /// One for the server at a place.
    ///
    /// # Errors
    /// The token is none.
    pub fn new(place: Place, token: Option<&str>) -> Result<Self, BadToken> {
        let token = match token {
            None => None,
            Some(token) => {
                let mut value =
                    HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| BadToken)?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self {
            place,
            token,
            dial: Dial::default(),
            kept: Mutex::default(),
            has_answered: AtomicBool::new(false),
        })
    }

    /// Where the server is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Asks, and waits for the answer. What begins a run begins it once, however often it had to be sent.
    ///
    /// # Errors
    /// What the server says; or it can't be reached; or it went away, and nobody knows whether it has done it.
    pub async fn ask(&self, request: &Request) -> Result<Value, Problem> {
        let begins = matches!(request, Request::Begin { .. } | Request::Rerun { .. });
        let key = begins.then(password::secret);
        let may_repeat = begins || request.only_looks();
        let since = Instant::now();
        loop {
            let failure = match self.ask_once(request, key.as_deref()).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let is_patient = self.has_answered() && since.elapsed() < PATIENCE;
            match failure {
                Failure::Said(problem) if problem.is_leaving && is_patient => {}
                Failure::Away(_) if is_patient => {}
                Failure::Cut(_) if may_repeat && is_patient => {}
                failure => return Err(self.problem(failure)),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn ask_once(&self, request: &Request, key: Option<&str>) -> Result<Value, Failure> {
        let response = self.post(request, key, request.only_looks()).await?;
        let (sender, mut body) = response;
        let bytes = whole(&mut body).await.map_err(Failure::Cut)?;
        *self.kept.lock().await = Some(sender);
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Said(Problem::inner(format!("{}: {error}", self.place))))
    }

    /// Sends a run's events as they come, each once and in order, until the run has ended. A server that goes away is
    /// waited for.
    ///
    /// # Errors
    /// What the server says, or that it stays away.
    pub async fn watch(
        self: Arc<Self>,
        run: i64,
        after: i64,
        sink: mpsc::Sender<Value>,
    ) -> Result<(), Problem> {
        let mut last = after;
        let mut away: Option<Instant> = None;
        loop {
            let before = last;
            let failure = match self.watch_once(run, &mut last, &sink).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            match &failure {
                Failure::Said(problem) if !problem.is_leaving => {
                    return Err(self.problem(failure));
                }
                Failure::Away(_) | Failure::Cut(_) | Failure::Said(_) => {}
            }
            if last > before {
                away = None;
            }
            let is_known = away.is_some();
            let since = *away.get_or_insert_with(Instant::now);
            if !self.has_answered() || since.elapsed() >= PATIENCE {
                return Err(self.problem(failure));
            }
            if !is_known {
                tracing::warn!("{} does not answer; it is waited for", self.place);
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = sink.closed() => return Ok(()),
            }
        }
    }

    async fn watch_once(
        &self,
        run: i64,
        last: &mut i64,
        sink: &mpsc::Sender<Value>,
    ) -> Result<(), Failure> {
        let request = Request::Watch { run, after: *last };
        let (_sender, mut body) = self.post(&request, None, false).await?;
        let mut rest: Vec<u8> = Vec::new();
        loop {
            let piece = tokio::select! {
                piece = tokio::time::timeout(SILENCE, next(&mut body)) => piece,
                () = sink.closed() => return Ok(()),
            };
            let Ok(piece) = piece else { return Err(cut("nothing came any more")) };
            let Some(piece) = piece.map_err(Failure::Cut)? else { return Err(cut("it hung up")) };
            rest.extend_from_slice(&piece);
            let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else {
                if rest.len() > LONGEST {
                    return Err(cut("it answers what was not asked"));
                }
                continue;
            };
            for line in rest[..end].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let mut line: Value =
                    serde_json::from_slice(line).map_err(|error| cut(&error.to_string()))?;
                if let Some(event) = line.get_mut("event") {
                    let event = event.take();
                    *last = event["seq"].as_i64().unwrap_or(*last);
                    if sink.send(event).await.is_err() {
                        return Ok(());
                    }
                } else if let Some(problem) = line.get_mut("problem") {
                    let problem = serde_json::from_value(problem.take())
                        .map_err(|error| cut(&error.to_string()))?;
                    return Err(Failure::Said(problem));
                } else {
                    return Ok(());
                }
            }
            rest.drain(..=end);
        }
    }

    /// The log of an attempt, as it comes.
    ///
    /// # Errors
    /// What the server says, or it can't be reached.
    pub async fn log(&self, run: i64, path: &str, which: &LogQuery) -> Result<LogBytes, Problem> {
        let address = format!("/runs/{run}/tasks/{}/log?{which}", place::encoded(path));
        let sent = self.send(Method::GET, &address, Bytes::new(), None, false).await;
        let (sender, body) = sent.map_err(|failure| self.problem(failure))?;
        Ok(LogBytes { _sender: sender, body, place: self.place.to_string() })
    }

    /// The last lines of the last attempt of a task.
    ///
    /// # Errors
    /// As for [`Self::log`], or they can't be read to their end.
    pub async fn tail(&self, run: i64, path: &str, lines: usize) -> Result<Vec<u8>, Problem> {
        let which = LogQuery { tail: Some(lines), ..LogQuery::default() };
        let address = format!("/runs/{run}/tasks/{}/log?{which}", place::encoded(path));
        let sent = self.send(Method::GET, &address, Bytes::new(), None, true).await;
        let (sender, mut body) = sent.map_err(|failure| self.problem(failure))?;
        let bytes = whole(&mut body).await.map_err(Problem::inner)?;
        *self.kept.lock().await = Some(sender);
        Ok(bytes)
    }

    async fn post(
        &self,
        request: &Request,
        key: Option<&str>,
        on_kept: bool,
    ) -> Result<(Sender, Incoming), Failure> {
        let body = serde_json::to_vec(request)
            .map_err(|error| Failure::Said(Problem::inner(error.to_string())))?;
        self.send(Method::POST, "/ask", body.into(), key, on_kept).await
    }

    /// Sends a request, and reads the answer's head. `on_kept` if it may be sent twice: a line that was kept may be dead.
    async fn send(
        &self,
        method: Method,
        address: &str,
        body: Bytes,
        key: Option<&str>,
        on_kept: bool,
    ) -> Result<(Sender, Incoming), Failure> {
        let request = || {
            let mut request = HttpRequest::builder()
                .method(method.clone())
                .uri(format!("{}/api/v1{address}", self.place.path()))
                .header(header::HOST, self.place.authority())
                .header(header::USER_AGENT, concat!("weir/", env!("CARGO_PKG_VERSION")))
                .header(header::CONTENT_TYPE, "application/json");
            if let Some(token) = &self.token {
                request = request.header(header::AUTHORIZATION, token.clone());
            }
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            request.body(Full::new(body.clone())).map_err(|error| {
                Failure::Said(Problem::call(format!("it can't be asked for: {error}")))
            })
        };
        if on_kept
            && let Some(mut kept) = self.kept.lock().await.take()
            && kept.ready().await.is_ok()
            && let Ok(Ok(response)) =
                tokio::time::timeout(ANSWER, kept.send_request(request()?)).await
        {
            return self.judge(response).await.map(|body| (kept, body));
        }
        let mut sender = self.dial.connect(&self.place).await.map_err(Failure::Away)?;
        let response = match tokio::time::timeout(ANSWER, sender.send_request(request()?)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) if error.is_parse() => {
                return Err(Failure::Said(self.place.no_weir("it does not speak HTTP")));
            }
            Ok(Err(error)) if error.is_incomplete_message() && !self.has_answered() => {
                return Err(Failure::Said(self.place.no_weir("it hangs up")));
            }
            Ok(Err(error)) => return Err(cut(&error.to_string())),
            Err(_) => return Err(cut("it takes too long")),
        };
        self.judge(response).await.map(|body| (sender, body))
    }

    /// What an answer says: its body if the request was granted.
    async fn judge(&self, response: hyper::Response<Incoming>) -> Result<Incoming, Failure> {
        let (head, mut body) = response.into_parts();
        let Some(version) = version(&head.headers) else {
            let status = head.status;
            // A proxy whose server is being started anew.
            if self.has_answered() && (502..=504).contains(&status.as_u16()) {
                return Err(Failure::Away(self.place.no_weir(&format!("it answers {status}"))));
            }
            return Err(Failure::Said(self.place.no_weir(&format!("it answers {status}"))));
        };
        self.has_answered.store(true, Ordering::Relaxed);
        if head.status.is_success() {
            return Ok(body);
        }
        let bytes = whole(&mut body).await.map_err(Failure::Cut)?;
        let said: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let detail = said["detail"].as_str().unwrap_or("it does not say why").to_owned();
        Err(Failure::Said(self.refused(head.status, &version, detail)))
    }

    /// A refusal, in words for whoever sits at this end.
    fn refused(&self, status: StatusCode, version: &str, detail: String) -> Problem {
        let place = &self.place;
        let make = "`weir token add NAME --role operator` on the server makes one";
        let mut message = match status {
            StatusCode::UNAUTHORIZED => match &self.token {
                None => {
                    format!("{place} wants a token\nhelp: put it into WEIR_TOKEN; {make}")
                }
                Some(_) if detail.contains("expired") => {
                    format!("{place} refuses the token in WEIR_TOKEN: {detail}\nhelp: {make}")
                }
                Some(_) => {
                    format!("{place} does not know the token in WEIR_TOKEN\nhelp: {make}")
                }
            },
            StatusCode::FORBIDDEN => format!(
                "{place} refuses: {detail}\nhelp: it is asked with the rights of the token in WEIR_TOKEN"
            ),
            _ => detail,
        };
        if version != VERSION && status.is_client_error() {
            message += &[
                &format!("\nhelp: {place} is Weir {version}, this is Weir {VERSION};"),
                " the same version understands all that is asked",
            ]
            .concat();
        }
        let is_ours = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
        if is_ours { Problem::call(message) } else { Problem::inner(format!("{place}: {message}")) }
    }

    fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }

    fn problem(&self, failure: Failure) -> Problem {
        match failure {
            Failure::Away(problem) | Failure::Said(problem) => problem,
            Failure::Cut(why) => Problem {
                is_unanswered: true,
                ..Problem::inner(format!(
                    "{} went away before it answered ({why}); what was asked may or may not be done\nhelp: `weir runs` and \
                     `weir show` tell",
                    self.place
                ))
            },
        }
    }
}

fn cut(why: &str) -> Failure {
    Failure::Cut(why.to_owned())
}

/// The version that an answer names, if a Weir answers.
fn version(headers: &HeaderMap) -> Option<String> {
    Some(headers.get(VERSION_HEADER)?.to_str().ok()?.to_owned())
}

/// The next piece of an answer; `None` behind the last.
async fn next(body: &mut Incoming) -> Result<Option<Bytes>, String> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(error)) => return Err(error.to_string()),
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

async fn whole(body: &mut Incoming) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    while let Some(piece) = next(body).await? {
        all.extend_from_slice(&piece);
    }
    Ok(all)
}

/// What of a log is wanted.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Which try; the last if not said.
    pub attempt: Option<u32>,
    /// Only the last lines.
    pub tail: Option<usize>,
    /// Each line behind its time.
    pub times: bool,
    /// All that comes until the attempt has ended.
    pub follow: bool,
}

impl std::fmt::Display for LogQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "times={}&follow={}", self.times, self.follow)?;
        if let Some(attempt) = self.attempt {
            write!(f, "&attempt={attempt}")?;
        }
        if let Some(tail) = self.tail {
            write!(f, "&tail={tail}")?;
        }
        Ok(())
    }
}

/// A log that comes piece by piece.
pub struct LogBytes {
    /// The line is open as long as this is there.
    _sender: Sender,
    body: Incoming,
    place: String,
}

impl LogBytes {
    /// The next piece; `None` behind the last.
    ///
    /// # Errors
    /// The server went away: there may be more.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        match next(&mut self.body).await {
            Ok(piece) => Ok(piece.map(Into::into)),
            Err(error) => Err(Problem::inner(format!(
                "{} went away ({error}): there may be more of the log\nhelp: the same command shows it once the server is back",
                self.place
            ))),
        }
    }
}
