//! What a running layer tells, and how it ends.

#[cfg(feature = "admin")]
use std::sync::Arc;
use std::time::Duration;

use super::MemoLockLayer;
use crate::memo::Stats;
#[cfg(feature = "admin")]
use crate::middleware::settings::Audit;
use crate::middleware::settings::CacheStatus;
#[cfg(feature = "admin")]
use crate::middleware::shadow::Verify;

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

    /// Whether the layer only watches, and which hits it computes anew to compare them. Defaults to [`Audit::Off`].
    #[cfg(feature = "admin")]
    #[must_use]
    pub fn audit(mut self, audit: Audit) -> Self {
        (self.cache.shadow, self.cache.verify) = match audit {
            Audit::Off => (None, None),
            Audit::Shadow => (Some(Arc::default()), None),
            Audit::Verify(fraction) => (None, Verify::fraction(fraction)),
        };
        self
    }

    /// What this layer, its clones and their services have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.cache.memo.stats()
    }

    /// Lets computations under way finish within `grace`, and then gives back the leases that are left: at once with a
    /// grace of zero. A request that waits on another machine then takes over. Computations that still run here answer
    /// the requests that wait here, and their results are not stored.
    ///
    /// Call it as soon as the program is asked to stop, while its server finishes the requests under way, neither
    /// before nor after that. See [`MemoLock::shutdown`](crate::MemoLock::shutdown).
    pub async fn shutdown(&self, grace: Duration) {
        self.cache.memo.shutdown(grace).await;
    }

    /// Resolves once no computation is under way in this process and all responses have reached the store.
    ///
    /// For the end of a program, once it takes no more requests; see [`MemoLock::drained`](crate::MemoLock::drained).
    pub async fn drained(&self) {
        self.cache.memo.drained().await;
    }
}
