//! TCP connections as a host sees them: for looking at what listens behind it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_core::hosts::{Hop, Route};
use weir_core::job_type::JobError;

use super::pool::{Pool, Stream, Use};

/// A connection that the last machine of a route has made. The line to that machine is held for as long.
pub(crate) struct Reached {
    stream: Box<dyn Stream>,
    _used: Option<Use>,
}

impl Pool {
    /// Connects to `address` as the host at the end of a route sees it.
    ///
    /// # Errors
    /// As [`Pool::run`]; also of the class `connection` if the host can't connect to that address.
    pub(crate) async fn reach(
        &self,
        route: &Route,
        address: &str,
        port: u16,
    ) -> Result<Reached, JobError> {
        let to =
            Hop { name: address.to_owned(), address: address.to_owned(), port, ..Hop::default() };
        let opened = Box::pin(self.stream(&route.hops, &route.known_hosts, &to)).await;
        let (stream, used) = opened.map_err(|trouble| trouble.about(route.host()))?;
        Ok(Reached { stream, _used: used })
    }
}

impl AsyncRead for Reached {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Reached {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
