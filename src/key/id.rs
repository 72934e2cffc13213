//! [`Key`]: one resource of a kind.

use std::fmt;

use super::builder::KeyBuilder;
#[cfg(feature = "http")]
use super::builder::push_hex;
use super::error::KeyError;

/// The longest id, in bytes, that [`Key::new`] takes.
pub const MAX_ID_LEN: usize = 1024;

/// The identity of one computation under a tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(pub(super) String);

impl Key {
    /// Takes `id` to the letter: the stored value stands under `TAG:ID`, where any program can find it.
    ///
    /// The caller answers for its being the identity of what is computed; to make one from parts that come from
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
        Ok(Self(id))
    }

    /// Starts a key that is derived from parts.
    #[must_use]
    pub fn builder() -> KeyBuilder {
        KeyBuilder::default()
    }

    /// The id as it stands in the store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(feature = "http")]
impl Key {
    /// This key with one more part: `name`, `=` and 64 hexadecimal digits.
    ///
    /// Injective for one `name`: what is appended has a fixed length, and a `}` at the end of the result tells that the
    /// key ends in one. The result is longer than the key by as much, so a key taken to the letter may come to have
    /// more than [`MAX_ID_LEN`] bytes.
    pub(crate) fn with_digest(&self, name: &str, digest: &[u8; 32]) -> Self {
        let (text, end) = match self.0.strip_suffix('}') {
            Some(text) => (text, "}"),
            None => (self.0.as_str(), ""),
        };
        let mut id = String::with_capacity(self.0.len() + name.len() + 66);
        id.push_str(text);
        id.push(' ');
        id.push_str(name);
        id.push('=');
        push_hex(&mut id, digest);
        id.push_str(end);
        Self(id)
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

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
