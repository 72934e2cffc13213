//! [`Heard`]: what a keeper hears.

use crate::memo::flights::clock::Arrivals;
use crate::memo::outcome::Outcome;

/// What the promise has become, or whether to ask again.
pub(super) enum Heard<V> {
    Landed(Outcome<V>, Arrivals),
    Again,
    /// Nothing that changes anything.
    Nothing,
    /// The lock was given back or taken away.
    Freed,
    /// So many attempts in a row came to nothing, and how the last did.
    Vain {
        attempts: u32,
        failed: bool,
    },
    /// Work was started for so many times in a row, and the promise is yet to be resolved.
    Deferred(u32),
}
