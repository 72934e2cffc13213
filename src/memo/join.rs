//! How one caller comes to a value that was not there: it leads or follows.

use std::sync::Arc;

use super::config::Config;
use super::coordinator::Coordinator;
use super::flights::clock::Tick;
use super::flights::line::QueueTurn;
use super::flights::patience::Patience;
use super::flights::table::Joined;
use super::flights::waiter::{Turn as Waited, Waiter};
use super::limits::{Bounds, Limit};
use super::lookup;
use super::outcome::{Outcome, Past};
use super::permit::{Lead, MemoWaiter};
use super::receipt::Aim;
use super::shared::Shared;
use crate::codec::Codec;
use crate::key::Address;
use crate::simulation::{Planted, planted};
use crate::task::{BoxFuture, spawn};
use crate::trace::TraceContext;

/// How many times a caller joins again whose flight ended for no fault of a computation, as by an invalidation.
const MAX_ROUNDS: u8 = 3;

/// What a caller comes to.
#[derive(Debug)]
pub(crate) enum Obtained<V> {
    /// What another caller or process came to, as part of this trace, if that is known; or a limit, or what is stored.
    Told(Outcome<V>, Option<TraceContext>),
    /// This caller computes.
    Lead(Lead<V>),
    /// Too much goes on already, and it is this caller's turn to compute all the same, for itself.
    Turn(QueueTurn),
    /// The wait timeout is over.
    TimedOut,
    /// The computation was given up again and again: these times for its own fault, if any.
    GaveUp(Past),
}

impl<V> Obtained<V> {
    /// A limit keeps the caller from leading and from waiting.
    pub(crate) fn limited(limit: Limit) -> Self {
        Self::Told(Outcome::Limited(limit), None)
    }

    /// What became of the lookup, in a word.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Told(Outcome::Ready(_) | Outcome::Part(_), _) => "followed",
            Self::Told(Outcome::Soft(_), _) => "stale",
            Self::Told(Outcome::Failed(_), _) => "failed",
            Self::Told(Outcome::Limited(_), _) => "limited",
            Self::Lead(_) => "led",
            Self::TimedOut => "timed-out",
            Self::Told(Outcome::Pass | Outcome::Stale, _) | Self::GaveUp(_) | Self::Turn(_) => "bypassed",
        }
    }
}

/// A caller that asks for a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// Before it looked, if it did: what was true at any moment since is news to it.
    pub(crate) arrived: Tick,
    /// As what it would compute.
    pub(crate) context: Option<TraceContext>,
}

/// What a waiter can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Lead, if it comes to that.
    Candidate,
    /// Wait, and never lead.
    StandBy,
}

impl Role {
    fn of<L, O>(self, waiter: Waiter<L, O>) -> Waiter<L, O> {
        match self {
            Self::Candidate => waiter,
            Self::StandBy => waiter.stand_by(),
        }
    }
}

/// Joins the waiters for a value that was not there, or leads them.
///
/// Apart from [`lookup::unless_computing`], because its future is many times as large and a hit does not need it.
pub(crate) fn obtain<'a, C: Codec>(
    shared: &'a Arc<Shared<C>>,
    address: &'a Address,
    config: &'a Config,
    patience: &'a mut Patience,
    caller: &'a Caller,
) -> BoxFuture<'a, Obtained<C::Value>> {
    (shared.tasks.wait)(shared, address, config, patience, caller, Role::Candidate, None)
}

/// Makes the leader one of the waiters again, for a value that is being made elsewhere: as what `role` says.
///
/// `then` gets the lead once its flight cannot be deserted, to say [`defer`](Lead::defer), or whatever else becomes of
/// it, then or later. It must not block. What is obtained may be another lead: the promise was not resolved, and it
/// is to be tried once more.
pub(crate) fn step_down<'a, C: Codec>(
    shared: &'a Arc<Shared<C>>,
    lead: Lead<C::Value>,
    address: &'a Address,
    config: &'a Config,
    patience: &'a mut Patience,
    role: Role,
    then: impl FnOnce(Lead<C::Value>),
) -> BoxFuture<'a, Obtained<C::Value>> {
    let caller = Caller {
        arrived: lead.arrived,
        context: lead.by.get(),
    };
    // Its own flight, even where later callers have one of theirs.
    let own = lead.flight.upgrade();
    let place = own
        .and_then(|flight| Waiter::join(&flight, caller.arrived))
        .map(Waiter::of_leader);
    let place = place.or_else(|| join_flight(shared, address, config, &caller, Past::default(), None).ok());
    let place = place.map(|waiter| role.of(waiter));
    then(lead);
    Box::pin(async move { (shared.tasks.wait)(shared, address, config, patience, &caller, role, place).await })
}

/// Each of all waiters keeps what this needs meanwhile.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
pub(crate) fn wait<C: Codec>(
    shared: &Arc<Shared<C>>,
    address: &Address,
    config: &Config,
    patience: &mut Patience,
    caller: &Caller,
    role: Role,
    mut place: Option<MemoWaiter<C::Value>>,
) -> impl Future<Output = Obtained<C::Value>> {
    async move {
        let mut past = Past::default();
        let mut rounds = 0;
        while past.may_go_on() && rounds <= MAX_ROUNDS {
            let waiter = match &mut place {
                Some(waiter) => waiter,
                None => match join_flight(shared, address, config, caller, past, Some(&config.limits)) {
                    Ok(waiter) => place.insert(role.of(waiter)),
                    Err(limit) => return Obtained::limited(limit),
                },
            };
            let landed = {
                let _waiting = shared.counters.waiting.enter();
                if planted(Planted::WaiterLeft) {
                    std::mem::forget(shared.counters.waiting.enter());
                }
                let (turn, waited) = patience.outlast(waiter).await;
                place = None;
                if !matches!(turn, Some(Waited::Lead(_))) {
                    shared.counters.wait.time(waited);
                }
                match turn {
                    None => {
                        shared.waited_too_long(address, config.wait_timeout);
                        return Obtained::TimedOut;
                    }
                    Some(Waited::Lead(lead)) => return leads(shared, lead, address, caller, past, rounds),
                    Some(Waited::Landed(landed)) => Some(landed),
                    Some(Waited::Late) => None,
                }
            };
            let Some(landed) = landed else {
                // Happens once: the next flight starts later than this caller came. Boxed, or all waiters would keep
                // room for it.
                match Box::pin(stored_meanwhile(shared, address, config.aim)).await {
                    Some(obtained) => return obtained,
                    None => continue,
                }
            };
            match &landed.outcome {
                Ok(outcome) => return told(shared, outcome.clone(), landed.by),
                Err(Some(known)) => past = past.after(false).or(*known),
                Err(None) => rounds += 1,
            }
        }
        Obtained::GaveUp(past)
    }
}

/// What a caller obtains that leads, perhaps in the place of another one.
fn leads<C: Codec>(
    shared: &Shared<C>,
    mut lead: Lead<C::Value>,
    address: &Address,
    caller: &Caller,
    past: Past,
    rounds: u8,
) -> Obtained<C::Value> {
    lead.arrived = caller.arrived;
    lead.by.set(caller.context);
    lead.past = lead.past_of(past);
    shared.counters.led.add();
    if past.attempts > 0 || rounds > 0 {
        shared.counters.taken_over.add();
        tracing::debug!(address = %address.readable(), "taking over from a computation here that was given up");
    }
    Obtained::Lead(lead)
}

/// What a caller obtains that is told this, where it has not computed anything.
pub(super) fn told<C: Codec>(
    shared: &Shared<C>,
    outcome: Outcome<C::Value>,
    by: Option<TraceContext>,
) -> Obtained<C::Value> {
    if matches!(outcome, Outcome::Ready(_) | Outcome::Part(_)) {
        shared.counters.followed.add();
    }
    Obtained::Told(outcome, by)
}

/// What a caller obtains that came too late for a flight, if that has stored what it wants.
async fn stored_meanwhile<C: Codec>(
    shared: &Arc<Shared<C>>,
    address: &Address,
    aim: Aim,
) -> Option<Obtained<C::Value>> {
    let found = lookup::stored(shared, address).await?;
    if aim == Aim::Now || !shared.meets(aim, &found) {
        return None;
    }
    let outcome = match shared.is_fresh(&found) {
        true => Outcome::Ready(found.value),
        false => shared.is_soft(&found).then_some(Outcome::Soft(found))?,
    };
    Some(told(shared, outcome, None))
}

fn is_full<C: Codec>(shared: &Shared<C>, bounds: &Bounds) -> bool {
    shared.counters.in_flight.get() >= bounds.in_flight as u64
}

/// Joins the flight, starting it and its keeper where there is none, unless a limit is reached.
fn join_flight<C: Codec>(
    shared: &Arc<Shared<C>>,
    address: &Address,
    config: &Config,
    caller: &Caller,
    past: Past,
    bounds: Option<&Bounds>,
) -> Result<MemoWaiter<C::Value>, Limit> {
    let joined = match config.aim {
        Aim::Fresh => shared.table.join(address, caller.arrived, bounds),
        // Not in the table: others have no use for a flight that passes by what is stored.
        Aim::Since(_) | Aim::Now if bounds.is_some_and(|bounds| is_full(shared, bounds)) => Err(Limit::InFlight),
        Aim::Since(_) | Aim::Now => {
            let (flight, waiter) = Waiter::first(caller.arrived);
            let started = Some(flight);
            Ok(Joined { waiter, started })
        }
    };
    let Joined { waiter, started } = joined.inspect_err(|limit| shared.limited(address, *limit))?;
    if let Some(flight) = started {
        let coordinator = Coordinator::new(
            Arc::clone(shared),
            *config,
            address.clone(),
            flight,
            caller.context,
            past,
        );
        // In no span: it may outlast the caller that began it.
        spawn((shared.tasks.run)(coordinator));
    }
    Ok(waiter)
}
