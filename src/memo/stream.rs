//! What a value is to other processes while it is made: pieces to upload, and a beginning to read on from.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;

use crate::store::PartId;
use crate::store::parts::Part;

/// The next piece of a value that grows, in the form in which it is stored.
pub(crate) enum Piece {
    More(Bytes),
    /// The end: the rest of the value, which is whole.
    End(Bytes),
    BrokenOff,
}

/// A value that grows, for the task that uploads it.
pub(crate) trait Growing: Send + Sync {
    /// The next piece. Not asked again after the last.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece>;
}

/// Begins to show a value under this name, if that is possible.
pub(crate) struct Outgoing(Box<dyn FnOnce(PartId) -> Option<Box<dyn Growing>> + Send + Sync>);

impl Outgoing {
    pub(crate) fn new(begin: impl FnOnce(PartId) -> Option<Box<dyn Growing>> + Send + Sync + 'static) -> Self {
        Self(Box::new(begin))
    }

    pub(crate) fn begin(self, id: PartId) -> Option<Box<dyn Growing>> {
        (self.0)(id)
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

/// The beginning of a value that another process makes.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    pub(crate) part: Part,
    /// Without the stamp, if it has one.
    pub(crate) bytes: Bytes,
    /// How many bytes the stamp takes.
    pub(crate) offset: usize,
}
