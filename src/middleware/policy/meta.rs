//! [`Meta`]: what is known about a stored response besides its content.

use std::time::{Duration, SystemTime};

use crate::system;
use crate::trace::TraceContext;

/// What is known about a stored response besides its content.
///
/// By default it was stored in 1970, is fresh for no time, and cost none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// When the response was stored.
    pub stored_at: SystemTime,
    /// How long it is fresh, counted from [`stored_at`](Self::stored_at).
    pub fresh_for: Duration,
    /// The age it already had when it was stored (RFC 9111, section 4.2.3).
    pub age: Duration,
    /// The time its computation took.
    pub cost: Duration,
    /// How long after it was fresh it may be replayed while a new one is computed (RFC 5861, section 3).
    pub stale_while_revalidate: Duration,
    /// How long after that it may be replayed where computing a new one fails (RFC 5861, section 4).
    pub stale_if_error: Duration,
    /// A fingerprint of the request fields that `Vary` names (RFC 9111, section 4.1).
    pub variant: Option<[u8; 16]>,
    /// How long after that it is kept to be validated. Zero, unless it has a validator.
    pub kept_for: Duration,
    /// Whether it is never replayed stale: `must-revalidate`, `proxy-revalidate`, `s-maxage` or `no-cache` (RFC 9111,
    /// section 4.2.4).
    pub must_revalidate: bool,
    /// Whether it may be replayed to requests with `Authorization` (RFC 9111, section 3.5).
    pub for_authorized: bool,
    /// Whether it may be replayed to requests with a cookie or other credentials.
    pub for_cookies: bool,
    /// A random number that all variants of one response have in common: a variant of another generation is out of
    /// date.
    pub generation: Option<[u8; 8]>,
    /// The groups it belongs to (RFC 9875).
    pub groups: Vec<String>,
    /// What computed it, where that is part of a trace.
    pub computed_by: Option<TraceContext>,
    /// The [number](crate::store::Generation::number) of the generation in which its computation began, if that is known.
    pub began: Option<u64>,
    /// Whether this is a marker and no response: the response that belongs here is not to be shared. All else is as by
    /// default then.
    pub is_marker: bool,
}

impl Meta {
    /// How long it is kept once it is stale, for whatever purpose.
    pub(crate) fn kept(&self) -> Duration {
        self.kept_for.max(self.stale_while_revalidate).max(self.stale_if_error)
    }

    /// How old the response is now (RFC 9111, section 4.2.3).
    pub(crate) fn age_now(&self) -> Duration {
        // Another node's clock may be ahead or behind; a response that is still stored is no older than it may be.
        let resident = system::now().duration_since(self.stored_at).unwrap_or_default();
        let most = self.fresh_for.saturating_add(self.kept());
        self.age.saturating_add(resident.min(most))
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            stored_at: SystemTime::UNIX_EPOCH,
            fresh_for: Duration::ZERO,
            age: Duration::ZERO,
            cost: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            variant: None,
            kept_for: Duration::ZERO,
            must_revalidate: false,
            for_authorized: false,
            for_cookies: false,
            generation: None,
            groups: Vec::new(),
            computed_by: None,
            began: None,
            is_marker: false,
        }
    }
}
