//! The door to the network: who comes in, plainly or over TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificate::Certificate;

/// How long somebody may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How many may be about it at once; others wait outside.
const HANDSHAKES: usize = 256;
/// How long to wait where nobody can be let in: there are no descriptors left.
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// The first byte of TLS.
const IS_TLS: u8 = 0x16;
/// What somebody is told who speaks plainly where TLS is spoken.
const PLAINLY: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 38\r\nConnection: close\r\n\r\n\
                         https is spoken here: write https://\r\n";

/// Lets people in.
pub(crate) enum Front {
    /// As they come.
    Plain(TcpListener),
    /// Who has agreed on TLS.
    Tls {
        agreed: mpsc::Receiver<(Box<TlsStream<TcpStream>>, SocketAddr)>,
        address: SocketAddr,
        letting_in: JoinHandle<()>,
    },
}

/// A line to somebody.
pub(crate) enum Line {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Front {
    /// # Errors
    /// The listener has no address.
    pub(crate) fn new(
        listener: TcpListener,
        certificate: Option<Arc<Certificate>>,
    ) -> io::Result<Self> {
        let Some(certificate) = certificate else { return Ok(Self::Plain(listener)) };
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(certificate.config().map_err(io::Error::other)?);
        let (sender, agreed) = mpsc::channel(64);
        let letting_in = tokio::spawn(let_in(listener, acceptor, sender));
        Ok(Self::Tls { agreed, address, letting_in })
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Self::Tls { letting_in, .. } = self {
            letting_in.abort();
        }
    }
}

async fn let_in(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    agreed: mpsc::Sender<(Box<TlsStream<TcpStream>>, SocketAddr)>,
) {
    let turns = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        let (line, from) = accept(&listener).await;
        let (acceptor, agreed) = (acceptor.clone(), agreed.clone());
        tokio::spawn(async move {
            let shaken = tokio::time::timeout(HANDSHAKE, agree(acceptor, line)).await;
            drop(turn);
            match shaken {
                Ok(Ok(Some(line))) => {
                    // Nobody is let in any more.
                    let _ = agreed.send((Box::new(line), from)).await;
                }
                Ok(Ok(None)) => tracing::debug!("{from} does not speak TLS"),
                Ok(Err(error)) => tracing::debug!("no TLS with {from}: {error}"),
                Err(_) => tracing::debug!("no TLS with {from}: it takes too long"),
            }
        });
    }
}

/// Agrees on TLS; `None` if it is not spoken.
async fn agree(
    acceptor: TlsAcceptor,
    mut line: TcpStream,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    if line.peek(&mut first).await? == 1 && first[0] != IS_TLS {
        line.write_all(PLAINLY).await?;
        line.shutdown().await?;
        // What was asked is taken before the line is closed: else it would be cut before the answer is read.
        let _ = tokio::io::copy(&mut line, &mut tokio::io::sink()).await;
        return Ok(None);
    }
    acceptor.accept(line).await.map(Some)
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((line, from)) => {
                // Answers are whole: to wait for more of one waits for nothing.
                let _ = line.set_nodelay(true);
                return (line, from);
            }
            Err(error) => {
                tracing::warn!("nobody can be let in: {error}");
                tokio::time::sleep(TRY_AGAIN).await;
            }
        }
    }
}

impl Listener for Front {
    type Io = Line;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Line, SocketAddr) {
        match self {
            Self::Plain(listener) => {
                let (line, from) = accept(listener).await;
                (Line::Plain(line), from)
            }
            Self::Tls { agreed, .. } => match agreed.recv().await {
                Some((line, from)) => (Line::Tls(line), from),
                None => std::future::pending().await,
            },
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Plain(listener) => listener.local_addr(),
            Self::Tls { address, .. } => Ok(*address),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_read(cx, buffer),
            Self::Tls(line) => Pin::new(line).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_write(cx, bytes),
            Self::Tls(line) => Pin::new(line).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_flush(cx),
            Self::Tls(line) => Pin::new(line).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(line) => Pin::new(line).poll_shutdown(cx),
            Self::Tls(line) => Pin::new(line).poll_shutdown(cx),
        }
    }
}
