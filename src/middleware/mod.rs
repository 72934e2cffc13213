//! The tower layer: [`MemoLockLayer`].
//!
//! Each line uses what stands above it, and nothing below:
//!
//! ```text
//! frames, grpc/        frames of bodies, messages and deadlines of gRPC
//! policy/              what may be shared, stored and replayed. Pure
//! key_extractor/       request -> key
//! recording/           a body that comes: the leader's client, the store and followers read it
//! stored_response/     what is stored, and its forms
//! known/               what a process remembers: markers, pauses, credentials, variants, demand
//! respond/             what a client gets: bodies, replays, refusals
//! cache                one layer's core, rules and memory
//! lookup               address -> stored response
//! lead/                call the inner service, judge what it answers, settle it with the core
//! serve/               hit, miss, range, unsafe request, refresh
//! service, layer/      what tower sees
//! ```
//!
//! # One request, one walk
//!
//! WALK

mod cache;
mod frames;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
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
pub mod stored_response;

pub use self::grpc::{GrpcMethod, GrpcMethodError};
pub use self::key_extractor::{
    BodyKey, BufferedBody, GrpcKey, HeadKey, IntoHeadKey, KeyExtractor, KeyFn, RequestHead, UriKey, When,
};
pub use self::layer::MemoLockLayer;
pub use self::lead::promise::Promise;
pub use self::policy::control::MemoControl;
pub use self::policy::cookies::SetCookie;
pub use self::policy::response::Unconfirmed;
pub use self::respond::body::MemoBody;
pub use self::respond::future::ResponseFuture;
pub use self::service::MemoLockService;
