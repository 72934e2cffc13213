//! [`Lock`]: who holds a lock.

use std::time::Duration;

use super::value::Value;
use crate::trace::TraceContext;

/// The answer to [`Store::acquire`](super::Store::acquire).
#[derive(Debug, Clone)]
pub struct Acquire {
    /// Who holds the lock now.
    pub lock: Lock,
    /// The value, read in the same step or after it.
    pub value: Option<Value>,
    /// Who computes where another process holds the lock, if its token [says so](super::Token::trace_context) and that is
    /// known without asking once more.
    pub holder: Option<TraceContext>,
}

/// Who holds a lock.
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
