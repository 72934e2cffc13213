//! Every interleaving, up to a bound on preemptions, of the threads that meet in one flight: no lost wake-up, no second
//! leader, no leak when all callers leave, nothing from before they came for callers that join late. The same for callers that
//! read one body while it grows.
//!
//! `clock.rs`, `flight.rs`, `state.rs`, `waiter.rs`, `broadcast.rs` and `pieces.rs` are compiled here over loom's
//! primitives, so that the code itself is explored.

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}

#[expect(dead_code, reason = "what asks and does not wait")]
#[path = "../../src/middleware/recording/broadcast.rs"]
mod broadcast;
mod candidates;
#[path = "../../src/memo/flights/clock.rs"]
mod clock;
#[path = "../../src/memo/flights/flight.rs"]
#[expect(dead_code, reason = "what watches over computations")]
mod flight;
#[path = "../../src/middleware/recording/pieces.rs"]
mod pieces;
mod resumed;
#[path = "../../src/memo/flights/state.rs"]
mod state;
mod streaming;
#[path = "../../src/memo/flights/waiter.rs"]
mod waiter;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use clock::{Arrivals, Clock, Tick};
use flight::Flight;
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread::{self, JoinHandle};
use waiter::{Turn, Waiter};

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Counts how many exist.
struct Lead(Arc<AtomicUsize>);

impl Lead {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type TestFlight = Flight<Lead, u32>;
type TestWaiter = Waiter<Lead, u32>;

/// A thread that waits for its turn. A leader lands the flight, after seeing that it is the only one.
fn take_part(flight: &Arc<TestFlight>, waiter: TestWaiter, leaders: &Arc<AtomicUsize>) -> JoinHandle<u32> {
    let (flight, leaders) = (Arc::clone(flight), Arc::clone(leaders));
    thread::spawn(move || match block_on(waiter) {
        Turn::Lead(_lead) => {
            assert_eq!(leaders.fetch_add(1, Ordering::SeqCst), 0, "a second leader");
            flight.land(7, Arrivals::All);
            7
        }
        Turn::Landed(outcome) => outcome,
        Turn::Late => unreachable!("no waiter is late for the end"),
    })
}

#[test]
fn one_of_two_waiters_leads_and_both_are_answered() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let leaders = Arc::new(AtomicUsize::new(0));
        let (flight, first) = TestWaiter::first(Tick::START);
        let second = Waiter::join(&flight, Tick::START).expect("not over");
        let threads = [first, second].map(|waiter| take_part(&flight, waiter, &leaders));
        assert!(flight.offer(Lead::new(&leads)).is_ok());
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 7);
        }
        assert_eq!(leaders.load(Ordering::SeqCst), 1);
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked");
    });
}

/// The lease no longer vouches for the result to later callers: they leave at once, and the others are answered.
#[test]
fn those_who_are_dismissed_leave_before_the_end() {
    explore(|| {
        let clock = Clock::new();
        let (flight, leading) = TestWaiter::first(clock.tick());
        assert!(flight.offer(Lead::new(&Arc::default())).is_ok());
        let Turn::Lead(lead) = block_on(leading) else {
            panic!("the only one leads");
        };
        let early = Waiter::join(&flight, clock.tick()).expect("not over");
        let confirmed = clock.tick();
        let late = Waiter::join(&flight, clock.tick()).expect("not over");
        assert!(flight.has_joined(Arrivals::Before(confirmed)));
        let early = thread::spawn(move || matches!(block_on(early), Turn::Landed(7)));
        let late = thread::spawn(move || matches!(block_on(late), Turn::Late));
        flight.keep_only(Arrivals::Before(confirmed));
        assert!(late.join().unwrap());
        flight.land(7, Arrivals::Before(confirmed));
        assert!(early.join().unwrap());
        drop(lead);
    });
}

#[test]
fn a_waiter_that_leaves_while_it_is_offered_the_lead_passes_it_on() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let leaders = Arc::new(AtomicUsize::new(0));
        let (flight, leaving) = TestWaiter::first(Tick::START);
        let staying = Waiter::join(&flight, Tick::START).expect("not over");
        let leaver = thread::spawn(move || {
            let mut leaving = Box::pin(leaving);
            // Registered, perhaps woken, and gone before it is polled again.
            let mut cx = Context::from_waker(Waker::noop());
            matches!(leaving.as_mut().poll(&mut cx), Poll::Ready(Turn::Lead(_)))
        });
        let stayer = take_part(&flight, staying, &leaders);
        assert!(flight.offer(Lead::new(&leads)).is_ok());
        if leaver.join().unwrap() {
            // It took the lead and dropped it: its keeper lands the flight.
            flight.land(7, Arrivals::All);
        }
        assert_eq!(stayer.join().unwrap(), 7);
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked");
    });
}

#[test]
fn an_offer_that_no_waiter_stays_for_is_dropped_and_the_flight_closed() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let (flight, waiter) = TestWaiter::first(Tick::START);
        let leaver = thread::spawn(move || drop(waiter));
        let offered = flight.offer(Lead::new(&leads)).is_ok();
        leaver.join().unwrap();
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked, offered: {offered}");
        assert_eq!(flight.waiting(), 0, "a waiter that left is counted");
        assert!(
            Waiter::join(&flight, Tick::START).is_none(),
            "a flight that is over was joined"
        );
    });
}

#[test]
fn a_flight_is_either_joined_or_deserted() {
    explore(|| {
        let (flight, waiter) = TestWaiter::first(Tick::START);
        let leaver = thread::spawn(move || drop(waiter));
        let joiner = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || Waiter::join(&flight, Tick::START))
        };
        let keeper = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || {
                let mut polls = 0;
                block_on(poll_fn(|cx| {
                    polls += 1;
                    // Ends either way: deserted, or told so by the landing below.
                    match flight.poll_deserted(cx) {
                        Poll::Ready(()) => Poll::Ready(true),
                        Poll::Pending if polls > 1 => Poll::Ready(false),
                        Poll::Pending => Poll::Pending,
                    }
                }))
            })
        };
        leaver.join().unwrap();
        let joined = joiner.join().unwrap();
        if let Some(waiter) = joined {
            // Leaving again wakes the keeper: it must not sleep through.
            drop(waiter);
        }
        keeper.join().unwrap();
    });
}

#[test]
fn landing_reaches_a_waiter_that_joined_before_it() {
    explore(|| {
        let (flight, first) = TestWaiter::first(Tick::START);
        let joiner = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || match Waiter::join(&flight, Tick::START) {
                Some(waiter) => matches!(block_on(waiter), Turn::Landed(7)),
                None => true,
            })
        };
        flight.land(7, Arrivals::All);
        assert!(joiner.join().unwrap());
        assert!(matches!(block_on(pin!(first)), Turn::Landed(7)));
    });
}

#[test]
fn a_waiter_that_is_not_polled_does_not_keep_the_lead_from_the_others() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let leaders = Arc::new(AtomicUsize::new(0));
        let (flight, parked) = TestWaiter::first(Tick::START);
        let mut parked = Box::pin(parked);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(parked.as_mut().poll(&mut cx).is_pending());
        let staying = Waiter::join(&flight, Tick::START).expect("not over");
        let stayer = take_part(&flight, staying, &leaders);
        assert!(flight.offer(Lead::new(&leads)).is_ok());
        flight.nudge();
        assert_eq!(stayer.join().unwrap(), 7);
        assert!(matches!(block_on(parked), Turn::Landed(7)));
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked");
    });
}

/// The store is invalidated, and a caller comes that knows of it, while the keeper asks the store and lands with the answer.
#[test]
fn an_answer_from_before_an_invalidation_does_not_reach_who_came_after_it() {
    explore(|| {
        let clock = Arc::new(Clock::new());
        let invalidations = Arc::new(AtomicUsize::new(0));
        let (flight, early) = Waiter::<Lead, usize>::first(clock.tick());
        let late = {
            let (flight, clock) = (Arc::clone(&flight), Arc::clone(&clock));
            let invalidations = Arc::clone(&invalidations);
            thread::spawn(move || {
                invalidations.store(1, Ordering::SeqCst);
                let waiter = Waiter::join(&flight, clock.tick())?;
                match block_on(waiter) {
                    Turn::Landed(seen) => Some(seen),
                    Turn::Late => None,
                    Turn::Lead(_) => unreachable!("nothing is offered"),
                }
            })
        };
        let asked = clock.tick();
        let seen = invalidations.load(Ordering::SeqCst);
        flight.land(seen, Arrivals::Before(asked));
        assert_ne!(late.join().unwrap(), Some(0), "an old answer");
        assert!(matches!(block_on(early), Turn::Landed(landed) if landed == seen));
    });
}
