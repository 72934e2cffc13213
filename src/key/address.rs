//! [`Address`]: a tag and a key.

use std::fmt;
use std::hash::{Hash, Hasher};

use super::builder::{push_hex, spare};
use super::id::Key;
use super::readable::Readable;
use super::tag::Tag;

/// The place of one computation's value in a store: a [`Tag`] and a [`Key`].
#[derive(Clone)]
pub struct Address {
    text: String,
    tag_len: usize,
}

impl Address {
    /// Puts a tag and a key together.
    #[must_use]
    pub fn new(tag: &Tag, key: &Key) -> Self {
        let mut text = String::with_capacity(tag.as_str().len() + 1 + key.as_str().len());
        text.push_str(tag.with_colon());
        text.push_str(key.as_str());
        Self {
            text,
            tag_len: tag.as_str().len(),
        }
    }

    /// Like [`Address::new`], in the memory of the key.
    #[inline]
    pub(crate) fn of(tag: &Tag, key: Key) -> Self {
        let mut text = key.text;
        text.insert_str(0, tag.with_colon());
        Self {
            text,
            tag_len: tag.with_colon().len() - 1,
        }
    }

    /// Leaves the memory for the next key that this thread derives.
    #[inline]
    pub(crate) fn recycle(self) {
        spare(self.text);
    }

    /// The address of one variant of the response at this address. No [`KeyBuilder`] makes the same address: a blank
    /// and a bare `#` never follow each other in its keys.
    pub(crate) fn variant(&self, generation: [u8; 8], fingerprint: &[u8; 16]) -> Self {
        let (start, end) = match self.text.strip_suffix('}') {
            Some(start) => (start, "}"),
            None => (self.text.as_str(), ""),
        };
        let mut text = String::with_capacity(self.text.len() + 57);
        text.push_str(start);
        text.push_str(" #vary:");
        push_hex(&mut text, &generation);
        text.push(':');
        push_hex(&mut text, fingerprint);
        text.push_str(end);
        Self {
            text,
            tag_len: self.tag_len,
        }
    }

    /// `TAG:ID`, the name of the stored value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the id is in braces, as ids derived from several parts are.
    pub(crate) fn is_derived(&self) -> bool {
        let id = self.id();
        id.starts_with('{') && id.ends_with('}')
    }

    /// The address as it stands in a log.
    pub(crate) fn readable(&self) -> Readable<'_> {
        Readable(&self.text)
    }

    /// The part in front of the first colon.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.text[..self.tag_len]
    }

    /// The part behind the first colon.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.text[self.tag_len + 1..]
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The text is the whole input of the hash, so nothing has to end it.
        state.write(self.text.as_bytes());
    }
}

/// The name to the letter, of any length and content: it may hold anything that a client sends.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.readable())
    }
}
