//! What a simulation decides in place of the system: random numbers, the time of day, which tasks there are, and what a
//! Redis server answers.
//!
//! A simulation runs many nodes in one thread, and the same from the same seed. Each task belongs to the [`World`] of its
//! node, and so does each task that it starts. `tests/sim` is one. No promise is made of any of this.
//!
//! It is here too that faults are [planted](Planted), which shows that a check of the simulation finds them. Without the
//! feature `test-util` nothing of this is in the program.

/// A fault that a [`World`] may have, each in one place of the crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(not(feature = "test-util"), allow(unreachable_pub))]
pub enum Planted {
    /// All leaders have the same token.
    TokenShared,
    /// A result that the store refused goes to the waiters.
    RefusedLanded,
    /// A committed result goes to waiters that came after the commit was sent.
    CommitForAll,
    /// Callers join a computation from before an invalidation by their own process.
    NotDetached,
    /// No lease is renewed.
    NotRenewed,
    /// Nothing is read again once a watch is in effect.
    NotReread,
    /// A follower does not ask again at the end of the lease.
    WaitsForever,
    /// No lock is given back.
    NotReleased,
    /// The value in a message goes to waiters that came after the message may have been published.
    OldMessage,
    /// A result goes to all waiters although the store of its lease was lost.
    NotVouched,
    /// A value whose tag was invalidated counts as current.
    Outdated,
    /// A stored response need not be that of the key.
    KeyUnchecked,
    /// Fields that are to be part of the key are left out of it.
    KeyWithoutFields,
    /// A body that broke off counts as whole.
    Truncated,
    /// A watch is not ended.
    WatchLeft,
    /// A waiter is counted for ever.
    WaiterLeft,
    /// A value that was softly invalidated counts as fresh.
    SoftAsFresh,
    /// A receipt counts as met.
    ReceiptIgnored,
    /// A caller that wants a value computed now gets the stored one.
    NotAnew,
    /// On a connection to Redis, the place of a caller that has left is taken by the next one.
    #[cfg(feature = "redis")]
    PlaceGivenUp,
    /// A connection to Redis on which no answer has come stays in use.
    #[cfg(feature = "redis")]
    NotReplaced,
    /// A near copy is served without a lease.
    #[cfg(feature = "redis")]
    NearUnleased,
    /// A lease begins with a question, before the answer has come.
    #[cfg(feature = "redis")]
    NearUnanswered,
    /// An answer is kept although a change of its key was heard meanwhile.
    #[cfg(feature = "redis")]
    NearUnplaced,
    /// An invalidation waits for no process with near copies.
    #[cfg(feature = "redis")]
    NearUnsettled,
    /// A notice is acknowledged and not heeded.
    #[cfg(feature = "redis")]
    NearUnheeded,
    /// A process serves near copies of values that it has itself invalidated, until it is told of the invalidation, and
    /// does not wait for that.
    #[cfg(feature = "redis")]
    NearOwnKept,
    /// Near copies outlast the connection that told of changes.
    #[cfg(feature = "redis")]
    NearOutlasting,
    /// Near copies outlast everything that there is in Redis.
    #[cfg(feature = "redis")]
    NearUnflushed,
}

#[cfg(feature = "test-util")]
mod world;
#[cfg(feature = "test-util")]
pub use self::world::{InWorld, World, within};
#[cfg(feature = "test-util")]
pub(crate) use self::world::{here, started};

/// Whether the world of this task has that fault.
#[cfg(feature = "test-util")]
pub(crate) fn planted(fault: Planted) -> bool {
    here().is_some_and(|world| world.has(fault))
}

/// No.
#[cfg(not(feature = "test-util"))]
pub(crate) const fn planted(_: Planted) -> bool {
    false
}
