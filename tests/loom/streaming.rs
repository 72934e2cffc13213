//! What is handed out before the end, and its readers.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use loom::future::block_on;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::broadcast::{Broadcast, BroadcastItem, Reader};
use super::clock::{Arrivals, Clock};
use super::waiter::{Turn, Waiter};
use super::{Lead, TestFlight, TestWaiter, explore};

/// Everything until the end, and what came then.
fn read(mut reader: Reader<u32>) -> (Vec<u8>, Option<u32>) {
    let mut got = Vec::new();
    loop {
        match block_on(poll_fn(|cx| reader.poll_next(cx))) {
            BroadcastItem::Data(data) => got.extend(data),
            BroadcastItem::End(rest) => return (got, Some(rest)),
            BroadcastItem::BrokenOff => return (got, None),
        }
    }
}

#[test]
fn readers_get_all_of_a_body_whenever_they_join_and_however_fast_they_read() {
    explore(|| {
        let (producer, audience) = Broadcast::new();
        let reader = thread::spawn(move || read(Broadcast::join(&audience)));
        for piece in ["ab", "", "c"] {
            producer.push(piece.into());
        }
        producer.finish("abc".into(), 7);
        assert_eq!(reader.join().unwrap(), (b"abc".to_vec(), Some(7)));
    });
}

#[test]
fn a_body_that_is_not_finished_is_an_error_to_every_reader() {
    explore(|| {
        let (producer, audience) = Broadcast::new();
        let reader = Broadcast::join(&audience);
        let reader = thread::spawn(move || read(reader));
        producer.push("ab".into());
        drop(producer);
        let (got, end) = reader.join().unwrap();
        assert!(end.is_none() && b"ab".starts_with(&got), "{got:?} {end:?}");
        assert_eq!(read(Broadcast::join(&audience)), (Vec::new(), None));
    });
}

#[test]
fn a_reader_that_leaves_takes_nothing_from_the_others() {
    explore(|| {
        let (producer, audience) = Broadcast::new();
        let mut leaving = Broadcast::join(&audience);
        let staying = Broadcast::join(&audience);
        let leaver = thread::spawn(move || {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = leaving.poll_next(&mut cx);
        });
        let stayer = thread::spawn(move || read(staying));
        producer.push("ab".into());
        producer.finish("ab".into(), 7);
        leaver.join().unwrap();
        assert_eq!(stayer.join().unwrap(), (b"ab".to_vec(), Some(7)));
        let pieces = Arc::strong_count(&audience);
        assert_eq!(pieces, 1, "a piece is held that no reader reads");
    });
}

/// Every way to read a body of three pieces: after each step of the producer the reader takes none, one or all.
#[test]
fn where_a_reader_has_got_to_when_the_body_is_whole_makes_no_difference() {
    // Loom's primitives exist in a model only.
    explore(|| {
        for schedule in 0..27_usize {
            let (producer, audience) = Broadcast::new();
            let mut reader = Broadcast::join(&audience);
            let mut cx = Context::from_waker(Waker::noop());
            let mut got = Vec::new();
            for (step, piece) in ["a", "bc", "d"].into_iter().enumerate() {
                producer.push(Bytes::from(piece));
                let most = match schedule / 3_usize.pow(step as u32) % 3 {
                    2 => usize::MAX,
                    few => few,
                };
                for _ in 0..most {
                    match reader.poll_next(&mut cx) {
                        Poll::Ready(BroadcastItem::Data(data)) => got.extend(data),
                        Poll::Ready(_) => panic!("the body goes on"),
                        Poll::Pending => break,
                    }
                }
            }
            producer.finish("abcd".into(), 7);
            let (rest, end) = read(reader);
            got.extend(rest);
            assert_eq!((got.as_slice(), end), (&b"abcd"[..], Some(7)), "{schedule}");
        }
    });
}

/// A flight that is led, and its lead.
fn led(clock: &Clock) -> (Arc<TestFlight>, Lead) {
    let (flight, leader) = TestWaiter::first(clock.tick());
    let count = Arc::new(AtomicUsize::new(0));
    assert!(flight.offer(Lead::new(&count)).is_ok());
    match block_on(leader) {
        Turn::Lead(lead) => (flight, lead),
        Turn::Landed(_) | Turn::Late => unreachable!("nothing but the lead is there"),
    }
}

#[test]
fn a_waiter_that_joins_while_something_is_handed_out_gets_that_or_the_end() {
    explore(|| {
        let clock = Arc::new(Clock::new());
        let (flight, _lead) = led(&clock);
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let (flight, clock) = (Arc::clone(&flight), Arc::clone(&clock));
                thread::spawn(move || {
                    let waiter = Waiter::join(&flight, clock.tick())?;
                    match block_on(waiter) {
                        Turn::Landed(outcome) => Some(outcome),
                        Turn::Late | Turn::Lead(_) => unreachable!("no waiter is late for the end"),
                    }
                })
            })
            .collect();
        flight.hand_out(1, Arrivals::Before(clock.tick()));
        flight.land(2, Arrivals::All);
        for waiter in waiters {
            assert!(matches!(waiter.join().unwrap(), None | Some(1 | 2)));
        }
    });
}

#[test]
fn a_keeper_hears_of_all_waiters_that_came_too_late_for_what_was_handed_out() {
    explore(|| {
        let clock = Arc::new(Clock::new());
        let (flight, _lead) = led(&clock);
        let over = Arc::new(AtomicUsize::new(0));
        let late = {
            let (flight, clock, over) = (Arc::clone(&flight), Arc::clone(&clock), Arc::clone(&over));
            thread::spawn(move || {
                for _ in 0..2 {
                    let waiter = Waiter::join(&flight, clock.tick()).expect("not over");
                    assert!(matches!(block_on(waiter), Turn::Landed(1)));
                }
                over.store(1, Ordering::SeqCst);
                // Wakes the keeper.
                Waiter::join(&flight, clock.tick())
            })
        };
        let unserved = || {
            block_on(poll_fn(|cx| match over.load(Ordering::SeqCst) {
                0 => flight.poll_unserved(cx).map(|()| true),
                _ => Poll::Ready(false),
            }))
        };
        while unserved() {
            flight.hand_out(1, Arrivals::Before(clock.tick()));
        }
        drop(late.join().unwrap());
    });
}

/// As with an answer: what is handed out was asked for before an invalidation, and a caller comes that knows of that.
#[test]
fn what_was_confirmed_before_an_invalidation_does_not_reach_who_came_after_it() {
    explore(|| {
        let clock = Arc::new(Clock::new());
        let invalidations = Arc::new(AtomicUsize::new(0));
        let (flight, _lead) = led(&clock);
        let early = Waiter::join(&flight, clock.tick()).expect("not over");
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
        let seen = invalidations.load(Ordering::SeqCst) as u32;
        flight.hand_out(seen, Arrivals::Before(asked));
        flight.land(2, Arrivals::Before(clock.tick()));
        assert_ne!(late.join().unwrap(), Some(0), "confirmed before it came");
        assert!(matches!(block_on(pin!(early)), Turn::Landed(2)) || seen < 2);
    });
}

#[test]
fn a_producer_hears_of_the_last_follower_that_leaves() {
    explore(|| {
        let (producer, audience) = Broadcast::<u32>::new();
        let _leader = Broadcast::join(&audience).until_the_last();
        let leaving: Vec<_> = (0..2)
            .map(|_| {
                let follower = Broadcast::join(&audience);
                thread::spawn(move || drop(follower))
            })
            .collect();
        block_on(poll_fn(|cx| producer.poll_unfollowed(cx)));
        for leaver in leaving {
            leaver.join().unwrap();
        }
    });
}
