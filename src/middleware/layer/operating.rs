//! What a running layer tells, and how it ends.

use std::time::Duration;

use super::MemoLockLayer;
use crate::memo::Stats;
use crate::middleware::settings::CacheStatus;

/// # Operating
///
/// What a running layer tells, and how it ends.
impl<K> MemoLockLayer<K> {
    /// What responses say in `Cache-Status` (RFC 9211). Defaults to [`CacheStatus::Silent`].
    #[must_use]
    pub fn cache_status(mut self, cache_status: CacheStatus) -> Self {
        (self.cache.cache_status, self.cache.cache_status_key) = match cache_status {
            CacheStatus::Silent => (false, false),
            CacheStatus::Outcome => (true, false),
            CacheStatus::OutcomeAndKey => (true, true),
        };
        self
    }

    /// What this layer, its clones and their services have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.cache.memo.stats()
    }

    /// Lets what is computed finish within `grace`, and then gives back the leases that are left.
    ///
    /// Call it as soon as the program is asked to stop, while its server finishes the requests under way: not after
    /// that, and not before it. See [`MemoLock::shutdown_within`](crate::MemoLock::shutdown_within).
    pub async fn shutdown_within(&self, grace: Duration) {
        self.cache.memo.shutdown_within(grace).await;
    }

    /// Gives every lease back at once, so that a request that waits on another machine takes over. What is computed
    /// here answers those who wait here and is not stored. See [`MemoLock::shutdown`](crate::MemoLock::shutdown).
    pub async fn shutdown(&self) {
        self.cache.memo.shutdown().await;
    }

    /// Resolves once no computation is under way in this process and all responses have reached the store.
    ///
    /// For the end of a program, once it takes no more requests; see [`MemoLock::drained`](crate::MemoLock::drained).
    pub async fn drained(&self) {
        self.cache.memo.drained().await;
    }
}
