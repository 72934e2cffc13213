//! [`Stamp`]: stored with a value, so that the value can be invalidated by its labels later.

use std::time::SystemTime;

use super::envelope;
use crate::key::Label;

/// Counts the invalidations by labels under a tag, since some beginning.
///
/// Generations of one incarnation are in order. Generations of different incarnations cannot be compared: a value from
/// another incarnation is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation {
    /// Random, and new whenever everything under the tag is invalidated, or the store has lost what it knew of the tag.
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

/// What was invalidated after the generation of a [`Stamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Current,
    /// Something, and only softly: the value is not fresh any more.
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
