//! Settings of a [`RedisStore`].

use std::fmt;
use std::time::Duration;

use redis::{Client, ConnectionInfo};

use super::acl;
use super::dial::{self, Dialer};
use super::store::RedisStore;
#[cfg(feature = "tls")]
use super::tls::{Certificates, Identity};
use crate::error::StoreError;

/// Builds a [`RedisStore`] whose settings differ from the defaults.
///
/// ```no_run
/// # use std::time::Duration;
/// # use tower_memolock::{RedisStore, StoreError};
/// # async fn run() -> Result<(), StoreError> {
/// let store = RedisStore::builder("redis://127.0.0.1/")
///     .timeout(Duration::from_millis(200))
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct RedisStoreBuilder {
    target: Target,
    timeout: Duration,
    connect_timeout: Duration,
    inline_limit: usize,
    #[cfg(feature = "tls")]
    certificates: Certificates,
}

enum Target {
    Url(String),
    Info(Box<ConnectionInfo>),
}

impl RedisStoreBuilder {
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self::with_target(Target::Url(url.into()))
    }

    /// Starts from the server, credentials and TLS settings of a client.
    ///
    /// TCP options that the client leaves open are set as for a URL. The protocol version is the store's choice.
    pub fn from_client(client: &Client) -> Self {
        Self::with_target(Target::Info(Box::new(client.get_connection_info().clone())))
    }

    fn with_target(target: Target) -> Self {
        Self {
            target,
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            inline_limit: 1 << 20,
            #[cfg(feature = "tls")]
            certificates: Certificates::default(),
        }
    }

    /// How long to wait for the answer to a command. A connection that misses it is replaced.
    ///
    /// Time during which this process stood still is not held against the server. Defaults to 1 second.
    ///
    /// A server that falls silent costs whoever asks it this much once; from then on commands fail at once, until it
    /// is back. A process that asks nothing, because it only waits for a promise, finds out by its next heartbeat,
    /// which comes once a second, and at most five quarters of this time after it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long an attempt to connect may take, from the name lookup to the answer to a first `PING`.
    ///
    /// Defaults to 1 second.
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// The size in bytes up to which a value is published itself. Of a larger one only the news is published, and
    /// those who wait read it from its key.
    ///
    /// Other members of the memolock family wait for the value itself, so with them this has to be above the
    /// largest value. Defaults to 1 MiB.
    pub fn inline_limit(mut self, bytes: usize) -> Self {
        self.inline_limit = bytes;
        self
    }

    /// Trusts servers whose certificate one of these CAs has signed, and no others. One or several certificates, as
    /// PEM.
    ///
    /// Checked when connecting; for `rediss://` URLs only. Defaults to the CAs that Mozilla trusts, which are built in.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = tower_memolock::RedisStore::builder("rediss://redis.internal/")
    ///     .root_certificates(std::fs::read("ca.pem")?)
    ///     .client_certificate(std::fs::read("client.pem")?, std::fs::read("client.key")?)
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.roots = Some(pem.into());
        self
    }

    /// Shows a server that asks for it this certificate, followed by those that lead to its CA, and proves it with
    /// the key. Both as PEM, the key in PKCS#8, PKCS#1 or SEC1 form and without a passphrase.
    ///
    /// Checked when connecting; for `rediss://` URLs only. Defaults to none.
    #[cfg(feature = "tls")]
    pub fn client_certificate(mut self, pem: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.certificates.client = Some(Identity {
            certificate: pem.into(),
            key: key.into(),
        });
        self
    }

    /// Connects.
    ///
    /// The store belongs to the tokio runtime in which this is called, and works as long as that runs. A server
    /// that cannot be reached is no error: it is logged, commands fail, and the store goes on trying.
    ///
    /// # Errors
    ///
    /// A [`Config`](crate::StoreErrorKind::Config) error where the URL or a certificate cannot be used, where the URL
    /// needs the feature `tls`, or where the certificate of one side does not satisfy the other; a
    /// [`Rejected`](crate::StoreErrorKind::Rejected) one where the server refuses the credentials, the database or a
    /// command. The source says what to change.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        let Self {
            target,
            timeout,
            connect_timeout,
            inline_limit,
            #[cfg(feature = "tls")]
            certificates,
        } = self;
        let info = match target {
            Target::Url(url) => dial::parse_url(&url)?,
            Target::Info(info) => *info,
        };
        #[cfg(feature = "tls")]
        let info = certificates.add_to(info)?;
        let dialer = Dialer::new(info, timeout, connect_timeout);
        let mut first = dialer.commands().await;
        if let Ok(connection) = &mut first
            && let Err(error) = acl::check_commands(&dialer, connection).await
        {
            first = Err(error);
        }
        match first {
            Err(error) if error.is_permanent() => Err(StoreError::with_source(error.kind(), error)),
            first => Ok(RedisStore::start(dialer, first, inline_limit)),
        }
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the target nor the certificates: a URL holds the password, and there is a key.
        f.debug_struct("RedisStoreBuilder")
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("inline_limit", &self.inline_limit)
            .finish_non_exhaustive()
    }
}
