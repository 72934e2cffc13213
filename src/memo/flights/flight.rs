//! One flight: all callers in this process that wait for the same thing.
//!
//! A flight has one *keeper*, the task that looks for an outcome or a lease (`coordinator.rs`), and any number of
//! *waiters*. Its life:
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
//! Who led may find that the value is made elsewhere: then the flight is resumed, and all wait again, the one who
//! led as well if it has joined once more before. One that could not lead again *stands by*: it waits as all others do,
//! but nothing is offered to it.
//!
//! A flight lands with what was true at some moment. Waiters who came after that are *late*: all they learn is that
//! the flight is over.
//!
//! A waiter *follows* while another works for it, here or elsewhere. Until the store has said so it may yet lead.
//!
//! While one of them leads, an outcome may be handed out: to waiters that came before some moment, who leave the
//! flight with it. The others wait on.
//!
//! All transitions are synchronous and happen under one lock; wakers are woken and foreign values dropped outside it.
//! `tests/loom.rs` explores the interleavings: no lost wake-up, no second leader, no leak when all waiters leave.

use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tokio::time::Instant;

use super::clock::Tick;
use super::sync::{Arc, Mutex, MutexGuard};

/// The waiters for one outcome `O`, one of whom may have to take the lead `L`.
pub(crate) struct Flight<L, O> {
    state: Mutex<State<L, O>>,
}

struct State<L, O> {
    phase: Phase<L, O>,
    waiters: Slab<Seat>,
    /// How many of them stand by.
    standing_by: usize,
    keeper: Option<Waker>,
    work: Work,
    /// When the last waiter arrived.
    newest: Tick,
    /// Waiters who arrived then or later need not wait for what is computed now.
    dismissed: Tick,
    /// The keeper, if it wants to hear of the next.
    curious: Option<Waker>,
    /// The keeper, if it wants to hear of one who could lead.
    scout: Option<Waker>,
    /// The first of the waiters that can be woken, while the lead is on offer to that one.
    eldest: Option<usize>,
    /// The keeper, if it wants to hear of the first who waits, and of the last who leaves.
    guardian: Option<Waker>,
}

struct Seat {
    waker: Option<Waker>,
    arrived: Tick,
    stands_by: bool,
    /// Whether it is to be woken once it follows.
    is_due: bool,
    /// Whether it has been. The store may have been asked once more since.
    follows: bool,
}

impl Seat {
    fn of(arrived: Tick) -> Self {
        Self {
            waker: None,
            arrived,
            stands_by: false,
            is_due: false,
            follows: false,
        }
    }
}

/// Whose work is waited for.
struct Work {
    /// Whether the store is being asked, so that any waiter may yet lead.
    unknown: bool,
    /// Since when it has been the work of others.
    others: Option<Instant>,
    /// Since when others have had what the last leader has begun.
    handed_on: Option<Instant>,
    /// Whether there is a waiter who is to be woken once it follows.
    is_due: bool,
}

impl Work {
    /// Since when it has been that of others for a waiter, where that is known.
    fn since(&self, has_led: bool) -> Option<Instant> {
        match has_led {
            true => self.handed_on,
            false => self.others,
        }
    }
}

enum Phase<L, O> {
    Seeking,
    Offered(L),
    /// With what those may have already who arrived before that moment.
    Led(Option<(O, Tick)>),
    /// With what those get who arrived before that moment.
    Landed(O, Tick),
    Closed,
}

/// What a waiter waited for.
#[derive(Debug)]
pub(crate) enum Turn<L, O> {
    /// It is this waiter's turn to compute.
    Lead(L),
    /// All who are not late have the same outcome, or what was handed out before there was one.
    Landed(O),
    /// What the flight has landed with, or will, may be older than this waiter.
    Late,
}

impl<L, O> Flight<L, O> {
    /// A new flight and its first waiter.
    pub(crate) fn start(arrived: Tick) -> (Arc<Self>, Waiter<L, O>) {
        let mut waiters = Slab::new();
        let id = waiters.insert(Seat::of(arrived));
        let flight = Arc::new(Self {
            state: Mutex::new(State {
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
                newest: arrived,
                dismissed: Tick::END,
                curious: None,
                scout: None,
                eldest: None,
                guardian: None,
            }),
        });
        let waiter = Waiter {
            flight: Arc::clone(&flight),
            id: Some(id),
            arrived,
            has_led: false,
        };
        (flight, waiter)
    }

    fn state(&self) -> MutexGuard<'_, State<L, O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiters.len()
    }

    /// Whether as many wait as may. Waiters that stand by do not count.
    pub(crate) fn is_full(&self, most: usize) -> bool {
        let state = self.state();
        let is_over = matches!(state.phase, Phase::Landed(..) | Phase::Closed);
        !is_over && state.waiters.len() - state.standing_by >= most
    }

    /// Becomes one of the waiters; `None` once the flight is over.
    pub(crate) fn join(flight: &Arc<Self>, arrived: Tick) -> Option<Waiter<L, O>> {
        let mut state = flight.state();
        if matches!(state.phase, Phase::Landed(..) | Phase::Closed) {
            return None;
        }
        let id = state.waiters.insert(Seat::of(arrived));
        state.newest = state.newest.max(arrived);
        let (curious, scout, guardian) = (state.curious.take(), state.scout.take(), state.guardian.take());
        drop(state);
        wake(curious);
        wake(scout);
        wake(guardian);
        Some(Waiter {
            flight: Arc::clone(flight),
            id: Some(id),
            arrived,
            has_led: false,
        })
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

    /// Offers the lead to the waiters; gives it back if none could take it, and closes the flight where there are none.
    pub(crate) fn offer(&self, lead: L) -> Result<(), L> {
        let mut state = self.state();
        if state.waiters.is_empty() {
            state.phase = Phase::Closed;
        }
        if state.nobody_could_lead() {
            return Err(lead);
        }
        state.phase = Phase::Offered(lead);
        let next = state.next_waker();
        drop(state);
        wake(next);
        Ok(())
    }

    /// Wakes all waiters if the lead is still on offer: the one that was woken may exist and not be polled.
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

    /// The store is asked whose turn it is.
    pub(crate) fn ask(&self) {
        self.state().work.unknown = true;
    }

    /// The store says that another holder works.
    pub(crate) fn follow(&self) {
        let due = self.state().follow();
        due.into_iter().for_each(Waker::wake);
    }

    /// Lets waiters go who arrived at that moment or later: what is computed now will not be for them.
    pub(crate) fn dismiss(&self, from: Tick) {
        let mut state = self.state();
        state.dismissed = from;
        let wakers = state.take_wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Hands `outcome` to every waiter who arrives before that moment, and leaves the others to wait for the end.
    pub(crate) fn hand_out(&self, outcome: O, before: Tick) {
        let mut state = self.state();
        let Phase::Led(handed_out) = &mut state.phase else {
            return;
        };
        let replaced = handed_out.replace((outcome, before));
        let wakers = state.take_wakers();
        drop(state);
        drop(replaced);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ready, once a waiter is there that came too late for what was handed out last.
    pub(crate) fn poll_unserved(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let served = match &state.phase {
            Phase::Led(Some((_, before))) => *before,
            Phase::Led(None) | Phase::Seeking | Phase::Offered(_) | Phase::Landed(..) | Phase::Closed => Tick::START,
        };
        if !state.waiters.is_empty() && state.newest >= served {
            return Poll::Ready(());
        }
        let before = state.curious.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Ends the flight and hands `outcome` to every waiter who arrived before that moment.
    pub(crate) fn land(&self, outcome: O, before: Tick) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Landed(..) | Phase::Closed) {
            return;
        }
        let replaced = std::mem::replace(&mut state.phase, Phase::Landed(outcome, before));
        let wakers = state.take_wakers();
        drop(state);
        drop(replaced);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Ready, once no waiter is left while no lead is taken or offered: the flight is closed then.
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
        !self.state().nobody_could_lead()
    }

    /// Ready, if there is a waiter that could lead.
    pub(crate) fn poll_candidate(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if !state.nobody_could_lead() {
            return Poll::Ready(());
        }
        let before = state.scout.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Whether a waiter has joined that arrived after `since`.
    pub(crate) fn has_joined(&self, since: Tick) -> bool {
        self.state().newest > since
    }

    /// Ready, once a waiter has joined that arrived after `since`.
    pub(crate) fn poll_joined(&self, since: Tick, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.newest > since {
            return Poll::Ready(());
        }
        let before = state.curious.replace(cx.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl<L, O> State<L, O> {
    fn nobody_could_lead(&self) -> bool {
        self.waiters.len() == self.standing_by
    }

    /// The one who is to take the lead: the first to come has waited for what came to nothing before, if any has.
    fn next_waker(&mut self) -> Option<Waker> {
        let seats = self.waiters.iter();
        let seats = seats.filter(|(_, seat)| !seat.stands_by && seat.waker.is_some());
        self.eldest = seats.min_by_key(|(_, seat)| seat.arrived).map(|(id, _)| id);
        self.eldest.and_then(|id| self.waiters[id].waker.take())
    }

    fn may_take(&self, id: usize) -> bool {
        let seat = &self.waiters[id];
        let eldest = self.eldest.filter(|eldest| *eldest != id);
        let eldest = eldest.and_then(|eldest| self.waiters.get(eldest));
        !seat.stands_by && eldest.is_none_or(|eldest| eldest.stands_by || seat.arrived < eldest.arrived)
    }

    /// It is the work of others from here on, or still. Returns the wakers of the waiters that wanted to know.
    fn follow(&mut self) -> Vec<Waker> {
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

    fn take_wakers(&mut self) -> Vec<Waker> {
        self.waiters
            .iter_mut()
            .filter_map(|(_, seat)| seat.waker.take())
            .collect()
    }

    /// Takes the offer back where no waiter is left to take it.
    fn withdraw(&mut self) -> Option<Phase<L, O>> {
        if !matches!(self.phase, Phase::Offered(_)) || !self.nobody_could_lead() {
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
    fn leave(&mut self, id: usize) -> (Seat, Option<Waker>) {
        let seat = self.waiters.remove(id);
        self.standing_by -= usize::from(seat.stands_by);
        let guardian = self.guardian.take_if(|_| self.waiters.is_empty());
        (seat, guardian)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// One of the waiters. Dropping it leaves the flight.
pub(crate) struct Waiter<L, O> {
    flight: Arc<Flight<L, O>>,
    /// `None` once the turn has come.
    id: Option<usize>,
    arrived: Tick,
    has_led: bool,
}

impl<L, O> Waiter<L, O> {
    /// The same, for the one who leads: its own work is not that of others.
    pub(crate) fn of_leader(mut self) -> Self {
        self.has_led = true;
        self
    }

    /// Since when others work for this waiter. Where that is not known it is woken once it is.
    pub(crate) fn follows_since(&self) -> Option<Instant> {
        let mut state = self.flight.state();
        let State { waiters, work, .. } = &mut *state;
        let seat = self.id.and_then(|id| waiters.get_mut(id))?;
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

    /// Waits for the outcome only, whatever is offered.
    pub(crate) fn stand_by(self) -> Self {
        let Some(id) = self.id else { return self };
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
        let Some(id) = self.id else {
            return Poll::Pending;
        };
        let mut state = self.flight.state();
        let may_lead = state.may_take(id);
        let mut due = Vec::new();
        let turn = match &state.phase {
            Phase::Landed(outcome, before) if self.arrived < *before => Turn::Landed(outcome.clone()),
            Phase::Landed(..) => Turn::Late,
            Phase::Led(Some((outcome, before))) if self.arrived < *before => Turn::Landed(outcome.clone()),
            Phase::Led(_) if self.arrived >= state.dismissed => Turn::Late,
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
        let Some(id) = self.id.take() else { return };
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
