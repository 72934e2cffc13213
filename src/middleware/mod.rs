//! The tower layer: [`MemoLockLayer`].
//!
//! Each line uses what stands above it, and nothing below:
//!
//! ```text
//! frames, grpc/        frames of bodies, messages and deadlines of gRPC
//! inner                a request on its way to the inner service, whatever the types of both
//! policy/              what may be shared, stored and replayed. Pure
//! settings/            the values that a layer takes its settings from
//! key_extractor/       request -> key
//! recording/           a body that comes: the leader's client, the store and followers read it
//! stored_response/     what is stored, and its forms
//! known/               what a process remembers: markers, pauses, credentials, variants, demand
//! shadow/              what would be, of a layer that does nothing
//! respond/             what a client gets: bodies, replays, refusals
//! cache                one layer's core, rules and memory
//! lookup               address -> stored response
//! lead/                call the inner service, judge what it answers, settle it with the core
//! serve/               hit, miss, range, unsafe request, refresh
//! service, layer/      what tower sees; between them handle, what a program does with a running layer
//! ```
//!
//! # One request, one walk
//!
//! ```text
//! A hit in memory:
//!   middleware/service.rs                  what the request is, and what it gets
//!   middleware/policy/request.rs           may it have a stored response?
//!   middleware/key_extractor/uri_key.rs    its key
//!   middleware/cache.rs                    the fields that the layer adds to the key
//!   middleware/serve/hit.rs                is it an answer, or so old that this request computes it anew early?
//!   middleware/lookup.rs                   the address of its variant, and what is there
//!   store/any.rs
//!   store/memory.rs
//!   middleware/stored_response/response/age.rs is it fresh?
//!   middleware/respond/replay.rs           the response: age, conditions, ranges
//!   middleware/respond/body.rs
//!   middleware/respond/future.rs
//!
//! A miss that leads and commits, from there on:
//!   middleware/serve/answer.rs             markers, pauses, stale responses; then a miss
//!   memo/turn.rs                           join, or wait in line at a limit
//!   memo/lookup.rs                         look it up, together with others
//!   memo/join.rs                           else join the flight of the address
//!   memo/flights/table.rs
//!   memo/flights/waiter.rs                 wait for the flight, or for its lead
//!   memo/flights/flight.rs                 what the task behind the flight does with it
//!   memo/flights/state.rs                  the waiters of one address, and which one leads
//!   memo/coordinator.rs                    the task behind the flight
//!   memo/coordinator/acquire.rs            ask the store for value and lock at once
//!   store/redis/store/operations.rs
//!   store/redis/topology/link.rs           the server that has the key
//!   memo/coordinator/lead.rs               offer the lead to the waiters
//!   memo/permit.rs                         what the leader holds
//!   middleware/lead/begin.rs               what leads with the request
//!   middleware/lead/task.rs                call the inner service
//!   middleware/lead/admission.rs           may the response be shared, as its head is there?
//!   middleware/policy/response.rs
//!   middleware/policy/freshness.rs         and for how long?
//!   middleware/recording/recorder.rs       record its body while the client reads
//!   middleware/lead/record.rs              may it still be shared, as its end is there?
//!   middleware/stored_response/draft.rs    what is stored
//!   memo/outcome.rs
//!   memo/coordinator/renew.rs              the lease, meanwhile
//!   memo/coordinator/commit.rs             store it, if the lease is still held, and tell the others
//!
//! A follower waits at memo/flights/waiter.rs, or, in another process, at:
//!   memo/coordinator/hear.rs               what became of the promise
//!   memo/coordinator/watch.rs
//!   store/redis/pubsub/subscriber.rs
//!   store/redis/pubsub/registry.rs         which watch is told
//! ```

mod cache;
mod frames;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod handle;
mod incoming;
mod inner;
mod key_extractor;
mod known;
mod layer;
mod lead;
mod lookup;
mod methods;
mod policy;
mod recording;
mod respond;
mod serve;
mod service;
mod settings;
mod shadow;
pub mod stored_response;

pub use self::handle::Handle;
pub use self::key_extractor::{
    BodyKey, BufferedBody, GrpcKey, HeadKey, IntoHeadKey, KeyExtractor, KeyFn, RequestHead, UriKey, When,
};
pub use self::layer::MemoLockLayer;
pub use self::lead::promise::Promise;
pub use self::policy::control::MemoControl;
pub use self::policy::cookies::SetCookie;
#[cfg(feature = "admin")]
pub(crate) use self::policy::origin::uri_as_received;
pub use self::policy::recency::Refresh;
pub use self::policy::response_rules::Unconfirmed;
pub use self::policy::stream_followers::StreamFollowers;
pub use self::respond::body::MemoBody;
pub use self::respond::future::ResponseFuture;
pub use self::service::MemoLockService;
#[cfg(feature = "admin")]
pub use self::settings::Audit;
pub use self::settings::{CacheStatus, Failures, Freshness, GrpcMethod, GrpcMethodError, Privacy, ResponseLimits};
#[cfg(feature = "admin")]
pub(crate) use self::shadow::{RouteReport, Shadow, ShadowReport, VerifiedRoute, Verify};
