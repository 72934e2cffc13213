//! What a running layer tells, and how it ends.

use std::time::Duration;

use super::MemoLockLayer;
use crate::memo::Stats;

/// # Operating
///
/// What a running layer tells, and how it ends.
impl<K> MemoLockLayer<K> {
    /// Whether responses say in `Cache-Status` (RFC 9211) what the layer did: `memolock; hit; ttl=30`, or `memolock;
    /// fwd=uri-miss; stored`. Defaults to `false`: it helps those who run the layer and those who probe it (section 6),
    /// and is the one allocation of a hit in memory. It does not tell the key.
    #[must_use]
    pub fn cache_status(mut self, tell: bool) -> Self {
        self.settings.cache_status = tell;
        self
    }

    /// Whether `Cache-Status` says the key as well, up to 256 characters of it, where a request has one: `memolock;
    /// hit; ttl=30; key="{GET http://example.com/}"`. Defaults to `false`: it tells an attacker what is not in the keys
    /// of the cache, and every client what is (RFC 9211, section 6). Says nothing unless
    /// [`cache_status`](Self::cache_status) is on.
    #[must_use]
    pub fn cache_status_key(mut self, tell: bool) -> Self {
        self.settings.cache_status_key = tell;
        self
    }

    /// What this layer, its clones and their services have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.settings.memo.stats()
    }

    /// Lets what is computed finish within `grace`, and then gives back the leases that are left.
    ///
    /// Call it as soon as the program is asked to stop, while its server finishes the requests under way: not after
    /// that, and not before it. See [`MemoLock::shutdown_within`](crate::MemoLock::shutdown_within).
    pub async fn shutdown_within(&self, grace: Duration) {
        self.settings.memo.shutdown_within(grace).await;
    }

    /// Gives every lease back at once, so that a request that waits on another machine takes over. What is computed
    /// here answers those who wait here and is not stored. See [`MemoLock::shutdown`](crate::MemoLock::shutdown).
    pub async fn shutdown(&self) {
        self.settings.memo.shutdown().await;
    }

    /// Resolves once no computation is under way in this process and all responses have reached the store.
    ///
    /// For the end of a program, once it takes no more requests; see [`MemoLock::drained`](crate::MemoLock::drained).
    pub async fn drained(&self) {
        self.settings.memo.drained().await;
    }
}
