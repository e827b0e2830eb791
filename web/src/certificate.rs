//! The certificate that the pages are served with: read from two files, and again when they change.

use std::fmt::{Debug, Formatter};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

use crate::site::stopped;

/// How often to look whether the files have changed.
const LOOK: Duration = Duration::from_secs(5);

/// The files of a certificate and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and behind it those that it rests on.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A certificate that may be replaced at any time.
pub(crate) struct Certificate {
    files: Files,
    now: Mutex<Arc<CertifiedKey>>,
}

/// Why files are no certificate with its key. Nothing of what they hold is told.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read, or holds something else.
    #[error(
        "{file} can't be read as {what}: {cause}\nhelp: both files are PEM: --tls-cert begins with -----BEGIN CERTIFICATE-----, \
         --tls-key with -----BEGIN PRIVATE KEY-----"
    )]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why not.
        cause: String,
    },
    /// They do not fit.
    #[error(
        "the certificate in {0} can't be used with the key in {1}: {2}\nhelp: give the key that this certificate was made for"
    )]
    Unfit(PathBuf, PathBuf, String),
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// They can't be read, or do not fit.
    pub(crate) fn read(files: Files) -> Result<Arc<Self>, CertificateError> {
        let now = Mutex::new(Arc::new(pair(&files)?));
        Ok(Arc::new(Self { files, now }))
    }

    /// Serves with it.
    ///
    /// # Errors
    /// There is no version of TLS that could be spoken.
    pub(crate) fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Reads the files again when they change, or when it is told to, until the server stops. What can't be used is
    /// told of, and changes nothing.
    pub(crate) async fn follow(
        self: Arc<Self>,
        mut again: watch::Receiver<()>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let mut seen = marks(&self.files);
        loop {
            let is_told = tokio::select! {
                () = stopped(&mut stopping) => return,
                () = tokio::time::sleep(LOOK) => false,
                Ok(()) = again.changed() => true,
            };
            let marks = marks(&self.files);
            if marks == seen && !is_told {
                continue;
            }
            seen = marks;
            match pair(&self.files) {
                Ok(pair) => {
                    *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
                    tracing::info!("the certificate was read again");
                }
                Err(error) => tracing::warn!("the certificate stays as it is: {error}"),
            }
        }
    }
}

impl Debug for Certificate {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({})", self.files.certificate.display())
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn pair(files: &Files) -> Result<CertifiedKey, CertificateError> {
    let unreadable = |file: &Path, what, cause: String| CertificateError::Unreadable {
        file: file.to_owned(),
        what,
        cause,
    };
    let no_certificate = |cause| unreadable(&files.certificate, "a certificate", cause);
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&files.certificate)
        .map_err(|error| no_certificate(error.to_string()))?
        .collect();
    let chain = chain.map_err(|error| no_certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(no_certificate("there is none in it".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unreadable(&files.key, "a key", error.to_string()))?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()).map_err(|error| {
        CertificateError::Unfit(files.certificate.clone(), files.key.clone(), error.to_string())
    })
}

/// What tells that a file is another one: its number, its size, when it was written.
fn marks(files: &Files) -> [Option<(u64, u64, i64, i64)>; 2] {
    [&files.certificate, &files.key].map(|file| {
        let file = std::fs::metadata(file).ok()?;
        Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
    })
}
