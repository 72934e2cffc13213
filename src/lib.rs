//! Distributed memoization with promises for tower: any number of identical requests, on any number of machines, cost
//! **one** call of the handler.
//!
//! One request leads and computes. The others, in this process and in every other that shares the store, wait for the
//! promise it has made, and all get the same response: status, header fields, body and trailers. Later ones get it
//! from the store.
//!
//! - [`MemoLockLayer`] does that for any tower `Service<Request<_>>`: axum, tonic, hyper.
//! - [`MemoLock`] does it for any async computation, without HTTP.
//! - [`MemoryStore`] keeps everything in this process; [`RedisStore`] makes all processes with the same Redis one
//!   cluster; [`Store`] is the trait for a store of your own.
//!
//! # The life of a request
//!
//! ```text
//! request ──> key ──> stored? ──yes──> replay                                    one GET
//!              │         │no
//!              │         v
//!              │      somebody here computes it already? ──yes──> wait with them  nothing
//!              │         │no
//!              │         v
//!              │      lock free? ──no──> listen for the promise ──> replay        SUBSCRIBE, then the message
//!              │         │yes
//!              │         v
//!              │      call the handler ──> stream to the client, record           SET NX, GET, PTTL
//!              │         │
//!              │         v
//!              │      whole? fenced? ──> store, unlock, publish                   one script
//!              v
//!           no key, or not one to share ──> the handler
//! ```
//!
//! # What is guaranteed
//!
//! 1. **One call.** With a healthy store, any number of concurrent requests for one key, on any number of nodes, make
//!    one call of the inner service.
//! 2. **Everybody is answered.** A lost message, a dead leader or a dead Redis costs time, at most what is left of the
//!    lease or the store's timeout, never the answer. Nobody polls.
//! 3. **Fenced.** A leader whose lease has ended, or whose key or tag was invalidated while it computed, stores nothing. Who
//!    comes after an invalidation has returned, on whichever node, gets nothing from before it.
//! 4. **Whole or nothing.** Only a complete response is stored or shared: a body that broke off, a panic and a body
//!    over the limit are not. With `stream_followers` those in the leader's process read along, and get the error.
//! 5. **Private stays private.** By default nothing is shared that one client may see and another may not. What is
//!    found in the store and does not verify counts as absent.
//! 6. **Trouble here is not the client's.** Without a store, requests still go to the inner service, still collapsed in
//!    the process. `type Error = S::Error`.
//!
//! # What is not
//!
//! This is an efficiency lock, not a mutex. A failover of Redis that loses the lock, an eviction, or a process that
//! stands still for longer than its lease can each cost a second call. Whoever needs *at most once* needs something
//! else. And a node that is cut off from Redis does not learn of an invalidation until it is back: its requests share what
//! is computed there meanwhile. The other way round, an invalidation that does not reach Redis holds on its node at once, and on
//! the others once Redis has taken it: see [`InvalidateError::Pending`].
//!
//! # Together with programs in other languages
//!
//! Nodes share values and promises with every program that speaks the wire of the memolock family: a promise is resolved by
//! `SET report:42 value PX 5000` and `PUBLISH report/notif:42 value`. [`docs::wire`] has all of it, with a worker and a
//! member in Python.
//!
//! # The core, without HTTP
//!
//! ```
//! # #[cfg(feature = "memory")] {
//! use tower_memolock::{MemoLock, MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let likes = MemoLock::new(MemoryStore::new(), "likes");
//! let count = likes
//!     .get_or_compute("kristoff", || async { Ok::<_, std::io::Error>("42".into()) })
//!     .await;
//! assert_eq!(count.unwrap(), "42");
//! # }
//! # main(); }
//! ```
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `axum` | yes | keys that know the URI as it was before axum's `Router::nest` took a prefix off |
//! | `http` | yes | [`MemoLockLayer`] and the module [`middleware`] |
//! | `memory` | yes | [`MemoryStore`] |
//! | `redis` | yes | [`RedisStore`] |
//! | `tls` | yes | `rediss://` URLs, with rustls and ring |
//! | `serde` | no | [`codec::Json`]: typed values for [`MemoLock`] |
//! | `metrics` | no | what [`Stats`] counts, through the `metrics` crate |
//!
//! Without any of them the crate is the core alone, with neither tower nor http nor redis.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod attached;
pub mod codec;
mod counter;
pub mod docs;
mod error;
mod key;
mod memo;
#[cfg(feature = "http")]
pub mod middleware;
#[cfg(feature = "http")]
mod random;
pub mod store;
mod throttle;

pub use self::codec::Codec;
pub use self::error::{BoxError, Error, RemoteError, StoreError, StoreErrorKind};
pub use self::key::{Address, Key, KeyBuilder, KeyError, Label, LabelError, MAX_ID_LEN, MAX_LABELS, MAX_TAG_LEN, Tag};
pub use self::memo::{AtLimit, Computed, InvalidateError, Lease, LeaseError, Limit, MemoLock, ResolveError, Stats};
#[cfg(feature = "http")]
pub use self::middleware::MemoLockLayer;
#[cfg(feature = "memory")]
pub use self::store::MemoryStore;
#[cfg(feature = "redis")]
pub use self::store::RedisStore;
pub use self::store::Store;

#[cfg(all(doctest, feature = "http", feature = "memory", feature = "redis"))]
#[doc = include_str!("../README.md")]
mod readme {}
