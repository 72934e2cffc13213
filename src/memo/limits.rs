//! What is bounded in the core, and what becomes of a caller at a bound.

use std::fmt;
use std::time::Duration;

use crate::key::MAX_ID_LEN;

/// What becomes of a caller that finds too much going on already.
///
/// Set with [`MemoLock::at_limit`](crate::MemoLock::at_limit) or
/// `MemoLockLayer::at_limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AtLimit {
    /// The caller computes for itself; a request goes straight to the inner service.
    #[default]
    Bypass,
    /// The caller of the core gets [`Error::AtLimit`](crate::Error::AtLimit). A request is answered 503 with
    /// `Retry-After`, a gRPC call with the status UNAVAILABLE.
    Refuse {
        /// When it may be worth asking again, rounded up to seconds in `Retry-After`. Of no effect in the core.
        retry_after: Duration,
    },
}

/// A bound on how much goes on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// On callers who wait for one key.
    Waiters,
    /// On keys in flight.
    InFlight,
    /// On the memory of recordings.
    Recording,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiters => "too many callers wait for this key",
            Self::InFlight => "too many keys are in flight",
            Self::Recording => "recordings hold too much memory",
        })
    }
}

/// The bounds that the core knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Callers who wait for one key.
    pub(crate) waiters: usize,
    /// Keys in flight.
    pub(crate) in_flight: usize,
    /// Computations that no client waits for.
    pub(crate) orphaned: usize,
    /// Bytes of a key.
    pub(crate) key: usize,
    pub(crate) at_limit: AtLimit,
}

impl Limits {
    pub(crate) const DEFAULT: Self = Self {
        waiters: 65_536,
        in_flight: 16_384,
        orphaned: 64,
        // No key that the crate makes is longer.
        key: 2 * MAX_ID_LEN,
        at_limit: AtLimit::Bypass,
    };

    /// None, for somebody who is there already.
    pub(crate) const NONE: Self = Self {
        waiters: usize::MAX,
        in_flight: usize::MAX,
        ..Self::DEFAULT
    };
}
