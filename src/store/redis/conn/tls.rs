//! Certificates: those a store is given, and what a failed handshake says about them.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::{Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, RedisError, TlsCertificates};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, RootCertStore};

use super::error::DialError;
use crate::error::{StoreError, StoreErrorKind};

/// What the builder was given, as PEM.
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
    #[error("`#insecure` in the URL is not supported: give the server's CA to `root_certificates` instead")]
    Insecure,
    #[error("the root certificates are not PEM: give the CA's certificate, -----BEGIN CERTIFICATE-----")]
    Roots(#[source] Option<pem::Error>),
    #[error("a root certificate is not one of a CA: give the certificate of whoever signed the server's")]
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
    pub(crate) fn add_to(self, info: ConnectionInfo) -> Result<ConnectionInfo, StoreError> {
        if let ConnectionAddr::TcpTls { insecure, .. } = info.addr() {
            if *insecure {
                return Err(UnusableCertificate::Insecure.into());
            }
            install_crypto_provider();
        }
        if self.roots.is_none() && self.client.is_none() {
            return Ok(info);
        }
        if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err(UnusableCertificate::NoTls.into());
        }
        self.roots.as_deref().map_or(Ok(()), check_roots)?;
        self.client.as_ref().map_or(Ok(()), Identity::check)?;
        let certificates = TlsCertificates {
            client_tls: self.client.map(|client| ClientTlsConfig {
                client_cert: client.certificate,
                client_key: client.key,
            }),
            root_cert: self.roots,
        };
        let client = Client::build_with_tls(info, certificates);
        let client = client.map_err(|e| StoreError::with_source(StoreErrorKind::Config, e))?;
        Ok(client.get_connection_info().clone())
    }
}

fn install_crypto_provider() {
    // An error means that the program has chosen one, which is then the one to use.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn check_roots(pem: &[u8]) -> Result<(), UnusableCertificate> {
    let roots = certificates(pem).map_err(UnusableCertificate::Roots)?;
    let mut store = RootCertStore::empty();
    roots
        .into_iter()
        .try_for_each(|root| store.add(root))
        .map_err(UnusableCertificate::Root)
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
    fn check(&self) -> Result<(), UnusableCertificate> {
        let chain = certificates(&self.certificate).map_err(UnusableCertificate::Chain)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(UnusableCertificate::Key)?;
        let Some(provider) = CryptoProvider::get_default() else {
            return Ok(());
        };
        CertifiedKey::from_der(chain, key, provider).map_err(UnusableCertificate::Pair)?;
        Ok(())
    }
}

/// What is wrong with a certificate, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("nobody trusted has signed the certificate of Redis: give the CA that has to `root_certificates`")]
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
    /// What it was that broke a connection, if it was the handshake.
    pub(crate) fn find(error: &RedisError) -> Option<Self> {
        use AlertDescription as Alert;
        Some(match cause(error)? {
            rustls::Error::InvalidCertificate(reason) => match reason {
                // The second: it was a CA of the same name, an earlier one perhaps.
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

/// Asks a server why it hangs up right after the handshake: with TLS 1.3 its verdict on the client comes only then, and
/// a multiplexed connection may read it, and drop it, before the first command waits for an answer.
pub(crate) async fn diagnose(client: Client, limit: Duration) -> Option<DialError> {
    let listen = move || {
        let mut connection = client.get_connection_with_timeout(limit)?;
        connection.set_read_timeout(Some(limit))?;
        connection.recv_response()
    };
    let outcome = tokio::task::spawn_blocking(listen).await.ok()?;
    outcome.err().map(DialError::from).filter(DialError::is_permanent)
}

/// What rustls had to say, where it was rustls.
fn cause(error: &RedisError) -> Option<&rustls::Error> {
    // The crate keeps the error behind an `Arc`, which is what `source` returns.
    let shared = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    shared.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}
