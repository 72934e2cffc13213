//! What all clones of one [`MemoLock`](super::MemoLock) share.

pub(crate) mod currency;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::flights::clock::Clock;
use super::flights::custody::Orphans;
use super::flights::line::Room;
use super::flights::lookups::Lookups;
use super::flights::table::Table;
use super::found::Found;
use super::insight::Insight;
use super::leases::Leases;
use super::limits::Limit;
use super::outcome::Landed;
use super::permit::Lead;
use super::refreshes::Refreshes;
use super::stats::Counters;
use super::tasks::Tasks;
use crate::codec::Codec;
use crate::counter::Visit;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Readable, Tag};
use crate::store::{AnyStore, Value};
use crate::throttle::Throttle;

/// How many values are computed anew at once while the stored ones answer.
const MOST_REFRESHES: usize = 256;

pub(crate) struct Shared<C: Codec> {
    pub(crate) store: AnyStore,
    pub(crate) codec: C,
    pub(crate) tag: Tag,
    pub(crate) table: Table<Lead<C::Value>, Arc<Landed<C::Value>>>,
    pub(crate) clock: Clock,
    pub(crate) lookups: Lookups<Found<C::Value>>,
    pub(crate) refreshes: Refreshes,
    /// Callers that lead alone.
    pub(crate) solos: Refreshes,
    pub(crate) leases: Leases,
    /// Told of memory that recordings give back.
    pub(crate) recording_room: Arc<Room>,
    pub(crate) orphans: Arc<Orphans>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) insight: Insight,
    /// Whether values without tags have stamps as well.
    stamps_all: AtomicBool,
    pub(super) tasks: Tasks<C>,
    warnings: Warnings,
}

/// What the log tells the operator now and then. Each single event is logged for debugging.
#[derive(Default)]
struct Warnings {
    rejected: Throttle,
    store: Throttle,
    limit: Throttle,
    timeout: Throttle,
    itself: AtomicBool,
}

impl<C: Codec> Shared<C> {
    pub(crate) fn new(store: AnyStore, codec: C, tag: Tag) -> Self {
        let counters = Arc::new(Counters::new(&tag));
        Self {
            store: store.timed(&tag),
            codec,
            tag,
            table: Table::new(),
            clock: Clock::new(),
            lookups: Lookups::new(),
            refreshes: Refreshes::new(Some(MOST_REFRESHES)),
            solos: Refreshes::new(None),
            leases: Leases::new(),
            recording_room: Arc::default(),
            orphans: Arc::new(Orphans::new(Arc::clone(&counters))),
            counters,
            insight: Insight::default(),
            stamps_all: AtomicBool::new(false),
            tasks: Tasks::new(),
            warnings: Warnings::default(),
        }
    }

    /// Shows all figures of this tag. The store shows its own.
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "the admin service shows them"))]
    pub(crate) fn visit(&self, each: Visit<'_>) {
        self.counters.visit(each);
        self.store.visit(each);
    }

    /// Whether every value has a stamp, so that a value without one counts as absent.
    pub(crate) fn stamps_all(&self) -> bool {
        self.stamps_all.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stamps_all(&self, all: bool) {
        self.stamps_all.store(all, Ordering::Relaxed);
    }

    /// Takes the value out; `None` where it cannot be read or lacks a stamp that it has to have. Whether its stamp is
    /// current is another question.
    pub(crate) fn decode(&self, address: &Address, value: &mut Value) -> Option<Found<C::Value>> {
        if self.lacks_stamp(address, value) {
            return None;
        }
        match value.decode(address, &self.codec) {
            Ok(decoded) => self.found(decoded, value),
            Err(error) => {
                self.rejected(address, &*error);
                None
            }
        }
    }

    /// Whether the value has to have a stamp, and has none.
    #[inline]
    pub(super) fn lacks_stamp(&self, address: &Address, value: &Value) -> bool {
        let lacks = value.stamp().is_none() && self.stamps_all();
        if lacks {
            tracing::debug!(address = %address.readable(), "what is stored has no stamp and counts as absent");
        }
        lacks
    }

    #[cold]
    pub(super) fn rejected(&self, address: &Address, error: &(dyn Error + 'static)) {
        self.counters.rejected.add();
        let what = format_args!("what is stored cannot be used: {error}");
        self.insight.failed(address.readable(), what);
        if self.warnings.rejected.is_due() {
            tracing::warn!(address = %address.readable(), error, "what is stored cannot be used and counts as absent; others may follow");
        } else {
            tracing::debug!(address = %address.readable(), error, "what is stored cannot be used and counts as absent");
        }
    }

    pub(crate) fn store_failed(&self, address: &Address, operation: &'static str, error: &StoreError) {
        self.failed(address.readable(), operation, error);
    }

    /// The store could not be told what to invalidate by tag.
    pub(crate) fn tags_failed(&self, operation: &'static str, error: &StoreError) {
        self.failed(Readable(self.tag.as_str()), operation, error);
    }

    fn failed(&self, address: Readable<'_>, operation: &'static str, error: &StoreError) {
        self.counters.store_errors.add();
        self.insight
            .failed(address, format_args!("the store, {operation}: {error}"));
        // A store that is out of reach says so itself, once.
        let known = matches!(
            error.kind(),
            StoreErrorKind::Unavailable | StoreErrorKind::Timeout | StoreErrorKind::Pending
        );
        let error = error as &(dyn Error + 'static);
        if !known && self.warnings.store.is_due() {
            tracing::warn!(address = %address, operation, error, "the store refuses; going on without it, others may follow");
        } else {
            tracing::debug!(address = %address, operation, error, "going on without the store");
        }
    }

    /// A computation asks for its own result.
    pub(crate) fn asks_for_itself(&self, address: &Address) {
        if self.warnings.itself.swap(true, Ordering::Relaxed) {
            tracing::debug!(address = %address.readable(), "what is being computed is asked for by its own computation");
        } else {
            tracing::warn!(
                address = %address.readable(),
                "what is being computed is asked for by its own computation, and computed there once more, for that alone: \
                 apply a layer once on the way of a request, and give layers and locks that are used within each other \
                 different tags"
            );
        }
    }

    /// A caller has waited for others as long as it may.
    pub(crate) fn waited_too_long(&self, address: &Address, timeout: Duration) {
        self.counters.wait_timeouts.add();
        if !timeout.is_zero() {
            self.insight.failed(
                address.readable(),
                format_args!("a caller waited for as long as it may"),
            );
        }
        tracing::debug!(address = %address.readable(), "waited too long");
        if !timeout.is_zero() && self.warnings.timeout.is_due() {
            tracing::warn!(
                address = %address.readable(),
                ?timeout,
                "a caller waited for as long as the wait timeout: the computation takes longer than that, or waits for \
                 itself, because it asks another service that asks for the same; others may follow"
            );
        }
    }

    /// A caller found too much going on.
    pub(crate) fn limited(&self, address: &Address, limit: Limit) {
        match limit {
            Limit::Waiters => &self.counters.limited_waiters,
            Limit::InFlight => &self.counters.limited_in_flight,
            Limit::Recording => &self.counters.limited_recording,
        }
        .add();
        self.insight
            .failed(address.readable(), format_args!("a limit is reached: {limit}"));
        if self.warnings.limit.is_due() {
            tracing::warn!(address = %address.readable(), %limit, "a limit is reached; others may follow");
        } else {
            tracing::debug!(address = %address.readable(), %limit, "a limit is reached");
        }
    }
}
