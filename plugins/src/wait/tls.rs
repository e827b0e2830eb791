//! TLS for a look at a page: who is believed, and the line.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Speaks TLS over a line. `ca` is a file of certificates that are believed instead of this machine's.
///
/// # Errors
/// The other side is not who it should be, or the certificates can't be read.
pub(crate) async fn over<S>(line: S, host: &str, ca: Option<&Path>) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let config = match ca {
        Some(file) => {
            let file = file.to_owned();
            tokio::task::spawn_blocking(move || believing(&file))
                .await
                .map_err(io::Error::other)??
        }
        None => believing_this_machine().await?,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(bare.to_owned())
        .map_err(|_| bad(format!("`{host}` can't be the name in a certificate")))?;
    TlsConnector::from(config).connect(name, line).await
}

fn believing(file: &Path) -> io::Result<Arc<ClientConfig>> {
    let shown = file.display();
    let unreadable = |error: String| bad(format!("certificates of {shown}: {error}"));
    let found =
        CertificateDer::pem_file_iter(file).map_err(|error| unreadable(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in found {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("there are none".to_owned()));
    }
    config(roots)
}

/// Read once: hundreds of files on most machines.
async fn believing_this_machine() -> io::Result<Arc<ClientConfig>> {
    static KNOWN: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(Arc::clone(known));
    }
    let read = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        // Some of a machine's are too old for anybody to read.
        let _counts =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(bad(
                "this machine has no certificates to believe: name some in `ca`".to_owned()
            ));
        }
        config(roots)
    });
    let config = read.await.map_err(io::Error::other)??;
    Ok(Arc::clone(KNOWN.get_or_init(|| config)))
}

fn config(roots: RootCertStore) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(error.to_string()))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
