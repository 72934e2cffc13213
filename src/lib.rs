//! Distributed memoization with promises for tower.

pub mod codec;
mod error;
mod key;
mod memo;
#[cfg(feature = "http")]
pub mod middleware;
pub mod store;

pub use codec::Codec;
pub use error::{BoxError, Error, RemoteError, StoreError, StoreErrorKind};
pub use key::{Address, Key, KeyBuilder, KeyError, MAX_ID_LEN, MAX_TAG_LEN, Tag};
pub use memo::{InvalidateError, MemoLock, Stats};
#[cfg(feature = "http")]
pub use middleware::MemoLockLayer;
#[cfg(feature = "memory")]
pub use store::MemoryStore;
#[cfg(feature = "redis")]
pub use store::RedisStore;
pub use store::Store;
