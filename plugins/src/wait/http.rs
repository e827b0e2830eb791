//! A look at a page: a GET, plain or in TLS, and what its answer must be.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use weir_core::job_type::JobError;

use super::look::{LIMIT, Seen, find};
use super::tls;
use crate::http::{self, Scheme, Url};
use crate::settings::{OneOrMany, Whole};
use crate::way::{Stream, Way, plain};

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
        Ok(match self.url.address.connect(way).await? {
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
                self.get_over(tls::over(line, &self.url.address.host, ca.as_deref()).await?).await
            }
        }
    }

    async fn get_over(
        &self,
        mut line: impl AsyncRead + AsyncWrite + Unpin,
    ) -> io::Result<(u16, Vec<u8>)> {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        line.write_all(self.url.request("GET", &headers).as_bytes()).await?;
        let answer = http::read_answer(&mut line, LIMIT).await?;
        Ok((answer.status, answer.body))
    }
}
