//! Asking a running HDFS over HTTP: JMX, and `WebHDFS` with its redirects, standbys and exceptions.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use weir_core::job_type::JobError;
use weir_core::outcome::{ErrorClass, Failure};

use super::checksum::Sum;
use super::source::{Reading, Source};
use crate::http::{self, Answer, Scheme, Url, escaped};
use crate::way::{Server, Stream, Way, plain};

/// How long a name or data node may take to answer, the way to it included.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long nothing of a file may be taken.
const STALL: Duration = Duration::from_mins(2);
/// The longest answer that is read: a name node tells of all its data nodes.
const LIMIT: usize = 32 << 20;
/// From a name node to a data node is one; more than a few lead nowhere.
const REDIRECTS: usize = 4;

/// An HDFS: where it is asked, from where, as whom.
pub(super) struct Cluster {
    way: Way,
    nodes: Vec<Server>,
    user: String,
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody answered, or not in words that make sense.
    Line(JobError),
    /// It was asked for, and refused.
    Refused(Refusal),
}

/// What HDFS says when it refuses.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The name of the exception, such as `FileNotFoundException`; empty if it told none.
    exception: String,
    message: String,
}

impl Trouble {
    fn line(message: impl Into<String>) -> Self {
        Self::Line(JobError::new(ErrorClass::Connection, message))
    }

    /// It is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.exception == "FileNotFoundException")
    }

    /// Another name node may do.
    fn is_elsewhere(&self) -> bool {
        match self {
            Self::Line(_) => true,
            Self::Refused(refusal) => refusal.exception == "StandbyException",
        }
    }

    /// As the end of an attempt that was about `what`.
    pub(super) fn about(self, what: &str) -> Failure {
        let class = match &self {
            Self::Line(error) => error.class,
            Self::Refused(refusal) => refusal.class(),
        };
        Failure::new(class, format!("{what}: {self}"))
    }
}

impl Refusal {
    fn of(answer: &Answer) -> Self {
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let field = |name: &str| value["RemoteException"][name].as_str().map(str::to_owned);
        match (field("exception"), field("message")) {
            (Some(exception), message) => {
                Self { exception, message: message.unwrap_or_default().trim().to_owned() }
            }
            _ => Self {
                exception: String::new(),
                message: format!("it answers {} and does not say why", answer.status),
            },
        }
    }

    fn class(&self) -> ErrorClass {
        match self.exception.as_str() {
            // They end by themselves: trying again helps.
            "StandbyException" | "SafeModeException" | "RetriableException" => {
                ErrorClass::Connection
            }
            name if name.ends_with("QuotaExceededException") => ErrorClass::Quota,
            "" => ErrorClass::Exit,
            _ if self.message.contains("SafeModeException") => ErrorClass::Connection,
            _ => ErrorClass::Refused,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(error) => f.write_str(&error.message),
            Self::Refused(refusal) if refusal.exception.is_empty() => f.write_str(&refusal.message),
            Self::Refused(refusal) => write!(f, "{}: {}", refusal.exception, refusal.message),
        }
    }
}

impl Cluster {
    pub(super) fn new(way: Way, nodes: Vec<Server>, user: &str) -> Self {
        Self { way, nodes, user: user.to_owned() }
    }

    pub(super) fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// The names of all of them, for people.
    pub(super) fn names(&self) -> String {
        self.nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// A bean of a name node; `None` if it has none of that name, such as while it starts.
    pub(super) async fn bean(&self, node: &Server, name: &str) -> Result<Option<Value>, Trouble> {
        let target = format!("/jmx?qry=Hadoop:service=NameNode,name={name}");
        let answer = self.send("GET", &url(node, &target)?, &[]).await?;
        if answer.status != 200 {
            return Err(Trouble::Refused(Refusal::of(&answer)));
        }
        let mut value = json(node, &answer)?;
        let beans = value.get_mut("beans").and_then(Value::as_array_mut);
        let Some(beans) = beans else {
            return Err(Trouble::line(format!("{node} does not answer as a name node does")));
        };
        Ok((!beans.is_empty()).then(|| beans.swap_remove(0)))
    }

    /// Asks the active name node for an operation of `WebHDFS` on `path`, following redirects.
    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        op: &str,
        params: &[(&str, &str)],
    ) -> Result<Value, Trouble> {
        let (answer, node) = self.first(method, path, op, params).await?;
        let mut answer = answer;
        for _ in 0..REDIRECTS {
            if !is_redirect(&answer) {
                return finished(&node, &answer);
            }
            let next = location(&node, &answer)?;
            answer = self.send(method, &next, &[]).await?;
        }
        Err(Trouble::line(format!("{node} sends us around in a circle")))
    }

    /// Whether an operation that answers with `true` or `false` was done.
    pub(super) async fn does(
        &self,
        method: &str,
        path: &str,
        op: &str,
        params: &[(&str, &str)],
    ) -> Result<bool, Trouble> {
        let answer = self.ask(method, path, op, params).await?;
        answer["boolean"]
            .as_bool()
            .ok_or_else(|| Trouble::line(format!("the answer to {op} tells nothing")))
    }

    /// What stands at a path, as `FileStatus`; `None` if nothing does.
    pub(super) async fn status(&self, path: &str) -> Result<Option<Value>, Trouble> {
        match self.ask("GET", path, "GETFILESTATUS", &[]).await {
            Ok(mut answer) => Ok(Some(answer["FileStatus"].take())),
            Err(trouble) if trouble.is_missing() => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Makes a file of `size` bytes of a source, and adds up what was sent. A data node that can't be reached is left out
    /// the next time.
    pub(super) async fn create(
        &self,
        path: &str,
        params: &[(&str, &str)],
        size: u64,
        source: &Source,
        sum: &mut Sum,
    ) -> Result<(), Trouble> {
        let mut left_out: Vec<String> = Vec::new();
        loop {
            let names = left_out.join(",");
            let mut all = params.to_vec();
            if !names.is_empty() {
                all.push(("excludedatanodes", names.as_str()));
            }
            let (answer, node) = self.first("PUT", path, "CREATE", &all).await?;
            if !is_redirect(&answer) {
                finished(&node, &answer)?;
                return Err(Trouble::line(format!(
                    "{node} names no data node to take the file: it answers {}",
                    answer.status
                )));
            }
            let next = location(&node, &answer)?;
            let server = server_of(&next);
            let line = match self.way.connect(&server.host, server.port).await {
                Ok(line) => line,
                Err(error) if left_out.len() < 3 && error.class == ErrorClass::Connection => {
                    left_out.push(server.to_string());
                    continue;
                }
                Err(error) => return Err(at(&server, &error)),
            };
            let mut reading = source.open().await.map_err(Trouble::Line)?;
            *sum = sum.anew();
            let answer = upload(line, &next, &server, size, &mut reading, sum).await?;
            return match answer.status {
                200 | 201 => Ok(()),
                _ => Err(Trouble::Refused(Refusal::of(&answer))),
            };
        }
    }

    /// The first name node that does not send us to another, and its answer.
    async fn first(
        &self,
        method: &str,
        path: &str,
        op: &str,
        params: &[(&str, &str)],
    ) -> Result<(Answer, Server), Trouble> {
        let query: String = params
            .iter()
            .map(|(name, value)| ["&", name, "=", &escaped(value).replace('/', "%2F")].concat())
            .collect();
        let target = format!(
            "/webhdfs/v1{}?op={op}&user.name={}{query}",
            escaped(path),
            escaped(&self.user)
        );
        let mut troubles: Vec<Trouble> = Vec::new();
        for node in &self.nodes {
            let asked = async {
                let answer = self.send(method, &url(node, &target)?, &[]).await?;
                if answer.status >= 400 {
                    return Err(Trouble::Refused(Refusal::of(&answer)));
                }
                Ok(answer)
            };
            match asked.await {
                Ok(answer) => return Ok((answer, node.clone())),
                Err(trouble) if trouble.is_elsewhere() => troubles.push(trouble),
                Err(trouble) => return Err(trouble),
            }
        }
        if troubles.len() == 1 {
            return Err(troubles.remove(0));
        }
        let told: Vec<String> = troubles.iter().map(ToString::to_string).collect();
        Err(Trouble::line(format!("no name node is active: {}", told.join("; "))))
    }

    /// Sends a request without a body and reads the answer.
    async fn send(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Trouble> {
        let server = server_of(url);
        let asked = async {
            let line = self.way.connect(&server.host, server.port).await;
            let mut line = line.map_err(|error| at(&server, &error))?;
            let mut all = headers.to_vec();
            if method != "GET" {
                all.push(("Content-Length", "0"));
            }
            let asked = async {
                line.write_all(url.request(method, &all).as_bytes()).await?;
                line.flush().await?;
                http::read_answer(&mut line, LIMIT).await
            };
            asked.await.map_err(|error| Trouble::line(format!("{server}: {}", plain(&error))))
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
            Err(Trouble::line(format!("{server}: no answer within {} s", PATIENCE.as_secs())))
        })
    }
}

/// Sends a file, and reads what is answered; a data node may answer before it has all of it.
async fn upload(
    mut line: Box<dyn Stream>,
    url: &Url,
    server: &Server,
    size: u64,
    reading: &mut Reading,
    sum: &mut Sum,
) -> Result<Answer, Trouble> {
    let length = size.to_string();
    let headers =
        [("Content-Length", length.as_str()), ("Content-Type", "application/octet-stream")];
    let broken = |error: &std::io::Error| Trouble::line(format!("{server}: {}", plain(error)));
    let stalled =
        || Trouble::line(format!("{server} has taken nothing of it for {} s", STALL.as_secs()));
    let head = url.request("PUT", &headers);
    let mut sent = 0u64;
    let mut broke = line.write_all(head.as_bytes()).await.err();
    while broke.is_none() {
        let Some(bytes) = reading.next().await.map_err(Trouble::Line)? else { break };
        sent += bytes.len() as u64;
        sum.push(&bytes);
        if sent > size {
            break;
        }
        match tokio::time::timeout(STALL, line.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => broke = Some(error),
            Err(_) => return Err(stalled()),
        }
    }
    if broke.is_none() && sent != size {
        return Err(Trouble::Line(JobError::new(
            ErrorClass::Verify,
            "the file was changed while it was read",
        )));
    }
    if broke.is_none() {
        broke = line.flush().await.err();
    }
    let answer = tokio::time::timeout(STALL, http::read_answer(&mut line, LIMIT)).await;
    match (answer, broke) {
        (Ok(Ok(answer)), _) => Ok(answer),
        (_, Some(error)) | (Ok(Err(error)), None) => Err(broken(&error)),
        (Err(_), None) => Err(stalled()),
    }
}

fn url(node: &Server, target: &str) -> Result<Url, Trouble> {
    Url::parse(&format!("http://{node}{target}")).map_err(Trouble::line)
}

fn server_of(url: &Url) -> Server {
    Server { host: url.address.host.clone(), port: url.address.port }
}

fn at(server: &Server, error: &JobError) -> Trouble {
    Trouble::Line(JobError::new(error.class, format!("{server}: {}", error.message)))
}

fn is_redirect(answer: &Answer) -> bool {
    matches!(answer.status, 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads.
fn location(node: &Server, answer: &Answer) -> Result<Url, Trouble> {
    let wrong = |why: &str| Trouble::line(format!("{node} sends us on, {why}"));
    let to = answer.header("location").ok_or_else(|| wrong("but not where to"))?;
    let url = Url::parse(to).map_err(|_| wrong("but to no URL"))?;
    match url.scheme {
        Scheme::Http => Ok(url),
        Scheme::Https => Err(wrong("to a page of https, which is not spoken here")),
    }
}

fn finished(node: &Server, answer: &Answer) -> Result<Value, Trouble> {
    match answer.status {
        200 | 201 if answer.body.is_empty() => Ok(Value::Null),
        200 | 201 => json(node, answer),
        _ => Err(Trouble::Refused(Refusal::of(answer))),
    }
}

fn json(node: &Server, answer: &Answer) -> Result<Value, Trouble> {
    serde_json::from_slice(&answer.body)
        .map_err(|_| Trouble::line(format!("{node} does not answer as a name node does")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_a_class() {
        let class = |exception: &str, message: &str| {
            Refusal { exception: exception.to_owned(), message: message.to_owned() }.class().name()
        };
        assert_eq!(class("SafeModeException", "Name node is in safe mode."), "connection");
        assert_eq!(class("StandbyException", ""), "connection");
        assert_eq!(class("DSQuotaExceededException", ""), "quota");
        assert_eq!(class("AccessControlException", "Permission denied: user=x"), "refused");
        assert_eq!(class("IOException", "org.apache.SafeModeException: no"), "connection");
        assert_eq!(class("", "it answers 500"), "exit");
    }
}
