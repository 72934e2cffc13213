//! A value as an object in this process, with the codec that can turn it into bytes.

use std::any::Any;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use crate::codec::Codec;
use crate::error::BoxError;
use crate::key::Address;

/// An [`Object`] of any codec.
pub(super) trait Native: Any + Send + Sync {
    fn value(&self) -> &dyn Any;
    fn encode(&self) -> Result<Bytes, BoxError>;
    fn weight(&self) -> usize;
}

pub(super) struct Object<C: Codec> {
    pub(super) address: Address,
    pub(super) value: C::Value,
    pub(super) codec: C,
}

impl<C: Codec> Native for Object<C> {
    fn value(&self) -> &dyn Any {
        &self.value
    }

    fn encode(&self) -> Result<Bytes, BoxError> {
        self.codec.encode(&self.address, &self.value)
    }

    fn weight(&self) -> usize {
        self.codec.weight(&self.value)
    }
}

/// The object that a value is. A caller that only reads it need not clone it.
pub(crate) struct Peeked<C: Codec>(pub(super) Arc<Object<C>>);

impl<C: Codec> Deref for Peeked<C> {
    type Target = C::Value;

    #[inline]
    fn deref(&self) -> &C::Value {
        &self.0.value
    }
}

/// What a codec makes of a value, or an error where the codec panics: the callers that wait for the value go on.
pub(super) fn unless_panicked<T>(act: impl FnOnce() -> Result<T, BoxError>) -> Result<T, BoxError> {
    // It has no state that could be left half done.
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_| Err("the codec panicked".into()))
}
