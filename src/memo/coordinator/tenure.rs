//! [`Tenure`]: up to which moment a keeper is known to have held its lease.
//!
//! An invalidation takes the lease away. So a lease that was still held when the store was asked vouches for the result
//! to every caller that came before that question: every invalidation that such a caller may know of came before the
//! computation began. Where the store can no longer be asked, callers that came later have to ask again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::memo::flights::clock::{Arrivals, Tick};

/// The moments at which the store was asked for the lease and said that it is held.
pub(super) struct Tenure(Mutex<Confirmed>);

struct Confirmed {
    first: Arrivals,
    last: Arrivals,
}

impl Confirmed {
    const ALL: Self = Self {
        first: Arrivals::All,
        last: Arrivals::All,
    };
}

impl Tenure {
    /// There is no lease that an invalidation could take away, and so nothing that has to be vouched for.
    pub(super) fn none() -> Self {
        Self(Mutex::new(Confirmed::ALL))
    }

    fn known(&self) -> MutexGuard<'_, Confirmed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store was asked for the lease at that moment, and granted it.
    pub(super) fn begin(&self, asked: Tick) {
        let asked = Arrivals::Before(asked);
        *self.known() = Confirmed {
            first: asked,
            last: asked,
        };
    }

    /// The lease was still held when the store was asked at that moment.
    pub(super) fn extend(&self, asked: Tick) {
        self.known().last = Arrivals::Before(asked);
    }

    /// From here on the computation has no lease.
    pub(super) fn end(&self) {
        *self.known() = Confirmed::ALL;
    }

    /// The callers that came before the computation began.
    pub(super) fn first(&self) -> Arrivals {
        self.known().first
    }

    /// The callers that cannot know of an invalidation since the computation began.
    pub(super) fn last(&self) -> Arrivals {
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
        assert!(tenure.last().include(after) && tenure.first().include(after));
        tenure.begin(asked);
        assert!(tenure.last().include(before) && !tenure.last().include(between));
        tenure.extend(renewed);
        assert!(tenure.last().include(between) && !tenure.last().include(after));
        assert!(tenure.first().include(before) && !tenure.first().include(between));
        tenure.end();
        assert!(tenure.last().include(after) && tenure.first().include(after));
    }
}
