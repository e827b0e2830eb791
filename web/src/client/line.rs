//! The line to a server: TCP, and TLS where the address says so.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use weir_engine::api::Problem;

use super::{Place, Sender};
use crate::trust;

/// How long it may take until a line is there.
const CONNECT: Duration = Duration::from_secs(10);

/// Opens lines.
#[derive(Default)]
pub(super) struct Dial {
    /// Whom this machine believes. Read once: hundreds of files on most machines.
    believes: OnceLock<Arc<ClientConfig>>,
}

impl Dial {
    /// Opens a line.
    pub(super) async fn connect(&self, place: &Place) -> Result<Sender, Problem> {
        let opened = tokio::time::timeout(CONNECT, self.open(place)).await;
        opened.unwrap_or_else(|_| Err(away(place, "it takes too long")))
    }

    async fn open(&self, place: &Place) -> Result<Sender, Problem> {
        let line = TcpStream::connect((place.host(), place.port()))
            .await
            .map_err(|error| away(place, &error.to_string()))?;
        // An answer that waits for more to send waits for nothing.
        let _ = line.set_nodelay(true);
        if !place.is_tls() {
            return speak(place, line).await;
        }
        let name = ServerName::try_from(place.host().to_owned()).map_err(|_| {
            Problem::call(format!("`{}` can't be the name in a certificate", place.host()))
        })?;
        let config = self.believed(place).await?;
        match TlsConnector::from(config).connect(name, line).await {
            Ok(line) => speak(place, line).await,
            Err(error) => Err(unproven(place, &error)),
        }
    }

    async fn believed(&self, place: &Place) -> Result<Arc<ClientConfig>, Problem> {
        if let Some(known) = self.believes.get() {
            return Ok(Arc::clone(known));
        }
        let read = tokio::task::spawn_blocking(trust::of_this_machine);
        let roots = read.await.map_err(Problem::inner)?;
        if roots.is_empty() {
            return Err(Problem::inner(format!(
                "nothing on this machine says which certificate {place} may have\nhelp: install ca-certificates, or name a \
                 file with the authority's certificate in SSL_CERT_FILE"
            )));
        }
        let config = trust::config(roots).map_err(Problem::inner)?;
        Ok(Arc::clone(self.believes.get_or_init(|| config)))
    }
}

/// HTTP over a line.
async fn speak<L>(place: &Place, line: L) -> Result<Sender, Problem>
where
    L: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let shaken = http1::handshake(TokioIo::new(line)).await;
    let (sender, connection) = shaken.map_err(|error| away(place, &error.to_string()))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("the line to the server is gone: {error}");
        }
    });
    Ok(sender)
}

fn away(place: &Place, why: &str) -> Problem {
    Problem::inner(format!(
        "nobody answers at {place}: {why}\nhelp: WEIR_URL says that a server is asked there; is `weir serve` running?"
    ))
}

fn unproven(place: &Place, error: &io::Error) -> Problem {
    let is_certificate = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match is_certificate {
        Some(rustls::Error::InvalidCertificate(why)) => Problem::inner(format!(
            "{place} does not prove who it is: {why}\nhelp: its certificate must name this host and come from an authority \
             that this machine believes; SSL_CERT_FILE names a file with another one"
        )),
        Some(rustls::Error::InvalidMessage(_)) => place.no_weir("it does not speak TLS"),
        Some(_) | None => away(place, &error.to_string()),
    }
}
