//! Identical requests, on any number of machines, cost **one** call of the handler.
//!
//! One request *leads* and computes. The others, in this process and in every other that shares the store, *follow*: they
//! wait for the promise that the leader has made, and all get the same response, with its status, header fields, body and
//! trailers. Later requests get it from the store.
//!
//! ```
//! # #[cfg(all(feature = "http", feature = "memory"))] {
//! use std::time::Duration;
//!
//! use axum::{Router, extract::Path, routing::get};
//! use tower_memolock::{MemoLockLayer, MemoryStore};
//!
//! async fn report(Path(id): Path<u32>) -> String {
//!     format!("report {id}") // two seconds of hard work
//! }
//!
//! // `RedisStore::connect("redis://127.0.0.1/").await?` instead, and all processes share.
//! let store = MemoryStore::new();
//! let layer = MemoLockLayer::new(store, "report").ttl(Duration::from_secs(30));
//! let app: Router = Router::new().route("/report/{id}", get(report)).layer(layer);
//! # let _ = app;
//! # }
//! ```
//!
//! The core knows nothing of HTTP, and memoizes any async computation:
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
//! - [`MemoLockLayer`] is the layer, for any tower `Service<Request<_>>`: axum, tonic, hyper, servers and clients.
//! - [`MemoLock`] is the core.
//! - [`MemoryStore`] keeps everything in this process; [`RedisStore`] makes all processes with the same Redis one
//!   cluster; [`Store`] is the trait for a store of your own.
//!
//! **A key has to cover everything that the response depends on.** By default it covers the method and the whole target:
//! see [`MemoLockLayer::key`].
//!
//! # The guide
//!
#![cfg_attr(
    all(feature = "http", feature = "memory", feature = "redis"),
    doc = include_str!("docs/guide/pages.md")
)]
//!
//! [`docs::wire`] is the contract with programs in other languages: nodes share values and promises with each program that
//! speaks the wire of the memolock family.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | key | what makes two requests, or two calls, the same: [`Key`]. The *id* is its text |
//! | tag | the kind of resource, and the first part of every name in the store: [`Tag`]. Layers that share different responses have different tags |
//! | address | tag and key together: where one value stands in a store ([`Address`]) |
//! | label | a tag *of a value*, by which many values are invalidated at once: [`Label`]. [`invalidate_tags`](MemoLock::invalidate_tags) takes them |
//! | leader | the request or caller that computes for all that ask for the same key |
//! | follower | a request or caller that waits for a leader, in the same process or another |
//! | lease | how long a leader holds the lock of its address unless it renews it; after that a follower takes over |
//! | token | the random name of one leader in the lock. It *fences*: a leader whose token is gone can store nothing |
//! | flight | all that goes on for one address in one process: its leader, if it is here, and its followers |
//! | promise | that there will be a value at an address, made by taking the lock; *resolved* by storing and publishing the value |
//! | marker | what a response that is not to be shared leaves in the store, so that later requests do not wait in vain |
//! | generation | a point in the order of invalidations. A value that carries one is out of date if one of its labels was invalidated later |
//!
//! # The life of a request
//!
//! ```text
//! request ──> key ──> stored? ──yes──> replay                                    one GET
//!              │         │no
//!              │         v
//!              │      computed in this process already? ──yes──> wait             nothing
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
//! 2. **Every request is answered.** A lost message, a dead leader or a dead Redis costs time, at most what is left of the
//!    lease or the store's timeout, never the answer. No request polls.
//! 3. **Fenced.** A leader whose lease has ended, or whose key or tag was invalidated while it computed, stores nothing. A
//!    request that comes after an invalidation has returned, on any node, gets nothing from before it.
//! 4. **Whole or nothing.** Only a complete response is stored or shared. A body that broke off, a panic and a body over
//!    the limit are not. With `stream_followers`, followers read along, and get the error.
//! 5. **Private stays private.** By default no response is shared that one client may see and another may not. A stored
//!    value that does not verify counts as absent.
//! 6. **Cancellation is local.** A client that leaves takes no other client with it.
//! 7. **Trouble here is not the client's.** Without a store, requests still go to the inner service, still collapsed in
//!    the process. `type Error = S::Error`.
//!
//! # What is not
//!
//! This is an efficiency lock, not a mutex. A failover of Redis that loses the lock, an eviction, or a process that
//! stands still for longer than its lease can each cost a second call. If you need *at most once*, use a database.
//!
//! A node that is cut off from Redis does not learn of an invalidation until it is connected again: meanwhile its
//! requests share results that are computed on that node. The other way round, an invalidation that does not reach
//! Redis holds on its own node at once, and on the others once Redis has taken it: see [`InvalidateError::Pending`].
//!
//! # Features
//!
//! | feature | default | what it brings |
//! |---|---|---|
//! | `axum` | yes | keys that know the URI as it was before axum's `Router::nest` took a prefix off |
//! | `http` | yes | [`MemoLockLayer`] and the module [`middleware`] |
//! | `memory` | yes | [`MemoryStore`] |
//! | `redis` | yes | [`RedisStore`] |
//! | `tls` | no | `rediss://` URLs, with rustls and ring |
//! | `serde` | no | [`codec::Json`]: typed values for [`MemoLock`] |
//! | `admin` | no | [`Admin`]: a service with figures, a page, and invalidation for operators; shadow mode |
//! | `metrics` | no | what [`Stats`] counts, through the `metrics` crate |
//!
//! Without any of them the crate is the core alone, with neither tower nor http nor redis.
// Where a feature is off, links to its items lead to the documentation with all features.
#![cfg_attr(
    not(feature = "http"),
    doc = "",
    doc = "[`MemoLockLayer`]: https://docs.rs/tower-memolock/latest/tower_memolock/struct.MemoLockLayer.html",
    doc = "[`MemoLockLayer::key`]: https://docs.rs/tower-memolock/latest/tower_memolock/struct.MemoLockLayer.html#method.key",
    doc = "[`middleware`]: https://docs.rs/tower-memolock/latest/tower_memolock/middleware/index.html"
)]
#![cfg_attr(
    not(feature = "memory"),
    doc = "",
    doc = "[`MemoryStore`]: https://docs.rs/tower-memolock/latest/tower_memolock/struct.MemoryStore.html"
)]
#![cfg_attr(
    not(feature = "redis"),
    doc = "",
    doc = "[`RedisStore`]: https://docs.rs/tower-memolock/latest/tower_memolock/struct.RedisStore.html"
)]
#![cfg_attr(
    not(all(feature = "http", feature = "redis")),
    doc = "",
    doc = "[`docs::wire`]: https://docs.rs/tower-memolock/latest/tower_memolock/docs/wire/index.html"
)]
#![cfg_attr(
    not(feature = "serde"),
    doc = "",
    doc = "[`codec::Json`]: https://docs.rs/tower-memolock/latest/tower_memolock/codec/struct.Json.html"
)]
#![cfg_attr(
    not(feature = "admin"),
    doc = "",
    doc = "[`Admin`]: https://docs.rs/tower-memolock/latest/tower_memolock/admin/struct.Admin.html"
)]
#![cfg_attr(docsrs, feature(doc_cfg))]
// The layer uses more of the core and the stores than callers do.
#![cfg_attr(not(feature = "http"), allow(dead_code, unused_imports))]

#[cfg(feature = "admin")]
pub mod admin;
mod attached;
pub mod codec;
mod counter;
mod crowd;
pub mod docs;
mod error;
mod key;
mod memo;
#[cfg(feature = "http")]
pub mod middleware;
#[cfg(any(feature = "http", feature = "redis"))]
mod random;
#[cfg(not(feature = "test-util"))]
mod simulation;
#[cfg(feature = "test-util")]
#[doc(hidden)]
pub mod simulation;
pub mod store;
mod system;
mod task;
mod throttle;
mod trace;

#[cfg(feature = "admin")]
#[doc(inline)]
pub use self::admin::Admin;
#[doc(inline)]
pub use self::codec::Codec;
pub use self::error::{BoxError, Error, ErrorKind, RemoteError, StoreError, StoreErrorKind};
pub use self::key::{Address, Key, KeyBuilder, KeyError, Label, LabelError, MAX_ID_LEN, MAX_LABELS, MAX_TAG_LEN, Tag};
pub use self::memo::{
    AtLimit, InvalidateError, Invalidation, Lease, LeaseError, Limit, Limits, MemoLock, ParseReceiptError, Receipt,
    ResolveError, Stats, Warmed,
};
#[cfg(feature = "http")]
#[doc(inline)]
pub use self::middleware::MemoLockLayer;
#[cfg(feature = "memory")]
#[doc(inline)]
pub use self::store::MemoryStore;
#[cfg(feature = "redis")]
#[doc(inline)]
pub use self::store::RedisStore;
#[doc(inline)]
pub use self::store::{AnyStore, Store};
pub use self::trace::{TraceBridge, TraceContext, set_trace_bridge};

#[cfg(all(doctest, feature = "http", feature = "memory", feature = "redis"))]
#[doc = include_str!("../README.md")]
mod readme {}
