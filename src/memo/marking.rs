//! [`Marking`]: what a result can be called in by.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::key::Label;
use crate::memo::flights::clock::Tick;
use crate::store::{Generation, Stamp};

/// The generation in which a computation starts, and a moment before the store was asked for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) generation: Generation,
    pub(crate) asked: Tick,
}

/// What is known of the generations of a tag, so that a process whose results have no labels need not ask for them.
///
/// A result may be stamped with any generation from before its computation began: with an old one, no more than an
/// invalidation from between the two is taken for one that concerns it, which costs one more computation. As long as nothing
/// with a label was ever seen, the first that was heard of does.
#[derive(Default)]
pub(crate) struct Generations {
    labelled: AtomicBool,
    first: Mutex<Option<Start>>,
}

impl Generations {
    /// There are labels: from here on, each computation asks for its own generation.
    pub(crate) fn labels_seen(&self) {
        if !self.labelled.load(Ordering::Relaxed) {
            self.labelled.store(true, Ordering::Relaxed);
        }
    }

    /// One that does for the result of a computation that begins now.
    pub(crate) fn known(&self) -> Option<Start> {
        if self.labelled.load(Ordering::Relaxed) {
            return None;
        }
        *self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn learn(&self, start: Start) {
        self.first
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(start);
    }
}

/// What goes with a result to the store.
#[derive(Debug)]
pub(crate) enum Marking {
    /// Nothing: only the invalidation of its address concerns it.
    Plain,
    /// A stamp, and the moment before which those came who may have the result whatever has been invalidated since.
    Stamped(Stamp, Tick),
    /// It should have a stamp, but it is not known in which generation it was begun.
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
