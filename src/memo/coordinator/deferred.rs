//! How a keeper keeps the lock of a promise that others are to resolve.
//!
//! There is no heartbeat: the lease is the time that the work has. Even if every waiter has left, the lock is given
//! back as soon as there is a value: it does not outlast the promise.

use std::future::poll_fn;

use tokio::time::{Instant, sleep_until};

use super::acquire::{LockState, RETRY};
use super::heard::Heard;
use super::landing::{Landing, LeadEnd};
use super::progress::Search;
use super::watch::LiveWatch;
use super::{Coordinator, hear};
use crate::codec::Codec;
use crate::memo::config::Config;
use crate::memo::flights::clock::{Arrivals, Tick};
use crate::memo::leases::Holding;
use crate::memo::outcome::Outcome;
use crate::store::{Release, Renewed, Store};

/// A promise that others are to resolve.
struct DeferredWork {
    claim: LockState,
    /// How many times in a row the work was started.
    starts: u32,
    /// When the lease ends.
    end: Instant,
    /// Whether no waiter is left here.
    deserted: bool,
    /// When to ask again, where the store did not answer.
    again_at: Option<Instant>,
    /// The callers for which the store was last asked for the value.
    asked: Arrivals,
}

/// What happens to a promise.
enum Event<V> {
    Heard(Heard<V>),
    Deserted,
    /// The process shuts down.
    Closed,
    /// The lease has ended.
    Ended,
    /// The lock is not ours any more.
    Lost,
}

/// Has all waiters go on waiting, keeps the lock while the lease lasts, and hands on what the promise becomes.
pub(super) async fn keep_promise<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    claim: LockState,
    search: &mut Search<'a, C>,
    holding: &mut Holding<'_>,
    landing: &Landing<'_, C>,
) -> LeadEnd {
    coordinator.shared.counters.deferred.add();
    let mut promise = DeferredWork {
        claim,
        starts: search.starts.begin(),
        end: Instant::now() + coordinator.config.lease.min(Config::LONG),
        deserted: false,
        again_at: None,
        asked: Arrivals::Before(Tick::START),
    };
    tracing::debug!(address = %coordinator.address.readable(), starts = promise.starts, "waiting for another program to resolve the promise");
    coordinator.flight.resume();
    coordinator.flight.lease_until(Some(promise.end));
    let watch = search.watch.get_or_insert_with(|| LiveWatch::start(coordinator));
    let mut held = announce(coordinator, &promise).await;
    let mut read = true;
    while held {
        let event = match std::mem::take(&mut read) {
            true => find(coordinator, &mut promise).await,
            false => next_event(coordinator, &promise, watch).await,
        };
        match event {
            Event::Heard(Heard::Landed(outcome, whom)) => {
                return resolved(coordinator, promise.claim, outcome, whom, landing).await;
            }
            Event::Heard(Heard::Deferred(starts)) => {
                search.starts.hear(starts);
                read = starts > promise.starts;
            }
            Event::Heard(Heard::Nothing) => {}
            Event::Heard(Heard::Again | Heard::Freed | Heard::Vain { .. }) => read = true,
            Event::Deserted => {
                // A caller that comes from here on starts another flight.
                landing.start_again(None);
                promise.deserted = true;
                held = promise.claim != LockState::None;
            }
            Event::Closed => {
                hand_back(coordinator, &mut promise, holding).await;
                held = !promise.deserted;
            }
            Event::Ended => {
                unresolved(coordinator, &promise).await;
                held = false;
            }
            Event::Lost => held = false,
        }
    }
    search.starts.end();
    match promise.deserted {
        true => LeadEnd::Landed { stored: false },
        false => LeadEnd::Again,
    }
}

/// The next thing that happens. Cancel safe but for what is heard.
async fn next_event<C: Codec>(
    coordinator: &Coordinator<C>,
    promise: &DeferredWork,
    watch: &mut LiveWatch<'_, C>,
) -> Event<C::Value> {
    let jitter = coordinator.config.jitter();
    let spacing = watch.spacing();
    let joined = async {
        poll_fn(|cx| coordinator.flight.poll_joined(promise.asked, cx)).await;
        spacing.pass().await;
    };
    let (notice, since) = tokio::select! {
        biased;
        heard = watch.next() => heard,
        () = poll_fn(|cx| coordinator.flight.poll_deserted(cx)), if !promise.deserted => return Event::Deserted,
        () = coordinator.shared.leases.closed(), if promise.claim != LockState::None => return Event::Closed,
        () = sleep_until(promise.again_at.unwrap_or(promise.end)), if promise.again_at.is_some() => return Event::Heard(Heard::Again),
        () = sleep_until(promise.end + jitter) => return Event::Ended,
        // The new waiters may have come after a value was stored without a notice.
        () = joined => return Event::Heard(Heard::Again),
    };
    Event::Heard(hear::notice(coordinator, notice, since).await)
}

/// Hands on what became of the promise, and gives the lock back.
pub(super) async fn resolved<C: Codec>(
    coordinator: &Coordinator<C>,
    claim: LockState,
    outcome: Outcome<C::Value>,
    whom: Arrivals,
    landing: &Landing<'_, C>,
) -> LeadEnd {
    coordinator.shared.counters.resolved.add();
    landing.land_for(whom, outcome);
    coordinator.release(claim, Release::Abandoned).await;
    LeadEnd::Landed { stored: true }
}

async fn unresolved<C: Codec>(coordinator: &Coordinator<C>, promise: &DeferredWork) {
    coordinator.shared.counters.unresolved.add();
    let starts = promise.starts;
    tracing::debug!(address = %coordinator.address.readable(), starts, "no program resolved the promise before its lease ended");
    if promise.claim == LockState::Unknown {
        coordinator.release(promise.claim, Release::Abandoned).await;
    }
}

/// Gives the lease back, and has the waiters go on waiting.
async fn hand_back<C: Codec>(coordinator: &Coordinator<C>, promise: &mut DeferredWork, holding: &mut Holding<'_>) {
    if coordinator.release(promise.claim, Release::Abandoned).await == Some(true) {
        coordinator.shared.counters.given_back.add();
    }
    holding.give_back();
    promise.claim = LockState::None;
}

/// Has the lease begin anew, and tells the other processes. `false` where the lock is not ours any more.
async fn announce<C: Codec>(coordinator: &Coordinator<C>, promise: &DeferredWork) -> bool {
    if !promise.claim.is_held() {
        return true;
    }
    let (store, lease) = (&coordinator.shared.store, coordinator.config.lease);
    match store
        .defer(&coordinator.address, coordinator.token(), lease, promise.starts)
        .await
    {
        Ok(held) => held,
        Err(error) => {
            coordinator.shared.store_failed(&coordinator.address, "defer", &error);
            true
        }
    }
}

/// Reads a value that was stored without a notice, and whether the lock is still ours.
async fn find<C: Codec>(coordinator: &Coordinator<C>, promise: &mut DeferredWork) -> Event<C::Value> {
    let asked = coordinator.shared.clock.tick();
    promise.asked = Arrivals::Before(asked);
    let remaining = promise.end.saturating_duration_since(Instant::now());
    let held = async {
        // The next process to ask for the lock when the lease ends learns it then.
        match promise.claim.is_held() && !remaining.is_zero() {
            true => coordinator.renew(remaining).await,
            false => Ok(Renewed::Held),
        }
    };
    let (found, held) = tokio::join!(coordinator.shared.store.lookup(&coordinator.address), held);
    promise.again_at = None;
    match (found, held) {
        (Ok(value), held) => {
            let value = hear::news(coordinator, value).await;
            match (value.and_then(|value| hear::outcome(coordinator, value)), held) {
                (Some(outcome), _) => return Event::Heard(Heard::Landed(outcome, Arrivals::Before(asked))),
                (None, Ok(Renewed::Held | Renewed::Soft)) => return Event::Heard(Heard::Nothing),
                (None, Ok(Renewed::Lost)) => return Event::Lost,
                (None, Err(_)) => {}
            }
        }
        (Err(error), _) => coordinator.shared.store_failed(&coordinator.address, "lookup", &error),
    }
    promise.again_at = Some(Instant::now() + RETRY);
    Event::Heard(Heard::Nothing)
}
