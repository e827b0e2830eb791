//! One look at what is waited for.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;
use weir_core::job_type::{AttemptContext, JobError};
use weir_core::outcome::Outputs;
use weir_core::time::{Timestamp, format_span};

use super::{dns, http, sql};
use crate::settings::{self, Flag, Span};
use crate::way::{Address, Way, plain};

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much longer it may take from a host: there may be no connection to it yet.
const WAY_THERE: Duration = Duration::from_secs(20);

/// How much of a page or a file is looked at, in bytes.
pub(super) const LIMIT: usize = 1 << 20;

/// Something to look at.
pub(super) enum Look {
    /// Whether `host:port` accepts a connection.
    Tcp(Address),
    /// A page.
    Http(http::Request),
    /// A name.
    Dns(dns::Query),
    /// A file.
    File(CompiledFile),
    /// A database.
    Sql(sql::Question),
}

/// What a look shows.
pub(super) enum Seen {
    /// It is as it should be.
    Holds {
        /// What was seen, for people.
        seen: String,
        /// What to leave behind.
        outputs: Outputs,
    },
    /// Not yet: what was seen instead.
    NotYet(String),
}

impl Look {
    /// What is waited for, to be read after "waits".
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Tcp(address) => format!("for tcp {address}"),
            Self::Http(request) => format!("for {}", request.url()),
            Self::Dns(query) => format!("for {}", query.in_words()),
            Self::File(file) => format!("for {}", file.in_words()),
            Self::Sql(question) => format!("for {}", question.in_words()),
        }
    }

    /// Looks once.
    ///
    /// # Errors
    /// It can't ever hold.
    pub(super) async fn look(&self, way: &Way, cx: &AttemptContext) -> Result<Seen, JobError> {
        let look = async {
            match self {
                Self::Tcp(address) => Ok(match address.connect(way).await? {
                    Ok(_) => Seen::Holds {
                        seen: format!("{address} accepts connections"),
                        outputs: Outputs::new(),
                    },
                    Err(why) => Seen::NotYet(format!("{address}: {why}")),
                }),
                Self::Http(request) => request.look(way, &cx.working_dir).await,
                Self::Dns(query) => query.look().await.map_err(settings::wrong),
                Self::File(file) => {
                    file.look(&cx.working_dir, cx.clock.now()).await.map_err(settings::wrong)
                }
                Self::Sql(question) => {
                    question.look(&cx.working_dir).await.map_err(settings::wrong)
                }
            }
        };
        let patience = match way {
            Way::Here => PATIENCE,
            Way::Host(..) => PATIENCE + WAY_THERE,
        };
        tokio::time::timeout(patience, look).await.unwrap_or_else(|_| {
            Ok(Seen::NotYet(format!("no answer within {}", format_span(patience))))
        })
    }

    /// Whether it can be looked at from a host.
    pub(super) fn is_seen_from_hosts(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Http(_) => true,
            Self::Dns(_) | Self::File(_) | Self::Sql(_) => false,
        }
    }
}

/// What the named groups of a pattern hold, if it is found.
pub(super) fn find(pattern: &Regex, text: &str) -> Option<Outputs> {
    let found = pattern.captures(text)?;
    let named = pattern.capture_names().flatten();
    let value = |name| found.name(name).map_or(Value::Null, |part| part.as_str().into());
    Some(named.map(|name| (name.to_owned(), value(name))).collect())
}

/// The setting `file`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct File {
    path: PathBuf,
    exists: Option<Flag>,
    min_age: Option<Span>,
    matches: Option<String>,
}

impl File {
    pub(super) fn compiled(self) -> Result<CompiledFile, String> {
        let matches = self.matches.map(|pattern| Regex::new(&pattern)).transpose();
        let matches = matches.map_err(|error| format!("`file.matches`: {error}"))?;
        let gone = self.exists == Some(Flag(false));
        if gone && (matches.is_some() || self.min_age.is_some()) {
            return Err("a file that must be gone has neither age nor content".to_owned());
        }
        Ok(CompiledFile { path: self.path, gone, min_age: self.min_age.map(|age| age.0), matches })
    }
}

/// A file to look at.
pub(super) struct CompiledFile {
    path: PathBuf,
    gone: bool,
    min_age: Option<Duration>,
    matches: Option<Regex>,
}

impl CompiledFile {
    fn in_words(&self) -> String {
        let what = if self.gone { " to be gone" } else { "" };
        format!("file {}{what}", self.path.display())
    }

    async fn look(&self, folder: &Path, now: Timestamp) -> Result<Seen, String> {
        let path = folder.join(&self.path);
        let shown = self.path.display();
        let metadata = match tokio::fs::metadata(&path).await {
            Ok(_) if self.gone => return Ok(Seen::NotYet(format!("{shown} is there"))),
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let seen = format!("{shown} is not there");
                let outputs = Outputs::new();
                return Ok(if self.gone {
                    Seen::Holds { seen, outputs }
                } else {
                    Seen::NotYet(seen)
                });
            }
            Err(error) => return Ok(Seen::NotYet(format!("{shown}: {}", plain(&error)))),
        };
        if let Some(min_age) = self.min_age {
            let written = metadata
                .modified()
                .ok()
                .and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok())
                .map_or(Timestamp::ZERO, |since| Timestamp::ZERO.plus(since));
            if now.since(written) < min_age {
                let min_age = format_span(min_age);
                let seen = format!("{shown} was written to less than {min_age} ago");
                return Ok(Seen::NotYet(seen));
            }
        }
        let mut outputs = match &self.matches {
            None => Outputs::new(),
            Some(_) if !metadata.is_file() => {
                return Ok(Seen::NotYet(format!("{shown} is no regular file")));
            }
            Some(pattern) => match read_start(path).await {
                Err(error) => return Ok(Seen::NotYet(format!("{shown}: {}", plain(&error)))),
                Ok(text) => match find(pattern, &text) {
                    Some(outputs) => outputs,
                    None => {
                        return Ok(Seen::NotYet(format!("{shown} does not match `{pattern}`")));
                    }
                },
            },
        };
        outputs.insert("size".to_owned(), metadata.len().into());
        Ok(Seen::Holds { seen: format!("{shown} is as it should be"), outputs })
    }
}

async fn read_start(path: PathBuf) -> io::Result<String> {
    let read = move || -> io::Result<String> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(LIMIT as u64).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}
