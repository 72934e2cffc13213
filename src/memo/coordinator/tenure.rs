//! [`Tenure`]: up to which moment a keeper is known to have held its lease.
//!
//! An invalidation takes the lease away. So a lease that was still held when the store was asked vouches for what is
//! computed under it to every caller who came before that question: no invalidation that they may know of came after the
//! computation began. Where the store can no longer be asked, the later ones have to ask again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::memo::flights::clock::Tick;

/// The moments at which the store was asked for the lease and said that it is held.
pub(super) struct Tenure(Mutex<Confirmed>);

struct Confirmed {
    first: Tick,
    last: Tick,
}

impl Tenure {
    /// There is no lease that could be taken away, and so nothing that has to be vouched for.
    pub(super) fn none() -> Self {
        Self(Mutex::new(Confirmed {
            first: Tick::END,
            last: Tick::END,
        }))
    }

    fn known(&self) -> MutexGuard<'_, Confirmed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store was asked for the lease at that moment, and granted it.
    pub(super) fn begin(&self, asked: Tick) {
        *self.known() = Confirmed {
            first: asked,
            last: asked,
        };
    }

    /// The lease was still held when the store was asked at that moment.
    pub(super) fn extend(&self, asked: Tick) {
        self.known().last = asked;
    }

    /// What is computed from here on is computed without a lease.
    pub(super) fn end(&self) {
        self.begin(Tick::END);
    }

    /// Callers who came before this moment came before the computation began.
    pub(super) fn first(&self) -> Tick {
        self.known().first
    }

    /// Callers who came before this moment know of no invalidation that came after the computation began.
    pub(super) fn last(&self) -> Tick {
        self.known().last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memo::flights::clock::Clock;

    #[test]
    fn a_lease_vouches_up_to_the_last_question_that_was_answered() {
        let clock = Clock::new();
        let [before, asked, between, renewed, after] = [(); 5].map(|()| clock.tick());
        let tenure = Tenure::none();
        assert!(after < tenure.last() && after < tenure.first());
        tenure.begin(asked);
        assert!(before < tenure.last() && between >= tenure.last());
        tenure.extend(renewed);
        assert!(between < tenure.last() && after >= tenure.last());
        assert!(before < tenure.first() && between >= tenure.first());
        tenure.end();
        assert!(after < tenure.last() && after < tenure.first());
    }
}
