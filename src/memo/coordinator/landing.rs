//! How a computation, a lead and a flight end, and what the waiters are told.

use std::sync::Arc;

use super::Coordinator;
use crate::codec::Codec;
use crate::memo::flights::clock::Arrivals;
use crate::memo::flights::custody::Expired;
use crate::memo::outcome::{Landed, Outcome, Past, Verdict};

/// What became of the computation while the lease was kept alive.
pub(super) enum ComputationEnd<V> {
    Concluded(Verdict<V>),
    /// The promise was resolved meanwhile.
    Resolved(Outcome<V>, Arrivals),
    /// Given up.
    Abandoned,
    /// Still under way, but its result will be refused.
    LeaseLost,
    /// Still under way, but it is not to go on for others.
    Expired(Expired),
}

/// What became of a lead.
pub(super) enum LeadEnd {
    /// The flight is over.
    Landed {
        /// Whether there is a value.
        stored: bool,
    },
    /// The waiters go on waiting: no waiter could lead, or the promise was not resolved.
    Again,
    /// So many attempts in a row have come to nothing for the waiters, which have not been told yet.
    Vain(Past),
}

/// What the waiters of a flight are told, and which of them: the others have to ask again.
pub(super) struct Ending<V> {
    /// As in [`Landed`].
    pub(super) outcome: Result<Outcome<V>, Option<Past>>,
    pub(super) whom: Arrivals,
}

impl<V> Ending<V> {
    pub(super) fn told(outcome: Outcome<V>, whom: Arrivals) -> Self {
        let outcome = Ok(outcome);
        Self { outcome, whom }
    }

    /// After so many attempts that came to nothing, if this was one of them.
    pub(super) fn start_again(past: Option<Past>) -> Self {
        let (outcome, whom) = (Err(past), Arrivals::All);
        Self { outcome, whom }
    }
}

/// Ends the flight, one way or another.
pub(super) struct Landing<'a, C: Codec> {
    pub(super) coordinator: &'a Coordinator<C>,
}

impl<C: Codec> Landing<'_, C> {
    /// Hands `outcome` to all waiters; later calls change nothing.
    pub(super) fn land(&self, outcome: Outcome<C::Value>) {
        self.land_for(Arrivals::All, outcome);
    }

    /// Hands `outcome` to the waiters that it is for; the others have to ask again.
    pub(super) fn land_for(&self, whom: Arrivals, outcome: Outcome<C::Value>) {
        self.end(Ending::told(outcome, whom));
    }

    /// Has all waiters start again.
    pub(super) fn start_again(&self, past: Option<Past>) {
        self.end(Ending::start_again(past));
    }

    pub(super) fn end(&self, Ending { outcome, whom }: Ending<C::Value>) {
        let Coordinator {
            shared,
            address,
            flight,
            by,
            ..
        } = self.coordinator;
        // Out of the table first: a caller that comes from here on is not one of the earlier waiters.
        shared.table.remove(address, flight);
        let by = by.get();
        flight.land(Arc::new(Landed { outcome, by }), whom);
    }
}

impl<C: Codec> Drop for Landing<'_, C> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.coordinator.give_back_later();
        }
        self.start_again(None);
    }
}
