//! How a value becomes bytes and comes back: [`Codec`], [`Raw`] and, with the feature `serde`, `Json`.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::error::{BoxError, Cause, Error, ErrorForm};
use crate::key::Address;

/// Turns values into the bytes that a store keeps, and back.
///
/// Bytes come from outside: where [`decode`](Codec::decode) cannot vouch for them it must return an error, and never
/// panic. The core counts such an error and computes anew.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a codec",
    label = "says nothing of how values become bytes",
    note = "`MemoLock<Json<T>>`, made by `MemoLock::json`, memoizes values of any type `T` that serde knows"
)]
pub trait Codec: Clone + Send + Sync + 'static {
    /// The type of the memoized values. It has to be cheap to clone, because each caller that waited gets a clone.
    type Value: Clone + Send + Sync + 'static;

    /// Encodes a value that is about to be stored at `address`.
    ///
    /// # Errors
    ///
    /// The reason why the value cannot be encoded. The value is not stored then, and only the followers in this process
    /// get it.
    fn encode(&self, address: &Address, value: &Self::Value) -> Result<Bytes, BoxError>;

    /// Decodes the bytes that were found at `address`.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes: they count as absent.
    fn decode(&self, address: &Address, bytes: Bytes) -> Result<Self::Value, BoxError>;

    /// The value that [`decode`](Self::decode) has made of equal bytes for the same address before, if the codec has
    /// kept it. Defaults to `None`. The bytes are part of a larger buffer, which is in use: the codec must not keep a
    /// clone of them.
    fn known(&self, address: &Address, bytes: &Bytes) -> Option<Self::Value> {
        let _ = (address, bytes);
        None
    }

    /// Whether the value still answers callers. Defaults to `true`.
    ///
    /// A value that does not answer callers may be stored nevertheless, for a user of the codec that can do something
    /// with it. A caller of the core finds it absent, and its followers go their own way.
    fn is_fresh(&self, value: &Self::Value) -> bool {
        let _ = value;
        true
    }

    /// Whether this is a marker in place of a value: the value that belongs at its address is not to be shared, so that
    /// callers go their own way without waiting. Defaults to `false`. A marker is never [fresh](Self::is_fresh).
    fn is_marker(&self, value: &Self::Value) -> bool {
        let _ = value;
        false
    }

    /// The [generation](crate::store::Generation::number) in which the computation of a value began, if the value says
    /// so. Defaults to `None`: then the stamp of the value says so, if it has one.
    fn began(&self, value: &Self::Value) -> Option<u64> {
        let _ = value;
        None
    }

    /// The value after a soft invalidation: the same value, not fresh any more, or `None`. Defaults to the value as it
    /// is: it answers until it expires, while one caller computes a new one.
    fn soften(&self, value: Self::Value, since: SystemTime) -> Option<Self::Value> {
        let _ = since;
        Some(value)
    }

    /// Whether a value that was [softly invalidated](Self::soften) answers callers while a new one is computed. Defaults to
    /// `true`.
    fn answers_meanwhile(&self, value: &Self::Value) -> bool {
        let _ = value;
        true
    }

    /// The same value in no more memory than it needs. The core asks for it before a store keeps the value. Defaults to
    /// the value as it is.
    fn compact(&self, value: Self::Value) -> Self::Value {
        value
    }

    /// About how many bytes of memory the value takes. Defaults to the size of the type.
    fn weight(&self, value: &Self::Value) -> usize {
        size_of_val(value)
    }
}

impl<C: Codec> ErrorForm for C
where
    C::Value: std::error::Error,
{
    fn encode(&self, address: &Address, error: &Error) -> Option<String> {
        let bytes = Codec::encode(self, address, error.cause()?).ok()?;
        String::from_utf8(bytes.into()).ok()
    }

    fn decode(&self, address: &Address, encoding: &str) -> Option<Cause> {
        let error = Codec::decode(self, address, Bytes::copy_from_slice(encoding.as_bytes())).ok()?;
        Some(Arc::new(error))
    }
}

/// Bytes to the letter: the stored and published bytes are the value itself, as every member of the memolock family
/// reads and writes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Raw;

impl Codec for Raw {
    type Value = Bytes;

    fn encode(&self, _: &Address, value: &Bytes) -> Result<Bytes, BoxError> {
        Ok(value.clone())
    }

    fn decode(&self, _: &Address, bytes: Bytes) -> Result<Bytes, BoxError> {
        Ok(bytes)
    }

    /// A copy: `Bytes` may be a part of something larger, which lives as long.
    fn compact(&self, value: Bytes) -> Bytes {
        Bytes::copy_from_slice(&value)
    }

    fn weight(&self, value: &Bytes) -> usize {
        value.len()
    }
}

#[cfg(feature = "serde")]
mod json {
    use std::fmt;
    use std::marker::PhantomData;

    use super::{Address, BoxError, Bytes, Codec};

    /// Typed values as JSON.
    ///
    /// A stored value of another shape, from an older version of the program for instance, counts as absent.
    pub struct Json<T>(PhantomData<fn() -> T>);

    impl<T> Json<T> {
        /// The codec for `T`.
        #[must_use]
        pub fn new() -> Self {
            Self(PhantomData)
        }
    }

    impl<T> Clone for Json<T> {
        fn clone(&self) -> Self {
            Self::new()
        }
    }

    impl<T> Default for Json<T> {
        fn default() -> Self {
            Self::new()
        }
    }

    impl<T> fmt::Debug for Json<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Json")
        }
    }

    impl<T> Codec for Json<T>
    where
        T: serde::Serialize + serde::de::DeserializeOwned + Clone + Send + Sync + 'static,
    {
        type Value = T;

        fn encode(&self, _: &Address, value: &T) -> Result<Bytes, BoxError> {
            Ok(serde_json::to_vec(value)?.into())
        }

        fn decode(&self, _: &Address, bytes: Bytes) -> Result<T, BoxError> {
            Ok(serde_json::from_slice(&bytes)?)
        }
    }
}

#[cfg(feature = "serde")]
pub use json::Json;
