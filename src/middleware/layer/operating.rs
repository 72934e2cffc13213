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

    /// Whether the layer only watches. Defaults to `false`.
    ///
    /// In shadow mode nothing is shared or stored, and the inner service is called for each request as if the layer were
    /// not there. The layer counts what it would have done with these settings, for each route: calls and time that it
    /// would have spared, and responses that are not the one that would have stood in for them, with the field of the
    /// requests that goes with the difference. [`Admin`](crate::Admin) shows the report, and for which routes the layer
    /// can be switched on. [`docs::guide::admin`](crate::docs::guide::admin) says what it means.
    ///
    /// It costs a digest of each body, and so many bytes of memory: digests of the last 4,096 responses and of the fields of
    /// their requests, no bodies. Requests whose key covers their body are not followed.
    #[cfg(feature = "admin")]
    #[must_use]
    pub fn shadow(mut self, shadow: bool) -> Self {
        self.cache.shadow = shadow.then(std::sync::Arc::default);
        self
    }

    /// Of which fraction of hits the response is computed anew, in the background and for no client, and compared with
    /// what was stored. Defaults to 0, which is none of them; 1 is all.
    ///
    /// The client has the stored response, and the new one is thrown away. [`Admin`](crate::Admin) shows for each route how
    /// many were not the same: a field is missing in the key, or responses change sooner than they say. At most 16 are
    /// computed at once. What is below 0 or no number counts as 0, and what is above 1 as 1.
    #[cfg(feature = "admin")]
    #[must_use]
    pub fn verify(mut self, fraction: f64) -> Self {
        self.cache.verify = crate::middleware::shadow::Verify::fraction(fraction);
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
