//! Asking a provider over HTTP/1.1: a line for each question, no redirects, an end to all of it. In the open only on this
//! machine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Request, Response, Uri, header, uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The most bytes that an answer may have.
const MOST: usize = 1 << 20;

/// Asks.
#[derive(Clone)]
pub(crate) struct Http {
    tls: Arc<ClientConfig>,
    patience: Duration,
}

/// Why there is no answer. What was asked is not repeated: it may hold a secret.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoAnswer(String);

impl Http {
    pub(crate) fn new(tls: Arc<ClientConfig>, patience: Duration) -> Self {
        Self { tls, patience }
    }

    /// Asks, and reads the answer whatever its status is.
    ///
    /// # Errors
    /// There is none.
    pub(crate) async fn ask(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, NoAnswer> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let asked = tokio::time::timeout(self.patience, self.ask_now(request)).await;
        let late = || format!("no answer within {:?}", self.patience);
        let answer = asked.unwrap_or_else(|_| Err(late()));
        answer.map_err(|why| NoAnswer(format!("{host}: {why}")))
    }

    async fn ask_now(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, String> {
        let at = request.uri().clone();
        let host = at.host().ok_or("the address has no host")?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = at.scheme() == Some(&uri::Scheme::HTTPS);
        if !is_tls && !is_here(bare) {
            return Err("it is asked over https only".to_owned());
        }
        let port = at.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let line = TcpStream::connect((bare, port)).await.map_err(|error| error.to_string())?;
        if !is_tls {
            return speak(line, &at, request).await;
        }
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
        let line = TlsConnector::from(Arc::clone(&self.tls)).connect(name, line).await;
        speak(line.map_err(|error| error.to_string())?, &at, request).await
    }
}

/// Whether a host is this machine.
pub(crate) fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn speak<L>(line: L, at: &Uri, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, String>
where
    L: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let shaken = http1::handshake(TokioIo::new(line)).await;
    let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("the line to the provider is gone: {error}");
        }
    });
    let (mut head, body) = request.into_parts();
    let path = at.path_and_query().map_or("/", |path| path.as_str());
    head.uri = path.parse().map_err(|_| "the address has no path")?;
    let authority = at.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(authority).map_err(|error| error.to_string())?;
    head.headers.insert(header::HOST, host);
    let request = Request::from_parts(head, Full::new(Bytes::from(body)));
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, MOST).collect().await.map_err(|error| error.to_string())?;
    Ok(Response::from_parts(head, body.to_bytes().to_vec()))
}
