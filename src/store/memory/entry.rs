//! [`Entry`]: a value as the store keeps it, and what it weighs.

use std::time::Duration;

use tokio::time::Instant;

use crate::key::Address;
use crate::store::Value;

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) ttl: Duration,
    /// The exact end; moka's own clock only frees the memory.
    pub(super) expires_at: Instant,
    pub(super) is_marker: bool,
}

impl Entry {
    pub(super) fn new(value: &Value, ttl: Duration) -> Self {
        Self {
            value: value.clone(),
            ttl,
            expires_at: after(ttl),
            is_marker: false,
        }
    }
}

/// Lets moka free what has expired.
pub(super) struct AtTtl;

impl moka::Expiry<Address, Entry> for AtTtl {
    fn expire_after_create(&self, _: &Address, entry: &Entry, _: std::time::Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(
        &self,
        _: &Address,
        entry: &Entry,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl)
    }
}

/// How many bytes a value takes in all: it, its address, which is there as the key and in the value, and what moka keeps of
/// it.
pub(super) fn weight(address: &Address, value: &Value) -> u32 {
    let weight = value.weight().saturating_add(2 * address.as_str().len() + PER_ENTRY);
    u32::try_from(weight).unwrap_or(u32::MAX)
}

/// What an entry takes besides its texts, as `tests/memory.rs` measures it: in moka, its table, lists and timers, and the
/// allocations of the value and of its address.
const PER_ENTRY: usize = 512;

/// `duration` from now, or a very long time where the clock cannot count that far.
pub(super) fn after(duration: Duration) -> Instant {
    const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    Instant::now() + duration.min(TEN_YEARS)
}
