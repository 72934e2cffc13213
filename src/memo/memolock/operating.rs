//! What a program does with a running [`MemoLock`]: it invalidates, warms up, and shuts down.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

use super::MemoLock;
use crate::codec::Codec;
use crate::error::BoxError;
use crate::key::{Key, KeyError};
use crate::memo::invalidation::{self, Invalidation};
use crate::memo::warm::{self, Warmed};
use crate::store::Store;

impl<C: Codec> MemoLock<C> {
    /// Removes the value under `id`, and keeps every computation that has started before from storing its own.
    ///
    /// Once this has returned, a later caller on any node gets no value from a computation that started before: not
    /// from the store, not from a computation under way, and not from an answer of the store or a message that was on
    /// its way at that moment. `tests/model` explores this promise.
    ///
    /// A node that the store does not answer cannot know of an invalidation. Until the store is back, its callers share
    /// computations that start in their own process. A caller may have joined a computation after the store last
    /// confirmed its lease; if the store was lost then, that caller does not get the value and computes once more.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`](crate::InvalidateError) where the id cannot be a key or the store could not be told.
    pub fn invalidate<K>(&self, id: K) -> Invalidation
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
    {
        invalidation::of_value(&self.shared, id.try_into().map_err(Into::into))
    }

    /// Makes every value with one of these tags out of date, on every node, and what is computed at this moment as well.
    ///
    /// Once this has returned, a later caller on any node gets no value with such a tag from a computation that started
    /// before: not from the store, not from a computation under way, and not from a message on its way. A node that the
    /// store does not answer behaves as [`invalidate`](Self::invalidate) says.
    ///
    /// This takes one step, however many values and tags there are: they stay where they are until their ttl ends, and count as
    /// absent. The store remembers the 65,536 tags that were invalidated last. When it forgets one, because of another
    /// or because it is short of memory, everything with tags that is older than that invalidation is out of date too.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`](crate::InvalidateError) where a text cannot be a tag, there are more tags than
    /// [`MAX_LABELS`](crate::MAX_LABELS), or the store could not be told. A store that [keeps no
    /// generations](crate::Store::invalidate_labels) says [`StoreErrorKind::Unsupported`](crate::StoreErrorKind).
    pub fn invalidate_tags<T: AsRef<str>>(&self, tags: impl IntoIterator<Item = T>) -> Invalidation {
        invalidation::of_tags(&self.shared, &tags.into_iter().collect::<Vec<_>>())
    }

    /// Makes every value of this handle out of date, stored or being computed, on every node, as
    /// [`invalidate_tags`](Self::invalidate_tags) does for tags.
    ///
    /// # Errors
    ///
    /// [`InvalidateError::NotStamped`](crate::InvalidateError::NotStamped) unless every value is
    /// [`stamped`](Self::stamped), which is to be set on every node; otherwise as
    /// [`invalidate_tags`](Self::invalidate_tags).
    pub fn invalidate_all(&self) -> Invalidation {
        invalidation::of_all(&self.shared)
    }
}

impl<C: Codec> MemoLock<C> {
    /// Obtains the values under these ids, as [`get_or_compute`](Self::get_or_compute) does, `at_once` at a time: a
    /// stored value is left alone, and of all programs that warm up at once in the cluster, one computes each value.
    /// `progress` is called after each value. 0 counts as 1.
    ///
    /// Where this future is dropped, no further computation begins; those under way go on.
    ///
    /// ```
    /// use tower_memolock::{MemoLock, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let reports = MemoLock::new(MemoryStore::new(), "report");
    /// let work = (1..=100_u32).map(|id| (id, move || async move { Ok::<_, std::io::Error>(format!("report {id}").into()) }));
    /// let warmed = reports.warm(work, 8, |so_far| println!("{} of 100", so_far.done)).await;
    /// assert_eq!((warmed.done, warmed.failed), (100, 0));
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn warm<K, F, Fut, E>(
        &self,
        work: impl IntoIterator<Item = (K, F)>,
        at_once: usize,
        progress: impl FnMut(Warmed),
    ) -> Warmed
    where
        K: TryInto<Key> + Send + 'static,
        K::Error: Into<KeyError>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let one = |(id, compute): (K, F)| {
            let (memo, key) = (self.clone(), id.try_into().map_err(Into::into));
            async move {
                match key {
                    Ok(key) => memo.get_or_compute::<Key, _, _, _>(key, compute).await.is_ok(),
                    Err(_) => false,
                }
            }
        };
        warm::warm(work.into_iter().map(one), at_once, progress).await
    }
}

impl<C: Codec> MemoLock<C> {
    /// Lets computations under way finish within `grace`, and then gives back the leases that are left. Call it when
    /// the program is asked to stop: what it computes is then not computed again elsewhere, and no caller elsewhere
    /// waits for a program that is gone.
    ///
    /// Until the grace is over leases are kept and renewed, and results are stored and handed to all waiters anywhere.
    /// Callers that still come are served as ever, and the computations that they lead are shared and stored: until a
    /// server stops taking requests, its callers are better off with these than with a second computation elsewhere.
    /// Work without a caller, such as the refresh of a stale value, is not begun. A promise that other programs are to
    /// resolve keeps its lease as well. The grace ends as soon as no lease is held, so you can give a program all the
    /// grace that its supervisor has. A later call with less grace cuts it short; dropping the future leaves the leases
    /// as they are.
    ///
    /// After that, and at once with a grace of zero, the handle and its clones keep no lease. Stored values are still
    /// found, and callers that wait for another process go on waiting. Computations under way go on and answer the
    /// callers in this process, but their results are not stored, because a follower elsewhere takes over at once. Later
    /// callers share one computation in this process; its result is not stored either, and an
    /// [`invalidate`](Self::invalidate) elsewhere does not reach it. Callers that wait for a promise of
    /// [`get_or_request`](Self::get_or_request) go on waiting. If this process had started the work, another process
    /// takes over and starts it again.
    ///
    /// Resolves once all leases are given back, or as many as the store could be told of within its own timeouts (the
    /// others run out), and once the store has taken all pending invalidations, for which it has two seconds. An
    /// invalidation that it has not taken by then is logged as an error. A second call waits for the same. A shutdown
    /// cannot be undone.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_memolock::{MemoLock, MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// # let reports = MemoLock::new(MemoryStore::new(), "report");
    /// // At SIGTERM, while the server finishes its requests.
    /// reports.shutdown(Duration::from_secs(10)).await;
    /// # }
    /// ```
    pub async fn shutdown(&self, grace: Duration) {
        if !grace.is_zero() {
            let leases = self.shared.leases.leave();
            tracing::info!(
                tag = self.shared.tag.as_str(),
                leases,
                ?grace,
                "shutting down: waiting for what is computed"
            );
            // Pending invalidations are waited for either way.
            let _ = timeout(grace, self.shared.leases.close_when_idle()).await;
        }
        let leases = self.shared.leases.close();
        tracing::info!(
            tag = self.shared.tag.as_str(),
            leases,
            "shutting down: giving leases back"
        );
        self.shared.leases.given_back().await;
        let pending = self.shared.store.settle().await;
        if pending > 0 {
            tracing::error!(pending, "shutting down: the store has not taken all invalidations");
        }
    }

    /// Resolves once no computation is under way in this process and all results have reached the store.
    ///
    /// For the end of a program, once it takes no more requests. A program that exits right after its last response may
    /// leave a result behind, and callers elsewhere wait for the rest of its lease, unless there was a
    /// [`shutdown`](Self::shutdown). Bound it by a timeout, because computations may take any time. A
    /// promise that other programs are to resolve counts for as long as a caller here waits for it, and no longer than
    /// the wait timeout.
    pub async fn drained(&self) {
        self.shared.refreshes.idle().await;
        self.shared.solos.idle().await;
        self.shared.table.empty().await;
    }
}
