//! [`Pieces`]: a body in memory while it grows.
//!
//! Small pieces are copied together, because each may keep something larger alive, a connection's read buffer for
//! instance, and to keep it costs more bytes than it has. Readers do not wait for that: a reader that has nothing else
//! to read gets a copy of the small pieces that are there.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// From this length on a piece is kept as it is.
const LARGE: usize = 16 * 1024;

/// The most that is allocated at once for small pieces.
const MOST: usize = 64 * 1024;

/// A body up to some place, without the pieces that were let go.
#[derive(Clone, Default)]
pub(crate) struct Pieces {
    /// The pieces that will not change. No piece is empty.
    settled: VecDeque<Bytes>,
    /// How many of these were let go.
    gone: usize,
    /// How many bytes they had.
    gone_bytes: usize,
    /// The small pieces after that, in memory that has room for more.
    tail: BytesMut,
    length: usize,
}

impl Pieces {
    /// Adds a piece. Returns how much more memory is held.
    pub(crate) fn push(&mut self, piece: Bytes) -> usize {
        self.length += piece.len();
        if piece.len() >= LARGE {
            self.settle();
            let held = piece.len();
            self.settled.push_back(piece);
            return held;
        }
        if piece.len() <= self.tail.capacity() - self.tail.len() {
            self.tail.extend_from_slice(&piece);
            return 0;
        }
        self.settle();
        // In proportion, so that there is never much more than is needed.
        let held = piece.len().max(MOST.min(self.length / 4));
        self.tail = BytesMut::with_capacity(held);
        self.tail.extend_from_slice(&piece);
        held
    }

    /// How many bytes have come, with those that were let go.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// All that was not let go, in one piece.
    pub(crate) fn content(&self) -> Bytes {
        let mut content = Vec::with_capacity(self.length - self.gone_bytes);
        for piece in &self.settled {
            content.extend_from_slice(piece);
        }
        content.extend_from_slice(&self.tail);
        content.into()
    }

    fn settle(&mut self) {
        if !self.tail.is_empty() {
            // The rest of its memory is for the next tail.
            self.settled.push_back(self.tail.split().freeze());
        }
    }

    /// Lets go all whole pieces in front of a place. Returns them, for the caller to drop.
    pub(crate) fn let_go(&mut self, place: usize) -> Vec<Bytes> {
        let mut gone = Vec::new();
        while let Some(length) = self.settled.front().map(Bytes::len)
            && self.gone_bytes + length <= place
        {
            self.gone += 1;
            self.gone_bytes += length;
            gone.extend(self.settled.pop_front());
        }
        gone
    }

    /// Whether a reader of so many bytes has missed some.
    pub(crate) fn has_lost(&self, bytes: usize) -> bool {
        bytes < self.gone_bytes
    }

    /// All that comes next at a place.
    pub(crate) fn next(&self, place: &mut Position) -> Option<Bytes> {
        if place.piece < self.gone {
            *place = Position {
                piece: self.gone,
                offset: 0,
            };
        }
        while let Some(piece) = self.settled.get(place.piece - self.gone) {
            if place.offset < piece.len() {
                let next = piece.slice(place.offset..);
                place.offset = piece.len();
                return Some(next);
            }
            *place = Position {
                piece: place.piece + 1,
                offset: 0,
            };
        }
        let next = self.tail.get(place.offset..).filter(|next| !next.is_empty())?;
        place.offset = self.tail.len();
        Some(Bytes::copy_from_slice(next))
    }
}

/// How far a reader has got, in pieces and in one of them.
#[derive(Default)]
pub(crate) struct Position {
    piece: usize,
    offset: usize,
}
