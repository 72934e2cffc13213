//! [`KeyBuilder`]: keys from parts of any content.

use std::cell::Cell;
use std::fmt::{self, Display, Write};

use sha2::{Digest, Sha256};

use super::id::Key;

/// The longest derived key, in bytes, that stays readable; a longer key ends in a digest of the whole.
const MAX_READABLE: usize = 240;

/// How much of a long derived key is kept in front of its digest.
const READABLE_PREFIX: usize = 96;

/// How much longer an address may be expected to be than its key.
const ROOM_FOR_TAG: usize = 24;

/// The largest text whose memory is kept: a request that waits under the next key holds that memory for as long.
const MOST_SPARE: usize = 256;

thread_local! {
    /// An empty text, in the memory of a text that the thread no longer needs.
    static SPARE: Cell<String> = const { Cell::new(String::new()) };
}

/// Leaves the memory of `text` for the next key that this thread derives.
#[inline]
pub(super) fn spare(mut text: String) {
    if text.capacity() <= MOST_SPARE {
        text.clear();
        // A thread that is about to end keeps no memory.
        let _ = SPARE.try_with(|spare| spare.set(text));
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

    /// Appends a part as it displays itself: a number, a `Uuid`.
    ///
    /// Two parts that display alike are one and the same to the key.
    #[must_use]
    pub fn display(mut self, part: impl Display) -> Self {
        self.separate();
        // Only the writer could fail.
        let _ = write!(Escaped(&mut self), "{part}");
        self
    }

    /// A builder with room for `capacity` bytes, so that a key of known length takes one allocation, or none where the
    /// thread has [memory to spare](spare).
    #[inline]
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let mut text = SPARE.try_with(Cell::take).unwrap_or_default();
        // The tag goes in front of it: see `Address::of`.
        text.reserve(capacity + ROOM_FOR_TAG);
        Self { text }
    }

    /// Appends one part that consists of `segments`, one right after the other.
    pub(crate) fn joined<const N: usize>(mut self, segments: [&str; N]) -> Self {
        self.separate();
        for segment in segments {
            self.push_text(segment);
        }
        self
    }

    /// Begins a part with a text that has nothing to escape.
    #[inline]
    pub(crate) fn begin(mut self, plain: &str) -> Self {
        self.separate();
        self.text.push_str(plain);
        self
    }

    /// Goes on with the last part: first with a text that has nothing to escape.
    #[inline]
    pub(crate) fn go_on(mut self, plain: &str, rest: &str) -> Self {
        if !plain.is_empty() {
            self.text.push_str(plain);
        }
        self.push_text(rest);
        self
    }

    /// Appends `name=value` as one part. Names are RFC 9110 tokens, which cannot hold a `=`.
    pub(crate) fn named(self, name: &str, value: &[u8]) -> Self {
        let mut builder = self.joined([name, "="]);
        builder.push_escaped(value);
        builder
    }

    /// Appends `name:sha256=DIGEST` as one part. A `:` cannot stand in a name.
    pub(crate) fn digest(self, name: &str, digest: &[u8; 32]) -> Self {
        let mut builder = self.joined([name, ":sha256="]);
        push_hex(&mut builder.text, digest);
        builder
    }

    /// Finishes the key.
    #[must_use]
    pub fn build(self) -> Key {
        Key::of(self.into_text())
    }

    /// Finishes the key of a request, which names what it covers.
    #[inline]
    pub(crate) fn build_with_shape(self) -> Key {
        Key {
            text: self.into_text(),
            names_its_shape: true,
        }
    }

    #[inline]
    fn into_text(mut self) -> String {
        if self.text.is_empty() {
            self.text.push('{');
        }
        if self.text.len() < MAX_READABLE {
            self.text.push('}');
            return self.text;
        }
        self.into_digest()
    }

    fn into_digest(self) -> String {
        // In memory of its own, so that the memory of the long text does not stay for as long as the key.
        let mut text = String::with_capacity(READABLE_PREFIX + 66 + ROOM_FOR_TAG);
        text.push_str(&self.text[..READABLE_PREFIX]);
        text.push('#');
        push_hex(&mut text, &Sha256::digest(self.text.as_bytes()));
        text.push('}');
        text
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

    #[inline]
    fn push_text(&mut self, text: &str) {
        match is_plain(text.as_bytes()) {
            true => self.text.push_str(text),
            false => self.push_escaped(text.as_bytes()),
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

struct Escaped<'a>(&'a mut KeyBuilder);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_escaped(text.as_bytes());
        Ok(())
    }
}

/// Whether this is a derived key that ends in a digest of the whole.
pub(super) fn is_digested(text: &str) -> bool {
    text.as_bytes().get(READABLE_PREFIX) == Some(&b'#')
}

const fn must_escape(byte: u8) -> bool {
    byte < 0x21 || byte > 0x7e || matches!(byte, b'{' | b'}' | b'#' | b'^')
}

/// Whether nothing has to be escaped. Every key is built on the way to a hit, so this is a table, which is quicker than
/// four comparisons a byte, and one branch at the end, which is quicker than one for each byte.
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
    !bytes
        .iter()
        .fold(false, |escaped, byte| escaped | ESCAPED[usize::from(*byte)])
}

/// Appends `bytes` as lower-case hexadecimal digits.
pub(super) fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::MAX_ID_LEN;

    fn key(parts: &[Vec<u8>]) -> Key {
        parts.iter().fold(Key::builder(), |key, part| key.part(part)).build()
    }

    #[test]
    fn a_long_key_keeps_its_beginning_and_stays_apart_from_its_like() {
        let long = |end| key(&[b"GET".to_vec(), [b"a".repeat(1000), vec![end]].concat()]);
        assert!(long(b'x').as_str().starts_with("{GET aaa"));
        assert_ne!(long(b'x'), long(b'y'));
        assert!(long(b'x').as_str().len() < MAX_ID_LEN);
    }

    #[test]
    fn a_long_key_does_not_hold_the_memory_of_what_it_was_made_of() {
        let key = Key::builder().part("GET").part("a".repeat(60_000)).build();
        assert!(key.text.capacity() < 256, "{}", key.text.capacity());
    }

    #[test]
    fn a_key_from_elsewhere_is_none_of_a_request_and_differs_from_its_like() {
        let parts = |method: &str| Key::builder().joined([method]).joined(["//a/b"]);
        for method in ["GET", &"M".repeat(300)] {
            let (ours, theirs) = (parts(method).build_with_shape(), parts(method).build());
            assert_eq!(ours, theirs);
            assert_eq!(ours.clone().apart(), ours);
            assert_ne!(theirs.clone().apart(), ours);
            assert_eq!(theirs.clone().apart().apart(), theirs.apart());
        }
        let apart = |id: &str| Key::new(id).unwrap().apart();
        assert_eq!(apart("{GET //a}").as_str(), "{:GET //a}");
        assert_ne!(apart("{GET //a}"), apart("{:GET //a}"));
        for id in ["kristoff", "{kristoff}", "a {b}", "{kristoff}:1", "likes/1"] {
            assert_eq!(apart(id).as_str(), id);
        }
    }

    #[test]
    fn what_displays_itself_is_a_part_like_its_text() {
        let parts = Key::builder().part("-1").part("a b").part("{\u{fc}}").build();
        assert_eq!(parts, Key::from((-1, "a b", "{\u{fc}}")));
        assert_eq!(Key::from(42_u64).as_str(), "{42}");
        assert_eq!(Key::from(u128::MAX).as_str().len(), 41);
        let pieces = format_args!("{}{}", "a b", '{').to_string();
        assert_eq!(
            Key::from((format_args!("{}{}", "a b", '{'),)),
            Key::builder().part(pieces).build()
        );
    }

    proptest! {
        #[test]
        fn different_tuples_make_different_keys(
            one in ("[a-b {}^#]{0,3}", 0..12_u8, ".{0,2}"),
            two in ("[a-b {}^#]{0,3}", 0..12_u8, ".{0,2}"),
        ) {
            prop_assert_eq!(Key::from(one.clone()) == Key::from(two.clone()), one == two);
        }

        #[test]
        fn different_parts_make_different_keys(
            one in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 1..4),
            two in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 1..4),
        ) {
            prop_assert_eq!(key(&one) == key(&two), one == two);
            prop_assert!(key(&one).as_str().bytes().all(|b| (0x20..0x7f).contains(&b)));
        }
    }
}
