//! Every interleaving, up to a bound on preemptions, of the threads that meet in one flight: no lost wake-up, no second
//! leader, no leak when everybody leaves.
//!
//! `flight.rs` is compiled here over loom's primitives, so that it is the code itself that is explored.

mod sync {
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
}

#[path = "../src/memo/flight.rs"]
mod flight;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use flight::{Flight, Turn};
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

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

/// Waits for the turn; a leader lands the flight, after seeing that it is the only one.
fn take_part(flight: &Arc<TestFlight>, waiter: flight::Waiter<Lead, u32>, leaders: &AtomicUsize) -> u32 {
    match block_on(waiter) {
        Turn::Lead(_lead) => {
            assert_eq!(leaders.fetch_add(1, Ordering::SeqCst), 0, "a second leader");
            flight.land(7);
            7
        }
        Turn::Landed(outcome) => outcome,
    }
}

#[test]
fn one_of_two_waiters_leads_and_both_are_answered() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let leaders = Arc::new(AtomicUsize::new(0));
        let (flight, first) = TestFlight::start();
        let second = Flight::join(&flight).expect("not over");
        let threads: Vec<_> = [first, second]
            .into_iter()
            .map(|waiter| {
                let (flight, leaders) = (Arc::clone(&flight), Arc::clone(&leaders));
                thread::spawn(move || take_part(&flight, waiter, &leaders))
            })
            .collect();
        assert!(flight.offer(Lead::new(&leads)).is_ok());
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 7);
        }
        assert_eq!(leaders.load(Ordering::SeqCst), 1);
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked");
    });
}

#[test]
fn a_waiter_that_leaves_while_it_is_offered_the_lead_passes_it_on() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let leaders = Arc::new(AtomicUsize::new(0));
        let (flight, leaving) = TestFlight::start();
        let staying = Flight::join(&flight).expect("not over");
        let leaver = thread::spawn(move || {
            let mut leaving = Box::pin(leaving);
            // Registered, perhaps woken, and gone before it is polled again.
            let mut cx = Context::from_waker(Waker::noop());
            matches!(leaving.as_mut().poll(&mut cx), Poll::Ready(Turn::Lead(_)))
        });
        let stayer = {
            let (flight, leaders) = (Arc::clone(&flight), Arc::clone(&leaders));
            thread::spawn(move || take_part(&flight, staying, &leaders))
        };
        assert!(flight.offer(Lead::new(&leads)).is_ok());
        if leaver.join().unwrap() {
            // It took the lead and dropped it: its keeper lands the flight.
            flight.land(7);
        }
        assert_eq!(stayer.join().unwrap(), 7);
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked");
    });
}

#[test]
fn an_offer_that_nobody_stays_for_is_dropped_and_the_flight_closed() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let (flight, waiter) = TestFlight::start();
        let leaver = thread::spawn(move || drop(waiter));
        let offered = flight.offer(Lead::new(&leads)).is_ok();
        leaver.join().unwrap();
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked, offered: {offered}");
        assert_eq!(flight.waiting(), 0, "whoever left is counted");
        assert!(Flight::join(&flight).is_none(), "a flight that is over was joined");
    });
}

#[test]
fn a_flight_is_either_joined_or_deserted() {
    explore(|| {
        let (flight, waiter) = TestFlight::start();
        let leaver = thread::spawn(move || drop(waiter));
        let joiner = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || Flight::join(&flight))
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
fn landing_reaches_whoever_joined_before_it() {
    explore(|| {
        let (flight, first) = TestFlight::start();
        let joiner = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || match Flight::join(&flight) {
                Some(waiter) => matches!(block_on(waiter), Turn::Landed(7)),
                None => true,
            })
        };
        flight.land(7);
        assert!(joiner.join().unwrap());
        assert!(matches!(block_on(pin!(first)), Turn::Landed(7)));
    });
}

#[test]
fn a_waiter_that_is_not_polled_does_not_keep_the_lead_from_the_others() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let leaders = Arc::new(AtomicUsize::new(0));
        let (flight, parked) = TestFlight::start();
        let mut parked = Box::pin(parked);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(parked.as_mut().poll(&mut cx).is_pending());
        let staying = Flight::join(&flight).expect("not over");
        let stayer = {
            let (flight, leaders) = (Arc::clone(&flight), Arc::clone(&leaders));
            thread::spawn(move || take_part(&flight, staying, &leaders))
        };
        assert!(flight.offer(Lead::new(&leads)).is_ok());
        flight.nudge();
        assert_eq!(stayer.join().unwrap(), 7);
        assert!(matches!(block_on(parked), Turn::Landed(7)));
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked");
    });
}
