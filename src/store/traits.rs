//! [`Store`]: what the core asks of a store.

use std::future::{Future, Ready, ready};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::any::AnyStore;
use super::lock::{Acquire, Renewed};
use super::notice::{Release, Watch};
use super::stamp::{Generation, Stamp, Standing};
use super::token::Token;
use super::value::Value;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Label, Tag};

/// Keeps values and locks, and carries notices. See the [module](crate::store) for the contract.
///
/// A clone is another handle on the same store.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store",
    label = "not a `Store`",
    note = "a store is handed over by value, and its clones are handles on the same one: `store.clone()`"
)]
pub trait Store: Clone + Send + Sync + 'static {
    /// What [`watch`](Store::watch) returns. Dropping it ends the watch.
    type Watch: Watch;

    /// The value at `address`, if the store has it without waiting.
    ///
    /// A store in this process answers here, which saves a hit all costs of waiting. `now` is the present time, which a
    /// hit reads only once. `None` says nothing: the caller goes on to [`lookup`](Store::lookup). Defaults to `None`.
    ///
    /// The caller does not ask whether the value is current. So this must not return a value whose stamp is out of
    /// date, and must return a value that was softly invalidated by its stamp [as such](Value::softened).
    fn peek(&self, address: &Address, now: Instant) -> Option<Value> {
        let _ = (address, now);
        None
    }

    /// Whether [`peek`](Self::peek) ever returns anything. This must never change for a store. Where it is `false`, a
    /// hit saves the clock and the call. Defaults to `true`.
    fn can_peek(&self) -> bool {
        true
    }

    /// Whether a value that [`peek`](Self::peek) returns is a copy of one stored elsewhere. Defaults to `false`.
    fn is_near(&self) -> bool {
        false
    }

    /// The value at `address`, if there is one.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] where the store could not be asked. A value that cannot be read at all (of another type, say) is
    /// [`Value::unreadable`], not an error.
    fn lookup(&self, address: &Address) -> impl Future<Output = Result<Option<Value>, StoreError>> + Send;

    /// The [bytes](Value::bytes) of the value at `address` in this range: fewer where they end, none where there is no
    /// value. It is for a caller that can tell from the bytes themselves whether they are right.
    ///
    /// `None` says nothing: the caller goes on to [`lookup`](Store::lookup). Defaults to `None`, for a store to which a
    /// part costs as much as the whole.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] where the store could not be asked.
    fn part(
        &self,
        address: &Address,
        range: Range<usize>,
    ) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send {
        let _ = (address, range);
        ready(Ok(None))
    }

    /// Takes the lock if it is free, for `lease`, and reads the value, which another process may have stored meanwhile.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]. Whether the lock was taken may then be unknown, and the store may yet take it. So a caller
    /// [releases](Self::release) the token, and asks again with a new one.
    fn acquire(
        &self,
        address: &Address,
        token: Token,
        lease: Duration,
    ) -> impl Future<Output = Result<Acquire, StoreError>> + Send;

    /// Makes the lease last `lease` from now, if the lock is held with `token`.
    ///
    /// # Errors
    ///
    /// A [`StoreError`].
    fn renew(
        &self,
        address: &Address,
        token: Token,
        lease: Duration,
    ) -> impl Future<Output = Result<Renewed, StoreError>> + Send;

    /// Makes the lease last `lease` from now, like [`renew`](Self::renew), and tells all watchers that work on the
    /// value was started for the `starts`th time: another program is going to [`resolve`](Self::resolve) it. Returns
    /// `false`, and does nothing of this, where the lock is not held with `token`.
    ///
    /// Defaults to renewing without telling any watcher: each process then counts its own starts.
    ///
    /// # Errors
    ///
    /// A [`StoreError`].
    fn defer(
        &self,
        address: &Address,
        token: Token,
        lease: Duration,
        starts: u32,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = starts;
        async move { Ok(self.renew(address, token, lease).await?.is_held()) }
    }

    /// Stores `value` for `ttl` and tells all watchers, in one step, whether the lock is held or not. The lock is left
    /// alone. A `ttl` of zero stores nothing: only the watchers at that moment get the value.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]; by default [`StoreErrorKind::Unsupported`]. Whether the value was stored may otherwise be unknown.
    fn resolve(
        &self,
        address: &Address,
        value: &Value,
        ttl: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = (address, value, ttl);
        unsupported()
    }

    /// Stores `value` for `ttl`, gives the lock back and tells all watchers. Returns `false`, and does nothing of this,
    /// where the lock is not held with `token`. Where the value was softly invalidated [meanwhile](Renewed::Soft), does
    /// all of this, stores the value as softly invalidated, and returns `false`, too.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]. Whether the value was stored may then be unknown.
    fn commit(
        &self,
        address: &Address,
        token: Token,
        value: &Value,
        ttl: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives the lock back without a value and tells all watchers why. Returns `false`, and does nothing of this, where
    /// the lock is not held with `token`. Where the value was softly invalidated [meanwhile](Renewed::Soft) it returns
    /// `false`, too, and watchers are told [`Release::Abandoned`].
    ///
    /// # Errors
    ///
    /// A [`StoreError`].
    fn release(
        &self,
        address: &Address,
        token: Token,
        reason: Release,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Gives the lock back like [`Release::Pass`], and keeps `marker` for `ttl` in the place of the value, so that
    /// later callers need not wait to learn the same. Returns `false`, and does nothing of this, where the lock is not
    /// held with `token`.
    ///
    /// To a store, a marker is a value like any other, except that watchers are told [`Release::Pass`] rather than the
    /// value. Defaults to keeping none.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]. Whether the marker was stored may then be unknown.
    fn mark(
        &self,
        address: &Address,
        token: Token,
        marker: &Value,
        ttl: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (marker, ttl);
        self.release(address, token, Release::Pass)
    }

    /// The value that the holder of `token` shared and the store [kept](super::Notice::Kept) for the watchers, if it is
    /// still there. Defaults to none, for a store whose notices carry every shared value.
    ///
    /// # Errors
    ///
    /// A [`StoreError`].
    fn kept(&self, address: &Address, token: Token) -> impl Future<Output = Result<Option<Value>, StoreError>> + Send {
        let _ = (address, token);
        ready(Ok(None))
    }

    /// Removes the value if it is `marker`, byte for byte, without telling any watcher. Defaults to doing nothing, for
    /// a store that keeps no markers.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]. Whether the marker was removed may then be unknown.
    fn unmark(&self, address: &Address, marker: &Value) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = (address, marker);
        ready(Ok(()))
    }

    /// Removes the value and the lock, even if another process holds it, and tells all watchers.
    ///
    /// Once this has returned, no computation that started before can commit, and no later call returns the removed
    /// value.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]. Whether anything was removed may then be unknown.
    fn invalidate(&self, address: &Address) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes the value [softly invalidated](Value::soft_since), and also a value that is committed later under a lock
    /// that is held at this moment. Defaults to [`invalidate`](Self::invalidate): to a caller that is the same as a
    /// value that expires.
    ///
    /// Once this has returned, no later call returns a value from before as if it were fresh.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]. Whether anything was invalidated may then be unknown.
    fn soften(&self, address: &Address) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.invalidate(address)
    }

    /// The generation that everything under `tag` is in.
    ///
    /// A computation that starts after this has returned stamps its result with this generation.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]; by default [`StoreErrorKind::Unsupported`].
    fn generation(&self, tag: &Tag) -> impl Future<Output = Result<Generation, StoreError>> + Send {
        let _ = tag;
        unsupported()
    }

    /// Begins a new generation under `tag`, and invalidates nothing: a caller that asks for the generation after this
    /// has returned gets that one or a later one.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]; by default [`StoreErrorKind::Unsupported`].
    fn begin_generation(&self, tag: &Tag) -> impl Future<Output = Result<Generation, StoreError>> + Send {
        let _ = tag;
        unsupported()
    }

    /// What was invalidated under `tag` after the generation of `stamp`, as far as it concerns its labels.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]; by default [`StoreErrorKind::Unsupported`].
    fn standing(&self, tag: &Tag, stamp: &Stamp) -> impl Future<Output = Result<Standing, StoreError>> + Send {
        let _ = (tag, stamp);
        unsupported()
    }

    /// Begins a new generation under `tag`: once this has returned, no stamp with one of these labels and an earlier
    /// generation is current any more.
    ///
    /// # Errors
    ///
    /// A [`StoreError`]; by default [`StoreErrorKind::Unsupported`]. Whether anything was invalidated may otherwise be
    /// unknown.
    fn invalidate_labels(&self, tag: &Tag, labels: &[Label]) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = (tag, labels);
        unsupported()
    }

    /// Begins a new incarnation under `tag`: once this has returned, no stamp from before it is current any more.
    ///
    /// # Errors
    ///
    /// As [`invalidate_labels`](Self::invalidate_labels).
    fn invalidate_all(&self, tag: &Tag) -> impl Future<Output = Result<(), StoreError>> + Send {
        let _ = tag;
        unsupported()
    }

    /// Begins a new generation under `tag`: once this has returned, every stamp with one of these labels and an earlier
    /// generation is [`Standing::Soft`], unless it is out of date. Defaults to
    /// [`invalidate_labels`](Self::invalidate_labels).
    ///
    /// # Errors
    ///
    /// As [`invalidate_labels`](Self::invalidate_labels).
    fn soften_labels(&self, tag: &Tag, labels: &[Label]) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.invalidate_labels(tag, labels)
    }

    /// Begins a new generation under `tag`: once this has returned, every stamp of an earlier generation is
    /// [`Standing::Soft`], unless it is out of date. Defaults to [`invalidate_all`](Self::invalidate_all).
    ///
    /// # Errors
    ///
    /// As [`invalidate_all`](Self::invalidate_all).
    fn soften_all(&self, tag: &Tag) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.invalidate_all(tag)
    }

    /// Waits until the store has taken all invalidations that ended in a [`StoreErrorKind::Pending`] error, for as long
    /// as the end of a program may take. Returns how many it has not taken. Defaults to none, for a store that keeps
    /// none.
    fn settle(&self) -> impl Future<Output = usize> + Send {
        ready(0)
    }

    /// Starts to listen for notices about `address` that are published from here on. Returns at once; the first notice
    /// is [`Notice::Reread`](super::Notice::Reread), as soon as the watch misses no notice any more.
    fn watch(&self, address: &Address) -> Self::Watch;

    /// Changes whenever the store may have forgotten its locks: after a reconnect to a server that may have restarted,
    /// or to another one.
    ///
    /// If this has changed since before [`acquire`](Store::acquire), a lease that turns out lost was perhaps forgotten,
    /// and not taken away by another process. Defaults to 0, for a store that forgets nothing as long as it lives.
    fn epoch(&self) -> u64 {
        0
    }

    /// Whether the store takes a value for `address` at this moment, as far as it knows without asking. A layer only says
    /// in `Cache-Status` what this returns, and does nothing else with it. Defaults to `true`.
    fn accepts(&self, address: &Address) -> bool {
        let _ = address;
        true
    }

    /// The same store behind a pointer, as [`MemoLock`](crate::MemoLock) and the layers hold it.
    ///
    /// A crate with a store of its own may repeat the default implementation: the futures of the store are then
    /// compiled into that crate, and not into every program that uses it. Defaults to `AnyStore::new(self)`.
    fn into_any(self) -> AnyStore {
        AnyStore::new(self)
    }
}

fn unsupported<T>() -> Ready<Result<T, StoreError>> {
    ready(Err(StoreError::new(StoreErrorKind::Unsupported)))
}
