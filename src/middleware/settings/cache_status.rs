//! [`CacheStatus`]: what responses say of the layer.

/// What responses say in `Cache-Status` (RFC 9211), for
/// [`MemoLockLayer::cache_status`](crate::MemoLockLayer::cache_status).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CacheStatus {
    /// Nothing. The other variants help operators of the layer and attackers who probe it (section 6), and are the one
    /// allocation of a hit in memory.
    #[default]
    Silent,
    /// What the layer did, and why: `memolock; hit; ttl=30`, or `memolock; fwd=uri-miss; stored; detail=absent`. What each
    /// `detail` means is in [the guide](crate::docs::guide::why_not_cached).
    Outcome,
    /// The same, and the key, up to 256 characters of it, where a request has one: `memolock; hit; ttl=30; key="{GET
    /// http://example.com/}"`. It tells an attacker which parts of a request are not in the keys of the cache, and
    /// every client which parts are (section 6).
    OutcomeAndKey,
}
