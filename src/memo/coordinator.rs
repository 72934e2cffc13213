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
mod heard;
mod landing;
mod lead;
pub(crate) mod progress;
pub(crate) mod refresh;
pub(crate) mod renew;
pub(crate) mod solo;
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
use self::landing::{Landing, LeadEnd};
use self::progress::Search;
use self::tenure::Tenure;
use self::upload::Upload;
use super::config::Config;
use super::flights::clock::Tick;
use super::flights::custody::Custody;
use super::flights::waiter::Waiter;
use super::leases::Holding;
use super::marking::Start;
use super::outcome::{Attribution, Landed, Past};
use super::permit::{Lead, MemoFlight, MemoWaiter, Unleased};
use super::shared::Shared;
use crate::codec::Codec;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::Address;
use crate::simulation::{Planted, planted};
use crate::store::parts::Parts;
use crate::store::{Release, Renewed, Store, Token, Value, parts_of};
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
        let coordinator = Self::new(shared, *config, address, flight, caller, Past::default());
        (coordinator, waiter)
    }

    fn bid(&self) -> MutexGuard<'_, Bid> {
        self.bid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token with which the store was last asked for the lock.
    fn token(&self) -> Token {
        self.bid().token()
    }

    /// What carries this value to other processes while it is made.
    fn parts(&self) -> Option<&dyn Parts> {
        parts_of(&self.shared.store).filter(|parts| self.config.parts && parts.carries(&self.address))
    }

    fn uploading(&self) -> MutexGuard<'_, Option<Upload>> {
        self.uploading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees the flight through to its end.
    pub(crate) async fn run(self) {
        let _in_flight = self.shared.counters.in_flight.enter();
        // Armed before anything else: a keeper that is cancelled or panics still lands its flight.
        let landing = Landing { coordinator: &self };
        let mut holding = Holding::new(&self.shared.leases);
        let mut search = Search::new(self.past);
        loop {
            let acquired = tokio::select! {
                biased;
                acquired = acquire::until_granted(&self, &mut holding, &mut search) => acquired,
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
            match lead::to_the_end(&self, granted, &mut search, &mut holding, &landing).await {
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
            self.bid().close();
        }
        Some(released)
    }

    /// Whether no other holder took the lease away: the store has forgotten it.
    fn is_forgotten(&self, claim: LockState) -> bool {
        matches!(claim, LockState::Held(epoch) if epoch != self.shared.store.epoch())
    }

    /// Tells operators of a computation that came to nothing.
    fn report(&self, what: &str) {
        self.shared
            .insight
            .failed(self.address.readable(), format_args!("{what}"));
    }

    /// Tells operators, and the log, why a computation is given up.
    fn given_up(&self, why: &str) {
        self.report(why);
        tracing::debug!(address = %self.address.readable(), "{why}");
    }

    /// Gives back the lock, if there is one, where the keeper itself cannot: a codec or a store has panicked.
    fn give_back_later(&self) {
        let (store, address, token) = (self.shared.store.clone(), self.address.clone(), self.token());
        spawn_if_any(Box::pin(async move {
            let _ = store.release(&address, token, Release::Abandoned).await;
        }));
    }
}
