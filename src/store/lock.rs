//! [`Lock`]: who holds a lock.

use std::time::Duration;

use super::value::Value;

/// The answer to [`Store::acquire`](super::Store::acquire).
#[derive(Debug, Clone)]
pub struct Acquire {
    /// Who holds the lock now.
    pub lock: Lock,
    /// The value, read in the same step or after it.
    pub value: Option<Value>,
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
