//! The keeper: the task behind one flight.
//!
//! It asks the store for the value and the lock in one step (`acquire`). With the lock it offers the lead to the
//! waiters, renews the lease while one of them computes, and settles the verdict. Without it, it listens for the
//! promise, and asks again whenever there is a reason to: once the watch is in effect, after every interruption, when
//! the holder gives up, and a little after the lease's end. One keeper a flight means one wait a process; `SET NX`
//! means one winner a cluster.
//!
//! A task of its own makes all of this independent of any caller: a caller that is dropped in the middle of an
//! `acquire` leaves no lock behind.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::config::Config;
use super::flight::Flight;
use super::lead::{Lead, Led};
use super::lease::Lease;
use super::outcome::{Outcome, Verdict};
use super::shared::Shared;
use crate::codec::Codec;
use crate::error::{Failure, StoreErrorKind};
use crate::key::Address;
use crate::store::{Lock, Notice, Release, Store, Token, Value, Watch};

pub(crate) type MemoFlight<V> = Flight<Lead<V>, Arc<Outcome<V>>>;

pub(crate) struct Keeper<St, C: Codec> {
    shared: Arc<Shared<St, C>>,
    config: Config,
    address: Address,
    flight: Arc<MemoFlight<C::Value>>,
    token: Token,
}

/// What the store has for this flight.
enum Sought<V> {
    Landed(Outcome<V>),
    Lead(Lease),
}

/// What became of the computation while the lease was kept alive.
enum Attended<V> {
    Concluded(Verdict<V>),
    /// Given up.
    Abandoned,
    /// Still under way, but its result will be refused.
    LeaseLost,
}

/// What the promise has become, or whether to ask again.
enum Heard<V> {
    Landed(Outcome<V>),
    Again,
}

impl<St: Store, C: Codec> Keeper<St, C> {
    pub(crate) fn new(
        shared: Arc<Shared<St, C>>,
        config: Config,
        address: Address,
        flight: Arc<MemoFlight<C::Value>>,
    ) -> Self {
        Self {
            shared,
            config,
            address,
            flight,
            token: Token::random(),
        }
    }

    /// Sees the flight through to its end.
    pub(crate) async fn run(self) {
        // Armed first: a keeper that is cancelled or panics still lands its flight.
        let landing = Landing { keeper: &self };
        let sought = tokio::select! {
            biased;
            sought = self.seek() => sought,
            () = poll_fn(|cx| self.flight.poll_deserted(cx)) => {
                self.release(Lease::Unknown, Release::Abandoned).await;
                return;
            }
        };
        match sought {
            Sought::Landed(outcome) => landing.land(outcome),
            Sought::Lead(lease) => self.lead(lease, landing).await,
        }
    }

    /// Asks and listens until there is an outcome or a reason to compute.
    async fn seek(&self) -> Sought<C::Value> {
        let mut watch = None;
        let mut waited_for_immortal = false;
        loop {
            let epoch = self.shared.store.epoch();
            let acquired = match self
                .shared
                .store
                .acquire(&self.address, self.token, self.config.lease)
                .await
            {
                Ok(acquired) => acquired,
                Err(error) => {
                    self.shared.store_failed(&self.address, "acquire", &error);
                    return Sought::Lead(error.kind().into());
                }
            };
            if let Some(value) = acquired
                .value
                .and_then(|value| self.shared.decode(&self.address, &value))
            {
                if acquired.lock == Lock::Granted {
                    self.release(Lease::Held(epoch), Release::Abandoned).await;
                }
                return Sought::Landed(Outcome::Ready(value));
            }
            let remaining = match acquired.lock {
                Lock::Granted => {
                    if watch.is_some() {
                        self.shared.counters.taken_over.add();
                    }
                    return Sought::Lead(Lease::Held(epoch));
                }
                Lock::Held { remaining: Some(time) } => time,
                // A lock that never expires can only be waited for once.
                Lock::Held { remaining: None } if waited_for_immortal => return Sought::Lead(Lease::None),
                Lock::Held { remaining: None } => self.config.lease,
            };
            let watch = watch.get_or_insert_with(|| self.shared.store.watch(&self.address));
            match timeout(remaining + self.config.jitter(), self.listen(watch)).await {
                Ok(Heard::Landed(outcome)) => return Sought::Landed(outcome),
                Ok(Heard::Again) => {}
                Err(_) => waited_for_immortal = matches!(acquired.lock, Lock::Held { remaining: None }),
            }
        }
    }

    async fn listen(&self, watch: &mut St::Watch) -> Heard<C::Value> {
        let decode = |value: &Value| self.shared.decode(&self.address, value);
        let ready = |value| Heard::Landed(Outcome::Ready(value));
        match watch.next().await {
            Notice::Stored(value) | Notice::Released(Release::Shared(value)) => {
                decode(&value).map_or(Heard::Again, ready)
            }
            Notice::Released(Release::Pass) => Heard::Landed(Outcome::Pass),
            Notice::Released(Release::Failed(message)) => Heard::Landed(Outcome::Failed(Failure::remote(message))),
            Notice::Released(Release::Abandoned) | Notice::Reread | Notice::Invalidated => Heard::Again,
        }
    }

    /// Offers the lead, keeps the lease alive, and settles the verdict.
    async fn lead(&self, lease: Lease, landing: Landing<'_, St, C>) {
        let (lead, mut led) = Lead::new();
        if self.flight.offer(lead).is_err() {
            self.release(lease, Release::Abandoned).await;
            return;
        }
        if !lease.is_held() {
            self.shared.counters.failed_open.add();
        }
        match self.attend(lease, &mut led).await {
            Attended::Concluded(Verdict::Store(value, ttl)) => self.commit(lease, value, ttl, landing).await,
            Attended::Concluded(Verdict::Share(value)) => self.share(lease, value, landing).await,
            // Nobody has to wait for the store before going their own way.
            #[cfg(feature = "http")]
            Attended::Concluded(Verdict::Pass) => {
                self.shared.counters.passed.add();
                landing.land(Outcome::Pass);
                self.release(lease, Release::Pass).await;
            }
            Attended::Concluded(Verdict::Fail(failure)) => {
                let message = failure.message.clone();
                landing.land(Outcome::Failed(failure));
                self.release(lease, Release::Failed(message)).await;
            }
            // Given back first, so that the one who takes over finds the lock free.
            Attended::Abandoned => {
                self.shared.counters.abandoned.add();
                self.release(lease, Release::Abandoned).await;
                landing.land(Outcome::Again);
            }
            // What is computed will not reach those who wait, so they need not wait for it.
            Attended::LeaseLost => landing.land(self.fenced()),
        }
        drop(led.settled);
    }

    /// Renews the lease until there is a verdict, or no lease.
    async fn attend(&self, lease: Lease, led: &mut Led<C::Value>) -> Attended<C::Value> {
        let period = self.config.lease / 3;
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let heartbeat = async {
            let mut held = lease.is_held();
            loop {
                ticks.tick().await;
                self.flight.nudge();
                held = held && self.renew().await;
                if lease.is_held() && !held && !self.is_forgotten(lease) {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            verdict = &mut led.verdict => verdict.map_or(Attended::Abandoned, Attended::Concluded),
            () = heartbeat => Attended::LeaseLost,
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

    async fn commit(&self, lease: Lease, value: C::Value, ttl: Duration, landing: Landing<'_, St, C>) {
        if !lease.is_held() {
            landing.land(Outcome::Ready(value.clone()));
        }
        if lease == Lease::None {
            return;
        }
        let stored = self.native(value.clone());
        match self.shared.store.commit(&self.address, self.token, &stored, ttl).await {
            Ok(true) => landing.land(Outcome::Ready(value)),
            Ok(false) => landing.land(self.refused(lease, value)),
            Err(error) => {
                self.shared.store_failed(&self.address, "commit", &error);
                landing.land(Outcome::Ready(value));
                // Nobody elsewhere should have to wait for the lease to end.
                match error.kind() {
                    StoreErrorKind::Encode => _ = self.release(lease, Release::Abandoned).await,
                    // A store that is full takes no value, but may still pass it on.
                    StoreErrorKind::Rejected => _ = self.release(lease, Release::Shared(stored)).await,
                    StoreErrorKind::Timeout | StoreErrorKind::Unavailable | StoreErrorKind::Config => {}
                }
            }
        }
    }

    async fn share(&self, lease: Lease, value: C::Value, landing: Landing<'_, St, C>) {
        if !lease.is_held() {
            landing.land(Outcome::Ready(value.clone()));
        }
        let shared = self.release(lease, Release::Shared(self.native(value.clone()))).await;
        landing.land(match shared {
            Some(false) => self.refused(lease, value),
            Some(true) | None => Outcome::Ready(value),
        });
    }

    /// Whether nobody took the lease away: the store has forgotten it.
    fn is_forgotten(&self, lease: Lease) -> bool {
        matches!(lease, Lease::Held(epoch) if epoch != self.shared.store.epoch())
    }

    /// The store would not take the value. A restart of the store is no reason for those who wait here to have it
    /// computed once more.
    fn refused(&self, lease: Lease, value: C::Value) -> Outcome<C::Value> {
        if self.is_forgotten(lease) {
            tracing::debug!(address = %self.address, "the store has forgotten the lease; the result stays in this process");
            return Outcome::Ready(value);
        }
        self.fenced()
    }

    /// The lease was lost while the computation ran. Some of those who wait may have come after the invalidation that
    /// took it away, so none of them gets the value.
    fn fenced(&self) -> Outcome<C::Value> {
        self.shared.counters.fenced.add();
        tracing::debug!(address = %self.address, "result refused: the lease ended or the key was invalidated");
        Outcome::Again
    }

    fn native(&self, value: C::Value) -> Value {
        Value::native(&self.address, &self.shared.codec, value)
    }

    async fn release(&self, lease: Lease, reason: Release) -> Option<bool> {
        if lease == Lease::None {
            return None;
        }
        let store = &self.shared.store;
        let mut released = store.release(&self.address, self.token, reason).await;
        if let Err(error) = &released {
            self.shared.store_failed(&self.address, "release", error);
            // What cannot be sent to others must not keep the lock from them.
            if error.kind() == StoreErrorKind::Encode {
                released = store.release(&self.address, self.token, Release::Abandoned).await;
            }
        }
        released.ok()
    }
}

/// Ends the flight, one way or another.
struct Landing<'a, St, C: Codec> {
    keeper: &'a Keeper<St, C>,
}

impl<St, C: Codec> Landing<'_, St, C> {
    /// Hands `outcome` to everybody; later calls change nothing.
    fn land(&self, outcome: Outcome<C::Value>) {
        let Keeper {
            shared,
            address,
            flight,
            ..
        } = self.keeper;
        // Out of the table first: whoever comes from here on is not one of those who waited.
        shared.table.remove(address, flight);
        flight.land(Arc::new(outcome));
    }
}

impl<St, C: Codec> Drop for Landing<'_, St, C> {
    fn drop(&mut self) {
        self.land(Outcome::Again);
    }
}
