//! Stores: the [`Store`] trait and the stores that come with the crate.
//!
//! # The contract
//!
//! For every [`Address`](crate::Address) a store keeps at most one *value* and at most one *lock*. Both expire. The lock names the
//! token of its holder. A store also carries *notices* about the address to every watcher. Several processes may use
//! one store, and any of them may call any method at any time.
//!
//! 1. **Atomic steps.** [`acquire`](Store::acquire), [`renew`](Store::renew), [`defer`](Store::defer),
//!    [`commit`](Store::commit), [`mark`](Store::mark) and [`release`](Store::release) each test the lock and act in one
//!    step that nothing can come between.
//! 2. **Fenced.** `renew`, `defer`, `commit`, `mark` and `release` act only while the lock holds the caller's token. A lease
//!    that ran out, or that [`invalidate`](Store::invalidate) took away, changes nothing any more.
//! 3. **Acquire is idempotent.** Asked again with the token that holds the lock already, the answer is
//!    [`Lock::Granted`], and the lease starts anew.
//! 4. **Notices are hints.** A watcher may miss any of them. It must hear [`Notice::Reread`] once its watch is in
//!    effect, and after every interruption; it then reads what it missed. It hears no notice that was published before
//!    [`watch`](Store::watch) was called, however long the notice was on its way: such a notice may be older than an
//!    invalidation that the watcher knows of. Notices arrive in the same order on every watch of an address, and a new
//!    watch begins at a point of this order that the older ones have reached.
//! 5. **Values are opaque.** A store returns the committed value, whole and with its [`Stamp`], or nothing. A store
//!    that keeps the bytes of [`Value::bytes`], and returns [`Value::encoded`], does that.
//! 6. **Bounded.** Every method ends within a time that the store promises, with an error if need be.
//! 7. **Generations.** Everything under a tag is in a [`Generation`], and every invalidation by a
//!    [`Label`](crate::Label) begins a new one. A stamp [is current](Store::standing) unless one of its labels, or
//!    [everything](Store::invalidate_all), was invalidated after its generation. A store may forget which labels were
//!    invalidated. From then on it counts every stamp as out of date that may be. A store that keeps no generations
//!    leaves these methods out, and no value with tags is stored in it.
//! 8. **Promises from outside.** [`resolve`](Store::resolve) stores a value and tells all watchers, whether the lock is
//!    held or not, and leaves the lock alone. Other programs that know the store may do the same.
//!
//! # A store of your own
//!
//! Implement the trait; `examples/custom_store.rs` is a complete one, without generations. Notices go to other processes as
//! [text](Notice::to_payload). The suite that runs on every
//! store of this crate is the module `contract`, with the feature `test-util`.

mod any;
mod compression;
#[cfg(feature = "test-util")]
pub mod contract;
mod envelope;
mod lock;
#[cfg(feature = "memory")]
mod memory;
mod notice;
#[cfg_attr(
    not(feature = "redis"),
    expect(dead_code, reason = "no other store carries what is under way")
)]
pub(crate) mod parts;
#[cfg(feature = "redis")]
mod redis;
mod stamp;
mod token;
mod traits;
mod value;

pub use self::any::{AnyStore, AnyWatch};
pub(crate) use self::envelope::sealed;
pub use self::lock::{Acquire, Lock, Renewed};
#[cfg(feature = "memory")]
pub use self::memory::{MemoryStore, MemoryWatch};
pub use self::notice::{Notice, Release, Watch};
pub use self::parts::PartId;
#[cfg(all(fuzzing, feature = "redis"))]
#[doc(hidden)]
pub use self::redis::fuzzing;
#[cfg(feature = "redis")]
pub use self::redis::{NearStats, PlaneStats, RedisStats, RedisStore, RedisStoreBuilder, RedisWatch};
pub(crate) use self::stamp::Purge;
pub use self::stamp::{Generation, Stamp, Standing};
pub use self::token::{ParseTokenError, Token};
pub use self::traits::Store;
pub(crate) use self::value::Peeked;
pub use self::value::Value;

/// The store as a carrier of values under way to other processes, if it is one.
pub(crate) fn parts_of(store: &AnyStore) -> Option<&dyn parts::Parts> {
    #[cfg(feature = "redis")]
    {
        store
            .downcast_ref::<RedisStore>()
            .map(|parts| parts as &dyn parts::Parts)
    }
    #[cfg(not(feature = "redis"))]
    {
        let _ = store;
        None
    }
}
