//! [`Found`]: a value from the store, and what its codec does not know of it.

use std::time::SystemTime;

/// A value that was found, fresh or stale as its codec says.
#[derive(Debug, Clone)]
pub(crate) struct Found<V> {
    pub(crate) value: V,
    /// Since when it is softly invalidated, if it is.
    pub(crate) soft_since: Option<SystemTime>,
    /// The number of the generation in which its computation began, if that is known.
    pub(crate) began: Option<u64>,
}
