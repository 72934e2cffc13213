//! The keeper: the task behind one flight.
//!
//! It asks the store for the value and the lock in one step (`acquire`). With the lock it offers the lead to the
//! waiters, renews the lease while one of them computes, and settles the verdict. Without it, it listens for the
//! promise, and asks again whenever there is a reason to: once the watch is in effect, after every interruption, when
//! the holder gives up, and a little after the lease's end. One keeper a flight means one wait a process; `SET NX`
//! means one winner a cluster.
//!
//! A verdict may be that the value is made elsewhere. The keeper then holds the lock until the promise is resolved or
//! the lease ends (`deferred.rs`), and starts over: it asks, and offers the lead once more, to the waiters of that time.
//!
//! A task of its own makes all of this independent of any caller: a caller that is dropped in the middle of an
//! `acquire` leaves no lock behind.

pub(crate) mod acquire;
mod along;
mod bid;
mod commit;
pub(crate) mod deferred;
pub(crate) mod early_result;
mod hear;
mod lead;
pub(crate) mod progress;
mod refresh;
pub(crate) mod renew;
mod solo;
mod tenure;
mod upload;
mod uploader;
pub(crate) mod watch;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use self::acquire::LockState;
use self::bid::Bid;
use self::lead::LeadEnd;
use self::progress::Search;
use self::tenure::Tenure;
use self::upload::Upload;
use super::config::Config;
use super::flights::clock::{Arrivals, Tick};
use super::flights::custody::Custody;
use super::flights::waiter::Waiter;
use super::leases::Holding;
use super::marking::Start;
use super::outcome::{Attribution, Landed, Outcome, Past};
use super::permit::{Lead, MemoFlight, MemoWaiter, Unleased};
use super::shared::Shared;
use crate::codec::Codec;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::Address;
use crate::simulation::{Planted, planted};
use crate::store::{Release, Renewed, Store, Value, parts_of};
use crate::task::{BoxFuture, spawn_if_any};
use crate::trace::TraceContext;

type MemoCustody<V> = Custody<Lead<V>, Arc<Landed<V>>>;

pub(crate) struct Coordinator<C: Codec> {
    shared: Arc<Shared<C>>,
    config: Config,
    address: Address,
    flight: Arc<MemoFlight<C::Value>>,
    bid: Mutex<Bid>,
    tenure: Tenure,
    /// The leader of this moment, here or elsewhere.
    by: Attribution,
    /// The attempts before this one that are known to have come to nothing.
    past: Past,
    /// What was stored when this keeper first asked, where the caller has no use for that.
    before: OnceLock<Option<Value>>,
    /// What other processes read along.
    uploading: Mutex<Option<Upload>>,
}

/// What the waiters of a flight are told, and which of them: the others have to ask again.
struct Ending<V> {
    /// As in [`Landed`].
    outcome: Result<Outcome<V>, Option<Past>>,
    whom: Arrivals,
}

impl<V> Ending<V> {
    fn told(outcome: Outcome<V>, whom: Arrivals) -> Self {
        let outcome = Ok(outcome);
        Self { outcome, whom }
    }

    /// After so many attempts that came to nothing, if this was one of them.
    fn start_again(past: Option<Past>) -> Self {
        let (outcome, whom) = (Err(past), Arrivals::All);
        Self { outcome, whom }
    }
}

/// What is known of the lock when the lead is offered.
#[derive(Clone, Copy)]
struct Granted {
    claim: LockState,
    /// When the store was asked for the lock.
    asked_at: Instant,
    start: Option<Start>,
    /// Why the lock is not known to be ours, if it is not.
    unleased: Option<Unleased>,
}

impl Granted {
    /// The lead, although the lock is not known to be ours.
    fn unleased(claim: LockState, why: Unleased) -> Self {
        Self {
            claim,
            asked_at: Instant::now(),
            start: None,
            unleased: Some(why),
        }
    }
}

impl<C: Codec> Coordinator<C> {
    pub(crate) fn new(
        shared: Arc<Shared<C>>,
        config: Config,
        address: Address,
        flight: Arc<MemoFlight<C::Value>>,
        caller: Option<TraceContext>,
        past: Past,
    ) -> Self {
        let parts = parts_of(&shared.store).filter(|parts| config.parts && parts.carries(&address));
        let bid = Mutex::new(Bid::new(parts, &address, caller));
        Self {
            shared,
            config,
            address,
            flight,
            bid,
            tenure: Tenure::none(),
            by: Attribution::default(),
            past,
            before: OnceLock::new(),
            uploading: Mutex::new(None),
        }
    }

    /// A keeper whose flight is in no table, and the flight's only waiter: any other caller waits for the lock.
    pub(crate) fn unlisted(
        shared: &Arc<Shared<C>>,
        config: &Config,
        address: &Address,
        caller: Option<TraceContext>,
    ) -> (Self, MemoWaiter<C::Value>) {
        let (flight, waiter) = Waiter::first(Tick::START);
        let (shared, address) = (Arc::clone(shared), address.clone());
        let keeper = Self::new(shared, *config, address, flight, caller, Past::default());
        (keeper, waiter)
    }

    fn uploading(&self) -> MutexGuard<'_, Option<Upload>> {
        self.uploading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees the flight through to its end.
    pub(crate) async fn run(self) {
        let _in_flight = self.shared.counters.in_flight.enter();
        // Armed before anything else: a keeper that is cancelled or panics still lands its flight.
        let landing = Landing { keeper: &self };
        let mut holding = Holding::new(&self.shared.leases);
        let mut search = Search::new(self.past);
        loop {
            let acquired = tokio::select! {
                biased;
                acquired = self.acquire_or_listen(&mut holding, &mut search) => acquired,
                () = poll_fn(|cx| self.flight.poll_deserted(cx)) => {
                    self.release(LockState::Unknown, Release::Abandoned).await;
                    return;
                }
            };
            let granted = match acquired {
                Ok(granted) => granted,
                Err(ending) => return landing.end(ending),
            };
            if !search.starts.any() {
                // This process computes, so no notice can tell it anything.
                search.watch = None;
            }
            match self.lead(granted, &mut search, &mut holding, &landing).await {
                LeadEnd::Landed { .. } => return,
                LeadEnd::Again => {}
                // The waiters stay together: one that is slow to join again would miss the outcome of the next attempt.
                LeadEnd::Vain(past) if past.may_go_on() && self.flight.has_candidate() => {
                    (search.past, search.witnesses) = (past, self.shared.clock.tick());
                    self.flight.resume();
                }
                LeadEnd::Vain(past) => return landing.start_again(Some(past)),
            }
        }
    }

    /// The generation in which a computation begins that starts from here on.
    async fn start(&self) -> Option<Start> {
        let asked = self.shared.clock.tick();
        let generation = self.shared.generation(&self.address, &self.config).await;
        generation.map(|generation| Start { generation, asked })
    }

    async fn renew(&self, lease: Duration) -> Result<Renewed, StoreError> {
        let asked = self.shared.clock.tick();
        let renewed = self.shared.store.renew(&self.address, self.token(), lease).await;
        match &renewed {
            Ok(Renewed::Held) => self.tenure.extend(asked),
            // The result is not fresh to callers that come from here on.
            Ok(Renewed::Soft) => self.part_from_newcomers(),
            Ok(Renewed::Lost) => {}
            Err(error) => {
                self.shared.store_failed(&self.address, "renew", error);
                self.part_from_newcomers();
            }
        }
        renewed
    }

    /// The lease does not vouch for the result to waiters since it was last confirmed: they start anew at once, and
    /// so does every later caller.
    fn part_from_newcomers(&self) {
        self.shared.table.remove(&self.address, &self.flight);
        self.flight.keep_only(self.tenure.last());
    }

    fn release(&self, claim: LockState, reason: Release) -> BoxFuture<'_, Option<bool>> {
        Box::pin(self.try_release(claim, reason))
    }

    async fn try_release(&self, claim: LockState, reason: Release) -> Option<bool> {
        if claim == LockState::None || planted(Planted::NotReleased) {
            return None;
        }
        let (store, token) = (&self.shared.store, self.token());
        let mut released = store.release(&self.address, token, reason).await;
        if let Err(error) = &released {
            self.shared.store_failed(&self.address, "release", error);
            // A value that cannot be encoded must not keep the lock from other processes.
            if error.kind() == StoreErrorKind::Encode {
                released = store.release(&self.address, token, Release::Abandoned).await;
            }
        }
        let released = released.ok()?;
        // A command that was not answered may yet take the lock.
        if released || claim.is_held() {
            self.close_bid();
        }
        Some(released)
    }
}

impl<C: Codec> Coordinator<C> {
    /// Gives back the lock, if there is one, where the keeper itself cannot: a codec or a store has panicked.
    fn give_back_later(&self) {
        let (store, address, token) = (self.shared.store.clone(), self.address.clone(), self.token());
        spawn_if_any(Box::pin(async move {
            let _ = store.release(&address, token, Release::Abandoned).await;
        }));
    }
}

/// Ends the flight, one way or another.
struct Landing<'a, C: Codec> {
    keeper: &'a Coordinator<C>,
}

impl<C: Codec> Landing<'_, C> {
    /// Hands `outcome` to all waiters; later calls change nothing.
    fn land(&self, outcome: Outcome<C::Value>) {
        self.land_for(Arrivals::All, outcome);
    }

    /// Hands `outcome` to the waiters that it is for; the others have to ask again.
    fn land_for(&self, whom: Arrivals, outcome: Outcome<C::Value>) {
        self.end(Ending::told(outcome, whom));
    }

    /// Has all waiters start again.
    fn start_again(&self, past: Option<Past>) {
        self.end(Ending::start_again(past));
    }

    fn end(&self, Ending { outcome, whom }: Ending<C::Value>) {
        let Coordinator {
            shared,
            address,
            flight,
            by,
            ..
        } = self.keeper;
        // Out of the table first: a caller that comes from here on is not one of the earlier waiters.
        shared.table.remove(address, flight);
        let by = by.get();
        flight.land(Arc::new(Landed { outcome, by }), whom);
    }
}

impl<C: Codec> Drop for Landing<'_, C> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keeper.give_back_later();
        }
        self.start_again(None);
    }
}
