//! How a keeper keeps the lock of a promise that others are to resolve.
//!
//! There is no heartbeat: the lease is the time that the work has. Everybody who waits may leave, and still the lock is
//! given back as soon as there is a value, so that it does not outlast it.

use std::future::poll_fn;

use tokio::time::{Instant, sleep_until};

use super::hearing::Hearing;
use super::search::Search;
use super::seek::Heard;
use super::{Keeper, Landing};
use crate::codec::Codec;
use crate::memo::claim::Claim;
use crate::memo::clock::Moment;
use crate::memo::config::Config;
use crate::memo::leases::Holding;
use crate::memo::outcome::Outcome;
use crate::store::{Release, Store};

/// What became of a promise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// The flight is over. Whether that is because there was an outcome.
    Over { resolved: bool },
    /// Nobody resolved it, and there are those who wait.
    Again,
}

/// What the store says of a promise.
enum Found<V> {
    Landed(Outcome<V>, Moment),
    Nothing,
    /// Nor is the lock ours any more.
    Lost,
}

impl<St: Store, C: Codec> Keeper<St, C> {
    /// Has everybody go on waiting, keeps the lock while the lease lasts, and hands on what the promise becomes.
    pub(super) async fn keep_promise<'a>(
        &'a self,
        mut claim: Claim,
        search: &mut Search<'a, St, C>,
        holding: &mut Holding<'_>,
        landing: &Landing<'_, St, C>,
    ) -> Kept {
        self.shared.counters.deferred.add();
        let starts = search.starts.begin();
        tracing::debug!(address = %self.address.readable(), starts, "waiting for somebody else to resolve the promise");
        self.flight.resume();
        let hearing = search.hearing.get_or_insert_with(|| Hearing::start(self));
        let end = Instant::now() + self.config.lease.min(Config::LONG);
        let until = end + self.config.jitter();
        let mut deserted = false;
        let mut held = self.announce(claim, starts).await;
        let mut read = held;
        loop {
            if read {
                match self.find(claim, end).await {
                    Found::Landed(outcome, before) => {
                        self.resolved(claim, outcome, before, landing).await;
                        return Kept::Over { resolved: true };
                    }
                    Found::Nothing => {}
                    Found::Lost => held = false,
                }
            }
            if !held {
                return lapsed(deserted);
            }
            read = tokio::select! {
                biased;
                (notice, since) = hearing.next() => match self.heard(notice, since).await {
                    Heard::Landed(outcome, before) => {
                        self.resolved(claim, outcome, before, landing).await;
                        return Kept::Over { resolved: true };
                    }
                    Heard::Deferred(count) => {
                        search.starts.hear(count);
                        count > starts
                    }
                    Heard::Again | Heard::Broken(_) => true,
                },
                // Who comes from here on starts a flight of their own.
                () = poll_fn(|cx| self.flight.poll_deserted(cx)), if !deserted => {
                    landing.land(Outcome::Again(0));
                    deserted = true;
                    held = claim != Claim::None;
                    false
                }
                () = self.shared.leases.closed(), if claim != Claim::None => {
                    if self.release(claim, Release::Abandoned).await == Some(true) {
                        self.shared.counters.given_back.add();
                    }
                    holding.give_back();
                    claim = Claim::None;
                    held = !deserted;
                    false
                }
                () = sleep_until(until) => {
                    self.shared.counters.unresolved.add();
                    tracing::debug!(address = %self.address.readable(), starts, "nobody resolved the promise before its lease ended");
                    if claim == Claim::Unknown {
                        self.release(claim, Release::Abandoned).await;
                    }
                    held = false;
                    false
                }
            };
        }
    }

    /// Hands on what somebody else made of the promise, and gives the lock back.
    pub(super) async fn resolved(
        &self,
        claim: Claim,
        outcome: Outcome<C::Value>,
        before: Moment,
        landing: &Landing<'_, St, C>,
    ) {
        self.shared.counters.resolved.add();
        landing.land_before(before, outcome);
        self.release(claim, Release::Abandoned).await;
    }

    /// Has the lease begin anew, and others know. `false` where the lock is not ours any more.
    async fn announce(&self, claim: Claim, starts: u32) -> bool {
        if !claim.is_held() {
            return true;
        }
        let (store, lease) = (&self.shared.store, self.config.lease);
        match store.defer(&self.address, self.token, lease, starts).await {
            Ok(held) => held,
            Err(error) => {
                self.shared.store_failed(&self.address, "defer", &error);
                true
            }
        }
    }

    /// Reads what was stored without being heard of, and whether the lock is still ours.
    async fn find(&self, claim: Claim, end: Instant) -> Found<C::Value> {
        let asked = self.shared.clock.tick();
        let remaining = end.saturating_duration_since(Instant::now());
        let held = async {
            // Whoever asks for the lock when the lease ends learns it then.
            let expired = !claim.is_held() || remaining.is_zero();
            expired || self.renew(remaining).await.unwrap_or(true)
        };
        let (found, held) = tokio::join!(self.shared.store.lookup(&self.address), held);
        match found {
            Ok(value) => {
                let value = self.shared.vouched(&self.address, value).await;
                if let Some(outcome) = value.and_then(|value| self.outcome(value)) {
                    return Found::Landed(outcome, asked);
                }
            }
            Err(error) => self.shared.store_failed(&self.address, "lookup", &error),
        }
        match held {
            true => Found::Nothing,
            false => Found::Lost,
        }
    }
}

fn lapsed(deserted: bool) -> Kept {
    match deserted {
        true => Kept::Over { resolved: false },
        false => Kept::Again,
    }
}
