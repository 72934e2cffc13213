//! How a keeper comes to an outcome or a lease: it asks, and listens, and asks again.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout};

use super::progress::Search;
use super::watch::{LiveWatch, Spacing};
use super::{Acquisition, Coordinator, Granted, LockReply};
use crate::codec::Codec;
use crate::error::{Failure, StoreError};
use crate::memo::config::Config;
use crate::memo::flights::clock::{Arrivals, Tick};
use crate::memo::found::Found;
use crate::memo::leases::Holding;
use crate::memo::leases::lock_state::{LockState, Unleased};
use crate::memo::outcome::Outcome;
use crate::memo::receipt::Aim;
use crate::simulation::{Planted, planted};
use crate::store::{Lock, Notice, Release, Store, Token, Value};

/// How long after the store could not be asked it is asked again what became of a promise.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// The part of the jitter, a tenth of a second at most, by which reads are spread.
const SPREAD: u32 = 5;

/// What the promise has become, or whether to ask again.
pub(super) enum Heard<V> {
    Landed(Outcome<V>, Arrivals),
    Again,
    /// Nothing that changes anything.
    Nothing,
    /// The lock was given back or taken away.
    Freed,
    /// So many attempts in a row came to nothing, and how the last did.
    Vain {
        attempts: u32,
        failed: bool,
    },
    /// Work was started for so many times in a row, and the promise is yet to be resolved.
    Deferred(u32),
}

/// What is stored answers no waiter: it is out of date, stale, or cannot be read.
struct NoUse;

impl<C: Codec> Coordinator<C> {
    /// Asks and listens until there is an outcome or a reason to compute.
    pub(super) async fn acquire_or_listen<'a>(
        &'a self,
        holding: &mut Holding<'_>,
        search: &mut Search<'a, C>,
    ) -> Acquisition<C::Value> {
        loop {
            let acquisition = match (search.starts.exhausted(&self.config), self.flight.has_candidate()) {
                (None, true) => self.acquire_once(holding, search).await,
                (Some(until), true) => {
                    holding.give_back();
                    self.look_on(until, search).await
                }
                // No waiter is left to lead.
                (_, false) => {
                    holding.give_back();
                    tokio::select! {
                        biased;
                        acquisition = self.look_on(Instant::now() + self.config.lease.min(Config::LONG), search) => acquisition,
                        () = poll_fn(|cx| self.flight.poll_candidate(cx)) => None,
                    }
                }
            };
            if let Some(acquisition) = acquisition {
                return acquisition;
            }
        }
    }

    /// Asks for the value and the lock. Without either, listens for as long as the lock lasts.
    async fn acquire_once<'a>(
        &'a self,
        holding: &mut Holding<'_>,
        search: &mut Search<'a, C>,
    ) -> Option<Acquisition<C::Value>> {
        let closed = !holding.take();
        // A waiter for another process goes on waiting: it will answer before a call of our own does.
        if closed && search.watch.is_none() {
            return Some(Acquisition::Lead(Granted::without(LockState::None, Unleased::Leaving)));
        }
        self.flight.ask();
        let before = self.shared.clock.tick();
        let LockReply {
            asked,
            lock,
            value,
            granted,
        } = match self.acquire(search.held).await {
            Ok(reply) => reply,
            Err(error) => {
                // Without the store no process can resolve what was started, nor what would be started now.
                if search.starts.any() || (self.config.requests && search.held) {
                    return self.listen_for(RETRY, before, search).await.ok().flatten();
                }
                return Some(Acquisition::Lead(Granted::without(
                    error.kind().into(),
                    Unleased::Store,
                )));
            }
        };
        let claim = granted.claim;
        let value = self.shared.vouched(&self.address, self.news(value)).await;
        let is_stale = value.is_some();
        if let Some(outcome) = value.and_then(|value| self.outcome(value)) {
            if lock == Lock::Granted {
                self.release(claim, Release::Abandoned).await;
            }
            return Some(Acquisition::Landed(outcome, Arrivals::Before(asked)));
        }
        // Callers that have waited in vain this long need not wait for another computation.
        if search.holder_died && is_stale && lock == Lock::Granted {
            self.release(claim, Release::Stale).await;
            return Some(Acquisition::Landed(Outcome::Stale, Arrivals::All));
        }
        let (remaining, immortal) = match lock {
            Lock::Granted => {
                self.tenure.begin(asked);
                return self.granted(granted, closed, search).await;
            }
            Lock::Held { remaining: Some(time) } => (time, false),
            // A lock that never expires can only be waited for once.
            Lock::Held { remaining: None } if search.waited_for_immortal => {
                return Some(Acquisition::Lead(Granted::without(LockState::None, Unleased::Lock)));
            }
            Lock::Held { remaining: None } => (self.config.lease, true),
        };
        holding.give_back();
        search.held = true;
        let end = Instant::now() + remaining.min(Config::LONG);
        self.flight.lease_until((!immortal).then_some(end));
        self.listen_for(remaining, asked, search)
            .await
            .unwrap_or_else(|_: Elapsed| {
                search.waited_for_immortal = immortal;
                search.holder_died = true;
                None
            })
    }

    /// What to do with a lock that is ours. Nothing, and it is given back, where the work was started often enough.
    async fn granted(
        &self,
        granted: Granted,
        closed: bool,
        search: &mut Search<'_, C>,
    ) -> Option<Acquisition<C::Value>> {
        if closed {
            self.release(granted.claim, Release::Abandoned).await;
            return Some(Acquisition::Lead(Granted::without(LockState::None, Unleased::Leaving)));
        }
        if self.config.requests && search.lapsed(&self.config) {
            self.release(granted.claim, Release::Abandoned).await;
            return None;
        }
        if search.watch.is_some() || search.past != self.past {
            self.shared.counters.taken_over.add();
            tracing::debug!(address = %self.address.readable(), "taking over");
        }
        Some(Acquisition::Lead(granted))
    }

    /// Reads the value, and listens for as long as one more start of the work would have to finish it: nothing is started
    /// any more, but what was started may still come to its end.
    async fn look_on<'a>(&'a self, until: Instant, search: &mut Search<'a, C>) -> Option<Acquisition<C::Value>> {
        let asked = self.shared.clock.tick();
        let time = match self.shared.store.lookup(&self.address).await {
            Ok(value) => {
                let value = self.shared.vouched(&self.address, self.news(value)).await;
                if let Some(outcome) = value.and_then(|value| self.outcome(value)) {
                    return Some(Acquisition::Landed(outcome, Arrivals::Before(asked)));
                }
                self.config.lease
            }
            Err(error) => {
                self.shared.store_failed(&self.address, "lookup", &error);
                RETRY
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        let heard = self.listen_for(time.min(left), asked, search).await;
        heard.ok().flatten()
    }

    /// Listens for this long, and a little longer, or until there is a reason to ask again. `asked` is when the store was
    /// last asked for the value.
    async fn listen_for<'a>(
        &'a self,
        time: Duration,
        asked: Tick,
        search: &mut Search<'a, C>,
    ) -> Result<Option<Acquisition<C::Value>>, Elapsed> {
        self.flight.follow();
        let watch = search.watch.get_or_insert_with(|| LiveWatch::start(self));
        let time = match planted(Planted::WaitsForever) {
            true => Config::LONG,
            false => time,
        };
        Ok(
            match timeout(time.saturating_add(self.config.jitter()), self.listen(watch, asked)).await? {
                Heard::Landed(outcome, whom) => Some(Acquisition::Landed(outcome, whom)),
                Heard::Again | Heard::Nothing => None,
                Heard::Freed => {
                    search.held = false;
                    None
                }
                Heard::Deferred(starts) => {
                    search.starts.hear(starts);
                    None
                }
                Heard::Vain { attempts, failed } => {
                    search.held = false;
                    search.hear_of(attempts, failed, self.shared.clock.tick());
                    let over = !search.past.may_go_on();
                    over.then_some(Acquisition::Landed(Outcome::Again(Some(search.past)), Arrivals::All))
                }
            },
        )
    }

    /// What is stored, unless it was there before and the caller wants another one.
    pub(super) fn news(&self, value: Option<Value>) -> Option<Value> {
        if self.config.aim != Aim::Now {
            return value;
        }
        let mut is_first = false;
        let before = self.before.get_or_init(|| {
            is_first = true;
            value.clone()
        });
        let is_old = |value: &Value| is_first || before.as_ref().is_some_and(|before| before.is_same(value));
        value.filter(|value| !is_old(value))
    }

    /// What a stored value is to the waiters for one; `None` where it is stale, or not what they want.
    pub(super) fn outcome(&self, found: Found<C::Value>) -> Option<Outcome<C::Value>> {
        if !self.shared.meets(self.config.aim, &found) {
            return None;
        }
        if self.shared.codec.is_marker(&found.value) {
            return found.soft_since.is_none().then_some(Outcome::Pass);
        }
        match self.shared.is_fresh(&found) {
            true => Some(Outcome::Ready(found.value)),
            false => self.shared.is_soft(&found).then_some(Outcome::Soft(found)),
        }
    }

    async fn listen(&self, watch: &mut LiveWatch<'_, C>, asked: Tick) -> Heard<C::Value> {
        let spacing = watch.spacing();
        let mut newcomers = pin!(self.look_for_newcomers(asked, spacing));
        // Boxed, because most have nothing to read along.
        let mut part = Box::pin(self.look_for_part());
        loop {
            let (notice, since) = tokio::select! {
                biased;
                heard = watch.next() => heard,
                (outcome, whom) = &mut newcomers => return Heard::Landed(outcome, whom),
                heard = &mut part => return heard,
            };
            match self.heard(notice, since).await {
                Heard::Nothing => {}
                heard => return heard,
            }
        }
    }

    /// Reads the value for waiters that join after the store was `asked` for it: one that was stored unannounced is
    /// found by each request that comes later. Returns once there is one. Cancel safe.
    async fn look_for_newcomers(&self, mut asked: Tick, spacing: Spacing) -> (Outcome<C::Value>, Arrivals) {
        loop {
            poll_fn(|cx| self.flight.poll_joined(Arrivals::Before(asked), cx)).await;
            asked = self.shared.clock.tick();
            if let Some(outcome) = self.read().await {
                return (outcome, Arrivals::Before(asked));
            }
            spacing.pass().await;
        }
    }

    /// What is stored for the waiters, if the store can say.
    async fn read(&self) -> Option<Outcome<C::Value>> {
        self.look_in_store().await?.ok()
    }

    /// What is stored, if the store has anything and can say.
    async fn look_in_store(&self) -> Option<Result<Outcome<C::Value>, NoUse>> {
        match self.shared.store.lookup(&self.address).await {
            Ok(value) => {
                let value = self.shared.vouched(&self.address, Some(self.news(value)?)).await;
                Some(value.and_then(|value| self.outcome(value)).ok_or(NoUse))
            }
            Err(error) => {
                self.shared.store_failed(&self.address, "lookup", &error);
                None
            }
        }
    }

    async fn kept(&self, token: Token) -> Result<Option<Value>, StoreError> {
        self.spread().await;
        self.shared.store.kept(&self.address, token).await
    }

    /// What is too large to be sent to all is not read by all at once.
    async fn spread(&self) {
        sleep(self.config.jitter() / SPREAD).await;
    }

    /// What a notice says that was published after that moment.
    pub(super) async fn heard(&self, notice: Notice, since: Tick) -> Heard<C::Value> {
        match notice {
            Notice::Stored(value) | Notice::Released(Release::Shared(value)) => {
                match self.shared.vouched(&self.address, Some(value)).await {
                    Some(found) if planted(Planted::OldMessage) => {
                        Heard::Landed(Outcome::Ready(found.value), Arrivals::All)
                    }
                    Some(found) => {
                        let is_old = found.soft_since.is_some() || !self.shared.meets(self.config.aim, &found);
                        match self.outcome(found) {
                            Some(outcome @ (Outcome::Ready(_) | Outcome::Soft(_))) => {
                                Heard::Landed(outcome, Arrivals::Before(since))
                            }
                            // It counts for nothing.
                            _ if is_old => Heard::Again,
                            // Stored, but for none of the waiters.
                            _ => Heard::Landed(Outcome::Pass, Arrivals::All),
                        }
                    }
                    None => Heard::Again,
                }
            }
            Notice::Kept(token) => match self.kept(token).await {
                Ok(Some(value)) => Box::pin(self.heard(Notice::Released(Release::Shared(value)), since)).await,
                Ok(None) => Heard::Freed,
                Err(error) => {
                    self.shared.store_failed(&self.address, "kept", &error);
                    Heard::Freed
                }
            },
            Notice::Announced => {
                if self.address.is_derived() {
                    self.spread().await;
                }
                let asked = self.shared.clock.tick();
                match self.look_in_store().await {
                    Some(Ok(outcome)) => Heard::Landed(outcome, Arrivals::Before(asked)),
                    // It was stored, so the lock was given back, but it is for none of the waiters.
                    Some(Err(NoUse)) => Heard::Again,
                    None => Heard::Nothing,
                }
            }
            Notice::Part(id, at, bytes) => Box::pin(self.heard_part(id, at, bytes, Arrivals::Before(since))).await,
            // Not about a value.
            Notice::Asked(_) => Heard::Nothing,
            // What carries no value is as good for waiters that came later.
            Notice::Released(Release::Pass) => Heard::Landed(Outcome::Pass, Arrivals::All),
            Notice::Released(Release::Failed(message)) => {
                Heard::Landed(Outcome::Failed(Failure::of(message)), Arrivals::All)
            }
            Notice::Released(Release::Stale) => Heard::Landed(Outcome::Stale, Arrivals::All),
            Notice::Released(Release::Broken { failures: attempts }) => Heard::Vain { attempts, failed: true },
            Notice::Released(Release::Declined { attempts }) => Heard::Vain {
                attempts,
                failed: false,
            },
            Notice::Deferred { starts } => Heard::Deferred(starts),
            Notice::Released(Release::Abandoned) | Notice::Invalidated => Heard::Freed,
            Notice::Reread if planted(Planted::NotReread) => Heard::Nothing,
            Notice::Reread => Heard::Again,
        }
    }
}
