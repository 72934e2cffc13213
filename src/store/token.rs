//! [`Token`]: the name of one holder of one lock.

use std::fmt;

use crate::simulation::{Planted, planted};
use crate::system::fill;

/// A random 128-bit name for one attempt to hold a lock: the fencing token of the memolock protocol.
///
/// Its text form, 32 hexadecimal digits, is what stands in the lock's key in Redis.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u128);

impl Token {
    /// A new token, from the operating system's random source.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        if planted(Planted::TokenShared) {
            return Self(0);
        }
        if fill(&mut bytes).is_err() {
            // No source of randomness: unique in this process, and as random as the standard library's hasher keys.
            use std::hash::{BuildHasher, RandomState};
            use std::sync::atomic::{AtomicU64, Ordering};
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let count = NEXT.fetch_add(1, Ordering::Relaxed);
            bytes[..8].copy_from_slice(&RandomState::new().hash_one(count).to_be_bytes());
            bytes[8..].copy_from_slice(&count.to_be_bytes());
        }
        Self(u128::from_be_bytes(bytes))
    }
}

impl std::str::FromStr for Token {
    type Err = ParseTokenError;

    /// Reads the text form, and nothing else.
    ///
    /// # Errors
    ///
    /// [`ParseTokenError`] unless these are 32 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return Err(ParseTokenError(()));
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| ParseTokenError(()))
    }
}

/// A text is not that of a [`Token`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 lower-case hexadecimal digits")]
pub struct ParseTokenError(());

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}
