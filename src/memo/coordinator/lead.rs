//! How a keeper sees a computation through: lead, lease, verdict.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::acquire::LockState;
use super::progress::Search;
use super::renew::ComputationEnd;
use super::watch::LiveWatch;
use super::{Coordinator, Granted, Landing, MemoCustody};
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

/// What became of a lead.
pub(super) enum LeadEnd {
    /// The flight is over.
    Landed {
        /// Whether there is a value.
        stored: bool,
    },
    /// The waiters go on waiting: no waiter could lead, or the promise was not resolved.
    Again,
    /// So many attempts in a row have come to nothing for the waiters, which have not been told yet.
    Vain(Past),
}

impl<C: Codec> Coordinator<C> {
    /// Offers the lead, keeps the lease alive, and settles the verdict. Boxed, because it is large and several wait for it.
    pub(super) fn lead<'b, 'a: 'b>(
        &'a self,
        granted: Granted,
        search: &'b mut Search<'a, C>,
        holding: &'b mut Holding<'_>,
        landing: &'b Landing<'_, C>,
    ) -> BoxFuture<'b, LeadEnd> {
        Box::pin(self.lead_to_the_end(granted, search, holding, landing))
    }

    async fn lead_to_the_end<'a>(
        &'a self,
        granted: Granted,
        search: &mut Search<'a, C>,
        holding: &mut Holding<'_>,
        landing: &Landing<'_, C>,
    ) -> LeadEnd {
        let mut claim = granted.claim;
        let mut led = match self.offer(&granted, search.past, search.witnesses, holding).await {
            Ok(led) => led,
            Err(ended) => return ended,
        };
        let mut custody = self.custody(&led);
        let begun = Instant::now();
        let ended = self
            .keep_lease(&mut claim, granted.asked_at, search, holding, &mut led, &mut custody)
            .await;
        match ended {
            ComputationEnd::Concluded(Verdict::Defer) => {
                drop((led, custody));
                // Boxed, because most computations are not left to others.
                return Box::pin(self.keep_promise(claim, search, holding, landing)).await;
            }
            ComputationEnd::Concluded(verdict) => {
                self.shared.counters.computation.time(begun.elapsed());
                let ended = self.settle(claim, verdict, granted.start, search, landing).await;
                drop(led.settled);
                return ended;
            }
            ComputationEnd::Resolved(outcome, whom) => {
                self.resolved(claim, outcome, whom, landing).await;
                spawn(Box::pin(custody.outlive(led.stopper)));
            }
            ComputationEnd::Abandoned => {
                self.shared.counters.abandoned.add();
                self.shared.counters.computation.time(begun.elapsed());
                self.report("given up: an error, a panic, or a body that broke off");
                return self.vain(claim, search, true).await;
            }
            // The result will not reach the waiters, so they need not wait for it.
            ComputationEnd::LeaseLost => {
                self.fenced(landing);
                spawn(Box::pin(custody.outlive(led.stopper)));
            }
            ComputationEnd::Expired(Expired::Orphaned) => {
                custody.stop(led.stopper);
                self.given_up("cancelled: no client waits, and there are too many like that");
                self.release(claim, Release::Abandoned).await;
                landing.start_again(None);
            }
            ComputationEnd::Expired(Expired::Overdue) => {
                spawn(Box::pin(custody.outlive(led.stopper)));
                self.given_up("given up for others: it takes too long");
                return self.vain(claim, search, true).await;
            }
        }
        drop(led.settled);
        LeadEnd::Landed { stored: false }
    }

    /// Tells operators, and the log, why a computation is given up.
    fn given_up(&self, why: &str) {
        self.report(why);
        tracing::debug!(address = %self.address.readable(), "{why}");
    }

    /// Tells the waiters here and elsewhere what the verdict says.
    async fn settle<'a>(
        &'a self,
        claim: LockState,
        verdict: Verdict<C::Value>,
        start: Option<Start>,
        search: &mut Search<'a, C>,
        landing: &Landing<'_, C>,
    ) -> LeadEnd {
        let mut stored = false;
        match verdict {
            Verdict::Store(value, ttl, start, labels) => {
                let marking = Marking::new(start, labels, self.shared.stamps_all());
                stored = self.commit(claim, value, ttl, marking, landing).await;
            }
            Verdict::Share(value, start, labels) => {
                let marking = Marking::new(start, labels, self.shared.stamps_all());
                self.share(claim, value, marking, landing).await;
            }
            // More is to come after both, and others wait for it.
            Verdict::Preview(..) | Verdict::Defer => {}
            // No waiter has to wait for the store before going its own way.
            Verdict::Pass(marker) => {
                self.shared.counters.passed.add();
                landing.land(Outcome::Pass);
                self.upload_apart().await;
                match marker {
                    Some((marker, ttl)) if claim.is_held() => self.mark(claim, marker, ttl, start).await,
                    _ => drop(self.release(claim, Release::Pass).await),
                }
            }
            Verdict::CrowdedOut => {
                self.shared.counters.passed.add();
                landing.land(Outcome::Limited(Limit::Recording));
                self.upload_apart().await;
                self.release(claim, Release::Abandoned).await;
            }
            Verdict::Stale => {
                landing.land(Outcome::Stale);
                self.release(claim, Release::Stale).await;
            }
            Verdict::Withdraw => {
                self.release(claim, Release::Abandoned).await;
                landing.start_again(None);
            }
            Verdict::Decline { failed } => {
                if failed {
                    self.report("the inner service failed; one of those who wait takes over");
                }
                return self.vain(claim, search, failed).await;
            }
            Verdict::Fail(failure) => {
                self.report("the inner service failed, and those who waited got the failure");
                let message = failure.told();
                landing.land(Outcome::Failed(failure));
                self.release(claim, Release::Failed(message)).await;
            }
        }
        LeadEnd::Landed { stored }
    }

    /// The attempt came to nothing for waiters. The lock is given back first, so that the caller that takes over finds it
    /// free. That may be one of another process, so the waiters here listen before: the next attempt may be over in a
    /// moment.
    async fn vain<'a>(&'a self, claim: LockState, search: &mut Search<'a, C>, failed: bool) -> LeadEnd {
        let past = search.past.after(failed);
        if claim.is_held() && past.may_go_on() && self.flight.has_candidate() {
            let watch = search.watch.get_or_insert_with(|| LiveWatch::start(self));
            let _ = timeout(DEAF, watch.in_effect()).await;
        }
        let attempts = past.attempts;
        let release = match failed {
            true => Release::Broken { failures: attempts },
            false => Release::Declined { attempts },
        };
        self.release(claim, release).await;
        LeadEnd::Vain(past)
    }

    fn custody(&self, led: &Led<C::Value>) -> MemoCustody<C::Value> {
        let shared = &self.shared;
        let due = Instant::now() + self.config.max_computation.min(Config::LONG);
        Custody::new(
            Arc::clone(&self.flight),
            Arc::clone(&led.presence),
            Arc::clone(&shared.orphans),
            self.config.limits.orphaned,
            due,
        )
    }

    /// Offers the lead; gives the lock back where no waiter is there to take it.
    async fn offer(
        &self,
        granted: &Granted,
        past: Past,
        witnesses: Tick,
        holding: &mut Holding<'_>,
    ) -> Result<Led<C::Value>, LeadEnd> {
        let (mut lead, led) = Lead::new(granted.start);
        (lead.past, lead.witnesses) = (past, witnesses);
        lead.held = granted.claim.is_held();
        lead.unleased = granted.unleased;
        lead.by = self.by.clone();
        lead.flight = Arc::downgrade(&self.flight);
        if !lead.held {
            self.tenure.end();
        }
        if self.flight.offer(lead).is_err() {
            self.release(granted.claim, Release::Abandoned).await;
            return Err(match self.flight.waiting() {
                0 => LeadEnd::Landed { stored: false },
                _ => LeadEnd::Again,
            });
        }
        if granted.claim == LockState::None {
            holding.give_back();
        }
        if !granted.claim.is_held() && !self.shared.leases.is_closed() {
            self.shared.counters.failed_open.add();
            tracing::debug!(address = %self.address.readable(), "computing without a lease");
        }
        Ok(led)
    }

    /// Tells operators of a computation that came to nothing.
    pub(super) fn report(&self, what: &str) {
        self.shared
            .insight
            .failed(self.address.readable(), format_args!("{what}"));
    }

    async fn mark(&self, claim: LockState, marker: C::Value, ttl: Duration, start: Option<Start>) {
        let mut marker = Value::native(&self.address, &self.shared.codec, marker);
        // Where every value has a stamp, a marker without a stamp counts as absent. Without a generation it cannot be
        // stamped.
        if let (true, Some(start)) = (self.shared.stamps_all(), start) {
            marker = marker.stamped(Stamp::new(start.generation, Vec::new()));
        }
        if let Err(error) = self.shared.store.mark(&self.address, self.token(), &marker, ttl).await {
            self.shared.store_failed(&self.address, "mark", &error);
            self.release(claim, Release::Pass).await;
        }
    }
}
