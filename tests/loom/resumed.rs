//! Flights that are resumed, because the value is made elsewhere: the former leader waits with the others.

use super::*;

/// Waits for the turn. The first to lead finds that the value is made elsewhere: it waits again, and the lead is offered once
/// more. The second lands the flight.
fn take_part_again(
    flight: &Arc<TestFlight>,
    mut waiter: TestWaiter,
    turns: &AtomicUsize,
    leads: &Arc<AtomicUsize>,
) -> u32 {
    loop {
        match block_on(waiter) {
            Turn::Lead(lead) => match turns.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    waiter = Waiter::join(flight, Tick::START).expect("not over");
                    drop(lead);
                    flight.resume();
                    assert!(flight.offer(Lead::new(leads)).is_ok(), "no waiter is left");
                }
                turn => {
                    assert_eq!(turn, 1, "a third leader");
                    flight.land(7, Arrivals::All);
                    return 7;
                }
            },
            Turn::Landed(outcome) => return outcome,
            Turn::Late => unreachable!("no waiter is late for the end"),
        }
    }
}

/// A flight that its first waiter leads.
fn led(leads: &Arc<AtomicUsize>) -> (Arc<TestFlight>, TestWaiter, Lead) {
    let (flight, mut leader) = TestWaiter::first(Tick::START);
    assert!(flight.offer(Lead::new(leads)).is_ok());
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Turn::Lead(lead)) = pin!(&mut leader).poll(&mut cx) else {
        unreachable!("it is offered");
    };
    (flight, leader, lead)
}

#[test]
fn a_flight_that_is_resumed_has_one_more_leader_and_answers_the_first_as_well() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let turns = Arc::new(AtomicUsize::new(0));
        let (flight, first) = TestWaiter::first(Tick::START);
        let second = Waiter::join(&flight, Tick::START).expect("not over");
        let threads: Vec<_> = [first, second]
            .into_iter()
            .map(|waiter| {
                let (flight, turns, leads) = (Arc::clone(&flight), Arc::clone(&turns), Arc::clone(&leads));
                thread::spawn(move || take_part_again(&flight, waiter, &turns, &leads))
            })
            .collect();
        assert!(flight.offer(Lead::new(&leads)).is_ok());
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 7);
        }
        assert_eq!(turns.load(Ordering::SeqCst), 2);
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked");
    });
}

#[test]
fn a_flight_that_is_resumed_and_left_by_all_is_deserted() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let (flight, _leader, lead) = led(&leads);
        let passer_by = {
            let flight = Arc::clone(&flight);
            // Comes while the flight is led, or resumed, or over, and goes.
            thread::spawn(move || drop(Waiter::join(&flight, Tick::START)))
        };
        drop(lead);
        flight.resume();
        block_on(poll_fn(|cx| flight.poll_deserted(cx)));
        passer_by.join().unwrap();
        assert!(
            Waiter::join(&flight, Tick::START).is_none(),
            "a flight that is over was joined"
        );
        assert_eq!(flight.waiting(), 0, "a waiter that left is counted");
    });
}

#[test]
fn a_promise_that_is_resolved_while_the_leader_steps_down_reaches_it() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let (flight, _leader, lead) = led(&leads);
        let stepping_down = {
            let flight = Arc::clone(&flight);
            thread::spawn(move || {
                let waiter = Waiter::join(&flight, Tick::START);
                drop(lead);
                flight.resume();
                // Over already: it joins another flight, which finds the value.
                waiter.is_none_or(|waiter| matches!(block_on(waiter), Turn::Landed(7)))
            })
        };
        flight.land(7, Arrivals::All);
        assert!(stepping_down.join().unwrap());
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked");
    });
}

#[test]
fn a_flight_that_is_resumed_is_offered_to_another() {
    explore(|| {
        let leads = Arc::new(AtomicUsize::new(0));
        let leaders = Arc::new(AtomicUsize::new(0));
        let (flight, first) = TestWaiter::first(Tick::START);
        let second = Waiter::join(&flight, Tick::START).expect("not over");
        assert!(flight.offer(Lead::new(&leads)).is_ok());
        let Turn::Lead(lead) = block_on(first) else {
            unreachable!("no other waiter takes it");
        };
        let standing_by = Waiter::join(&flight, Tick::START).expect("not over").stand_by();
        drop(lead);
        let second = take_part(&flight, second, &leaders);
        flight.resume();
        assert!(flight.offer(Lead::new(&leads)).is_ok());
        assert!(matches!(block_on(standing_by), Turn::Landed(7)));
        assert_eq!(second.join().unwrap(), 7);
        assert_eq!(leads.load(Ordering::SeqCst), 0, "a lead leaked");
    });
}
