//! [`FlightState`]: one flight under its lock, and the transitions that more than one side makes.

use std::task::Waker;

use slab::Slab;
use tokio::time::Instant;

use super::clock::{Arrivals, Tick};

pub(super) struct FlightState<L, O> {
    pub(super) phase: Phase<L, O>,
    pub(super) waiters: Slab<Seat>,
    /// How many of them stand by.
    pub(super) standing_by: usize,
    pub(super) keeper: Option<Waker>,
    pub(super) work: Work,
    /// When the last waiter arrived.
    pub(super) newest: Tick,
    /// Other waiters need not wait for what is computed now.
    pub(super) wanted_by: Arrivals,
    /// The keeper, if it wants to hear of the next waiter.
    pub(super) curious: Option<Waker>,
    /// The keeper, if it wants to hear of a waiter that could lead.
    pub(super) scout: Option<Waker>,
    /// The first of the waiters that can be woken, while the lead is on offer to that one.
    pub(super) eldest: Option<usize>,
    /// The keeper, if it wants to hear of the first waiter, and that the last has left.
    pub(super) guardian: Option<Waker>,
    #[cfg(feature = "admin")]
    pub(super) began: Instant,
    /// When the lock ends unless it is renewed.
    #[cfg(feature = "admin")]
    pub(super) lease: Option<Instant>,
}

pub(super) struct Seat {
    pub(super) waker: Option<Waker>,
    pub(super) arrived: Tick,
    pub(super) stands_by: bool,
    /// Whether it is to be woken once it follows.
    pub(super) is_due: bool,
    /// Whether it was woken. The store may have been asked once more since.
    pub(super) follows: bool,
}

impl Seat {
    pub(super) fn of(arrived: Tick) -> Self {
        Self {
            waker: None,
            arrived,
            stands_by: false,
            is_due: false,
            follows: false,
        }
    }
}

/// The work of other callers and processes that is waited for.
pub(super) struct Work {
    /// Whether the store is being asked, so that any waiter may yet lead.
    pub(super) unknown: bool,
    /// Since when others do that work.
    pub(super) others: Option<Instant>,
    /// Since when others go on with what the last leader began.
    pub(super) handed_on: Option<Instant>,
    /// Whether there is a waiter that is to be woken once it follows.
    pub(super) is_due: bool,
}

impl Work {
    /// Since when others do the work that a waiter waits for, where that is known.
    pub(super) fn since(&self, has_led: bool) -> Option<Instant> {
        match has_led {
            true => self.handed_on,
            false => self.others,
        }
    }
}

pub(super) enum Phase<L, O> {
    Seeking,
    Offered(L),
    /// With an outcome that some waiters may have already.
    Led(Option<(O, Arrivals)>),
    /// With the outcome, and the waiters that it is for.
    Landed(O, Arrivals),
    Closed,
}

impl<L, O> FlightState<L, O> {
    /// Of a flight with its first waiter.
    pub(super) fn new(first: Seat) -> (Self, usize) {
        let newest = first.arrived;
        let mut waiters = Slab::new();
        let id = waiters.insert(first);
        let state = Self {
            phase: Phase::Seeking,
            waiters,
            standing_by: 0,
            work: Work {
                unknown: true,
                others: None,
                handed_on: None,
                is_due: false,
            },
            keeper: None,
            newest,
            wanted_by: Arrivals::All,
            curious: None,
            scout: None,
            eldest: None,
            guardian: None,
            #[cfg(feature = "admin")]
            began: Instant::now(),
            #[cfg(feature = "admin")]
            lease: None,
        };
        (state, id)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Landed(..) | Phase::Closed)
    }

    pub(super) fn no_candidate_waits(&self) -> bool {
        self.waiters.len() == self.standing_by
    }

    /// The waiter that is to take the lead: the one that came first. If any waiter has waited for the failed attempts
    /// before, it has.
    pub(super) fn next_waker(&mut self) -> Option<Waker> {
        let seats = self.waiters.iter();
        let seats = seats.filter(|(_, seat)| !seat.stands_by && seat.waker.is_some());
        self.eldest = seats.min_by_key(|(_, seat)| seat.arrived).map(|(id, _)| id);
        self.eldest.and_then(|id| self.waiters[id].waker.take())
    }

    pub(super) fn may_take(&self, id: usize) -> bool {
        let seat = &self.waiters[id];
        let eldest = self.eldest.filter(|eldest| *eldest != id);
        let eldest = eldest.and_then(|eldest| self.waiters.get(eldest));
        !seat.stands_by && eldest.is_none_or(|eldest| eldest.stands_by || seat.arrived < eldest.arrived)
    }

    /// From here on others do the work, or they still do. Returns the wakers of the waiters that wanted to know.
    pub(super) fn follow(&mut self) -> Vec<Waker> {
        self.work.others.get_or_insert_with(Instant::now);
        self.work.unknown = false;
        if !std::mem::take(&mut self.work.is_due) {
            return Vec::new();
        }
        let seats = self.waiters.iter_mut().map(|(_, seat)| seat);
        let due = seats.filter(|seat| seat.is_due).filter_map(|seat| {
            (seat.is_due, seat.follows) = (false, true);
            seat.waker.take()
        });
        due.collect()
    }

    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        self.waiters
            .iter_mut()
            .filter_map(|(_, seat)| seat.waker.take())
            .collect()
    }

    /// Takes the offer back where no waiter is left to take it.
    pub(super) fn withdraw(&mut self) -> Option<Phase<L, O>> {
        if !matches!(self.phase, Phase::Offered(_)) || !self.no_candidate_waits() {
            return None;
        }
        let phase = if self.waiters.is_empty() {
            Phase::Closed
        } else {
            Phase::Led(None)
        };
        Some(std::mem::replace(&mut self.phase, phase))
    }

    /// Frees a seat. The caller wakes the waker that is returned, if any.
    pub(super) fn leave(&mut self, id: usize) -> (Seat, Option<Waker>) {
        let seat = self.waiters.remove(id);
        self.standing_by -= usize::from(seat.stands_by);
        let guardian = self.guardian.take_if(|_| self.waiters.is_empty());
        (seat, guardian)
    }
}

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
