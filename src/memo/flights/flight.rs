//! One flight: all callers in this process that wait for the same thing.
//!
//! A flight has one *keeper*, the task that looks for an outcome or a lease (`coordinator.rs`), whose side is here, and any
//! number of *waiters* (`waiter.rs`). Its life (`state.rs`):
//!
//! ```text
//!  Seeking --offer--> Offered --a waiter takes it--> Led --land--> Landed
//!   ^ |                  |                            |
//!   | +--- all left: Closed                           |
//!   +---------------------resume----------------------+
//! ```
//!
//! The lead is offered to the waiters rather than given to the keeper, because only a waiter has what it takes to
//! compute: its own request, or closure. A waiter that leaves while it is offered wakes the next; when the last one
//! leaves the lead is dropped, which its other end notices.
//!
//! The leader may find that the value is made elsewhere. Then the flight is resumed, and all wait again, the former
//! leader too if it has joined again before. A leader that could not lead again *stands by*: it waits as all others do,
//! but the lead is not offered to it.
//!
//! A flight lands with what was true at some moment. A waiter that came after that moment is *late*: all that it learns
//! is that the flight is over.
//!
//! A waiter *follows* while another caller, here or elsewhere, computes for it. Until the store has said so the waiter
//! may yet lead.
//!
//! While a waiter leads, an outcome may be handed out to the waiters that came before some moment. They leave the
//! flight with it, and the others wait on.
//!
//! All transitions are synchronous and happen under one lock; wakers are woken and foreign values dropped outside it.
//! `tests/loom` explores the interleavings: no lost wake-up, no second leader, no leak when all waiters leave.

use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::clock::Arrivals;
use super::state::{FlightState, Phase, wake};
use super::sync::{Arc, Mutex, MutexGuard};

/// The waiters for one outcome `O`, one of which may have to take the lead `L`.
pub(crate) struct Flight<L, O> {
    state: Mutex<FlightState<L, O>>,
}

/// What an operator sees of a flight.
#[cfg(feature = "admin")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glance {
    pub(crate) role: FlightRole,
    /// How many wait. The leader does not.
    pub(crate) waiters: usize,
    pub(crate) began: Instant,
    /// When the lock ends unless it is renewed.
    pub(crate) lease: Option<Instant>,
}

/// Whether a flight waits for a caller here or for another process.
#[cfg(feature = "admin")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlightRole {
    /// The work of a caller here.
    Leader,
    /// The work of another process.
    Follower,
    /// The store has not said yet.
    Asking,
}

impl<L, O> Flight<L, O> {
    pub(super) fn new(state: FlightState<L, O>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, FlightState<L, O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiters.len()
    }

    /// Whether as many wait as may. Waiters that stand by do not count.
    pub(crate) fn is_full(&self, most: usize) -> bool {
        let state = self.state();
        !state.is_over() && state.waiters.len() - state.standing_by >= most
    }

    /// Whether no waiter is left. The asking task is woken once that may have changed.
    pub(crate) fn is_deserted(&self, cx: &mut Context<'_>) -> bool {
        let mut state = self.state();
        let before = state.guardian.replace(cx.waker().clone());
        let is_deserted = state.waiters.is_empty();
        drop(state);
        drop(before);
        is_deserted
    }

    /// Offers the lead to the waiters. Gives it back if no waiter could take it, and closes the flight if there are no
    /// waiters.
    pub(crate) fn offer(&self, lead: L) -> Result<(), L> {
        let mut state = self.state();
        if state.waiters.is_empty() {
            state.phase = Phase::Closed;
        }
        if state.no_candidate_waits() {
            return Err(lead);
        }
        state.phase = Phase::Offered(lead);
        let next = state.next_waker();
        drop(state);
        wake(next);
        Ok(())
    }

    /// Wakes all waiters if the lead is still on offer: the waiter that was woken may not be polled.
    pub(crate) fn nudge(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Offered(_)) {
            state.eldest = None;
            let wakers = state.take_wakers();
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// No waiter leads any more, and all waiters go on waiting.
    pub(crate) fn resume(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Led(_)) {
            state.phase = Phase::Seeking;
        }
        state.work.handed_on.get_or_insert_with(Instant::now);
        let due = state.follow();
        drop(state);
        due.into_iter().for_each(Waker::wake);
    }

    /// The store is asked which process holds the lock.
    pub(crate) fn ask(&self) {
        self.state().work.unknown = true;
    }

    /// The store says that another process holds the lock.
    pub(crate) fn follow(&self) {
        let due = self.state().follow();
        due.into_iter().for_each(Waker::wake);
    }

    /// Lets all other waiters go: the result of this computation will not be for them.
    pub(crate) fn keep_only(&self, whom: Arrivals) {
        let mut state = self.state();
        state.wanted_by = whom;
        let wakers = state.take_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Hands `outcome` to the waiters that it is for, those that are there and those that come. All others wait for the
    /// end.
    pub(crate) fn hand_out(&self, outcome: O, whom: Arrivals) {
        let mut state = self.state();
        let Phase::Led(handed_out) = &mut state.phase else {
            return;
        };
        let replaced = handed_out.replace((outcome, whom));
        let wakers = state.take_wakers();
        drop(state);
        drop(replaced);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ready, once there is a waiter that came too late for the outcome that was handed out last.
    pub(crate) fn poll_unserved(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let is_served = matches!(&state.phase, Phase::Led(Some((_, whom))) if whom.include(state.newest));
        if !state.waiters.is_empty() && !is_served {
            return Poll::Ready(());
        }
        let before = state.curious.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Ends the flight and hands `outcome` to the waiters that it is for.
    pub(crate) fn land(&self, outcome: O, whom: Arrivals) {
        let mut state = self.state();
        if state.is_over() {
            return;
        }
        let replaced = std::mem::replace(&mut state.phase, Phase::Landed(outcome, whom));
        let wakers = state.take_wakers();
        drop(state);
        drop(replaced);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ready, once no waiter is left while the lead is neither taken nor offered. The flight is closed then.
    pub(crate) fn poll_deserted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        match state.phase {
            Phase::Seeking if state.waiters.is_empty() => {
                state.phase = Phase::Closed;
                Poll::Ready(())
            }
            Phase::Closed => Poll::Ready(()),
            Phase::Seeking | Phase::Offered(_) | Phase::Led(_) | Phase::Landed(..) => {
                let before = state.keeper.replace(cx.waker().clone());
                drop(state);
                drop(before);
                Poll::Pending
            }
        }
    }

    /// Whether there is a waiter that could lead.
    pub(crate) fn has_candidate(&self) -> bool {
        !self.state().no_candidate_waits()
    }

    /// Ready, if there is a waiter that could lead.
    pub(crate) fn poll_candidate(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if !state.no_candidate_waits() {
            return Poll::Ready(());
        }
        let before = state.scout.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Whether a waiter has joined besides these.
    pub(crate) fn has_joined(&self, known: Arrivals) -> bool {
        !known.include(self.state().newest)
    }

    /// Ready, once a waiter has joined besides these.
    pub(crate) fn poll_joined(&self, known: Arrivals, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if !known.include(state.newest) {
            return Poll::Ready(());
        }
        let before = state.curious.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// The lock ends then, unless it is renewed; `None` where there is none.
    #[cfg_attr(not(feature = "admin"), expect(unused_variables, reason = "for operators alone"))]
    pub(crate) fn lease_until(&self, end: Option<Instant>) {
        #[cfg(feature = "admin")]
        {
            self.state().lease = end;
        }
    }

    #[cfg(feature = "admin")]
    pub(crate) fn began(&self) -> Instant {
        self.state().began
    }

    #[cfg(feature = "admin")]
    pub(crate) fn glance(&self) -> Glance {
        let state = self.state();
        let role = match &state.phase {
            Phase::Led(_) | Phase::Offered(_) => FlightRole::Leader,
            _ if state.work.others.is_some() && !state.work.unknown => FlightRole::Follower,
            _ => FlightRole::Asking,
        };
        Glance {
            role,
            waiters: state.waiters.len(),
            began: state.began,
            lease: state.lease,
        }
    }
}
