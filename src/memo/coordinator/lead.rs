//! How a keeper sees a computation through: lead, lease, verdict.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::acquire::LockState;
use super::landing::{ComputationEnd, Landing, LeadEnd};
use super::progress::Search;
use super::watch::LiveWatch;
use super::{Coordinator, Granted, MemoCustody, commit, deferred, renew, upload};
use crate::codec::Codec;
use crate::memo::config::Config;
use crate::memo::flights::clock::Tick;
use crate::memo::flights::custody::{Custody, Expired};
use crate::memo::leases::Holding;
use crate::memo::limits::Limit;
use crate::memo::marking::{Marking, Start};
use crate::memo::outcome::{Outcome, Past, Verdict};
use crate::memo::permit::{DEAF, Lead, Led};
use crate::store::{Release, Stamp, Store, Value};
use crate::task::{BoxFuture, spawn};

/// Offers the lead, keeps the lease alive, and settles the verdict. Boxed, because it is large and several wait for it.
pub(super) fn to_the_end<'b, 'a: 'b, C: Codec>(
    coordinator: &'a Coordinator<C>,
    granted: Granted,
    search: &'b mut Search<'a, C>,
    holding: &'b mut Holding<'_>,
    landing: &'b Landing<'_, C>,
) -> BoxFuture<'b, LeadEnd> {
    Box::pin(run(coordinator, granted, search, holding, landing))
}

async fn run<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    granted: Granted,
    search: &mut Search<'a, C>,
    holding: &mut Holding<'_>,
    landing: &Landing<'_, C>,
) -> LeadEnd {
    let (mut claim, asked) = (granted.claim, granted.asked_at);
    let mut led = match offer(coordinator, &granted, search.past, search.witnesses, holding).await {
        Ok(led) => led,
        Err(ended) => return ended,
    };
    let mut custody = custody(coordinator, &led);
    let begun = Instant::now();
    let ended = renew::while_computing(coordinator, &mut claim, asked, search, holding, &mut led, &mut custody).await;
    match ended {
        ComputationEnd::Concluded(Verdict::Defer) => {
            drop((led, custody));
            // Boxed, because most computations are not left to others.
            return Box::pin(deferred::keep_promise(coordinator, claim, search, holding, landing)).await;
        }
        ComputationEnd::Concluded(verdict) => {
            coordinator.shared.counters.computation.time(begun.elapsed());
            let ended = settle(coordinator, claim, verdict, granted.start, search, landing).await;
            drop(led.settled);
            return ended;
        }
        ComputationEnd::Resolved(outcome, whom) => {
            deferred::resolved(coordinator, claim, outcome, whom, landing).await;
            spawn(Box::pin(custody.outlive(led.stopper)));
        }
        ComputationEnd::Abandoned => {
            coordinator.shared.counters.abandoned.add();
            coordinator.shared.counters.computation.time(begun.elapsed());
            coordinator.report("given up: an error, a panic, or a body that broke off");
            return vain(coordinator, claim, search, true).await;
        }
        // The result will not reach the waiters, so they need not wait for it.
        ComputationEnd::LeaseLost => {
            commit::fenced(coordinator, landing);
            spawn(Box::pin(custody.outlive(led.stopper)));
        }
        ComputationEnd::Expired(Expired::Orphaned) => {
            custody.stop(led.stopper);
            coordinator.given_up("cancelled: no client waits, and there are too many like that");
            coordinator.release(claim, Release::Abandoned).await;
            landing.start_again(None);
        }
        ComputationEnd::Expired(Expired::Overdue) => {
            spawn(Box::pin(custody.outlive(led.stopper)));
            coordinator.given_up("given up for others: it takes too long");
            return vain(coordinator, claim, search, true).await;
        }
    }
    drop(led.settled);
    LeadEnd::Landed { stored: false }
}

/// Tells the waiters here and elsewhere what the verdict says.
async fn settle<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    claim: LockState,
    verdict: Verdict<C::Value>,
    start: Option<Start>,
    search: &mut Search<'a, C>,
    landing: &Landing<'_, C>,
) -> LeadEnd {
    let mut stored = false;
    match verdict {
        Verdict::Store(value, ttl, start, labels) => {
            let marking = Marking::new(start, labels, coordinator.shared.stamps_all());
            stored = commit::store(coordinator, claim, value, ttl, marking, landing).await;
        }
        Verdict::Share(value, start, labels) => {
            let marking = Marking::new(start, labels, coordinator.shared.stamps_all());
            commit::share(coordinator, claim, value, marking, landing).await;
        }
        // More is to come after both, and others wait for it.
        Verdict::Preview(..) | Verdict::Defer => {}
        // No waiter has to wait for the store before going its own way.
        Verdict::Pass(marker) => {
            coordinator.shared.counters.passed.add();
            landing.land(Outcome::Pass);
            upload::go_on_apart(coordinator).await;
            match marker {
                Some((marker, ttl)) if claim.is_held() => mark(coordinator, claim, marker, ttl, start).await,
                _ => drop(coordinator.release(claim, Release::Pass).await),
            }
        }
        Verdict::CrowdedOut => {
            coordinator.shared.counters.passed.add();
            landing.land(Outcome::Limited(Limit::Recording));
            upload::go_on_apart(coordinator).await;
            coordinator.release(claim, Release::Abandoned).await;
        }
        Verdict::Stale => {
            landing.land(Outcome::Stale);
            coordinator.release(claim, Release::Stale).await;
        }
        Verdict::Withdraw => {
            coordinator.release(claim, Release::Abandoned).await;
            landing.start_again(None);
        }
        Verdict::Decline { failed } => {
            if failed {
                coordinator.report("the inner service failed; one of those who wait takes over");
            }
            return vain(coordinator, claim, search, failed).await;
        }
        Verdict::Fail(failure) => {
            coordinator.report("the inner service failed, and those who waited got the failure");
            let message = failure.told();
            landing.land(Outcome::Failed(failure));
            coordinator.release(claim, Release::Failed(message)).await;
        }
    }
    LeadEnd::Landed { stored }
}

/// The attempt came to nothing for waiters. The lock is given back first, so that the caller that takes over finds it
/// free. That may be one of another process, so the waiters here listen before: the next attempt may be over in a
/// moment.
async fn vain<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    claim: LockState,
    search: &mut Search<'a, C>,
    failed: bool,
) -> LeadEnd {
    let past = search.past.after(failed);
    if claim.is_held() && past.may_go_on() && coordinator.flight.has_candidate() {
        let watch = search.watch.get_or_insert_with(|| LiveWatch::start(coordinator));
        let _ = timeout(DEAF, watch.in_effect()).await;
    }
    let attempts = past.attempts;
    let release = match failed {
        true => Release::Broken { failures: attempts },
        false => Release::Declined { attempts },
    };
    coordinator.release(claim, release).await;
    LeadEnd::Vain(past)
}

fn custody<C: Codec>(coordinator: &Coordinator<C>, led: &Led<C::Value>) -> MemoCustody<C::Value> {
    let shared = &coordinator.shared;
    let due = Instant::now() + coordinator.config.max_computation.min(Config::LONG);
    Custody::new(
        Arc::clone(&coordinator.flight),
        Arc::clone(&led.presence),
        Arc::clone(&shared.orphans),
        coordinator.config.limits.orphaned,
        due,
    )
}

/// Offers the lead; gives the lock back where no waiter is there to take it.
async fn offer<C: Codec>(
    coordinator: &Coordinator<C>,
    granted: &Granted,
    past: Past,
    witnesses: Tick,
    holding: &mut Holding<'_>,
) -> Result<Led<C::Value>, LeadEnd> {
    let (mut lead, led) = Lead::new(granted.start);
    (lead.past, lead.witnesses) = (past, witnesses);
    lead.held = granted.claim.is_held();
    lead.unleased = granted.unleased;
    lead.by = coordinator.by.clone();
    lead.flight = Arc::downgrade(&coordinator.flight);
    if !lead.held {
        coordinator.tenure.end();
    }
    if coordinator.flight.offer(lead).is_err() {
        coordinator.release(granted.claim, Release::Abandoned).await;
        return Err(match coordinator.flight.waiting() {
            0 => LeadEnd::Landed { stored: false },
            _ => LeadEnd::Again,
        });
    }
    if granted.claim == LockState::None {
        holding.give_back();
    }
    if !granted.claim.is_held() && !coordinator.shared.leases.is_closed() {
        coordinator.shared.counters.failed_open.add();
        tracing::debug!(address = %coordinator.address.readable(), "computing without a lease");
    }
    Ok(led)
}

async fn mark<C: Codec>(
    coordinator: &Coordinator<C>,
    claim: LockState,
    marker: C::Value,
    ttl: Duration,
    start: Option<Start>,
) {
    let mut marker = Value::native(&coordinator.address, &coordinator.shared.codec, marker);
    // Where every value has a stamp, a marker without a stamp counts as absent. Without a generation it cannot be
    // stamped.
    if let (true, Some(start)) = (coordinator.shared.stamps_all(), start) {
        marker = marker.stamped(Stamp::new(start.generation, Vec::new()));
    }
    if let Err(error) = coordinator
        .shared
        .store
        .mark(&coordinator.address, coordinator.token(), &marker, ttl)
        .await
    {
        coordinator.shared.store_failed(&coordinator.address, "mark", &error);
        coordinator.release(claim, Release::Pass).await;
    }
}
