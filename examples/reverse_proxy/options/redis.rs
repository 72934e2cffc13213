//! The flags about the Redis through which proxies share.

use std::time::Duration;

use tower_memolock::RedisStore;
use tower_memolock::store::RedisStoreBuilder;

use support::{Args, Error};

#[derive(Default)]
pub(super) struct RedisFlags {
    urls: Vec<String>,
    sentinel: Option<String>,
    cluster: bool,
    timeout: Option<Duration>,
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    near: Option<u64>,
    near_lag: Option<Duration>,
}

impl RedisFlags {
    /// Whether the flag was one of these. Its value is read then.
    pub(super) fn read(&mut self, flag: &str, args: &mut Args) -> Result<bool, Error> {
        match flag {
            "--redis" => self.urls.push(args.redis_url()?),
            "--sentinel" => self.sentinel = Some(args.text("the name of a master")?),
            "--cluster" => self.cluster = true,
            "--redis-timeout" => self.timeout = Some(args.duration()?),
            "--redis-ca" => self.ca = Some(args.file()?),
            "--redis-cert" => self.cert = Some(args.file()?),
            "--redis-key" => self.key = Some(args.file()?),
            "--near" => self.near = Some(args.bytes()?),
            "--near-lag" => self.near_lag = Some(args.duration()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The store through which the proxies share, if they do.
    pub(super) fn builder(self) -> Result<Option<RedisStoreBuilder>, Error> {
        let Some(builder) = server(self.urls, self.sentinel, self.cluster)? else {
            if self.near.is_some() || self.near_lag.is_some() {
                return Err(Args::missing("--redis", "an address, for --near"));
            }
            if self.timeout.is_some() || self.ca.or(self.cert).or(self.key).is_some() {
                return Err(Args::missing("--redis", "an address"));
            }
            return Ok(None);
        };
        let builder = with_certificates(builder, self.ca, self.cert, self.key)?;
        let builder = self.timeout.into_iter().fold(builder, RedisStoreBuilder::timeout);
        Ok(Some(with_near(builder, self.near, self.near_lag)?))
    }
}

/// The server that is asked: one by its address, or what sentinels or a cluster name.
fn server(mut redis: Vec<String>, sentinel: Option<String>, cluster: bool) -> Result<Option<RedisStoreBuilder>, Error> {
    match (sentinel, cluster) {
        (Some(_), true) => Err("--sentinel and --cluster exclude each other".into()),
        (Some(_), _) if redis.is_empty() => Err(Args::missing("--redis", "the address of a sentinel")),
        (None, true) if redis.is_empty() => Err(Args::missing("--redis", "the address of a node of the cluster")),
        (Some(master), false) => Ok(Some(RedisStore::sentinel(redis, master))),
        (None, true) => Ok(Some(RedisStore::cluster(redis))),
        (None, false) => Ok(redis.pop().map(RedisStore::builder)),
    }
}

/// The same with copies in this process, if they are asked for.
fn with_near(
    builder: RedisStoreBuilder,
    bytes: Option<u64>,
    lag: Option<Duration>,
) -> Result<RedisStoreBuilder, Error> {
    let Some(bytes) = bytes else {
        return match lag {
            Some(_) => Err(Args::missing("--near", "a number of bytes")),
            None => Ok(builder),
        };
    };
    let builder = builder.near(usize::try_from(bytes).unwrap_or(usize::MAX));
    Ok(match lag {
        Some(lag) => builder.near_lag(lag),
        None => builder,
    })
}

#[cfg(not(feature = "tls"))]
fn with_certificates(
    builder: RedisStoreBuilder,
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
) -> Result<RedisStoreBuilder, Error> {
    match ca.or(cert).or(key) {
        None => Ok(builder),
        Some(_) => Err("--redis-ca, --redis-cert and --redis-key need a build with --features tls".into()),
    }
}

#[cfg(feature = "tls")]
fn with_certificates(
    mut builder: RedisStoreBuilder,
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
) -> Result<RedisStoreBuilder, Error> {
    if let Some(ca) = ca {
        builder = builder.root_certificates(ca);
    }
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(builder.client_certificate(cert, key)),
        (None, None) => Ok(builder),
        (None, Some(_)) => Err(Args::missing("--redis-cert", "a file")),
        (Some(_), None) => Err(Args::missing("--redis-key", "a file")),
    }
}
