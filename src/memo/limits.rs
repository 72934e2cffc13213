//! What is bounded in the core, and what becomes of a caller at a bound.

use std::fmt;
use std::time::Duration;

/// What becomes of a caller at a limit: as many callers wait for its key, as many keys are in flight, or recordings
/// hold as much memory as may be.
///
/// Set with [`Limits::at_limit`]. A limit is reached when the most goes on at once. So the choice depends on what the
/// handler bears at such a time:
///
/// | | choose it where | its price |
/// |---|---|---|
/// | [`Bypass`](Self::Bypass) | the handler bears all requests at once, or has a limit of its own, such as tower's `ConcurrencyLimit` beneath the layer | without such a limit, everything beyond the limit hits the handler at once |
/// | [`Queue`](Self::Queue) | the handler is what has to be protected, and clients can wait | each request that waits costs memory; some are refused after the wait timeout |
/// | [`Refuse`](Self::Refuse) | clients or a balancer retry elsewhere, and an answer at once is worth more than a late one | requests are refused that the handler could have answered |
///
/// The default is `Bypass`, because with it matters are never worse than without the layer. The layer does not know how
/// many calls a handler bears.
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
    /// The caller waits for its turn to compute for itself, at most for the wait timeout. At most this many callers
    /// beyond a limit compute at a time; a request computes until its response has been read. With 0 no caller does.
    ///
    /// Callers have their turns in the order in which they came, for all keys together, because it is the handler that
    /// is protected. A caller that leaves gives up its turn. A caller that needs no turn any more takes none: if others
    /// have computed its key meanwhile that value is its answer, and if there is room below the limit again the caller
    /// waits or leads like any other.
    ///
    /// A caller that has waited for too long, or finds 65,536 others in line, is refused as by
    /// [`Refuse`](Self::Refuse). A request may retry after the wait timeout, and within a minute.
    Queue(usize),
}

/// A bound on how much goes on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// On callers that wait for one key.
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

/// How much may go on at once, and for how long, for [`MemoLock::limits`](crate::MemoLock::limits) and
/// `MemoLockLayer::limits`. The *calls* below are computations of the core, and calls of the inner service under a layer;
/// the *callers* are requests there.
///
/// ```
/// # #[cfg(feature = "memory")] {
/// use std::time::Duration;
///
/// use tower_memolock::{AtLimit, Limits, MemoLock, MemoryStore};
///
/// let limits = Limits::new()
///     .max_waiters(1_000)
///     .at_limit(AtLimit::Refuse { retry_after: Duration::from_secs(1) });
/// let memo = MemoLock::new(MemoryStore::new(), "report").limits(limits);
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct Limits {
    pub(crate) max_waiters: Option<usize>,
    pub(crate) max_in_flight: Option<usize>,
    pub(crate) max_orphaned: Option<usize>,
    pub(crate) max_computation: Option<Duration>,
    pub(crate) max_attempts: Option<u32>,
    pub(crate) at_limit: Option<AtLimit>,
}

impl Limits {
    /// Sets nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many callers may wait for one key in this process. One caller more is at a limit. Defaults to 65,536.
    pub fn max_waiters(mut self, callers: usize) -> Self {
        self.max_waiters = Some(callers);
        self
    }

    /// How many keys may be in flight in this process, each with any number of callers. A caller that asks for one more
    /// key is at a limit. Defaults to 16,384.
    pub fn max_in_flight(mut self, keys: usize) -> Self {
        self.max_in_flight = Some(keys);
        self
    }

    /// How many calls may go on in this process while no caller waits for them. A caller that leaves stops nothing,
    /// because the next one may want the result. Where there are more such calls than this, the oldest is cancelled:
    /// its future, or the body that is recorded, is dropped, and its lock given back. Defaults to 64.
    pub fn max_orphaned(mut self, calls: usize) -> Self {
        self.max_orphaned = Some(calls);
        self
    }

    /// How long a call goes on for its followers; under a layer that is from its beginning to the end of its body.
    /// After that its lock is given back, and a follower takes over, here or elsewhere. The call goes on for the caller
    /// that leads, if that still waits; otherwise it is cancelled. Defaults to 10 minutes. A computation that has
    /// [taken its lease](crate::Lease::take) has no such bound.
    pub fn max_computation(mut self, time: Duration) -> Self {
        self.max_computation = Some(time);
        self
    }

    /// How many times in a row a promise that another program is to resolve has its work started: by
    /// [`MemoLock::get_or_request`](crate::MemoLock::get_or_request), or by a handler under `MemoLockLayer::may_defer`.
    /// After that all waiters only wait. Each process counts the starts that it made and those that it heard of, and
    /// counts anew once the last start is as long ago as the wait timeout. Defaults to 3; 0 counts as 1.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// What becomes of callers at a limit. Defaults to [`AtLimit::Bypass`]: they compute for themselves, and requests
    /// go to the inner service. See [`AtLimit`] for which to choose.
    ///
    /// Clones of the handle or layer that are made after this share the turns of [`AtLimit::Queue`], for all keys.
    pub fn at_limit(mut self, at_limit: AtLimit) -> Self {
        self.at_limit = Some(at_limit);
        self
    }
}

/// The bounds on a flight, with what becomes of a caller at one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Callers that wait for one key.
    pub(crate) waiters: usize,
    /// Keys in flight.
    pub(crate) in_flight: usize,
    /// Computations that no client waits for.
    pub(crate) orphaned: usize,
    pub(crate) at_limit: AtLimit,
}

impl Bounds {
    pub(crate) const DEFAULT: Self = Self {
        waiters: 65_536,
        in_flight: 16_384,
        orphaned: 64,
        at_limit: AtLimit::Bypass,
    };
}
