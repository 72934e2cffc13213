//! [`Stamp`]: what a value is stored with, so that it can be called in later.

use std::time::SystemTime;

use super::envelope;
use crate::key::Label;

/// How often something under a tag has been invalidated by a label, and since when that is counted.
///
/// Generations of one incarnation are in order. Those of different ones have nothing to do with each other: whatever
/// was stored in another incarnation is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation {
    /// Random, and new whenever everything under the tag is invalidated, or what was known of it is lost.
    pub incarnation: u64,
    /// Larger after every invalidation.
    pub number: u64,
}

/// The labels of a value, and the generation in which its computation started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    generation: Generation,
    labels: Vec<Label>,
}

/// How something is invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purge {
    /// It counts as absent.
    Hard,
    /// It is not fresh any more.
    Soft,
}

/// What has been invalidated of a [`Stamp`] after its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Current,
    /// Something, softly, and nothing in any other way: the value is not fresh any more.
    Soft {
        /// When.
        since: SystemTime,
    },
    /// Something. The value counts as absent.
    Outdated,
}

impl Stamp {
    /// The stamp of a value with these labels whose computation started in `generation` or later.
    #[must_use]
    pub fn new(generation: Generation, labels: Vec<Label>) -> Self {
        Self { generation, labels }
    }

    /// A generation that had begun when the computation started.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The labels of the value.
    #[must_use]
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// How many bytes it adds to a value.
    pub(crate) fn weight(&self) -> usize {
        envelope::len(self)
    }
}
