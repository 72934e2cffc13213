//! [`Value`]: what a store keeps, as an object in this process or as bytes.

mod object;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

pub(crate) use self::object::Peeked;
use self::object::{Native, Object, unless_panicked};
use super::envelope;
use super::parts::Tail;
use super::stamp::Stamp;
use crate::codec::Codec;
use crate::error::{BoxError, StoreError, StoreErrorKind};
use crate::key::Address;

/// A value on its way to or from a store.
///
/// A store in this process keeps the `Value` itself, so that a hit costs no decoding; a store elsewhere sends
/// [`bytes`](Value::bytes) and returns [`Value::encoded`]. Neither the core nor its users see the difference.
///
/// A value may have a [`Stamp`], and it may be [softly invalidated](Self::soft_since); both go with the value in either
/// form.
#[derive(Clone)]
pub struct Value {
    repr: Repr,
    stamp: Option<Arc<Stamp>>,
    soft_since: Option<SystemTime>,
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "no other store carries what is under way")
    )]
    tail: Option<Arc<Tail>>,
}

#[derive(Clone)]
enum Repr {
    Encoded {
        bytes: Bytes,
        /// Keeps the decoded value in this process, if a store wants that.
        keep: Option<Arc<Mutex<Option<Keep>>>>,
    },
    /// Encoded, in memory that others use as well: to be looked at, and copied where it is to stay.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "no other store lends"))]
    Lent(Bytes),
    Native(Arc<dyn Native>),
    Unreadable,
}

/// Called with a decoded value, to keep it.
type Keep = Box<dyn FnOnce(Value) + Send>;

impl Value {
    /// A value as a store elsewhere keeps it.
    #[must_use]
    pub fn encoded(bytes: impl Into<Bytes>) -> Self {
        let opened = envelope::open_soft(bytes.into())
            .and_then(|(bytes, soft_since)| envelope::open(bytes).map(|opened| (opened, soft_since)));
        match opened {
            Ok(((bytes, stamp), soft_since)) => Self {
                repr: Repr::Encoded { bytes, keep: None },
                stamp: stamp.map(Arc::new),
                soft_since,
                tail: None,
            },
            Err(_) => Self::unreadable(),
        }
    }

    /// The same, of bytes in memory that others use as well.
    #[cfg(feature = "redis")]
    pub(crate) fn lent(bytes: Bytes) -> Self {
        let value = Self::encoded(bytes);
        match value.repr {
            Repr::Encoded { bytes, .. } => Self {
                repr: Repr::Lent(bytes),
                ..value
            },
            _ => value,
        }
    }

    /// The same value. Decoding it calls `by` once, with the value as an object.
    #[cfg(feature = "redis")]
    pub(crate) fn kept_by(mut self, by: impl FnOnce(Self) + Send + 'static) -> Self {
        if let Repr::Encoded { keep, .. } = &mut self.repr {
            *keep = Some(Arc::new(Mutex::new(Some(Box::new(by)))));
        }
        self
    }

    /// A value that is there and cannot be read: it counts as absent, and a counter counts it.
    #[must_use]
    pub fn unreadable() -> Self {
        Self {
            repr: Repr::Unreadable,
            stamp: None,
            soft_since: None,
            tail: None,
        }
    }

    /// The same value with a stamp, in place of the one that it may have.
    #[must_use]
    pub fn stamped(self, stamp: Stamp) -> Self {
        Self {
            stamp: Some(Arc::new(stamp)),
            ..self
        }
    }

    /// The same value, whose beginning has been uploaded as a part.
    pub(crate) fn with_tail(self, tail: Option<Tail>) -> Self {
        let tail = tail.filter(|tail| tail.stamp.as_ref() == self.stamp());
        Self {
            tail: tail.map(Arc::new),
            ..self
        }
    }

    /// The rest that is not uploaded yet, if the beginning was uploaded.
    #[cfg(feature = "redis")]
    pub(crate) fn tail(&self) -> Option<&Tail> {
        self.tail.as_deref()
    }

    /// The stamp, by whose labels the value can be invalidated.
    #[must_use]
    pub fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_deref()
    }

    /// The same value, softly invalidated at that time, unless it was before.
    #[must_use]
    pub fn softened(self, since: SystemTime) -> Self {
        Self {
            soft_since: self.soft_since.or(Some(since)),
            ..self
        }
    }

    /// When the value was softly invalidated, if it was.
    #[must_use]
    pub fn soft_since(&self) -> Option<SystemTime> {
        self.soft_since
    }

    pub(crate) fn native<C: Codec>(address: &Address, codec: &C, value: C::Value) -> Self {
        let object = Object {
            address: address.clone(),
            value: codec.compact(value),
            codec: codec.clone(),
        };
        Self {
            repr: Repr::Native(Arc::new(object)),
            stamp: None,
            soft_since: None,
            tail: None,
        }
    }

    /// The bytes to send to a store elsewhere: the value to the letter, behind its stamp if it has one.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Encode`] where the codec refuses.
    pub fn bytes(&self) -> Result<Bytes, StoreError> {
        Ok(envelope::seal_soft(
            self.soft_since,
            envelope::seal(self.stamp(), self.plain()?),
        ))
    }

    /// As [`bytes`](Self::bytes), with a value of so many bytes and more compressed.
    #[cfg(feature = "zstd")]
    pub(crate) fn bytes_compressed(&self, from: usize) -> Result<Bytes, StoreError> {
        let plain = self.plain()?;
        let sealed = match plain.len() >= from {
            true => envelope::seal_compressed(self.stamp(), plain),
            false => envelope::seal(self.stamp(), plain),
        };
        Ok(envelope::seal_soft(self.soft_since, sealed))
    }

    fn plain(&self) -> Result<Bytes, StoreError> {
        match &self.repr {
            Repr::Encoded { bytes, .. } => Ok(bytes.clone()),
            Repr::Lent(bytes) => Ok(own(bytes)),
            Repr::Native(object) => {
                unless_panicked(|| object.encode()).map_err(|e| StoreError::with_source(StoreErrorKind::Encode, e))
            }
            Repr::Unreadable => Err(StoreError::new(StoreErrorKind::Encode)),
        }
    }

    /// The bytes behind the stamp, where this is a value as a store elsewhere keeps it.
    #[must_use]
    pub fn encoded_bytes(&self) -> Option<Bytes> {
        match &self.repr {
            Repr::Encoded { bytes, .. } => Some(bytes.clone()),
            Repr::Lent(bytes) => Some(own(bytes)),
            Repr::Native(_) | Repr::Unreadable => None,
        }
    }

    /// Whether this is the same value, as far as can be told: the same bytes, or the same object.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let repr = match (&self.repr, &other.repr) {
            (
                Repr::Encoded { bytes, .. } | Repr::Lent(bytes),
                Repr::Encoded { bytes: others, .. } | Repr::Lent(others),
            ) => bytes == others,
            (Repr::Native(object), Repr::Native(others)) => Arc::ptr_eq(object, others),
            (Repr::Unreadable, Repr::Unreadable) => true,
            _ => false,
        };
        repr && self.stamp == other.stamp
    }

    /// About how many bytes of memory this value takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let stamp = self.stamp().map_or(0, Stamp::weight);
        stamp.saturating_add(match &self.repr {
            Repr::Encoded { bytes, .. } | Repr::Lent(bytes) => bytes.len(),
            // A value that cannot be weighed is too heavy.
            Repr::Native(object) => catch_unwind(AssertUnwindSafe(|| object.weight())).unwrap_or(usize::MAX),
            Repr::Unreadable => 0,
        })
    }

    /// Takes the value itself out, if it is of the codec's type. The rest keeps its stamp, and must not be decoded
    /// again.
    #[inline]
    pub(crate) fn decode<C: Codec>(&mut self, address: &Address, codec: &C) -> Result<C::Value, BoxError> {
        match &self.repr {
            Repr::Native(object) => match object.value().downcast_ref::<C::Value>() {
                Some(value) => Ok(value.clone()),
                None => Err(another_type()),
            },
            Repr::Lent(bytes) => match codec.known(address, bytes) {
                Some(value) => Ok(value),
                None => {
                    let bytes = own(bytes);
                    unless_panicked(|| codec.decode(address, bytes))
                }
            },
            Repr::Encoded { .. } | Repr::Unreadable => self.decode_bytes(address, codec),
        }
    }

    /// The value, without a copy if it is an object of the codec's type already.
    #[inline]
    pub(crate) fn peeked<C: Codec>(self, address: &Address, codec: &C) -> Result<Peeked<C>, BoxError> {
        match self.repr {
            Repr::Native(object) => match Arc::downcast(object as Arc<dyn Any + Send + Sync>) {
                Ok(object) => Ok(Peeked(object)),
                Err(_) => Err(another_type()),
            },
            Repr::Encoded { .. } | Repr::Lent(_) | Repr::Unreadable => self.peeked_bytes(address, codec),
        }
    }

    #[cold]
    fn peeked_bytes<C: Codec>(mut self, address: &Address, codec: &C) -> Result<Peeked<C>, BoxError> {
        Ok(Peeked(Arc::new(Object {
            address: address.clone(),
            value: self.decode(address, codec)?,
            codec: codec.clone(),
        })))
    }

    fn decode_bytes<C: Codec>(&mut self, address: &Address, codec: &C) -> Result<C::Value, BoxError> {
        let Repr::Encoded { bytes, keep } = std::mem::replace(&mut self.repr, Repr::Unreadable) else {
            return Err("neither a string nor a value in an envelope".into());
        };
        let keep = keep.and_then(|keep| lock(&keep).take());
        let value = unless_panicked(|| codec.decode(address, bytes))?;
        if let Some(keep) = keep {
            let native = Self::native(address, codec, value.clone());
            keep(Self {
                repr: native.repr,
                stamp: self.stamp.clone(),
                soft_since: self.soft_since,
                tail: None,
            });
        }
        Ok(value)
    }
}

/// The same bytes in memory of their own.
fn own(lent: &Bytes) -> Bytes {
    Bytes::copy_from_slice(lent)
}

fn another_type() -> BoxError {
    "a value of another type".into()
}

fn lock(keep: &Mutex<Option<Keep>>) -> MutexGuard<'_, Option<Keep>> {
    keep.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.repr {
            Repr::Encoded { bytes, .. } | Repr::Lent(bytes) => write!(f, "Value(encoded, {} bytes)", bytes.len()),
            Repr::Native(object) => write!(f, "Value(native, about {} bytes)", object.weight()),
            Repr::Unreadable => f.write_str("Value(unreadable)"),
        }
    }
}

#[cfg(all(test, feature = "redis"))]
mod tests {
    use super::*;
    use crate::codec::Raw;
    use crate::key::{Key, Tag};

    #[test]
    fn what_is_made_of_a_lent_value_holds_nothing_of_the_buffer() {
        let address = Address::new(&Tag::new("t").unwrap(), &Key::new("a").unwrap());
        let buffer = Bytes::from(b"before value after".to_vec());
        let mut value = Value::lent(buffer.slice(7..12));
        let made = [
            value.decode(&address, &Raw).unwrap(),
            value.bytes().unwrap(),
            value.encoded_bytes().unwrap(),
        ];
        assert!(value.is_same(&Value::encoded("value")) && value.weight() == 5);
        drop(value);
        assert_eq!(made, [(); 3].map(|()| "value"));
        assert!(buffer.is_unique());
    }
}
