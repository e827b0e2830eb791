//! From where something is looked at: from here, or from a host, over the line to it.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use weir_core::hosts::Route;
use weir_core::job_type::{AttemptContext, JobError};
use weir_core::outcome::ErrorClass;

use crate::ssh::{NOT_CONNECTED, Pool};

/// From where something is looked at.
#[derive(Clone)]
pub(crate) enum Way {
    /// From here.
    Here,
    /// From a host.
    Host(Arc<Pool>, Arc<Route>),
}

/// A connection, wherever it begins.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Way {
    /// As the settings of an attempt say.
    pub(crate) fn of(cx: &AttemptContext, pool: &Arc<Pool>) -> Self {
        match &cx.host {
            Some(route) => Self::Host(Arc::clone(pool), Arc::clone(route)),
            None => Self::Here,
        }
    }

    /// Connects to a machine by its name or address.
    ///
    /// # Errors
    /// Of the class `connection` if it does not answer, or the host that looks can't be reached; of another if that
    /// host lets nobody look.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Stream>, JobError> {
        match self {
            Self::Here => match TcpStream::connect((host, port)).await {
                Ok(line) => Ok(Box::new(line)),
                Err(error) => Err(JobError::new(ErrorClass::Connection, plain(&error))),
            },
            Self::Host(pool, route) => match pool.reach(route, host, port).await {
                Ok(line) => Ok(Box::new(line)),
                // The host is there, and what it says of the other machine is what matters.
                Err(error) if error.message.contains(NOT_CONNECTED) => Err(JobError::new(
                    error.class,
                    format!("{} {NOT_CONNECTED}", route.host().name),
                )),
                Err(error) => Err(error),
            },
        }
    }
}

/// What went wrong, without the number that the system has for it.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}
