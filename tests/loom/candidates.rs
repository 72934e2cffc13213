//! Waiters that stand by, and keepers that wait for a waiter.

use super::*;

#[test]
fn a_keeper_that_waits_for_late_callers_hears_of_one() {
    explore(|| {
        let clock = Clock::new();
        let (flight, _first) = TestWaiter::first(clock.tick());
        let since = clock.tick();
        let arrived = clock.tick();
        let joiner = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || drop(Waiter::join(&flight, arrived)))
        };
        block_on(poll_fn(|cx| flight.poll_joined(Arrivals::Before(since), cx)));
        joiner.join().unwrap();
    });
}

#[test]
fn one_who_stands_by_has_the_outcome_and_never_the_lead() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let leaders = Arc::new(AtomicUsize::new(0));
        let (flight, candidate) = TestWaiter::first(Tick::START);
        let standing_by = Waiter::join(&flight, Tick::START).expect("not over").stand_by();
        let candidate = take_part(&flight, candidate, &leaders);
        let standing_by = thread::spawn(move || matches!(block_on(standing_by), Turn::Landed(7)));
        assert!(flight.offer(Lead::new(&leads)).is_ok());
        assert_eq!(candidate.join().unwrap(), 7);
        assert!(standing_by.join().unwrap(), "who stands by was to lead");
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked");
    });
}

#[test]
fn an_offer_that_only_one_who_stands_by_is_left_for_is_taken_back() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let (flight, leaving) = TestWaiter::first(Tick::START);
        let standing_by = Waiter::join(&flight, Tick::START).expect("not over").stand_by();
        let leaver = thread::spawn(move || drop(leaving));
        let stayer = thread::spawn(move || matches!(block_on(standing_by), Turn::Landed(7)));
        let offered = flight.offer(Lead::new(&leads)).is_ok();
        leaver.join().unwrap();
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked, offered: {offered}");
        assert!(!flight.has_candidate());
        flight.land(7, Arrivals::All);
        assert!(stayer.join().unwrap(), "the flight was over for who stands by");
    });
}

#[test]
fn a_keeper_that_waits_for_a_candidate_hears_of_one() {
    explore(|| {
        let (flight, first) = TestWaiter::first(Tick::START);
        let _standing_by = first.stand_by();
        let joiner = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || Waiter::join(&flight, Tick::START))
        };
        block_on(poll_fn(|cx| flight.poll_candidate(cx)));
        assert!(joiner.join().unwrap().is_some());
    });
}

/// A waiter that asks whether it is for others to work, at the moment they begin: woken for the one, it asks again, and is
/// woken for the other.
#[test]
fn a_waiter_that_wants_to_know_whether_it_follows_is_told() {
    explore(|| {
        let (flight, waiter) = TestWaiter::first(Tick::START);
        flight.ask();
        let keeper = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || {
                flight.follow();
                flight.resume();
            })
        };
        let mut waiter = pin!(waiter.of_leader());
        let since = block_on(poll_fn(|cx| {
            assert!(waiter.as_mut().poll(cx).is_pending());
            waiter.follows_since().map_or(Poll::Pending, Poll::Ready)
        }));
        assert_eq!(waiter.followed_since(), Some(since));
        keeper.join().unwrap();
    });
}
