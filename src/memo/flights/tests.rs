use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::clock::{Arrivals, Clock};
use super::flight::Flight;
use super::waiter::{Turn, Waiter};

type Lead = Arc<()>;
type TestWaiter = Waiter<Lead, &'static str>;

/// One caller, and how often it was woken.
struct Caller {
    waiter: TestWaiter,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Caller {
    fn new(waiter: TestWaiter) -> Self {
        let woken = Arc::default();
        Self { waiter, woken }
    }

    fn poll(&mut self) -> Poll<Turn<Lead, &'static str>> {
        let waker = Waker::from(Arc::clone(&self.woken));
        pin!(&mut self.waiter).poll(&mut Context::from_waker(&waker))
    }

    fn waits(&mut self) -> bool {
        self.poll().is_pending()
    }

    fn leads(&mut self) -> bool {
        matches!(self.poll(), Poll::Ready(Turn::Lead(_)))
    }

    fn has(&mut self, outcome: &str) -> bool {
        matches!(self.poll(), Poll::Ready(Turn::Landed(landed)) if landed == outcome)
    }

    fn is_late(&mut self) -> bool {
        matches!(self.poll(), Poll::Ready(Turn::Late))
    }

    fn stand_by(self) -> Self {
        let Self { waiter, woken } = self;
        let waiter = waiter.stand_by();
        Self { waiter, woken }
    }

    fn woken(&self) -> usize {
        self.woken.0.load(Ordering::SeqCst)
    }
}

/// A flight, and the callers that it begins with, in the order in which they came.
fn flight<const N: usize>(clock: &Clock) -> (Arc<Flight<Lead, &'static str>>, [Caller; N]) {
    let (flight, first) = Waiter::first(clock.tick());
    let mut first = Some(first);
    let callers = [(); N].map(|()| match first.take() {
        Some(first) => Caller::new(first),
        None => join(&flight, clock).unwrap(),
    });
    (flight, callers)
}

fn join(flight: &Arc<Flight<Lead, &'static str>>, clock: &Clock) -> Option<Caller> {
    Waiter::join(flight, clock.tick()).map(Caller::new)
}

/// Whether it is ready at once.
fn is_ready(poll: impl FnOnce(&mut Context<'_>) -> Poll<()>) -> bool {
    poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn callers_that_stand_by_do_not_fill_a_flight() {
    let clock = Clock::new();
    let (flight, [_first, second]) = flight(&clock);
    assert!(flight.is_full(2) && !flight.is_full(3));
    let second = second.stand_by().stand_by();
    assert!(flight.is_full(1) && !flight.is_full(2));
    drop(second);
    assert!(flight.is_full(1) && !flight.is_full(2));
}

#[test]
fn the_lead_goes_to_the_first_who_came_and_can_take_it() {
    let clock = Clock::new();
    let (flight, [mut stands_by, mut first, mut second]) = flight(&clock);
    assert!(stands_by.waits() && first.waits() && second.waits());
    let mut stands_by = stands_by.stand_by();
    flight.offer(Lead::default()).unwrap();
    assert_eq!([stands_by.woken(), first.woken(), second.woken()], [0, 1, 0]);
    assert!(stands_by.waits() && second.waits());
    assert!(first.leads());
    assert!(second.waits());
    flight.land("done", Arrivals::All);
    assert!(stands_by.has("done") && second.has("done"));
}

#[test]
fn an_offer_waits_for_no_caller_that_cannot_be_woken_or_stands_by() {
    let clock = Clock::new();
    let (never_polled, [_unpolled, mut polled]) = flight(&clock);
    assert!(polled.waits());
    never_polled.offer(Lead::default()).unwrap();
    assert_eq!(polled.woken(), 1);
    assert!(polled.leads());

    let (polled_late, [mut first, mut second]) = flight(&clock);
    assert!(second.waits());
    polled_late.offer(Lead::default()).unwrap();
    assert!(first.leads(), "it came before the caller that was woken");

    let (given_up, [mut first, mut second]) = flight(&clock);
    assert!(first.waits());
    given_up.offer(Lead::default()).unwrap();
    assert!(second.waits());
    let _first = first.stand_by();
    assert!(second.leads());
}

#[test]
fn a_nudge_lets_any_caller_take_an_offer_and_wakes_no_caller_without_one() {
    let clock = Clock::new();
    let (flight, [mut first, mut second]) = flight(&clock);
    assert!(first.waits() && second.waits());
    flight.nudge();
    assert_eq!([first.woken(), second.woken()], [0, 0]);
    flight.offer(Lead::default()).unwrap();
    flight.nudge();
    assert_eq!([first.woken(), second.woken()], [1, 1]);
    assert!(second.leads());
    assert!(first.waits());
}

#[test]
fn an_offer_that_no_caller_can_take_is_given_back() {
    let clock = Clock::new();
    let (flight, [caller]) = flight(&clock);
    let caller = caller.stand_by();
    assert!(!flight.has_candidate());
    assert!(flight.offer(Lead::default()).is_err());
    assert!(join(&flight, &clock).is_some(), "the flight goes on for who stands by");
    drop(caller);
    assert!(flight.offer(Lead::default()).is_err());
    assert!(join(&flight, &clock).is_none(), "no caller is left");
}

#[test]
fn an_offer_is_dropped_with_the_last_caller_that_could_take_it() {
    let clock = Clock::new();
    let (closed, [caller]) = flight(&clock);
    let lead = Lead::default();
    closed.offer(Arc::clone(&lead)).unwrap();
    drop(caller);
    assert_eq!(Arc::strong_count(&lead), 1);
    assert!(join(&closed, &clock).is_none());

    let (open, [caller, stands_by]) = flight(&clock);
    let mut stands_by = stands_by.stand_by();
    open.offer(Arc::clone(&lead)).unwrap();
    drop(caller);
    assert_eq!(Arc::strong_count(&lead), 1);
    assert!(stands_by.waits());
    assert!(join(&open, &clock).is_some());
}

#[test]
fn a_flight_that_all_but_its_leader_have_left_goes_on_for_who_comes() {
    let clock = Clock::new();
    let (flight, [mut leader, follower]) = flight(&clock);
    flight.offer(Lead::default()).unwrap();
    assert!(leader.leads());
    drop(follower);
    let mut newcomer = join(&flight, &clock).unwrap();
    flight.land("done", Arrivals::All);
    assert!(newcomer.has("done"));
    flight.resume();
    assert!(join(&flight, &clock).is_none(), "what has landed is over");
}

#[test]
fn who_came_too_late_for_an_outcome_waits_for_the_next() {
    let clock = Clock::new();
    let (flight, [mut leader, mut early]) = flight(&clock);
    flight.offer(Lead::default()).unwrap();
    assert!(leader.leads());
    assert!(is_ready(|cx| flight.poll_unserved(cx)));
    let handed_out = Arrivals::Before(clock.tick());
    flight.hand_out("part", handed_out);
    assert!(!is_ready(|cx| flight.poll_unserved(cx)));
    assert!(!flight.has_joined(handed_out));
    assert!(!is_ready(|cx| flight.poll_joined(handed_out, cx)));
    let mut late = join(&flight, &clock).unwrap();
    assert!(flight.has_joined(handed_out));
    assert!(is_ready(|cx| flight.poll_unserved(cx)));
    assert!(is_ready(|cx| flight.poll_joined(handed_out, cx)));
    assert!(early.has("part") && late.waits());
    flight.keep_only(handed_out);
    assert_eq!(late.woken(), 1);
    assert!(late.is_late());
}

#[test]
fn a_flight_without_a_caller_is_closed_before_another_joins() {
    let clock = Clock::new();
    let (flight, [caller]) = flight(&clock);
    assert!(!is_ready(|cx| flight.poll_deserted(cx)));
    drop(caller);
    assert!(is_ready(|cx| flight.poll_deserted(cx)));
    assert!(join(&flight, &clock).is_none());
}

#[test]
fn a_caller_learns_since_when_others_work_for_it() {
    let clock = Clock::new();
    let (flight, [mut curious, mut other]) = flight(&clock);
    assert!(curious.waits() && other.waits());
    assert!(curious.waiter.follows_since().is_none());
    flight.follow();
    assert_eq!([curious.woken(), other.woken()], [1, 0]);
    assert!(curious.waiter.follows_since().is_some());

    flight.ask();
    let mut newcomer = join(&flight, &clock).unwrap();
    assert!(newcomer.waits());
    assert!(newcomer.waiter.follows_since().is_none(), "it may yet lead");
    flight.follow();
    flight.ask();
    assert_eq!(newcomer.woken(), 1);
    assert!(
        newcomer.waiter.follows_since().is_some(),
        "it was woken because it follows"
    );
    assert!(newcomer.waiter.follows_since().is_none());
}

#[test]
fn a_former_leader_waits_for_others_once_they_go_on_with_its_work() {
    let clock = Clock::new();
    let (flight, [mut leader, _follower]) = flight(&clock);
    flight.offer(Lead::default()).unwrap();
    assert!(leader.leads());
    let former = Caller::new(Waiter::join(&flight, clock.tick()).unwrap().of_leader());
    assert!(former.waiter.followed_since().is_none());
    flight.resume();
    assert!(former.waiter.followed_since().is_some());
    flight.offer(Lead::default()).unwrap();
}

#[cfg(feature = "admin")]
#[test]
fn an_operator_sees_whose_work_is_waited_for_and_until_when_the_lock_lasts() {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::flight::FlightRole;

    let clock = Clock::new();
    let (flight, [mut caller]) = flight(&clock);
    assert_eq!(flight.glance().role, FlightRole::Asking);
    flight.follow();
    assert_eq!(flight.glance().role, FlightRole::Follower);
    flight.ask();
    assert_eq!(flight.glance().role, FlightRole::Asking);
    let end = Instant::now() + Duration::from_secs(1);
    flight.lease_until(Some(end));
    assert_eq!(flight.glance().lease, Some(end));
    assert_eq!(flight.glance().waiters, 1);
    flight.offer(Lead::default()).unwrap();
    assert!(caller.leads());
    assert_eq!(flight.glance().role, FlightRole::Leader);
    assert_eq!(flight.glance().waiters, 0);
}
