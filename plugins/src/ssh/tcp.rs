//! A TCP connection to the first machine of a way: without the pauses that small packets may bring.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use weir_core::hosts::Hop;

use super::trouble::Trouble;

/// What is shorter may be the first of several packets.
const SHORT: usize = 4096;

/// A connection whose small packets wait for nothing, in neither direction.
pub(super) struct Prompt(TcpStream);

/// Connects to a machine.
///
/// # Errors
/// It can't be reached.
pub(super) async fn connect(to: &Hop) -> Result<Prompt, Trouble> {
    let found = tokio::net::lookup_host((to.address.as_str(), to.port)).await;
    let addresses = found.map_err(|error| {
        Trouble::unreachable(format!("its address `{}` is not found: {error}", to.address))
    })?;
    let mut last = Trouble::unreachable(format!("its name `{}` has no address", to.address));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it each small packet waits 40 ms for the one before.
                let set = stream.set_nodelay(true);
                set.map_err(|error| Trouble::unreachable(error.to_string()))?;
                return Ok(Prompt(stream));
            }
            Err(error) => last = Trouble::unreachable(in_words(&error)),
        }
    }
    Err(last)
}

fn in_words(error: &io::Error) -> String {
    use io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused: nothing listens there".to_owned(),
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            format!("no way leads there from here ({error})")
        }
        _ => format!("no connection: {error}"),
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.0).poll_read(cx, buf);
        let come = buf.filled().len() - before;
        if come > 0 && come < SHORT {
            // An sshd that only hands on holds each small packet back until the one before is acknowledged, and the
            // kernel here would do that 40 ms later. It forgets about this with the next packet. Not to be had, it is
            // slower.
            let _slower = self.0.set_quickack(true);
        }
        read
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
