//! The identity of one computation: [`Tag`], [`Key`] and [`Address`].
//!
//! A *tag* names a kind of resource (`report`), a *key* one resource of that kind, and both together are the
//! *address* under which every node of a cluster looks for the stored value, the lock and the promise:
//! `report:{GET //example.com/report/42}`.
//!
//! Two kinds of key exist. [`Key::new`] takes an id **to the letter**, so that programs in other languages can
//! address it. [`KeyBuilder`] derives one from any number of parts, none of which needs to be trusted: the result
//! is injective (different parts never give the same key), bounded in length, and readable where it is short.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

/// The longest id, in bytes, that [`Key::new`] takes.
pub const MAX_ID_LEN: usize = 1024;

/// The longest tag, in bytes, that [`Tag::new`] takes.
pub const MAX_TAG_LEN: usize = 128;

/// The longest derived key, in bytes, that stays readable; longer ones end in a digest of the whole.
const MAX_READABLE: usize = 240;

/// How much of a long derived key is kept in front of its digest.
const READABLE_PREFIX: usize = 96;

/// How much longer an address may be expected to be than its key.
#[cfg(feature = "http")]
const ROOM_FOR_TAG: usize = 24;

/// What is wrong with a tag or an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The tag has no characters.
    #[error("the tag is empty")]
    EmptyTag,
    /// The id has no characters.
    #[error("the id is empty")]
    EmptyId,
    /// The tag has more than [`MAX_TAG_LEN`] bytes.
    #[error("the tag has {0} bytes, the most is {MAX_TAG_LEN}")]
    TagTooLong(usize),
    /// The id has more than [`MAX_ID_LEN`] bytes.
    #[error("the id has {0} bytes, the most is {MAX_ID_LEN}")]
    IdTooLong(usize),
    /// The tag has a character that Redis reads as part of a pattern or a hash tag, that separates tag and id, or
    /// that cannot be printed.
    #[error("the tag has the character {0:?}; use letters, digits, '-', '_', '.' and '/'")]
    TagCharacter(char),
    /// The tag ends like the name of another tag's lock or channel, so the two would collide.
    #[error("the tag ends in {0:?}, which names the locks or channels of another tag")]
    ReservedTag(&'static str),
}

impl From<std::convert::Infallible> for KeyError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// The name of a kind of resource: the part in front of the colon of everything kept in the store.
///
/// ```
/// use tower_memolock::Tag;
///
/// assert!(Tag::new("report").is_ok());
/// assert!(Tag::new("report/lock").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(String);

impl Tag {
    /// Checks that `tag` can name keys and channels.
    ///
    /// # Errors
    ///
    /// A [`KeyError`] where the tag is empty, longer than [`MAX_TAG_LEN`] bytes, holds a colon, a blank, a control
    /// character or one of `*?[]\{}`, or ends in `/lock`, `/notif` or `/ctl`.
    pub fn new(tag: impl Into<String>) -> Result<Self, KeyError> {
        let tag = tag.into();
        if tag.is_empty() {
            return Err(KeyError::EmptyTag);
        }
        if tag.len() > MAX_TAG_LEN {
            return Err(KeyError::TagTooLong(tag.len()));
        }
        let forbidden = |c: char| c.is_control() || c.is_whitespace() || r":*?[]\{}".contains(c);
        if let Some(c) = tag.chars().find(|c| forbidden(*c)) {
            return Err(KeyError::TagCharacter(c));
        }
        for reserved in ["/lock", "/notif", "/ctl"] {
            if tag.ends_with(reserved) {
                return Err(KeyError::ReservedTag(reserved));
            }
        }
        Ok(Self(tag))
    }

    /// A tag that the program itself wrote down.
    ///
    /// # Panics
    ///
    /// If it is not one.
    #[track_caller]
    pub(crate) fn from_literal<T>(tag: T) -> Self
    where
        T: TryInto<Self>,
        T::Error: Into<KeyError>,
    {
        match tag.try_into().map_err(Into::into) {
            Ok(tag) => tag,
            Err(error) => panic!("not a tag: {error}"),
        }
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Tag {
    type Error = KeyError;

    fn try_from(tag: &str) -> Result<Self, KeyError> {
        Self::new(tag)
    }
}

impl TryFrom<String> for Tag {
    type Error = KeyError;

    fn try_from(tag: String) -> Result<Self, KeyError> {
        Self::new(tag)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identity of one computation under a tag.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

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

/// Derives a [`Key`] from parts, of any content and any number.
///
/// Parts are separated by a space; a byte that could be taken for structure (a space, a brace, `#`, `^`, anything
/// that does not print) stands as `^` and two hexadecimal digits. A key of more than 240 bytes keeps its first 96
/// and ends in `#` and the SHA-256 of the whole. Braces around it make it a Redis Cluster hash tag, so that value
/// and lock share a slot.
///
/// ```
/// use tower_memolock::Key;
///
/// let key = Key::builder().part("GET").part("/a b").build();
/// assert_eq!(key.as_str(), "{GET /a^20b}");
/// assert_ne!(key, Key::builder().part("GET").part("/a").part("b").build());
/// ```
#[derive(Debug, Clone, Default)]
pub struct KeyBuilder {
    text: String,
}

impl KeyBuilder {
    /// Appends a part.
    #[must_use]
    pub fn part(mut self, part: impl AsRef<[u8]>) -> Self {
        self.separate();
        self.push_escaped(part.as_ref());
        self
    }

    /// A builder with room for `capacity` bytes, so that a key of known length takes one allocation.
    #[cfg(feature = "http")]
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        // The tag goes in front of it: see `Address::of`.
        Self {
            text: String::with_capacity(capacity + ROOM_FOR_TAG),
        }
    }

    /// Appends one part that consists of `segments`, one right after the other.
    #[cfg(feature = "http")]
    pub(crate) fn joined<const N: usize>(mut self, segments: [&str; N]) -> Self {
        self.separate();
        for segment in segments {
            if is_plain(segment.as_bytes()) {
                self.text.push_str(segment);
            } else {
                self.push_escaped(segment.as_bytes());
            }
        }
        self
    }

    /// Appends `name=value` as one part. Names are RFC 9110 tokens, which cannot hold a `=`.
    #[cfg(feature = "http")]
    pub(crate) fn named(self, name: &str, value: &[u8]) -> Self {
        let mut builder = self.joined([name, "="]);
        builder.push_escaped(value);
        builder
    }

    /// Finishes the key.
    #[must_use]
    pub fn build(mut self) -> Key {
        if self.text.is_empty() {
            self.text.push('{');
        }
        if self.text.len() >= MAX_READABLE {
            let digest = Sha256::digest(self.text.as_bytes());
            self.text.truncate(READABLE_PREFIX);
            self.text.push('#');
            push_hex(&mut self.text, &digest);
        }
        self.text.push('}');
        Key(self.text)
    }

    fn separate(&mut self) {
        if self.text.is_empty() {
            if self.text.capacity() == 0 {
                self.text.reserve(96);
            }
            self.text.push('{');
        } else {
            self.text.push(' ');
        }
    }

    fn push_escaped(&mut self, bytes: &[u8]) {
        if is_plain(bytes)
            && let Ok(plain) = str::from_utf8(bytes)
        {
            self.text.push_str(plain);
            return;
        }
        for byte in bytes {
            if must_escape(*byte) {
                self.text.push('^');
                push_hex(&mut self.text, &[*byte]);
            } else {
                self.text.push(char::from(*byte));
            }
        }
    }
}

const fn must_escape(byte: u8) -> bool {
    byte < 0x21 || byte > 0x7e || matches!(byte, b'{' | b'}' | b'#' | b'^')
}

/// Whether nothing has to be escaped. Every key is built on the way to a hit: a table beats four comparisons a byte.
fn is_plain(bytes: &[u8]) -> bool {
    static ESCAPED: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = must_escape(byte as u8);
            byte += 1;
        }
        table
    };
    !bytes.iter().any(|byte| ESCAPED[usize::from(*byte)])
}

/// Appends `bytes` as lower-case hexadecimal digits.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Where the value of one computation stands in a store: a [`Tag`] and a [`Key`].
#[derive(Clone)]
pub struct Address {
    text: String,
    tag_len: usize,
}

impl Address {
    /// Puts a tag and a key together.
    #[must_use]
    pub fn new(tag: &Tag, key: &Key) -> Self {
        let mut text = String::with_capacity(tag.0.len() + 1 + key.0.len());
        text.push_str(&tag.0);
        text.push(':');
        text.push_str(&key.0);
        Self {
            text,
            tag_len: tag.0.len(),
        }
    }

    /// Like [`Address::new`], in the memory that the key has.
    #[cfg(feature = "http")]
    pub(crate) fn of(tag: &Tag, key: Key) -> Self {
        let mut text = key.0;
        text.reserve(tag.0.len() + 1);
        text.insert(0, ':');
        text.insert_str(0, &tag.0);
        Self {
            text,
            tag_len: tag.0.len(),
        }
    }

    /// The address of one variant of what is at this one. No [`KeyBuilder`] makes the same one: a blank and a bare `#`
    /// never follow each other there.
    #[cfg(feature = "http")]
    pub(crate) fn variant(&self, fingerprint: &[u8; 16]) -> Self {
        let (start, end) = match self.text.strip_suffix('}') {
            Some(start) => (start, "}"),
            None => (self.text.as_str(), ""),
        };
        let mut text = String::with_capacity(self.text.len() + 40);
        text.push_str(start);
        text.push_str(" #vary:");
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
        self.text.hash(state);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({:?})", self.text)
    }
}
