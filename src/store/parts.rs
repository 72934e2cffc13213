//! How a value goes from one process to others while it is made: [`Parts`].
//!
//! The holder of a lock uploads the beginning of its value as it grows, and others read it, each at a place of its own.
//! The uploaded beginning is the *part*. It belongs to the lock's token: the part grows, and a reader reads on, only
//! while the lock holds that token. A commit appends the rest, and the part becomes the value.
//!
//! A value that turned out to be for its readers alone is *detached*: the lock is given back, and the part becomes a
//! window on the value. The detached part ends with its last piece, or soon after the uploader is gone.
//!
//! The holder uploads nothing before another process has [asked](Parts::ask) for it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::stamp::Stamp;
use super::token::{ParseTokenError, Token};
use crate::error::StoreError;
use crate::key::Address;
use crate::task::BoxFuture;

/// The name of one attempt to make a value, by the holder of one token.
///
/// Its text form is that of the token without a trace context and 16 more hexadecimal digits. Its bytes stand in the
/// part, so that a reader never takes one attempt for another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PartId {
    holder: u128,
    attempt: u64,
}

impl PartId {
    /// How many bytes it has.
    pub(crate) const LEN: usize = 24;

    /// A new attempt of the holder of this token.
    pub(crate) fn new(token: Token) -> Self {
        Self {
            holder: token.id(),
            attempt: Token::random().process(),
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..16].copy_from_slice(&self.holder.to_be_bytes());
        bytes[16..].copy_from_slice(&self.attempt.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        let (mut holder, mut attempt) = ([0; 16], [0; 8]);
        holder.copy_from_slice(&bytes[..16]);
        attempt.copy_from_slice(&bytes[16..]);
        Self {
            holder: u128::from_be_bytes(holder),
            attempt: u64::from_be_bytes(attempt),
        }
    }

    /// The token of the holder, without a trace context.
    pub(crate) fn holder(self) -> Token {
        Token::of_id(self.holder)
    }

    /// Whether the holder of this token makes this attempt.
    pub(crate) fn is_of(self, token: Token) -> bool {
        self.holder == token.id()
    }
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}{:016x}", self.holder, self.attempt)
    }
}

impl fmt::Debug for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartId({self})")
    }
}

impl FromStr for PartId {
    type Err = ParseTokenError;

    /// Reads the text form, and nothing else.
    ///
    /// # Errors
    ///
    /// [`ParseTokenError`] unless these are 48 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ParseTokenError> {
        let read = || {
            let (holder, attempt) = text.split_at_checked(32)?;
            let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            (attempt.len() == 16 && text.bytes().all(is_digit)).then_some(())?;
            Some(Self {
                holder: u128::from_str_radix(holder, 16).ok()?,
                attempt: u64::from_str_radix(attempt, 16).ok()?,
            })
        };
        read().ok_or(ParseTokenError(()))
    }
}

/// A part, as its writer and its readers know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) id: PartId,
    /// The token in the lock.
    pub(crate) token: Token,
    /// Where in the part the bytes of the id are. They are at the same place in the value.
    pub(crate) id_at: usize,
}

impl Part {
    /// Where the id is in a part without a stamp: behind four bytes that say which form the part has.
    pub(crate) const ID_AT: usize = 4;

    /// The id in a part that begins with these bytes, without its stamp.
    pub(crate) fn id_in(bytes: &[u8]) -> Option<PartId> {
        let id = bytes.get(Self::ID_AT..)?.first_chunk()?;
        Some(PartId::from_bytes(*id))
    }
}

/// Carries values between processes while they are made.
pub(crate) trait Parts: Send + Sync {
    /// A new token, by which followers know which process to ask.
    fn token(&self) -> Token;

    /// Whether values at this address can be carried.
    fn carries(&self, address: &Address) -> bool;

    /// Starts to listen for processes that ask the holder of `token` for its value.
    fn listen(&self, address: &Address, token: Token) -> PartRequests;

    /// The token of the lock, and up to `most` bytes of the beginning of the part, which this holder or an earlier one
    /// uploaded. `None` where no process holds the lock that can be asked.
    fn find<'a>(&'a self, address: &'a Address, most: usize) -> BoxFuture<'a, Result<Option<FoundPart>, StoreError>>;

    /// Asks the holder for its value. Returns whether the holder heard that, as far as is known.
    fn ask<'a>(&'a self, address: &'a Address, holder: Token) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Appends to the part, which ends at `at`, extends the lease and tells the readers.
    fn append<'a>(
        &'a self,
        address: &'a Address,
        part: Part,
        at: u64,
        piece: &'a [u8],
        lease: Duration,
    ) -> BoxFuture<'a, Result<Appended, StoreError>>;

    /// Detaches the part from the lock, which is about to be given back.
    fn detach<'a>(&'a self, address: &'a Address, part: Part, at: u64) -> BoxFuture<'a, Result<Appended, StoreError>>;

    /// Appends to a detached part. Where readers are too far behind, this is [`Appended::Full`], unless `force` is set.
    fn append_detached<'a>(
        &'a self,
        address: &'a Address,
        part: Part,
        at: u64,
        piece: &'a [u8],
        force: bool,
    ) -> BoxFuture<'a, Result<Appended, StoreError>>;

    /// Removes the part, and tells the readers.
    fn abandon<'a>(&'a self, address: &'a Address, part: Part) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Up to `most` bytes from a place on, for the reader with this name.
    fn read<'a>(
        &'a self,
        address: &'a Address,
        part: Part,
        reader: Token,
        at: u64,
        most: usize,
    ) -> BoxFuture<'a, Result<PartRead, StoreError>>;
}

/// What [`Parts::find`] finds.
#[derive(Debug, Clone)]
pub(crate) struct FoundPart {
    pub(crate) holder: Token,
    pub(crate) beginning: Bytes,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// The piece is there. With whether any process heard of it.
    Done { heard: bool },
    /// The lock is not held any more, or the part is gone.
    Refused,
    /// There is no room until the readers have read on.
    Full,
}

/// What a part has at some place.
#[derive(Debug)]
pub(crate) enum PartRead {
    /// These bytes; and for how long there may be more, unless that is extended.
    Growing(Bytes, Duration),
    /// These bytes, of a part that is complete and ends at that place.
    Whole(Bytes, u64),
    /// The part is gone, or its bytes at this place are.
    Gone,
}

/// The end of a value whose beginning has been uploaded.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) part: Part,
    /// Where the beginning ends.
    pub(crate) at: u64,
    pub(crate) bytes: Bytes,
    /// The stamp at the beginning.
    pub(crate) stamp: Option<Stamp>,
}

/// Whether a holder was asked for its value. Dropping this ends the listening.
pub(crate) struct PartRequests {
    notify: Arc<Notify>,
    forget: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl PartRequests {
    pub(crate) fn new(notify: Arc<Notify>, forget: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self {
            notify,
            forget: Some(Box::new(forget)),
        }
    }

    /// Resolves once the holder was asked. Does so only once. Cancel safe.
    pub(crate) async fn asked(&self) {
        self.notify.notified().await;
    }
}

impl Drop for PartRequests {
    fn drop(&mut self) {
        if let Some(forget) = self.forget.take() {
            forget();
        }
    }
}
