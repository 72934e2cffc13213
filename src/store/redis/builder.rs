//! Settings of a [`RedisStore`].

mod links;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use self::links::{cluster, server};
use super::conn::dial::Dialer;
use super::conn::sentinel::Sentinels;
use super::conn::target::{CheckedTarget, Target, TargetSettings};
#[cfg(feature = "tls")]
use super::conn::tls::{Certificates, Identity};
use super::near::{self, Near};
use super::store::RedisStore;
use super::writing::WriteSettings;
use crate::error::StoreError;
use crate::task::BoxFuture;

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
    settings: TargetSettings,
    timeout: Duration,
    connect_timeout: Duration,
    writing: WriteSettings,
    require_connected: bool,
    near: Option<usize>,
    near_lag: Duration,
    #[cfg(feature = "tls")]
    certificates: Certificates,
}

impl RedisStoreBuilder {
    pub(super) fn new(url: impl Into<String>) -> Self {
        Self::with_target(Target::Server(url.into()))
    }

    pub(super) fn sentinel<U: Into<String>>(urls: impl IntoIterator<Item = U>, master: impl Into<String>) -> Self {
        Self::with_target(Target::Sentinel {
            sentinels: urls.into_iter().map(Into::into).collect(),
            master: master.into(),
        })
    }

    pub(super) fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self::with_target(Target::Cluster(urls.into_iter().map(Into::into).collect()))
    }

    fn with_target(target: Target) -> Self {
        Self {
            target,
            settings: TargetSettings::default(),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            writing: WriteSettings::DEFAULT,
            require_connected: false,
            near: None,
            near_lag: near::LAG,
            #[cfg(feature = "tls")]
            certificates: Certificates::default(),
        }
    }

    /// The user name to give to the servers that keep the data. Defaults to the one in the URL, and with Sentinel to
    /// none.
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.settings.username = Some(username.into());
        self
    }

    /// The password to give to the servers that keep the data. Defaults to the one in the URL, and with Sentinel to
    /// none.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.settings.password = Some(password.into());
        self
    }

    /// The number of the database. Defaults to the one in the URL, and with Sentinel to 0, which is the only one that
    /// Redis Cluster has.
    pub fn database(mut self, number: i64) -> Self {
        self.settings.database = Some(number);
        self
    }

    /// How long to wait for the answer to a command. A connection that misses it is replaced. One on which a [large
    /// value](RedisStore#large-values) keeps arriving does not miss it.
    ///
    /// Time during which this process stood still does not count against the server. Defaults to 1 second.
    ///
    /// A server that falls silent costs a caller this much once. From then on commands fail at once, until the server
    /// is back. A process that sends nothing, because it only waits for a promise, finds out by its heartbeat: a heartbeat goes
    /// out every second, and a missing answer is noticed at most five quarters of this time later.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long an attempt to connect to a server may take, from the name lookup to the answer to a first `PING`.
    ///
    /// A sentinel has as long to be connected to, before that. In a Redis Cluster, commands about the keys of a node that has
    /// just become a master wait this long for the first connection to it. Defaults to 1 second.
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// The size in bytes up to which a value is published itself. A larger value is only announced, and the watchers
    /// read it from its key, up to 20 ms apart from each other. Defaults to 64 KiB: a published value is sent to each
    /// node that waits, and a server drops subscribers that are behind by more than its output buffer limit, 32 MiB
    /// unless set otherwise.
    ///
    /// This applies to ids that are derived from several parts, as the middleware's are. Under an id to the letter each
    /// value is published itself, whatever its size: the other members of the memolock family wait for nothing else.
    pub fn inline_limit(mut self, bytes: usize) -> Self {
        self.writing.inline_limit = bytes;
        self
    }

    /// The size in bytes from which on a value is stored compressed, with zstd, if that makes it shorter. Defaults to
    /// never; 4 KiB is a good value to begin with.
    ///
    /// A program without the feature `zstd` does not read a compressed value: it computes anew. So give every node the
    /// feature first, and then the setting.
    ///
    /// As with the [inline limit](Self::inline_limit), this applies to ids that are derived from several parts. Under
    /// an id to the letter, values stand as the other members of the memolock family read them. Markers are not
    /// compressed, nor values of more than 4 MiB, which can be read in parts as they are.
    #[cfg(feature = "zstd")]
    pub fn compress_from(mut self, bytes: usize) -> Self {
        self.writing.compress_from = bytes;
        self
    }

    /// Makes a server that cannot be reached at the start an error of [`connect`](Self::connect).
    ///
    /// By default the store goes on without the server: requests are served, with one call of the handler in each
    /// process, and the store connects as soon as it can. Set this where a program that was given a wrong host should
    /// not start.
    pub fn require_connected(mut self) -> Self {
        self.require_connected = true;
        self
    }

    /// Keeps copies in this process, in about so many bytes of memory, of values that are asked for more than once
    /// within a minute. A hit on a copy costs Redis nothing, and takes about as long as a hit in a
    /// [`MemoryStore`](crate::MemoryStore). Defaults to none.
    ///
    /// A near copy was the value in Redis no longer ago than the [lag](Self::near_lag), and once an invalidation has
    /// returned, on any node, no node serves a copy from before it. This needs a Redis that tells of changes, and Redis
    /// tells every node of every change of a key under the tag: [the guide](crate::docs::guide::near) says what this
    /// costs, when not to use it, and which further permissions the Redis user needs. The store notices a server that
    /// does not tell of changes, and logs that: every hit then goes to Redis.
    ///
    /// The store keeps no copy of a value that takes more than an eighth of the room, nor of one of 64 KiB and more.
    pub fn near(mut self, bytes: usize) -> Self {
        self.near = Some(bytes);
        self
    }

    /// How old a [near copy](Self::near) may be, at most: Redis must have shown within this time that it tells of
    /// changes. From 20 milliseconds to 10 seconds; less counts as the one and more as the other. Defaults to 500
    /// milliseconds. Set the same on every node, if you can.
    ///
    /// The store sends a `PING` four times in this time to each server with copies. An invalidation waits for so long
    /// where a node with near copies stands still or was killed.
    pub fn near_lag(mut self, lag: Duration) -> Self {
        self.near_lag = lag;
        self
    }

    /// Trusts servers whose certificate one of these CAs has signed, and no others. One or several certificates, as
    /// PEM.
    ///
    /// The store checks them when it connects; they are for `rediss://` URLs only. Defaults to the CAs that Mozilla
    /// trusts, which are built in.
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

    /// The certificate that the store shows to a server that asks for one, followed by the certificates that lead to
    /// its CA, and the key that proves it. Both are PEM, the key in PKCS#8, PKCS#1 or SEC1 form and without a
    /// passphrase.
    ///
    /// The store checks both when it connects; they are for `rediss://` URLs only. Defaults to none.
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
    /// that cannot be reached is no error unless it is [required](Self::require_connected): it is logged, commands fail, and
    /// the store goes on trying.
    ///
    /// # Errors
    ///
    /// An [`Unavailable`](crate::StoreErrorKind::Unavailable) error where a required server cannot be reached. A
    /// [`Config`](crate::StoreErrorKind::Config) error where a URL or a certificate cannot be used, where a URL needs
    /// the feature `tls`, where the certificate of one side does not satisfy the other, where the settings do not fit
    /// together, and where a server is not in cluster mode or too old for it; a
    /// [`Rejected`](crate::StoreErrorKind::Rejected) one where a server refuses the credentials, the database or a
    /// command, or the sentinels do not know the master. The source says what to change.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    pub async fn connect(self) -> Result<RedisStore, StoreError> {
        self.start().await
    }

    /// Not generic, so that all that it takes to connect is compiled into this crate.
    fn start(self) -> BoxFuture<'static, Result<RedisStore, StoreError>> {
        Box::pin(self.open())
    }

    async fn open(self) -> Result<RedisStore, StoreError> {
        let Self {
            target,
            settings,
            timeout,
            connect_timeout,
            writing,
            require_connected,
            near,
            near_lag,
            #[cfg(feature = "tls")]
            certificates,
        } = self;
        let target = target.check(settings)?;
        let copies = near.map(|bytes| (bytes, near_lag));
        #[cfg(feature = "tls")]
        let target = target.try_map(|url| certificates.add_to(url))?;
        let dialer = |url| Dialer::new(url, timeout, connect_timeout);
        let (link, address, near) = match target {
            CheckedTarget::Server(url) => {
                let address = url.address.to_string();
                let dialer = dialer(url);
                let near = Near::new(dialer.database(), copies);
                (server(dialer, require_connected, &near.0).await, address, near)
            }
            CheckedTarget::Sentinel {
                sentinels,
                master,
                server: url,
            } => {
                let sentinels = Sentinels::new(master, sentinels.into_iter().map(dialer));
                let address = format!("sentinel:{}", sentinels.master());
                let dialer = dialer(url).through(Arc::new(sentinels));
                let near = Near::new(dialer.database(), copies);
                (server(dialer, require_connected, &near.0).await, address, near)
            }
            CheckedTarget::Cluster { seeds } => {
                let address = seeds
                    .iter()
                    .map(|url| url.address.to_string())
                    .collect::<Vec<_>>()
                    .join(",");
                let seeds = seeds.into_iter().map(|url| dialer(url).in_cluster()).collect();
                let near = Near::new(0, copies);
                let link = cluster(seeds, timeout, connect_timeout, require_connected, &near.0).await;
                (link, address, near)
            }
        };
        match link {
            Ok(link) => Ok(RedisStore::new(link, address, writing, near)),
            Err(error) => Err(StoreError::with_source(error.kind(), error)),
        }
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the target nor the certificates: a URL holds the password, and there is a key.
        f.debug_struct("RedisStoreBuilder")
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("writing", &self.writing)
            .field("near", &self.near)
            .field("near_lag", &self.near_lag)
            .finish_non_exhaustive()
    }
}
