//! The tower layer: [`MemoLockLayer`].

mod answer;
mod audience;
mod body;
mod cache_status;
mod change;
mod computation;
mod control;
mod credentials;
mod deferral;
mod demand;
mod draft;
mod endless;
mod fallback;
mod finder;
mod frames;
mod future;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod grpc;
mod hit_for_pass;
mod judge;
mod key_extractor;
mod layer;
mod marker;
mod methods;
mod on_path;
mod origin;
mod parts;
mod pause;
mod pauses;
mod permissions;
mod policy;
mod preview;
mod promise;
mod reading;
mod recording;
mod refresh;
mod refusal;
mod replay;
mod reservation;
mod service;
mod settings;
mod settling;
pub mod stored_response;
mod sync;
mod told_key;
mod trial;
mod underway;
mod vary_index;
mod with_body;

pub use self::body::MemoBody;
pub use self::control::MemoControl;
pub use self::future::ResponseFuture;
pub use self::grpc::{GrpcMethod, GrpcMethodError};
pub use self::key_extractor::{
    BodyKey, BufferedBody, GrpcKey, HeadKey, IntoHeadKey, KeyExtractor, KeyFn, RequestHead, UriKey, When,
};
pub use self::layer::MemoLockLayer;
pub use self::policy::cookies::SetCookie;
pub use self::policy::response::Unconfirmed;
pub use self::promise::Promise;
pub use self::service::MemoLockService;
