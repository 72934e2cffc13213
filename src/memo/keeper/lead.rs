//! How a keeper sees a computation through: lead, lease, verdict.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::{Keeper, Landing};
use crate::codec::Codec;
use crate::error::StoreErrorKind;
use crate::memo::clock::Moment;
use crate::memo::lead::{Lead, Led};
use crate::memo::lease::Lease;
use crate::memo::leases::Holding;
use crate::memo::marking::{Marking, Start};
use crate::memo::outcome::{Outcome, Verdict};
#[cfg(feature = "http")]
use crate::store::Stamp;
use crate::store::{Release, Store, Value};

/// What became of the computation while the lease was kept alive.
enum Attended<V> {
    Concluded(Verdict<V>),
    /// Given up.
    Abandoned,
    /// Still under way, but its result will be refused.
    LeaseLost,
}

/// What becomes of a result on its way to others.
enum Marked {
    Ready(Value),
    /// Right for those only who came before that moment.
    Outdated(Moment),
    /// It stays in this process.
    Ours,
}

impl<St: Store, C: Codec> Keeper<St, C> {
    /// Offers the lead, keeps the lease alive, and settles the verdict. Whether a value was stored.
    pub(super) async fn lead(
        &self,
        mut lease: Lease,
        failures: u32,
        start: Option<Start>,
        mut holding: Holding<'_>,
        landing: Landing<'_, St, C>,
    ) -> bool {
        let (lead, mut led) = Lead::new(start);
        if self.flight.offer(lead).is_err() {
            self.release(lease, Release::Abandoned).await;
            return false;
        }
        if lease == Lease::None {
            holding.give_back();
        }
        if !lease.is_held() && !self.shared.leases.is_closed() {
            self.shared.counters.failed_open.add();
            tracing::debug!(address = %self.address.readable(), "computing without a lease");
        }
        let mut stored = false;
        match self.attend(&mut lease, &mut holding, &mut led).await {
            Attended::Concluded(Verdict::Store(value, ttl, start, labels)) => {
                let marking = Marking::new(start, labels, self.shared.stamps_all());
                stored = self.commit(lease, value, ttl, marking, landing).await;
            }
            Attended::Concluded(Verdict::Share(value, start, labels)) => {
                let marking = Marking::new(start, labels, self.shared.stamps_all());
                self.share(lease, value, marking, landing).await;
            }
            // Nobody has to wait for the store before going their own way.
            #[cfg(feature = "http")]
            Attended::Concluded(Verdict::Pass(marker)) => {
                self.shared.counters.passed.add();
                landing.land(Outcome::Pass);
                match marker {
                    Some((marker, ttl)) if lease.is_held() => self.mark(lease, marker, ttl, start).await,
                    _ => drop(self.release(lease, Release::Pass).await),
                }
            }
            #[cfg(feature = "http")]
            Attended::Concluded(Verdict::Stale) => {
                landing.land(Outcome::Stale);
                self.release(lease, Release::Stale).await;
            }
            #[cfg(feature = "http")]
            Attended::Concluded(Verdict::Withdraw) => {
                self.release(lease, Release::Abandoned).await;
                landing.land(Outcome::Again(0));
            }
            Attended::Concluded(Verdict::Fail(failure)) => {
                let message = failure.message.clone();
                landing.land(Outcome::Failed(failure));
                self.release(lease, Release::Failed(message)).await;
            }
            // Given back first, so that the one who takes over finds the lock free.
            Attended::Abandoned => {
                self.shared.counters.abandoned.add();
                let failures = failures.saturating_add(1);
                self.release(lease, Release::Broken { failures }).await;
                landing.land(Outcome::Again(failures));
            }
            // What is computed will not reach those who wait, so they need not wait for it.
            Attended::LeaseLost => landing.land(self.fenced()),
        }
        drop(led.settled);
        stored
    }

    #[cfg(feature = "http")]
    async fn mark(&self, lease: Lease, marker: C::Value, ttl: Duration, start: Option<Start>) {
        let mut marker = Value::native(&self.address, &self.shared.codec, marker);
        // Where everything has a stamp, one without is none. Without a generation there is nothing to stamp it with.
        if let (true, Some(start)) = (self.shared.stamps_all(), start) {
            marker = marker.stamped(Stamp::new(start.generation, Vec::new()));
        }
        if let Err(error) = self.shared.store.mark(&self.address, self.token, &marker, ttl).await {
            self.shared.store_failed(&self.address, "mark", &error);
            self.release(lease, Release::Pass).await;
        }
    }

    /// Renews the lease until there is a verdict, or no lease; gives it back before that where the process shuts down.
    async fn attend(
        &self,
        lease: &mut Lease,
        holding: &mut Holding<'_>,
        led: &mut Led<C::Value>,
    ) -> Attended<C::Value> {
        tokio::select! {
            biased;
            verdict = &mut led.verdict => return verdict.map_or(Attended::Abandoned, Attended::Concluded),
            () = self.heartbeat(*lease) => return Attended::LeaseLost,
            () = self.shared.leases.closed(), if *lease != Lease::None => {}
        }
        match self.release(*lease, Release::Abandoned).await {
            Some(true) => {
                self.shared.counters.given_back.add();
                tracing::debug!(address = %self.address.readable(), "lease given back: the result stays in this process");
            }
            Some(false) if lease.is_held() && !self.is_forgotten(*lease) => return Attended::LeaseLost,
            Some(false) | None => {}
        }
        holding.give_back();
        *lease = Lease::None;
        tokio::select! {
            biased;
            verdict = &mut led.verdict => verdict.map_or(Attended::Abandoned, Attended::Concluded),
            () = self.heartbeat(*lease) => Attended::LeaseLost,
        }
    }

    /// Renews the lease as long as it lasts; without one there is nothing that could end.
    async fn heartbeat(&self, lease: Lease) {
        let period = self.config.lease / 3;
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut held = lease.is_held();
        loop {
            ticks.tick().await;
            self.flight.nudge();
            held = held && self.renew().await;
            if lease.is_held() && !held && !self.is_forgotten(lease) {
                return;
            }
        }
    }

    async fn renew(&self) -> bool {
        match self
            .shared
            .store
            .renew(&self.address, self.token, self.config.lease)
            .await
        {
            Ok(held) => held,
            Err(error) => {
                self.shared.store_failed(&self.address, "renew", &error);
                true
            }
        }
    }

    /// Whether the value was stored.
    async fn commit(
        &self,
        lease: Lease,
        value: C::Value,
        ttl: Duration,
        marking: Marking,
        landing: Landing<'_, St, C>,
    ) -> bool {
        // Whoever comes from here on may know of an invalidation that came after the commit.
        let sent = self.shared.clock.tick();
        let stored = match self.stamp(lease, &value, marking).await {
            Marked::Ready(stored) => stored,
            Marked::Outdated(asked) => {
                self.call_in(lease, value, asked, landing).await;
                return false;
            }
            Marked::Ours => {
                self.keep_to_ourselves(lease, value, landing).await;
                return false;
            }
        };
        let committed = self.shared.store.commit(&self.address, self.token, &stored, ttl).await;
        match &committed {
            Ok(true) => landing.land_before(sent, Outcome::Ready(value)),
            Ok(false) => landing.land(self.refused(lease, value)),
            Err(error) => {
                self.shared.store_failed(&self.address, "commit", error);
                landing.land(Outcome::Ready(value));
                // Nobody elsewhere should have to wait for the lease to end.
                match error.kind() {
                    StoreErrorKind::Encode => _ = self.release(lease, Release::Abandoned).await,
                    // A store that is full takes no value, but may still pass it on.
                    StoreErrorKind::Rejected => _ = self.release(lease, Release::Shared(stored)).await,
                    StoreErrorKind::Timeout
                    | StoreErrorKind::Unavailable
                    | StoreErrorKind::Config
                    | StoreErrorKind::Unsupported => {}
                }
            }
        }
        committed.unwrap_or(false)
    }

    async fn share(&self, lease: Lease, value: C::Value, marking: Marking, landing: Landing<'_, St, C>) {
        let sent = self.shared.clock.tick();
        let shared = match self.stamp(lease, &value, marking).await {
            Marked::Ready(shared) => shared,
            Marked::Outdated(asked) => return self.call_in(lease, value, asked, landing).await,
            Marked::Ours => return self.keep_to_ourselves(lease, value, landing).await,
        };
        match self.release(lease, Release::Shared(shared)).await {
            Some(true) => landing.land_before(sent, Outcome::Ready(value)),
            Some(false) => landing.land(self.refused(lease, value)),
            None => landing.land(Outcome::Ready(value)),
        }
    }

    /// The value as others are to have it, if they are.
    ///
    /// That it is current now makes it right for those who came before now. Whoever reads it later, or hears of it, asks
    /// again.
    async fn stamp(&self, lease: Lease, value: &C::Value, marking: Marking) -> Marked {
        if !lease.is_held() {
            return Marked::Ours;
        }
        let value = Value::native(&self.address, &self.shared.codec, value.clone());
        let (stamp, asked) = match marking {
            Marking::Plain => return Marked::Ready(value),
            Marking::Stamped(stamp, asked) => (stamp, asked),
            Marking::Unknown => {
                tracing::debug!(address = %self.address.readable(), "a result with tags stays in this process: the store did not say when it was begun");
                return Marked::Ours;
            }
        };
        match self.shared.store.is_current(&self.shared.tag, &stamp).await {
            Ok(true) => Marked::Ready(value.stamped(stamp)),
            Ok(false) => Marked::Outdated(asked),
            Err(error) => {
                self.shared.store_failed(&self.address, "is_current", &error);
                Marked::Ours
            }
        }
    }

    /// Something that the result is tagged with was invalidated while it was computed. Those who came before it was begun
    /// get it, because they came before the invalidation as well; the others ask again.
    async fn call_in(&self, lease: Lease, value: C::Value, asked: Moment, landing: Landing<'_, St, C>) {
        self.shared.counters.fenced.add();
        tracing::debug!(address = %self.address.readable(), "result not stored: a tag was invalidated while it was computed");
        self.release(lease, Release::Abandoned).await;
        landing.land_before(asked, Outcome::Ready(value));
    }

    /// Hands the result to those who wait here. If there is a lock after all, it may have been taken when the
    /// computation was long under way, and after an invalidation: it vouches for nothing.
    async fn keep_to_ourselves(&self, lease: Lease, value: C::Value, landing: Landing<'_, St, C>) {
        landing.land(Outcome::Ready(value));
        self.release(lease, Release::Abandoned).await;
    }

    /// Whether nobody took the lease away: the store has forgotten it.
    fn is_forgotten(&self, lease: Lease) -> bool {
        matches!(lease, Lease::Held(epoch) if epoch != self.shared.store.epoch())
    }

    /// The store would not take the value. A restart of the store is no reason for those who wait here to have it
    /// computed once more.
    fn refused(&self, lease: Lease, value: C::Value) -> Outcome<C::Value> {
        if self.is_forgotten(lease) {
            tracing::debug!(address = %self.address.readable(), "the store has forgotten the lease; the result stays in this process");
            return Outcome::Ready(value);
        }
        self.fenced()
    }

    /// The lease was lost while the computation ran. Some of those who wait may have come after the invalidation that
    /// took it away, so none of them gets the value.
    fn fenced(&self) -> Outcome<C::Value> {
        self.shared.counters.fenced.add();
        tracing::debug!(address = %self.address.readable(), "result refused: the lease ended or the key was invalidated");
        Outcome::Again(0)
    }
}
