//! [`NearCopy`]: a value as Redis had it, and the leases that it relies on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::lease::{Backing, NearLease};
use crate::store::Value;

/// A value as Redis had it.
#[derive(Clone)]
pub(crate) struct NearCopy {
    pub(crate) value: Value,
    /// When it expires, counted from the moment when it was asked for.
    pub(crate) expires_at: Instant,
    /// The server that it came from.
    pub(crate) from: Backing,
    /// The server that tells of invalidations, if that is another one.
    pub(crate) home: Option<Backing>,
    /// For a value with a stamp.
    pub(crate) currency: Option<Currency>,
}

/// When a stamp was found to be current.
#[derive(Clone)]
pub(crate) struct Currency {
    /// Counts the news of the tag's generations.
    pub(crate) generations: Arc<AtomicU64>,
    pub(crate) seen: u64,
}

impl NearCopy {
    /// Whether it may be served, as long as the leases are held.
    pub(super) fn is_good(&self, now: Instant) -> bool {
        let is_current = |c: &Currency| c.generations.load(Ordering::Acquire) == c.seen;
        let is_backed = self.from.holds() && self.home.as_ref().is_none_or(Backing::holds);
        self.expires_at > now && is_backed && self.currency.as_ref().is_none_or(is_current)
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = &NearLease> {
        let home = self.home.iter();
        [&self.from].into_iter().chain(home).map(|backing| &**backing.lease())
    }

    pub(super) fn relies_on(&self, lease: &Arc<NearLease>) -> bool {
        self.from.is_of(lease) || self.home.as_ref().is_some_and(|home| home.is_of(lease))
    }
}
