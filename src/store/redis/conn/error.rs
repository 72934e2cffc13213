//! What an error of Redis means for the caller and for the connection.

use super::address::ServerAddress;
use super::denied::Denied;
#[cfg(feature = "tls")]
use super::tls::HandshakeError;
use crate::error::{StoreError, StoreErrorKind};
use crate::store::redis::resp::{RedisError, Reply, ServerError};
use crate::throttle::Throttle;

/// What becomes of a connection on which the server answered with an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DialVerdict {
    /// The error concerns the command alone.
    Keep,
    /// The server cannot serve on this connection, or not yet.
    Replace,
    /// This is not the server to talk to any more, so the subscriber has to move too.
    Elsewhere,
    /// Another server has this key, or the cluster cannot say which.
    Astray,
}

pub(crate) fn verdict(error: &ServerError) -> DialVerdict {
    match error.code() {
        _ if closes_connection(error) => DialVerdict::Replace,
        "LOADING" | "NOAUTH" | "DENIED" => DialVerdict::Replace,
        "READONLY" | "MASTERDOWN" => DialVerdict::Elsewhere,
        "CLUSTERDOWN" => DialVerdict::Astray,
        _ => DialVerdict::Keep,
    }
}

/// Whether only a node of a Redis Cluster says so.
pub(crate) fn is_of_cluster(error: &ServerError) -> bool {
    matches!(error.code(), "MOVED" | "ASK" | "CROSSSLOT")
}

/// Whether the server closes the connection with this answer, as it does on an argument over its `proto-max-bulk-len`.
/// Either the answer or the end of the connection may arrive first.
fn closes_connection(error: &ServerError) -> bool {
    error.details().is_some_and(|text| text.starts_with("Protocol error"))
}

/// A node of a Redis Cluster refused a key, because this store takes it for a single server.
#[derive(Debug, thiserror::Error)]
#[error("this server is a node of a Redis Cluster: use `RedisStore::cluster`")]
struct InCluster(#[source] RedisError);

/// The server answered with `error`.
pub(crate) fn rejected(error: &ServerError) -> StoreError {
    if is_of_cluster(error) {
        let source = InCluster(error.clone().into());
        return StoreError::with_source(StoreErrorKind::Rejected, source);
    }
    if error.code() == "CLUSTERDOWN" {
        let source = RedisError::from(error.clone());
        return StoreError::with_source(StoreErrorKind::Unavailable, source);
    }
    if closes_connection(error) {
        return unanswered(error.clone().into());
    }
    StoreError::with_source(StoreErrorKind::Rejected, RedisError::from(error.clone()))
}

/// Whether the server has no room for the value. Redis 6 says so in the text of a failed script.
pub(crate) fn is_full(error: &StoreError) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<RedisError>());
    source.is_some_and(|error| match error {
        RedisError::Server(error) => {
            error.code() == "OOM"
                || error
                    .details()
                    .is_some_and(|details| details.contains("-OOM command not allowed"))
        }
        RedisError::Io(_) => false,
    })
}

/// A command was sent from node to node for too long, and not executed.
pub(crate) fn unsettled(reply: Reply) -> StoreError {
    match reply {
        Reply::ServerError(error) => StoreError::with_source(StoreErrorKind::Rejected, RedisError::from(error)),
        _ => unexpected(),
    }
}

/// The connection did not bring an answer. Whether the command was executed is unknown, as after a timeout, even if the
/// connection turned out to be closed.
pub(crate) fn unanswered(error: RedisError) -> StoreError {
    StoreError::with_source(StoreErrorKind::Timeout, error)
}

/// The server is known to close the connection on a value like this, and nothing was sent.
pub(crate) fn too_large() -> StoreError {
    StoreError::with_source(
        StoreErrorKind::Rejected,
        "Redis closed the connection on a value of this size",
    )
}

/// There is no connection, and nothing was sent.
pub(crate) fn unavailable() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable)
}

/// An answer that the command cannot have.
pub(crate) fn unexpected() -> StoreError {
    StoreError::with_source(StoreErrorKind::Rejected, "the answer has an unknown form")
}

/// An id without a hash tag, in a Redis Cluster.
#[derive(Debug, thiserror::Error)]
#[error(
    "in a Redis Cluster an id needs a hash tag, so that value and lock are on one node: `{tag}:{{{id}}}` for `{tag}:{id}`"
)]
pub(crate) struct NoHashTag {
    tag: String,
    id: String,
}

/// Refuses ids without a hash tag, and tells the operator now and then.
#[derive(Debug, Default)]
pub(crate) struct Unroutable(Throttle);

impl Unroutable {
    pub(crate) fn refuse(&self, tag: &str, id: &str) -> NoHashTag {
        let error = NoHashTag {
            tag: tag.to_owned(),
            id: id.to_owned(),
        };
        if self.0.is_due() {
            tracing::warn!(error = &error as &dyn std::error::Error, "computed without the store");
        }
        error
    }
}

/// Why no connection could be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The server or the way to it does not work; it may later.
    #[error("Redis cannot be reached")]
    Unreachable(#[source] RedisError),
    #[error("Redis does not answer; a port without TLS does not answer to a rediss:// URL either")]
    Silent(#[source] RedisError),
    #[error("Redis hangs up before it answers; a port for TLS does so on a redis:// URL")]
    HungUp(#[source] RedisError),
    #[cfg(feature = "tls")]
    #[error("the host in the URL of Redis is no name that a certificate can be for")]
    Config(#[source] RedisError),
    #[cfg(feature = "tls")]
    #[error("{0}")]
    Handshake(HandshakeError, #[source] RedisError),
    #[error("Redis rejects the user name or password: check those in the URL")]
    Credentials(#[source] RedisError),
    #[error("Redis requires a password: add it to the URL, redis://user:password@host:port")]
    PasswordMissing(#[source] RedisError),
    #[error("Redis refuses database {0}: check the number at the end of the URL")]
    Database(i64, #[source] RedisError),
    #[error("Redis refuses connections from other hosts: set a password for it")]
    Protected(#[source] RedisError),
    #[error("no sentinel names a master")]
    Sentinels(#[source] Option<Box<Self>>),
    #[error(
        "the sentinels know no master of the name {0:?}: check it against `sentinel monitor` in their configuration"
    )]
    UnknownMaster(String),
    #[error("what answers at the address of a sentinel is none, or refuses to say where the master is")]
    NoSentinel(#[source] RedisError),
    #[error("this server is not a master, or not any more")]
    NotMaster,
    #[error("an answer that belongs to another command")]
    Garbled,
    #[error("no node says which node has what")]
    NoView,
    #[error("this server is not in cluster mode: use `RedisStore::connect` or `RedisStore::sentinel`")]
    NotCluster,
    #[error("Redis Cluster is supported from Redis 7.0 and Valkey 7.2 on, for sharded Pub/Sub, and this is {0}")]
    TooOld(String),
    #[error(transparent)]
    Denied(Denied),
}

impl DialError {
    /// Whether trying again is of no use until the operator changes the configuration.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Silent(_)
            | Self::HungUp(_)
            | Self::NotMaster
            | Self::Garbled
            | Self::NoView => false,
            Self::Sentinels(cause) => cause.as_ref().is_some_and(|cause| cause.is_permanent()),
            _ => true,
        }
    }

    /// The class of the error: whether the server refuses, or this side, or the way between them does not work.
    pub(crate) fn kind(&self) -> StoreErrorKind {
        match self {
            Self::NotCluster | Self::TooOld(_) => StoreErrorKind::Config,
            #[cfg(feature = "tls")]
            Self::Config(_) | Self::Handshake(..) => StoreErrorKind::Config,
            Self::Sentinels(Some(cause)) => cause.kind(),
            passing if !passing.is_permanent() => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::Rejected,
        }
    }

    /// The same, with a hint at what else it may mean at this address, where it looks like an outage.
    pub(crate) fn with_hint(self, address: &ServerAddress) -> Self {
        match (self, address) {
            (Self::Unreachable(e), ServerAddress::Tcp { secure: true, .. }) if e.is_timeout() => Self::Silent(e),
            (Self::Unreachable(e), ServerAddress::Tcp { .. }) if e.is_hang_up() => Self::HungUp(e),
            (other, _) => other,
        }
    }
}

impl From<std::io::Error> for DialError {
    fn from(error: std::io::Error) -> Self {
        RedisError::from(error).into()
    }
}

impl From<RedisError> for DialError {
    /// What a failure to connect means, as far as it can be told.
    fn from(error: RedisError) -> Self {
        #[cfg(feature = "tls")]
        if let Some(handshake) = HandshakeError::find(&error) {
            return Self::Handshake(handshake, error);
        }
        Self::Unreachable(error)
    }
}

#[cfg(test)]
mod tests;
