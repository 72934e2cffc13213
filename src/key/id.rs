//! [`Key`]: one resource of a kind.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::builder::KeyBuilder;
use super::builder::{is_digested, push_hex};
use super::error::KeyError;

/// The longest id, in bytes, that [`Key::new`] takes.
pub const MAX_ID_LEN: usize = 1024;

/// The identity of one computation under a tag.
///
/// You seldom have to make a `Key` by hand: wherever an id is asked for,
///
/// | | stands in the store as |
/// |---|---|
/// | text, `"kristoff"` | `likes:kristoff`, [to the letter](Self::new) |
/// | an integer, `42` | `likes:{42}` |
/// | a tuple of up to six parts that display themselves, `("eu", 42)` | `likes:{eu 42}` |
/// | any other type that displays itself, as a tuple of one, `(uuid,)` | `likes:{67e55044-10b1-426f-9247-bb680e5fe0c8}` |
///
/// Different tuples of the same types never make the same key, whatever text is in them. A number and its text display
/// alike, so give tuples whose parts have other types another tag.
#[derive(Clone)]
pub struct Key {
    pub(super) text: String,
    /// Whether an extractor of this crate made it, so that it names the parts of a request that it covers.
    pub(super) names_its_shape: bool,
}

impl Key {
    /// Takes `id` to the letter: the stored value stands under `TAG:ID`, where any program can find it.
    ///
    /// The caller has to make sure that the id identifies the computation. To make a key of parts that come from
    /// outside, use [`Key::builder`].
    ///
    /// # Errors
    ///
    /// A [`KeyError`] where the id is empty or longer than [`MAX_ID_LEN`] bytes.
    pub fn new(id: impl Into<String>) -> Result<Self, KeyError> {
        let id = id.into();
        if id.is_empty() {
            return Err(KeyError::EmptyId);
        }
        if id.len() > MAX_ID_LEN {
            return Err(KeyError::IdTooLong(id.len()));
        }
        Ok(Self::of(id))
    }

    pub(super) fn of(text: String) -> Self {
        Self {
            text,
            names_its_shape: false,
        }
    }

    /// Starts a key that is derived from parts.
    #[must_use]
    pub fn builder() -> KeyBuilder {
        KeyBuilder::default()
    }

    /// The id as it stands in the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Key {
    /// This key with one more part: `name`, `=` and 64 hexadecimal digits.
    ///
    /// Injective for one `name`: the appended text has a fixed length, and a `}` at the end of the result tells that
    /// the key ends in one. The result is longer than the key by the same length, so a key taken to the letter may come
    /// to have more than [`MAX_ID_LEN`] bytes.
    pub(crate) fn with_digest(&self, name: &str, digest: &[u8; 32]) -> Self {
        let (text, end) = match self.text.strip_suffix('}') {
            Some(text) => (text, "}"),
            None => (self.text.as_str(), ""),
        };
        let mut id = String::with_capacity(self.text.len() + name.len() + 66);
        id.push_str(text);
        id.push(' ');
        id.push_str(name);
        id.push('=');
        push_hex(&mut id, digest);
        id.push_str(end);
        Self {
            text: id,
            names_its_shape: self.names_its_shape,
        }
    }

    /// The key under which a layer stores the response for this key.
    ///
    /// Keys that an extractor of this crate made stay as they are. A key from elsewhere, from a closure most of all,
    /// could be the same text and stand for other requests. If it looks like one of ours, it gets a `:` in front, with
    /// which ours never begin. All other keys stand there to the letter, as members of the family agree on them.
    #[inline]
    pub(crate) fn apart(self) -> Self {
        match self.names_its_shape {
            true => self,
            false => self.told_apart(),
        }
    }

    fn told_apart(mut self) -> Self {
        let parts = self.text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let like_ours =
            parts.is_some_and(|parts| !parts.contains(['{', '}']) && (parts.contains(' ') || is_digested(&self.text)));
        if like_ours {
            self.text.insert(1, ':');
            self.names_its_shape = true;
        }
        self
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.text).finish()
    }
}

impl TryFrom<&str> for Key {
    type Error = KeyError;

    fn try_from(id: &str) -> Result<Self, KeyError> {
        Self::new(id)
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;

    fn try_from(id: String) -> Result<Self, KeyError> {
        Self::new(id)
    }
}

impl TryFrom<&String> for Key {
    type Error = KeyError;

    fn try_from(id: &String) -> Result<Self, KeyError> {
        Self::new(id.as_str())
    }
}

macro_rules! from_integers {
    ($($integer:ty)+) => {$(
        /// The number in braces, `{42}`, as [`Key::builder`] makes it of one part. Text, `"42"`, is another id.
        impl From<$integer> for Key {
            fn from(id: $integer) -> Self {
                Self::builder().display(id).build()
            }
        }
    )+};
}

from_integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

macro_rules! from_tuples {
    ($(($($part:ident)+))+) => {$(
        /// The key that [`Key::builder`] makes of the parts as they display themselves. No part needs to be trusted.
        impl<$($part: fmt::Display),+> From<($($part,)+)> for Key {
            #[allow(non_snake_case, reason = "a part is named after its type")]
            fn from(($($part,)+): ($($part,)+)) -> Self {
                Self::builder()$(.display($part))+.build()
            }
        }
    )+};
}

from_tuples!((A)(A B)(A B C)(A B C D)(A B C D E)(A B C D E F));

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
