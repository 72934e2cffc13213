//! [`Marking`]: by what a result can be invalidated.

use crate::key::Label;
use crate::memo::flights::clock::Tick;
use crate::store::{Generation, Stamp};

/// The generation in which a computation starts, and a moment before the store was asked for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) generation: Generation,
    pub(crate) asked: Tick,
}

/// What goes with a result to the store.
#[derive(Debug)]
pub(crate) enum Marking {
    /// Nothing: only the invalidation of its address concerns it.
    Plain,
    /// A stamp. Waiters that came before this moment may have the result, whatever was invalidated since.
    Stamped(Stamp, Tick),
    /// It should have a stamp, but the generation in which it was begun is not known.
    Unknown,
}

impl Marking {
    /// For a result with these labels; `always` where one without labels has a stamp as well.
    pub(crate) fn new(start: Option<Start>, labels: Vec<Label>, always: bool) -> Self {
        match start {
            _ if labels.is_empty() && !always => Self::Plain,
            Some(Start { generation, asked }) => Self::Stamped(Stamp::new(generation, labels), asked),
            None => Self::Unknown,
        }
    }
}
