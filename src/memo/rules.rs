//! [`ValueRules`]: what a handle makes of the values and errors that are computed through it.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{BoxError, ErrorForm, Failure};
use crate::key::Address;

/// How long a value is kept.
type TtlOf<V> = Arc<dyn Fn(&V) -> Option<Duration> + Send + Sync>;
/// The tags of the value under an id.
type TagsOf<V> = Arc<dyn Fn(&str, &V) -> Vec<String> + Send + Sync>;

/// What a handle makes of the values and errors that are computed through it.
pub(crate) struct ValueRules<V> {
    pub(crate) ttl_of: Option<TtlOf<V>>,
    pub(crate) tags_of: Option<TagsOf<V>>,
    /// How errors cross to other processes, if they do.
    pub(crate) errors: Option<Arc<dyn ErrorForm>>,
}

impl<V> Default for ValueRules<V> {
    fn default() -> Self {
        Self {
            ttl_of: None,
            tags_of: None,
            errors: None,
        }
    }
}

impl<V> Clone for ValueRules<V> {
    fn clone(&self) -> Self {
        Self {
            ttl_of: self.ttl_of.clone(),
            tags_of: self.tags_of.clone(),
            errors: self.errors.clone(),
        }
    }
}

impl<V> ValueRules<V> {
    /// How long `value` is kept; zero is not at all.
    pub(crate) fn ttl(&self, value: &V, usual: Duration) -> Duration {
        match &self.ttl_of {
            Some(ttl_of) => ttl_of(value).unwrap_or(Duration::ZERO),
            None => usual,
        }
    }

    pub(crate) fn tags(&self, address: &Address, value: &V) -> Vec<String> {
        let tags_of = self.tags_of.as_ref();
        tags_of.map_or_else(Vec::new, |tags_of| tags_of(address.id(), value))
    }

    /// The failure that followers get for an error of a computation in this process.
    pub(crate) fn failed<E: Into<BoxError>>(&self, address: &Address, error: E) -> Failure {
        Failure::of(error).encoded(address, self.errors.as_deref())
    }

    /// A failure that followers heard of, with the error as it was in the process that computed.
    pub(crate) fn heard(&self, address: &Address, failure: Failure) -> Failure {
        failure.decoded(address, self.errors.as_deref())
    }
}
