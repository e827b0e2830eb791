//! Listening, serving, stopping; and the first administrator.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_core::hosts::Lookout;
use weir_engine::engine::Handle;
use weir_engine::people::{Ask, Asker, Role};

use crate::certificate::{Certificate, CertificateError, Files};
use crate::front::Front;
use crate::logins::Logins;
use crate::proxies::Proxy;
use crate::site::{Net, Site};
use crate::{password, routes};

/// How long open connections may take after they were asked to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the pages are served with.
#[derive(Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whoever starts it knows that others can listen in where no TLS is spoken.
    pub is_open: bool,
    /// The certificate, if TLS is spoken.
    pub certificate: Option<Files>,
    /// The proxies that are believed when they say for whom they ask.
    pub proxies: Vec<Proxy>,
    /// Folders with flows.
    pub flows: Vec<PathBuf>,
    /// Goes to hosts for people who look.
    pub lookout: Option<Arc<dyn Lookout>>,
    /// The file that says from where people may log in, besides from here.
    pub login: Option<PathBuf>,
    /// Where people find the pages, if not where they are.
    pub public_url: Option<String>,
}

/// Why the pages can't be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others could listen in.
    #[error(
        "{0} can be reached by other machines, and what is sent there can be read on the way\nhelp: give a certificate \
         with --tls-cert and --tls-key; or listen on 127.0.0.1 and put a proxy with TLS before it; or give --insecure if the \
         network is trusted"
    )]
    Beyond(SocketAddr),
    /// The address is taken or not ours.
    #[error(
        "{address} can't be listened on: {cause}\nhelp: give another one with --listen ADDR, or --no-web for none"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        cause: std::io::Error,
    },
    /// There is no certificate to serve with.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The file that says from where people may log in can't be used. It says so itself.
    #[error("{0}")]
    Login(String),
    /// The first administrator could not be made.
    #[error("the first administrator can't be made: {0}")]
    First(String),
}

/// Pages being served.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    has_tls: bool,
    read_again: watch::Sender<()>,
    stop: watch::Sender<bool>,
    task: JoinHandle<std::io::Result<()>>,
}

/// What a start brought.
#[derive(Debug)]
pub struct Started {
    /// The server.
    pub server: Server,
    /// The name and the one-time password of the administrator that was made, if nobody could log in before. To be
    /// printed once and kept nowhere.
    pub first: Option<(String, String)>,
}

impl Server {
    /// Begins to serve.
    ///
    /// # Errors
    /// The address can't be used.
    pub async fn start(config: Config, handle: Handle) -> Result<Started, Error> {
        let certificate = config.certificate.map(Certificate::read).transpose()?;
        let has_tls = certificate.is_some();
        if !config.listen.ip().is_loopback() && !config.is_open && !has_tls {
            return Err(Error::Beyond(config.listen));
        }
        let unheard = |cause| Error::Listen { address: config.listen, cause };
        let listener = TcpListener::bind(config.listen).await.map_err(unheard)?;
        let address = listener.local_addr().map_err(unheard)?;
        let pages = config.public_url.clone().unwrap_or_else(|| url(has_tls, address));
        let logins = Logins::read(config.login.as_deref(), &handle, &pages).await;
        let logins = logins.map_err(Error::Login)?;
        let first = first_administrator(&handle).await?;
        let (stop, stopping) = watch::channel(false);
        let (read_again, again) = watch::channel(());
        if let Some(certificate) = &certificate {
            tokio::spawn(Arc::clone(certificate).follow(again, stopping.clone()));
        }
        let front = Front::new(listener, certificate).map_err(unheard)?;
        let net = Net { has_tls, proxies: config.proxies };
        let (flows, lookout) = (config.flows, config.lookout);
        let site = Site::new(handle, flows, net, lookout, logins, stopping.clone());
        let site = Arc::new(site);
        let service = routes::router(site).into_make_service_with_connect_info::<SocketAddr>();
        let mut told = stopping;
        let task = tokio::spawn(async move {
            // What is done to each line is nothing; but so its address is known to whom asks for it.
            axum::serve(front.tap_io(|_| ()), service)
                .with_graceful_shutdown(async move {
                    // An error says that the server itself is gone.
                    let _ = told.wait_for(|stops| *stops).await;
                })
                .await
        });
        Ok(Started { server: Self { address, has_tls, read_again, stop, task }, first })
    }

    /// Where the pages are.
    pub fn url(&self) -> String {
        url(self.has_tls, self.address)
    }

    /// Reads the certificate again.
    pub fn read_certificate_again(&self) {
        self.read_again.send_replace(());
    }

    /// Takes no more requests, lets those under way end, and returns.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        if tokio::time::timeout(PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

fn url(has_tls: bool, address: SocketAddr) -> String {
    format!("{}://{address}/", if has_tls { "https" } else { "http" })
}

async fn first_administrator(handle: &Handle) -> Result<Option<(String, String)>, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::First(error.to_string());
    let people = handle.store().people().await.map_err(|error| failed(&error))?;
    if !people.is_empty() {
        return Ok(None);
    }
    let (name, word) = ("admin".to_owned(), password::one_time());
    let hash = password::hash(&word).await.map_err(|error| failed(&error))?;
    let ask = Ask::Add {
        name: name.clone(),
        password: hash,
        one_time: true,
        role: Some((String::new(), Role::Admin)),
    };
    let asker = Asker { by: "weir serve".to_owned(), origin: "first start".to_owned() };
    weir_engine::people::answer(handle, ask, &asker).await.map_err(|error| failed(&error))?;
    Ok(Some((name, word)))
}
