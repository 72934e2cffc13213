//! [`Token`]: the name of one holder of one lock.

use std::fmt;

use crate::simulation::{Planted, planted};
use crate::system::fill;
use crate::trace::TraceContext;

/// A random 128-bit name for one attempt to hold a lock: the fencing token of the memolock protocol.
///
/// Its text form is the value of the lock's key in Redis: 32 hexadecimal digits, and then, where the trace of the
/// computation is known, `-` and the text form of that [`TraceContext`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    id: u128,
    context: Option<TraceContext>,
}

impl Token {
    /// A new token, from the operating system's random source.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        if planted(Planted::TokenShared) {
            return Self::new(0);
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
        Self::new(u128::from_be_bytes(bytes))
    }

    fn new(id: u128) -> Self {
        Self { id, context: None }
    }

    /// The same token, for a leader that computes as part of this trace.
    #[must_use]
    pub fn with_trace_context(self, context: Option<TraceContext>) -> Self {
        Self { context, ..self }
    }

    /// The trace of the computation, if that is known.
    #[must_use]
    pub fn trace_context(&self) -> Option<TraceContext> {
        self.context
    }

    pub(crate) fn of_id(id: u128) -> Self {
        Self::new(id)
    }

    /// The number of the process that the token names, if it names one.
    pub(crate) fn process(self) -> u64 {
        (self.id >> 64) as u64
    }

    /// The same token, which names a process.
    #[cfg_attr(
        not(feature = "redis"),
        expect(dead_code, reason = "only what is elsewhere has to be found")
    )]
    pub(crate) fn of_process(self, process: u64) -> Self {
        let id = u128::from(process) << 64 | self.id & u128::from(u64::MAX);
        Self { id, ..self }
    }

    /// The number that the digits are.
    pub(crate) fn id(self) -> u128 {
        self.id
    }

    /// The 32 digits alone.
    pub(crate) fn bare(self) -> Self {
        Self::new(self.id)
    }
}

impl std::str::FromStr for Token {
    type Err = ParseTokenError;

    /// Reads the text form, and nothing else.
    ///
    /// # Errors
    ///
    /// [`ParseTokenError`] unless these are 32 lower-case hexadecimal digits, alone or with a trace context behind them.
    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let read = || {
            let (id, rest) = text.split_at_checked(32)?;
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            let id = id.bytes().all(is_digit).then(|| u128::from_str_radix(id, 16).ok())??;
            let context = match rest {
                "" => None,
                rest => Some(TraceContext::from_text(rest.strip_prefix('-')?)?),
            };
            Some(Self { id, context })
        };
        read().ok_or(ParseTokenError(()))
    }
}

/// A text is not that of a [`Token`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a token is 32 lower-case hexadecimal digits, alone or with a trace context behind them")]
pub struct ParseTokenError(pub(super) ());

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)?;
        match self.context {
            Some(context) => write!(f, "-{context}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_from_its_text_with_and_without_a_context() {
        let plain = Token::random();
        let contexts = [
            None,
            TraceContext::new([7; 16], None),
            TraceContext::new([7; 16], Some([9; 8])),
        ];
        for context in contexts {
            let token = plain.with_trace_context(context);
            assert_eq!(token.to_string().parse(), Ok(token));
            assert_eq!(token.trace_context(), context);
            assert_eq!(token.bare(), plain);
            assert!(token.to_string().starts_with(&plain.to_string()));
        }
    }

    #[test]
    fn no_other_text_is_a_token() {
        let id = "0123456789abcdef".repeat(2);
        for text in [
            String::new(),
            "ü".repeat(16),
            id.to_uppercase(),
            format!("{id}-"),
            format!("{id} "),
            format!("{id}0"),
            format!("{id}-{}", &id[1..]),
            format!("{id}-{}", "0".repeat(32)),
            format!("{id}-{id}-"),
            format!("{id}-{id}-{id}"),
            format!("{id}-{id}-{}", "0".repeat(16)),
        ] {
            assert!(text.parse::<Token>().is_err(), "{text}");
        }
    }
}
