//! [`Watch`]: where a watcher hears from a store. [`Notice`]: what it hears. [`Release`]: why a lock was given back.

pub(crate) mod payload;

use std::future::Future;

use bytes::Bytes;

use super::{PartId, Token, Value};
use crate::error::RemoteError;

/// Why a lock is given back without a stored value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Release {
    /// The holder gives the lock back for no fault of the computation. One follower takes over.
    Abandoned,
    /// The computation failed: an error, a panic, a truncated result, or a failure that is not known to be one for all.
    /// One follower takes over, unless there were too many attempts in a row.
    Broken {
        /// How many attempts came to nothing in a row, this one included.
        failures: u32,
    },
    /// The result belongs to the request that computed it, and says nothing of the results that others would get. One
    /// follower takes over, unless there were too many attempts in a row.
    Declined {
        /// How many attempts came to nothing in a row, this one included.
        attempts: u32,
    },
    /// The computation failed, and a stale value that is stored may stand in for its result.
    Stale,
    /// There is a result, but not one to share. All followers go their own way, in parallel.
    Pass,
    /// There is a result for the watchers at this moment, and for no later caller. A store may tell watchers that it
    /// was [stored](Notice::Stored).
    Shared(Value),
    /// The computation failed.
    Failed(RemoteError),
}

/// What a watcher hears.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// The watch is in effect, or is again: read the value and the lock anew. Notices from before may be lost.
    Reread,
    /// A value was stored.
    Stored(Value),
    /// A value may have been stored: read it. If there is none, this notice says nothing.
    Announced,
    /// The holder gave the lock back without storing a value.
    Released(Release),
    /// The holder, which had this token, gave the lock back and [shared](Release::Shared) a result that no notice can
    /// carry. The watchers at this moment may [read it](super::Store::kept) for a few seconds.
    Kept(Token),
    /// The holder had work on the value started, and another program is going to [`resolve`](super::Store::resolve) it.
    Deferred {
        /// How many times in a row, this one included.
        starts: u32,
    },
    /// More of a value that is still being made is there: these bytes from that place on, or bytes that can be read.
    Part(PartId, u64, Option<Bytes>),
    /// Another process wants the value that the holder of this token makes, as far as it has come.
    Asked(Token),
    /// The address was invalidated.
    Invalidated,
}

/// The receiving end of [`Store::watch`](super::Store::watch).
pub trait Watch: Send + 'static {
    /// The next notice. Cancel safe: a call that is dropped loses no notice.
    fn next(&mut self) -> impl Future<Output = Notice> + Send;
}
