//! What a keeper hears of a promise, and what it reads then.

use std::future::poll_fn;
use std::pin::pin;

use tokio::time::sleep;

use super::Coordinator;
use super::watch::{LiveWatch, Spacing};
use crate::codec::Codec;
use crate::error::{Failure, StoreError};
use crate::memo::flights::clock::{Arrivals, Tick};
use crate::memo::found::Found;
use crate::memo::outcome::Outcome;
use crate::memo::receipt::Aim;
use crate::simulation::{Planted, planted};
use crate::store::{Notice, Release, Store, Token, Value};
use crate::task::BoxFuture;

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
    /// The stored value, if it is current. `None` where it was there before and is to be replaced, because the caller
    /// wants another one or because it was softly invalidated.
    pub(super) async fn news(&self, value: Option<Value>) -> Option<Found<C::Value>> {
        let wants_another = self.config.aim == Aim::Now && !planted(Planted::NotAnew);
        let mut is_first = false;
        let before = match wants_another {
            true => self.before.get_or_init(|| {
                is_first = true;
                value.clone()
            }),
            false => self.before.get().unwrap_or(&None),
        };
        let value = value?;
        let was_there = is_first || before.as_ref().is_some_and(|before| before.is_same(&value));
        if was_there && wants_another {
            return None;
        }
        let found = self.shared.vouched(&self.address, Some(value)).await?;
        // A new computation may give the same value again.
        (!was_there || found.soft_since.is_none()).then_some(found)
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

    pub(super) async fn listen(&self, watch: &mut LiveWatch<'_, C>, asked: Tick) -> Heard<C::Value> {
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

    /// Reads the value for waiters that join after the store was `asked` for it: a request that comes after a value was
    /// stored unannounced finds it. Returns once there is one. Cancel safe.
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

    /// What is stored, if the store has anything and can say. Boxed, because several wait for it.
    fn look_in_store(&self) -> BoxFuture<'_, Option<Result<Outcome<C::Value>, NoUse>>> {
        Box::pin(async {
            match self.shared.store.lookup(&self.address).await {
                Ok(value) => {
                    let is_there = value.is_some();
                    let found = self.news(value).await;
                    is_there.then(|| found.and_then(|found| self.outcome(found)).ok_or(NoUse))
                }
                Err(error) => {
                    self.shared.store_failed(&self.address, "lookup", &error);
                    None
                }
            }
        })
    }

    async fn kept(&self, token: Token) -> Result<Option<Value>, StoreError> {
        self.spread().await;
        self.shared.store.kept(&self.address, token).await
    }

    /// Waits a little, so that not all processes read at once what was too large to be sent to them.
    async fn spread(&self) {
        sleep(self.config.jitter() / SPREAD).await;
    }

    /// What a notice says. It was published after that moment. Boxed, because several wait for it.
    pub(super) fn heard(&self, notice: Notice, since: Tick) -> BoxFuture<'_, Heard<C::Value>> {
        Box::pin(self.read_notice(notice, since))
    }

    async fn read_notice(&self, notice: Notice, since: Tick) -> Heard<C::Value> {
        match notice {
            Notice::Stored(value) | Notice::Released(Release::Shared(value)) => self.read_value(value, since).await,
            Notice::Kept(token) => match self.kept(token).await {
                Ok(Some(value)) => self.read_value(value, since).await,
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
            Notice::Part(id, at, bytes) => self.heard_part(id, at, bytes, Arrivals::Before(since)).await,
            // Not about a value.
            Notice::Asked(_) => Heard::Nothing,
            // A notice without a value is as good for waiters that came later.
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

    /// What a notice says that has the value in it.
    async fn read_value(&self, value: Value, since: Tick) -> Heard<C::Value> {
        let Some(found) = self.shared.vouched(&self.address, Some(value)).await else {
            return Heard::Again;
        };
        if planted(Planted::OldMessage) {
            return Heard::Landed(Outcome::Ready(found.value), Arrivals::All);
        }
        let is_old = found.soft_since.is_some() || !self.shared.meets(self.config.aim, &found);
        match self.outcome(found) {
            Some(outcome @ (Outcome::Ready(_) | Outcome::Soft(_))) => Heard::Landed(outcome, Arrivals::Before(since)),
            // It counts for nothing.
            _ if is_old => Heard::Again,
            // Stored, but for none of the waiters.
            _ => Heard::Landed(Outcome::Pass, Arrivals::All),
        }
    }
}
