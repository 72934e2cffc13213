//! Permissions that the Redis user lacks: the error, and the word to the operator.

use crate::key::Readable;
use crate::store::redis::resp::{RedisError, ServerError};
use crate::throttle::Throttle;

/// Permissions that the user lacks.
#[derive(Debug, thiserror::Error)]
#[error("the Redis user lacks permissions: ACL SETUSER {user} {rules}")]
pub(crate) struct Denied {
    user: String,
    rules: String,
    #[source]
    source: RedisError,
}

impl Denied {
    /// `rules` are the rules to add to the user, `source` is the server's answer to one command.
    pub(crate) fn new(user: &str, rules: impl IntoIterator<Item = String>, source: RedisError) -> Self {
        let rules: Vec<_> = rules.into_iter().collect();
        Self {
            user: user.to_owned(),
            rules: rules.join(" "),
            source,
        }
    }
}

/// Tells the operator of permissions that are missing while the store is at work: once a minute, however many requests go on
/// without the store meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Denials(Throttle);

impl Denials {
    /// Tells of `error` if it is one of permissions.
    pub(crate) fn note(&self, error: &ServerError) {
        if is_denial(error) && self.0.is_due() {
            let error = RedisError::from(error.clone());
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "Redis denies the store a permission: `RedisStore::check` names the ACL rule that is missing"
            );
        }
    }

    /// Tells of a channel that cannot be subscribed to.
    pub(crate) fn note_channel(&self, channel: &str) {
        if self.0.is_due() {
            tracing::warn!(
                channel = %Readable(channel),
                "Redis refuses a subscription: does the user have the permission for the channel?"
            );
        }
    }

    /// Tells that the server is one of a cluster, although it is used as if it were alone.
    pub(crate) fn note_cluster(&self) {
        if self.0.is_due() {
            tracing::warn!(
                "Redis is a node of a cluster and refuses keys that belong to others: use `RedisStore::cluster`"
            );
        }
    }
}

fn is_denial(error: &ServerError) -> bool {
    // For a script this is an `ERR`, with the first text up to Redis 7.0 and the second from then on.
    let in_script =
        |text: &str| text.contains("user executing the script can't") || text.contains("ACL failure in script");
    error.code() == "NOPERM" || error.details().is_some_and(in_script)
}
