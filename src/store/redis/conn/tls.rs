//! Certificates: those a store is given, and what a failed handshake says about them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::address::{ServerAddress, ServerUrl};
use super::error::DialError;
use super::socket::tcp;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::redis::resp::RedisError;

/// The certificates that the builder was given, as PEM.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    pub(crate) roots: Option<Vec<u8>>,
    pub(crate) client: Option<Identity>,
}

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
enum UnusableCertificate {
    #[error("certificates are set, but the server is not addressed with TLS: begin its URL with rediss://")]
    NoTls,
    #[error("the root certificates are not PEM: give the CA's certificate, -----BEGIN CERTIFICATE-----")]
    Roots(#[source] Option<pem::Error>),
    #[error("a root certificate is not one of a CA: give the certificate of the CA that signed the server's")]
    Root(#[source] rustls::Error),
    #[error("the client certificate is not PEM: give the certificate and its chain, -----BEGIN CERTIFICATE-----")]
    Chain(#[source] Option<pem::Error>),
    #[error("the client key is not PEM: give it without a passphrase, -----BEGIN PRIVATE KEY-----")]
    Key(#[source] pem::Error),
    #[error(
        "the client certificate does not fit the client key: give those that were made together, own certificate first"
    )]
    Pair(#[source] rustls::Error),
}

impl From<UnusableCertificate> for StoreError {
    fn from(reason: UnusableCertificate) -> Self {
        Self::with_source(StoreErrorKind::Config, reason)
    }
}

impl Certificates {
    /// Checks them, and adds them to the way to the server.
    pub(crate) fn add_to(&self, url: ServerUrl) -> Result<ServerUrl, StoreError> {
        if !url.address.is_secure() {
            return match self.roots.is_none() && self.client.is_none() {
                true => Ok(url),
                false => Err(UnusableCertificate::NoTls.into()),
            };
        }
        install_crypto_provider();
        let config = ClientConfig::builder().with_root_certificates(self.roots()?);
        let config = match &self.client {
            None => config.with_no_client_auth(),
            Some(client) => {
                let (chain, key) = client.read()?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(UnusableCertificate::Pair)?
            }
        };
        Ok(ServerUrl {
            tls: Some(Arc::new(config)),
            ..url
        })
    }

    /// The CAs to trust.
    fn roots(&self) -> Result<RootCertStore, UnusableCertificate> {
        let mut store = RootCertStore::empty();
        match &self.roots {
            None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(pem) => {
                let roots = certificates(pem).map_err(UnusableCertificate::Roots)?;
                roots
                    .into_iter()
                    .try_for_each(|root| store.add(root))
                    .map_err(UnusableCertificate::Root)?;
            }
        }
        Ok(store)
    }
}

fn install_crypto_provider() {
    // An error means that the program has chosen one, which is then the one to use.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// All certificates in `pem`, of which there is at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Option<pem::Error>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(None),
        Ok(found) => Ok(found),
        Err(error) => Err(Some(error)),
    }
}

impl Identity {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), UnusableCertificate> {
        let chain = certificates(&self.certificate).map_err(UnusableCertificate::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(UnusableCertificate::Key)?;
        Ok((chain, key))
    }
}

/// What is wrong with a certificate, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("no trusted CA has signed the certificate of Redis: give the CA that has to `root_certificates`")]
    Issuer,
    #[error("the certificate of Redis is for another host: put a name into the URL that it is for")]
    Host,
    #[error("the certificate of Redis is out of date: renew it, or set the clock of this machine")]
    Date,
    #[error("the certificate of Redis cannot be trusted")]
    Server,
    #[error("Redis wants a client certificate: give one to `client_certificate`")]
    ClientMissing,
    #[error("Redis refuses the client certificate: give one that its CA has signed to `client_certificate`")]
    Client,
    #[error("Redis refuses the handshake: does it want a client certificate, or versions of TLS before 1.2?")]
    Refused,
    #[error("the server does not speak TLS at this port: take another port, or begin the URL with redis://")]
    NoTls,
}

impl HandshakeError {
    /// The handshake error that broke a connection, if there was one.
    pub(crate) fn find(error: &RedisError) -> Option<Self> {
        use AlertDescription as Alert;
        Some(match cause(error)? {
            rustls::Error::InvalidCertificate(reason) => match reason {
                // The second error means that the certificate is from another CA of the same name, an earlier one
                // perhaps.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::Issuer,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::Host,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Date,
                _ => Self::Server,
            },
            rustls::Error::InvalidMessage(_) => Self::NoTls,
            rustls::Error::AlertReceived(alert) => match alert {
                Alert::CertificateRequired => Self::ClientMissing,
                Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied
                | Alert::DecryptError => Self::Client,
                Alert::HandshakeFailure | Alert::ProtocolVersion => Self::Refused,
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// A connection to the server of this name, after the handshake.
pub(super) async fn open(url: &ServerUrl, host: &str, port: u16) -> Result<TlsStream<TcpStream>, DialError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|e| DialError::Config(io::Error::new(io::ErrorKind::InvalidInput, e).into()))?;
    // Every URL that says so was given one.
    let config = url
        .tls
        .clone()
        .ok_or(io::ErrorKind::Unsupported)
        .map_err(io::Error::from)?;
    let stream = tcp(host, port).await?;
    Ok(TlsConnector::from(config).connect(name, stream).await?)
}

/// Asks a server why it hangs up right after the handshake. With TLS 1.3 its verdict on the client comes only then, and
/// a client that writes may see the connection reset before it has read the verdict.
pub(crate) async fn diagnose(url: &ServerUrl, limit: Duration) -> Option<DialError> {
    let ServerAddress::Tcp { host, port, .. } = &url.address else {
        return None;
    };
    let listen = async {
        let read = open(url, host, *port).await?.read_u8().await;
        read.map_err(|e| DialError::from(RedisError::from(e)))
    };
    let outcome = tokio::time::timeout(limit, listen).await.ok()?;
    outcome.err().filter(DialError::is_permanent)
}

/// The error of rustls, if it was one.
fn cause(error: &RedisError) -> Option<&rustls::Error> {
    match error {
        RedisError::Io(error) => error.get_ref()?.downcast_ref(),
        RedisError::Server(_) => None,
    }
}
