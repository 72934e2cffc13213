//! What is bounded in the core, and what becomes of a caller at a bound.

use std::fmt;
use std::time::Duration;

use crate::key::MAX_ID_LEN;

/// What becomes of a caller that finds too much going on already: as many callers that wait for its key, keys in flight,
/// or recordings as there may be.
///
/// Set with [`MemoLock::at_limit`](crate::MemoLock::at_limit) or
/// `MemoLockLayer::at_limit`. Which to choose depends on what the handler bears when the
/// most goes on at once, which is when a limit is reached:
///
/// | | choose it where | its price |
/// |---|---|---|
/// | [`Bypass`](Self::Bypass) | the handler bears all requests at once, or has a limit of its own, such as tower's `ConcurrencyLimit` beneath the layer | without such a limit, everything beyond the limit hits the handler at once |
/// | [`Queue`](Self::Queue) | the handler is what has to be protected, and clients can wait | each request that waits costs memory; some are refused after the wait timeout |
/// | [`Refuse`](Self::Refuse) | clients or a balancer retry elsewhere, and an answer at once is worth more than a late one | requests are refused that the handler could have answered |
///
/// The default is `Bypass`, because it never makes matters worse than they are without the layer: neither of the others
/// knows how many calls a handler bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AtLimit {
    /// The caller computes for itself; a request goes straight to the inner service.
    #[default]
    Bypass,
    /// The caller of the core gets [`ErrorKind::AtLimit`](crate::ErrorKind::AtLimit). A request is answered 503 with
    /// `Retry-After`, a gRPC call with the status UNAVAILABLE.
    Refuse {
        /// When it may be worth asking again, rounded up to seconds in `Retry-After`. Of no effect in the core.
        retry_after: Duration,
    },
    /// The caller waits for its turn to compute for itself, for as long as the wait timeout is. At most this many callers
    /// compute at a time that are beyond a limit; a request does so until its response has been read. With 0 none does.
    ///
    /// Callers have their turns in the order in which they came, under all keys together: the handler is what is
    /// protected, and a full table holds keys that no other caller asks for. A caller that leaves gives up its turn. A
    /// caller that needs no turn any more takes none: what others have computed of its key meanwhile is its answer, and
    /// where there is room below the limit again, it waits or leads like any other.
    ///
    /// A caller that has waited for too long, or finds 65,536 others in line, is refused as by
    /// [`Refuse`](Self::Refuse). A request may retry after the wait timeout, and within a minute.
    Queue(usize),
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

    /// None, for a caller that is there already.
    pub(crate) const NONE: Self = Self {
        waiters: usize::MAX,
        in_flight: usize::MAX,
        ..Self::DEFAULT
    };
}
