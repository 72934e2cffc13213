//! What all clones of one [`MemoLock`](super::MemoLock) share.

use std::sync::Arc;

use super::clock::Clock;
use super::lead::Lead;
use super::lookups::Lookups;
use super::outcome::Outcome;
use super::stats::Counters;
use super::table::Table;
use crate::codec::Codec;
use crate::error::StoreError;
use crate::key::{Address, Tag};
use crate::store::Value;

pub(crate) struct Shared<St, C: Codec> {
    pub(crate) store: St,
    pub(crate) codec: C,
    pub(crate) tag: Tag,
    pub(crate) table: Table<Lead<C::Value>, Arc<Outcome<C::Value>>>,
    pub(crate) clock: Clock,
    pub(crate) lookups: Lookups<C::Value>,
    pub(crate) counters: Counters,
}

impl<St, C: Codec> Shared<St, C> {
    pub(crate) fn new(store: St, codec: C, tag: Tag) -> Self {
        Self {
            store,
            codec,
            tag,
            table: Table::new(),
            clock: Clock::new(),
            lookups: Lookups::new(),
            counters: Counters::default(),
        }
    }

    /// The value, or nothing where it cannot be vouched for.
    pub(crate) fn decode(&self, address: &Address, value: &Value) -> Option<C::Value> {
        match value.decode(address, &self.codec) {
            Ok(value) => Some(value),
            Err(error) => {
                self.counters.rejected.add();
                tracing::warn!(%address, %error, "what is stored here cannot be used and counts as absent");
                None
            }
        }
    }

    pub(crate) fn store_failed(&self, address: &Address, operation: &'static str, error: &StoreError) {
        self.counters.store_errors.add();
        tracing::debug!(
            %address,
            operation,
            error = error as &dyn std::error::Error,
            "going on without the store"
        );
    }
}
