//! [`Entry`]: a value as the store keeps it, and its weight.

use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use tokio::time::Instant;

use crate::key::Address;
use crate::store::Value;

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) expires_at: Instant,
    pub(super) is_marker: bool,
    pub(super) weight: u64,
}

impl Entry {
    pub(super) fn new(address: &Address, value: &Value, ttl: Duration) -> Self {
        Self {
            value: value.clone(),
            expires_at: after(ttl),
            is_marker: false,
            weight: weight(address, value),
        }
    }
}

/// Computed once, because eviction asks for it again.
#[derive(Clone)]
pub(super) struct EntryWeigher;

impl Weighter<Address, Entry> for EntryWeigher {
    fn weight(&self, _: &Address, entry: &Entry) -> u64 {
        entry.weight
    }
}

/// How many bytes a value takes in all: the value, its address, which is there twice, as the key and in the value, and
/// its place in the table.
fn weight(address: &Address, value: &Value) -> u64 {
    let weight = value.weight().saturating_add(2 * address.as_str().len() + PER_ENTRY);
    u64::try_from(weight).unwrap_or(u64::MAX)
}

/// The bytes of an entry besides its texts, as `tests/memory.rs` measures them: its place in the table, and the
/// allocations of the value and of its address.
const PER_ENTRY: usize = 256;

/// The least room of a shard in a store with several shards: a larger value cannot be kept.
const SHARD: u64 = 16 * 1024 * 1024;

/// As many threads may change the store at once.
const MOST_SHARDS: u64 = 128;

/// A table with room for `bytes` bytes of what each [`Entry`] weighs.
pub(super) fn values(bytes: u64) -> Cache<Address, Entry, EntryWeigher> {
    let shards = 1 << (bytes / SHARD).clamp(1, MOST_SHARDS).ilog2();
    // The table remembers half as many values that are gone.
    let items = usize::try_from(bytes / 4096)
        .unwrap_or(usize::MAX)
        .clamp(32 * shards, 1 << 24);
    let options = OptionsBuilder::new()
        .shards(shards)
        .estimated_items_capacity(items)
        .weight_capacity(bytes)
        .build();
    let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
    match options {
        Ok(options) => Cache::with_options(options, EntryWeigher, hasher, lifecycle),
        // The builder fails only if an option is missing, and none is.
        Err(_) => Cache::with(items, bytes, EntryWeigher, hasher, lifecycle),
    }
}

/// `duration` from now, or a very long time where the clock cannot count that far.
pub(super) fn after(duration: Duration) -> Instant {
    const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    Instant::now() + duration.min(TEN_YEARS)
}
