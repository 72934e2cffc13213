//! [`Insight`]: what an operator can look at beyond the counters. Nothing is kept before an operator can look.

#[cfg(feature = "admin")]
mod failures;
#[cfg(feature = "admin")]
mod hottest;

use std::fmt;
#[cfg(feature = "admin")]
use std::sync::OnceLock;

#[cfg(feature = "admin")]
pub(crate) use self::failures::FailureNote;
#[cfg(feature = "admin")]
use self::failures::FailureRing;
#[cfg(feature = "admin")]
pub(crate) use self::hottest::Hot;
#[cfg(feature = "admin")]
use self::hottest::Hottest;
use crate::key::{Address, Readable};

/// What is kept of one [`MemoLock`](super::MemoLock) for operators: the keys that are asked for most, and what failed.
#[derive(Default)]
pub(crate) struct Insight {
    #[cfg(feature = "admin")]
    kept: OnceLock<Kept>,
}

#[cfg(feature = "admin")]
#[derive(Default)]
struct Kept {
    hottest: Hottest,
    failures: FailureRing,
}

#[cfg(not(feature = "admin"))]
#[expect(clippy::unused_self, reason = "there is nothing to keep")]
impl Insight {
    pub(crate) fn asked(&self, _: &Address) {}

    pub(crate) fn failed(&self, _: Readable<'_>, _: fmt::Arguments<'_>) {}
}

#[cfg(feature = "admin")]
impl Insight {
    /// An operator may look from here on.
    pub(crate) fn begin(&self) {
        self.kept.get_or_init(Kept::default);
    }

    /// There is a request for this.
    pub(crate) fn asked(&self, address: &Address) {
        if let Some(kept) = self.kept.get() {
            kept.hottest.ask(address);
        }
    }

    /// Something failed. `what` tells nothing of the response.
    pub(crate) fn failed(&self, whose: Readable<'_>, what: fmt::Arguments<'_>) {
        if let Some(kept) = self.kept.get() {
            kept.failures.note(whose, what);
        }
    }

    /// What is asked for most, the hottest first.
    pub(crate) fn hottest(&self) -> Vec<Hot> {
        self.kept.get().map(|kept| kept.hottest.top()).unwrap_or_default()
    }

    /// What failed, the last first.
    pub(crate) fn failures(&self) -> Vec<FailureNote> {
        self.kept.get().map(|kept| kept.failures.latest()).unwrap_or_default()
    }
}
