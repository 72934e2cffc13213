//! [`Clock`]: whether a caller came before the store was asked.

use super::sync::{AtomicU64, Ordering};

/// Counts callers and questions to the store in one order. Their age is measured by nothing else.
pub(crate) struct Clock(AtomicU64);

/// When a caller came, or something was asked. No two are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

impl Tick {
    /// Before everything else.
    pub(crate) const START: Self = Self(0);
}

/// Which callers something is for, by when they came. The later the bound, the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arrivals {
    /// Callers that came before that moment.
    Before(Tick),
    All,
}

impl Arrivals {
    pub(crate) fn include(self, arrived: Tick) -> bool {
        match self {
            Self::Before(moment) => arrived < moment,
            Self::All => true,
        }
    }
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(1))
    }

    pub(crate) fn tick(&self) -> Tick {
        // The one that reads the larger number came later.
        Tick(self.0.fetch_add(1, Ordering::SeqCst))
    }
}
