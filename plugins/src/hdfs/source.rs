//! Where the bytes come from that are put into HDFS: the settings, a file here, a file on the host that asks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::AsyncReadExt;
use weir_core::hosts::{Become, Route};
use weir_core::job_type::JobError;
use weir_core::outcome::ErrorClass;

use super::checksum::Sum;
use crate::settings;
use crate::ssh::{Exec, Piece, Pool, Trouble, quoted};
use crate::way::plain;

/// How many bytes are held at once.
const PART: usize = 256 << 10;
/// How long a look at a file on a host may take.
const LOOK: Duration = Duration::from_mins(1);

/// Where the bytes come from. Reading it again gives the same.
pub(super) enum Source {
    /// The settings.
    Text(Vec<u8>),
    /// A file of this machine.
    Here(PathBuf),
    /// A file of a host.
    There { pool: Arc<Pool>, route: Arc<Route>, user: Option<Become>, path: String },
}

/// A source that is read from its start to its end.
pub(super) enum Reading {
    Text(Option<Vec<u8>>),
    Here(File, PathBuf),
    There(Exec, Arc<Route>, String),
}

impl Source {
    /// What it is, for people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Text(_) => "the content".to_owned(),
            Self::Here(path) => path.display().to_string(),
            Self::There { route, path, .. } => format!("{path} of {}", route.host().name),
        }
    }

    /// How many bytes it has.
    ///
    /// # Errors
    /// It is not there, or no regular file.
    pub(super) async fn size(&self) -> Result<u64, JobError> {
        match self {
            Self::Text(text) => Ok(text.len() as u64),
            Self::Here(path) => {
                let metadata =
                    tokio::fs::metadata(path).await.map_err(|error| unreadable(path, &error))?;
                if metadata.is_file() {
                    Ok(metadata.len())
                } else {
                    Err(settings::wrong(format!("{} is no regular file", path.display())))
                }
            }
            Self::There { pool, route, user, path } => {
                let script = format!("[ -f {0} ] && [ -r {0} ] && stat -L -c %s {0}", quoted(path));
                let ran = pool.look(route, user.as_ref(), &script, LOOK).await?;
                let size = String::from_utf8_lossy(&ran.out).trim().parse().ok();
                size.filter(|_| ran.code == 0).ok_or_else(|| {
                    JobError::new(
                        ErrorClass::Refused,
                        format!(
                            "{path} of {} is no file that can be read there\n  help: `become` says who reads it",
                            route.host().name
                        ),
                    )
                })
            }
        }
    }

    /// Begins to read it.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) async fn open(&self) -> Result<Reading, JobError> {
        match self {
            Self::Text(text) => Ok(Reading::Text(Some(text.clone()))),
            Self::Here(path) => {
                let file = File::open(path).await.map_err(|error| unreadable(path, &error))?;
                Ok(Reading::Here(file, path.clone()))
            }
            Self::There { pool, route, user, path } => {
                let begin = async {
                    let script = format!("exec cat {}", quoted(path));
                    let exec = pool.start(route, user.as_ref(), &script).await?;
                    exec.writer().finish().await?;
                    Ok(exec)
                };
                let exec = Box::pin(begin).await;
                let exec = exec.map_err(|trouble: Trouble| trouble.about(route.host()))?;
                Ok(Reading::There(exec, Arc::clone(route), path.clone()))
            }
        }
    }

    /// Its checksum, of the kind of `sum`.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) async fn sum(&self, sum: &Sum) -> Result<Sum, JobError> {
        let mut reading = self.open().await?;
        let mut sum = sum.anew();
        while let Some(bytes) = reading.next().await? {
            sum.push(&bytes);
        }
        Ok(sum)
    }
}

impl Reading {
    /// What comes next; `None` after the last byte.
    ///
    /// # Errors
    /// It can't be read to its end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, JobError> {
        match self {
            Self::Text(text) => Ok(text.take()),
            Self::Here(file, path) => {
                let mut bytes = Vec::with_capacity(PART);
                file.read_buf(&mut bytes).await.map_err(|error| unreadable(path, &error))?;
                Ok((!bytes.is_empty()).then_some(bytes))
            }
            Self::There(exec, route, path) => loop {
                match exec.next().await.map_err(|trouble| trouble.about(route.host()))? {
                    Piece::Out(bytes) if bytes.is_empty() => {}
                    Piece::Out(bytes) => return Ok(Some(bytes)),
                    Piece::Err(_) => {}
                    Piece::Exit(0) => return Ok(None),
                    Piece::Exit(code) => {
                        return Err(JobError::new(
                            ErrorClass::Exit,
                            format!("{path} of {} can't be read (code {code})", route.host().name),
                        ));
                    }
                }
            },
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> JobError {
    settings::wrong(format!("`source` can't be read: {}: {}", path.display(), plain(error)))
}
