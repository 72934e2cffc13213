//! The protocol, and each way in which it can be broken.

/// The protocol, or one that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Sound,
    /// Commit does not test the lock.
    CommitUnfenced,
    /// A leader whose commit was refused answers the waiters all the same.
    RefusalIgnored,
    /// Acquire takes the lock whichever process holds it.
    AcquireWithoutNx,
    /// Invalidate removes the value alone.
    InvalidateKeepsLock,
    /// The confirmed subscription is no reason to read again.
    NoReread,
    /// Waiters wait for notices alone.
    NoLeaseEnd,
    /// Acquire takes the lock for ever.
    AcquireWithoutPx,
    /// Notices overtake each other.
    Unordered,
    /// A flight lands for all with what the store said, whenever they joined.
    LateLanded,
    /// A flight lands for all with a message, whenever they joined.
    MessageToLate,
    /// A watch hears what is on its way when it begins.
    HearsBeforeBarrier,
    /// A leader that does not know whether, and when, it got the lock commits all the same.
    CommitUnknown,
}
