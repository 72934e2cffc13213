//! [`Lock`]: which process holds a lock, and [`Renewed`]: whether its holder still does.

use std::time::Duration;

use super::value::Value;
use crate::trace::TraceContext;

/// The answer to [`Store::acquire`](super::Store::acquire).
#[derive(Debug, Clone)]
pub struct Acquire {
    /// The process that holds the lock now.
    pub lock: Lock,
    /// The value, read in the same step or after it.
    pub value: Option<Value>,
    /// The trace of the computation of another process that holds the lock, if its token [names
    /// one](super::Token::trace_context) and the store need not ask once more.
    pub holder: Option<TraceContext>,
}

/// The process that holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// The caller.
    Granted,
    /// Another process.
    Held {
        /// What is left of the lease. `None` where the lock never expires, which no member of the family does on
        /// purpose.
        remaining: Option<Duration>,
    },
}

/// The answer to [`Store::renew`](super::Store::renew).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewed {
    /// The lease lasts longer.
    Held,
    /// The lease lasts longer. The value was [softly invalidated](super::Store::soften) since the lock was taken: a
    /// value that is committed now counts as softly invalidated, too.
    Soft,
    /// The lock is not held with the token of the caller.
    Lost,
}

impl Renewed {
    /// Whether the lock is held with the token of the caller.
    #[must_use]
    pub fn is_held(self) -> bool {
        self != Self::Lost
    }
}

impl From<bool> for Renewed {
    /// The answer of a store that has no soft invalidations.
    fn from(held: bool) -> Self {
        if held { Self::Held } else { Self::Lost }
    }
}
