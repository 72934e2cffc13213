//! [`Waiter`]: one caller that waits for a flight.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::clock::Tick;
use super::flight::Flight;
use super::state::{FlightState, Phase, Seat, wake};
use super::sync::Arc;

/// How a wait ends.
#[derive(Debug)]
pub(crate) enum Turn<L, O> {
    /// It is this waiter's turn to compute.
    Lead(L),
    /// The outcome, or what was handed out before. All waiters that are not late have the same.
    Landed(O),
    /// The flight's outcome is, or will be, from before this waiter came.
    Late,
}

/// One of the waiters. Dropping it leaves the flight.
pub(crate) struct Waiter<L, O> {
    flight: Arc<Flight<L, O>>,
    /// `None` once the turn has come. Half as large as an index, as each of all waiters has it.
    id: Option<u32>,
    arrived: Tick,
    has_led: bool,
}

impl<L, O> Waiter<L, O> {
    /// The first one, with its flight.
    pub(crate) fn first(arrived: Tick) -> (Arc<Flight<L, O>>, Self) {
        let (state, id) = FlightState::new(Seat::of(arrived));
        let flight = Flight::new(state);
        let waiter = Self::seated(&flight, id, arrived);
        (flight, waiter)
    }

    /// Becomes one of the waiters; `None` once the flight is over.
    pub(crate) fn join(flight: &Arc<Flight<L, O>>, arrived: Tick) -> Option<Self> {
        let mut state = flight.state();
        if state.is_over() {
            return None;
        }
        let id = state.waiters.insert(Seat::of(arrived));
        state.newest = state.newest.max(arrived);
        let woken = [state.curious.take(), state.scout.take(), state.guardian.take()];
        drop(state);
        woken.into_iter().for_each(wake);
        Some(Self::seated(flight, id, arrived))
    }

    fn seated(flight: &Arc<Flight<L, O>>, id: usize, arrived: Tick) -> Self {
        Self {
            flight: Arc::clone(flight),
            // There are fewer waiters than that.
            id: u32::try_from(id).ok(),
            arrived,
            has_led: false,
        }
    }

    fn id(&self) -> Option<usize> {
        self.id.map(|id| id as usize)
    }

    /// The same, for the former leader: its own work does not count as work of others.
    pub(crate) fn of_leader(mut self) -> Self {
        self.has_led = true;
        self
    }

    /// Since when others work for this waiter. Where that is not known yet, the waiter is woken once it is.
    pub(crate) fn follows_since(&self) -> Option<Instant> {
        let mut state = self.flight.state();
        let FlightState { waiters, work, .. } = &mut *state;
        let seat = self.id().and_then(|id| waiters.get_mut(id))?;
        let is_known = std::mem::take(&mut seat.follows) || !work.unknown;
        let since = work.since(self.has_led).filter(|_| is_known);
        seat.is_due = since.is_none();
        work.is_due |= seat.is_due;
        since
    }

    /// Since when others have worked for this waiter, if they have.
    pub(crate) fn followed_since(&self) -> Option<Instant> {
        self.flight.state().work.since(self.has_led)
    }

    /// The same waiter, which waits for the outcome only and never takes the lead.
    pub(crate) fn stand_by(self) -> Self {
        let Some(id) = self.id() else { return self };
        let mut state = self.flight.state();
        if !std::mem::replace(&mut state.waiters[id].stands_by, true) {
            state.standing_by += 1;
        }
        let unclaimed = state.withdraw();
        drop(state);
        drop(unclaimed);
        self
    }
}

impl<L, O: Clone> Future for Waiter<L, O> {
    type Output = Turn<L, O>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn<L, O>> {
        let Some(id) = self.id() else {
            return Poll::Pending;
        };
        let mut state = self.flight.state();
        let may_lead = state.may_take(id);
        let mut due = Vec::new();
        let turn = match &state.phase {
            Phase::Landed(outcome, whom) if whom.include(self.arrived) => Turn::Landed(outcome.clone()),
            Phase::Landed(..) => Turn::Late,
            Phase::Led(Some((outcome, whom))) if whom.include(self.arrived) => Turn::Landed(outcome.clone()),
            Phase::Led(_) if !state.wanted_by.include(self.arrived) => Turn::Late,
            Phase::Offered(_) if may_lead => match std::mem::replace(&mut state.phase, Phase::Led(None)) {
                Phase::Offered(lead) => {
                    due = state.follow();
                    Turn::Lead(lead)
                }
                other => {
                    state.phase = other;
                    return Poll::Pending;
                }
            },
            Phase::Seeking | Phase::Offered(_) | Phase::Led(_) | Phase::Closed => {
                let waker = &mut state.waiters[id].waker;
                let mut before = None;
                if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    before = waker.replace(cx.waker().clone());
                }
                drop(state);
                drop(before);
                return Poll::Pending;
            }
        };
        let (seat, guardian) = state.leave(id);
        drop(state);
        drop(seat);
        wake(guardian);
        due.into_iter().for_each(Waker::wake);
        self.id = None;
        Poll::Ready(turn)
    }
}

impl<L, O> Drop for Waiter<L, O> {
    fn drop(&mut self) {
        let Some(id) = self.id() else { return };
        let mut state = self.flight.state();
        let (seat, guardian) = state.leave(id);
        let last = state.waiters.is_empty();
        let unclaimed = state.withdraw();
        let woken = match &state.phase {
            Phase::Closed if unclaimed.is_some() => state.keeper.take(),
            // The waiter that was woken may have been this one.
            Phase::Offered(_) => state.next_waker(),
            Phase::Seeking if last => state.keeper.take(),
            Phase::Seeking | Phase::Led(_) | Phase::Landed(..) | Phase::Closed => None,
        };
        drop(state);
        drop(seat);
        drop(unclaimed);
        wake(woken);
        wake(guardian);
    }
}
