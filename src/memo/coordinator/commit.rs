//! How a keeper hands a result on: to the store, to the waiters elsewhere, to the waiters here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::acquire::{LockState, RETRY};
use super::landing::Landing;
use super::{Coordinator, upload};
use crate::codec::Codec;
use crate::error::StoreErrorKind;
use crate::memo::config::Config;
use crate::memo::flights::clock::{Arrivals, Tick};
use crate::memo::marking::Marking;
use crate::memo::outcome::Outcome;
use crate::simulation::{Planted, planted};
use crate::store::{Release, Standing, Store, Value};
use crate::task::spawn;

/// How long after a commit without an answer the lock is given back, if the store answers by then.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What becomes of a result on its way to others.
enum Marked {
    Ready(Value),
    /// Fresh only to callers that came before that moment.
    Soft(Value, Tick),
    /// Right only for callers that came before that moment.
    Outdated(Tick),
    /// It stays in this process, for these callers.
    Ours(Arrivals),
}

/// Whether the value was stored.
pub(super) async fn store<C: Codec>(
    coordinator: &Coordinator<C>,
    claim: LockState,
    value: C::Value,
    ttl: Duration,
    marking: Marking,
    landing: &Landing<'_, C>,
) -> bool {
    // A waiter that comes from here on may know of an invalidation that followed the commit.
    let sent = coordinator.shared.clock.tick();
    let (stored, sent) = match stamp(coordinator, claim, &value, marking).await {
        Marked::Ready(stored) => (stored, sent),
        // Callers that came since find it in the store, where it is not fresh.
        Marked::Soft(stored, asked) => (stored, asked),
        Marked::Outdated(asked) => {
            call_in(coordinator, claim, value, asked, landing).await;
            return false;
        }
        Marked::Ours(whom) => {
            keep_to_ourselves(coordinator, claim, value, whom, landing).await;
            return false;
        }
    };
    let stored = stored.with_tail(upload::tail(coordinator).await);
    let committed = coordinator
        .shared
        .store
        .commit(&coordinator.address, coordinator.token(), &stored, ttl)
        .await;
    match &committed {
        Ok(true) if planted(Planted::CommitForAll) => landing.land(Outcome::Ready(value)),
        Ok(true) => {
            coordinator.shared.counters.stored.size(stored.weight());
            landing.land_for(Arrivals::Before(sent), Outcome::Ready(value));
        }
        Ok(false) if planted(Planted::RefusedLanded) => landing.land(Outcome::Ready(value)),
        Ok(false) => refused(coordinator, claim, value, landing),
        Err(error) => {
            coordinator.shared.store_failed(&coordinator.address, "commit", error);
            // The waiters elsewhere should not have to wait for the lease to end.
            let released = match error.kind() {
                StoreErrorKind::Encode => coordinator.release(claim, Release::Abandoned).await,
                // A store that is full takes no value, but may still pass it on.
                StoreErrorKind::Rejected => coordinator.release(claim, Release::Shared(stored)).await,
                StoreErrorKind::Timeout
                | StoreErrorKind::Unavailable
                | StoreErrorKind::Config
                | StoreErrorKind::Unsupported
                | StoreErrorKind::Pending => None,
            };
            after_release(coordinator, released, claim, value, sent, landing);
        }
    }
    committed.unwrap_or(false)
}

pub(super) async fn share<C: Codec>(
    coordinator: &Coordinator<C>,
    claim: LockState,
    value: C::Value,
    marking: Marking,
    landing: &Landing<'_, C>,
) {
    let sent = coordinator.shared.clock.tick();
    let shared = match stamp(coordinator, claim, &value, marking).await {
        Marked::Ready(shared) => shared,
        Marked::Soft(_, asked) | Marked::Outdated(asked) => {
            return call_in(coordinator, claim, value, asked, landing).await;
        }
        Marked::Ours(whom) => return keep_to_ourselves(coordinator, claim, value, whom, landing).await,
    };
    let shared = shared.with_tail(upload::tail(coordinator).await);
    let released = coordinator.release(claim, Release::Shared(shared)).await;
    after_release(coordinator, released, claim, value, sent, landing);
}

/// Hands the result on to the callers that the lease vouches for. The lock was given back after `sent`; `released`
/// is `None` where the store did not say whether it was.
fn after_release<C: Codec>(
    coordinator: &Coordinator<C>,
    released: Option<bool>,
    claim: LockState,
    value: C::Value,
    sent: Tick,
    landing: &Landing<'_, C>,
) {
    match released {
        Some(true) => landing.land_for(Arrivals::Before(sent), Outcome::Ready(value)),
        Some(false) => refused(coordinator, claim, value, landing),
        None if planted(Planted::NotVouched) => landing.land(Outcome::Ready(value)),
        None => {
            landing.land_for(coordinator.tenure.last(), Outcome::Ready(value));
            release_later(coordinator);
        }
    }
}

/// The store did not say what became of the lock. Gives it back as soon as the store answers again, so that waiters
/// elsewhere need not wait for the lease to end. No waiter here waits for that.
fn release_later<C: Codec>(coordinator: &Coordinator<C>) {
    let (shared, address) = (Arc::clone(&coordinator.shared), coordinator.address.clone());
    let (token, end) = (
        coordinator.token(),
        Instant::now() + coordinator.config.lease.min(Config::LONG),
    );
    spawn(Box::pin(async move {
        let mut pause = FIRST_PAUSE;
        while Instant::now() + pause < end && !shared.leases.is_closed() {
            sleep(pause).await;
            match shared.store.release(&address, token, Release::Abandoned).await {
                Err(error) if matches!(error.kind(), StoreErrorKind::Timeout | StoreErrorKind::Unavailable) => {}
                Ok(_) | Err(_) => return,
            }
            pause = (pause * 2).min(RETRY);
        }
    }));
}

/// The value as others are to have it, if they are.
///
/// A value that is current now is right for earlier waiters. A caller that reads it later, or hears of it, asks
/// again.
async fn stamp<C: Codec>(coordinator: &Coordinator<C>, claim: LockState, value: &C::Value, marking: Marking) -> Marked {
    if !claim.is_held() {
        return Marked::Ours(whom_here(coordinator, &marking).await);
    }
    let value = Value::native(&coordinator.address, &coordinator.shared.codec, value.clone());
    let (stamp, asked) = match marking {
        Marking::Plain => return Marked::Ready(value),
        Marking::Stamped(stamp, asked) => (stamp, asked),
        Marking::Unknown => {
            tracing::debug!(address = %coordinator.address.readable(), "a result with tags stays in this process: the store did not say when it was begun");
            return Marked::Ours(coordinator.tenure.first());
        }
    };
    match coordinator.shared.standing(&coordinator.address, &stamp).await {
        Some(Standing::Current) => Marked::Ready(value.stamped(stamp)),
        Some(Standing::Soft { .. }) => Marked::Soft(value.stamped(stamp), asked),
        Some(Standing::Outdated) => Marked::Outdated(asked),
        None => Marked::Ours(coordinator.tenure.first()),
    }
}

/// A tag of the result was invalidated while it was computed. Waiters from before the computation began get the
/// result, because they came before the invalidation as well; the others ask again.
async fn call_in<C: Codec>(
    coordinator: &Coordinator<C>,
    claim: LockState,
    value: C::Value,
    asked: Tick,
    landing: &Landing<'_, C>,
) {
    coordinator.shared.counters.fenced.add();
    coordinator.report("not stored: a tag was invalidated while it was computed");
    tracing::debug!(address = %coordinator.address.readable(), "result not stored: a tag was invalidated while it was computed");
    coordinator.release(claim, Release::Abandoned).await;
    landing.land_for(Arrivals::Before(asked), Outcome::Ready(value));
}

/// The callers that a result without a lease is for. The lease vouches for the address for as long as it was held,
/// and for no tag. So a result with tags is for the callers from before its computation began, unless the store
/// says that the tags are current.
pub(super) async fn whom_here<C: Codec>(coordinator: &Coordinator<C>, marking: &Marking) -> Arrivals {
    let (first, last) = (coordinator.tenure.first(), coordinator.tenure.last());
    match marking {
        Marking::Plain => last,
        Marking::Stamped(stamp, _) if first < last => {
            match coordinator.shared.store.standing(&coordinator.shared.tag, stamp).await {
                Ok(Standing::Current) => last,
                Ok(Standing::Soft { .. } | Standing::Outdated) | Err(_) => first,
            }
        }
        Marking::Stamped(..) | Marking::Unknown => first,
    }
}

/// Hands the result to the waiters here that it is for. If there is a lock after all, it may have been taken long
/// after the computation began, and after an invalidation. So it vouches for nothing.
async fn keep_to_ourselves<C: Codec>(
    coordinator: &Coordinator<C>,
    claim: LockState,
    value: C::Value,
    whom: Arrivals,
    landing: &Landing<'_, C>,
) {
    landing.land_for(whom, Outcome::Ready(value));
    coordinator.release(claim, Release::Abandoned).await;
}

/// The store did not take the value. Where it was only restarted, callers that came while the lease was held get
/// the value all the same.
fn refused<C: Codec>(coordinator: &Coordinator<C>, claim: LockState, value: C::Value, landing: &Landing<'_, C>) {
    if !coordinator.is_forgotten(claim) {
        return fenced(coordinator, landing);
    }
    tracing::debug!(address = %coordinator.address.readable(), "the store has forgotten the lease; the result stays in this process");
    landing.land_for(coordinator.tenure.last(), Outcome::Ready(value));
}

/// The lease was lost while the computation ran. Some waiters may have come after the invalidation that took the
/// lease away, so no waiter gets the value.
pub(super) fn fenced<C: Codec>(coordinator: &Coordinator<C>, landing: &Landing<'_, C>) {
    coordinator.shared.counters.fenced.add();
    coordinator.report("not stored: the lease ended or the key was invalidated");
    tracing::debug!(address = %coordinator.address.readable(), "result refused: the lease ended or the key was invalidated");
    landing.start_again(None);
}
