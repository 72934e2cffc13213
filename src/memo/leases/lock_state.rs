//! [`LockState`]: how sure a keeper is of the lock.

use crate::error::StoreErrorKind;

/// Whether the lock is ours while a waiter computes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockState {
    /// It is ours, since this epoch of the store.
    Held(u64),
    /// The store did not answer in time. If the lock was taken after all it must not outlast the computation. When it
    /// was taken is not known, so the result stays in this process.
    Unknown,
    /// The store cannot be asked: the result stays in this process.
    None,
}

impl LockState {
    pub(crate) fn is_held(self) -> bool {
        matches!(self, Self::Held(_))
    }
}

impl From<StoreErrorKind> for LockState {
    fn from(kind: StoreErrorKind) -> Self {
        match kind {
            // Nothing was sent.
            StoreErrorKind::Unavailable | StoreErrorKind::Config | StoreErrorKind::Unsupported => Self::None,
            StoreErrorKind::Timeout | StoreErrorKind::Rejected | StoreErrorKind::Encode | StoreErrorKind::Pending => {
                Self::Unknown
            }
        }
    }
}

/// Why a computation has no lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unleased {
    /// The store could not be asked, or refused.
    Store,
    /// Another program has a lock that does not end.
    Lock,
    /// The process is about to stop.
    Leaving,
}
