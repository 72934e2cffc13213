//! What a keeper hears of a promise, and what it reads then.

use std::future::poll_fn;
use std::pin::pin;

use tokio::time::sleep;

use super::heard::Heard;
use super::watch::{LiveWatch, Spacing};
use super::{Coordinator, along};
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

/// What is stored answers no waiter: it is out of date, stale, or cannot be read.
struct NoUse;

/// The stored value, if it is current. `None` where it was there before and is to be replaced, because the caller
/// wants another one or because it was softly invalidated.
pub(super) async fn news<C: Codec>(coordinator: &Coordinator<C>, value: Option<Value>) -> Option<Found<C::Value>> {
    let wants_another = coordinator.config.aim == Aim::Now && !planted(Planted::NotAnew);
    let mut is_first = false;
    let before = match wants_another {
        true => coordinator.before.get_or_init(|| {
            is_first = true;
            value.clone()
        }),
        false => coordinator.before.get().unwrap_or(&None),
    };
    let value = value?;
    let was_there = is_first || before.as_ref().is_some_and(|before| before.is_same(&value));
    if was_there && wants_another {
        return None;
    }
    let found = coordinator.shared.vouched(&coordinator.address, Some(value)).await?;
    // A new computation may give the same value again.
    (!was_there || found.soft_since.is_none()).then_some(found)
}

/// What a stored value is to the waiters for one; `None` where it is stale, or not what they want.
pub(super) fn outcome<C: Codec>(coordinator: &Coordinator<C>, found: Found<C::Value>) -> Option<Outcome<C::Value>> {
    if !coordinator.shared.meets(coordinator.config.aim, &found) {
        return None;
    }
    if coordinator.shared.codec.is_marker(&found.value) {
        return found.soft_since.is_none().then_some(Outcome::Pass);
    }
    match coordinator.shared.is_fresh(&found) {
        true => Some(Outcome::Ready(found.value)),
        false => coordinator.shared.is_soft(&found).then_some(Outcome::Soft(found)),
    }
}

pub(super) async fn listen<C: Codec>(
    coordinator: &Coordinator<C>,
    watch: &mut LiveWatch<'_, C>,
    asked: Tick,
) -> Heard<C::Value> {
    let spacing = watch.spacing();
    let mut newcomers = pin!(look_for_newcomers(coordinator, asked, spacing));
    // Boxed, because most have nothing to read along.
    let mut part = Box::pin(along::look(coordinator));
    loop {
        let (heard, since) = tokio::select! {
            biased;
            heard = watch.next() => heard,
            (outcome, whom) = &mut newcomers => return Heard::Landed(outcome, whom),
            heard = &mut part => return heard,
        };
        match notice(coordinator, heard, since).await {
            Heard::Nothing => {}
            heard => return heard,
        }
    }
}

/// Reads the value for waiters that join after the store was `asked` for it: a request that comes after a value was
/// stored unannounced finds it. Returns once there is one. Cancel safe.
async fn look_for_newcomers<C: Codec>(
    coordinator: &Coordinator<C>,
    mut asked: Tick,
    spacing: Spacing,
) -> (Outcome<C::Value>, Arrivals) {
    loop {
        poll_fn(|cx| coordinator.flight.poll_joined(Arrivals::Before(asked), cx)).await;
        asked = coordinator.shared.clock.tick();
        if let Some(outcome) = read(coordinator).await {
            return (outcome, Arrivals::Before(asked));
        }
        spacing.pass().await;
    }
}

/// What is stored for the waiters, if the store can say.
async fn read<C: Codec>(coordinator: &Coordinator<C>) -> Option<Outcome<C::Value>> {
    look_in_store(coordinator).await?.ok()
}

/// What is stored, if the store has anything and can say. Boxed, because several wait for it.
fn look_in_store<C: Codec>(coordinator: &Coordinator<C>) -> BoxFuture<'_, Option<Result<Outcome<C::Value>, NoUse>>> {
    Box::pin(async {
        match coordinator.shared.store.lookup(&coordinator.address).await {
            Ok(value) => {
                let is_there = value.is_some();
                let found = news(coordinator, value).await;
                is_there.then(|| found.and_then(|found| outcome(coordinator, found)).ok_or(NoUse))
            }
            Err(error) => {
                coordinator.shared.store_failed(&coordinator.address, "lookup", &error);
                None
            }
        }
    })
}

async fn kept<C: Codec>(coordinator: &Coordinator<C>, token: Token) -> Result<Option<Value>, StoreError> {
    spread(coordinator).await;
    coordinator.shared.store.kept(&coordinator.address, token).await
}

/// Waits a little, so that not all processes read at once what was too large to be sent to them.
async fn spread<C: Codec>(coordinator: &Coordinator<C>) {
    sleep(coordinator.config.jitter() / SPREAD).await;
}

/// What a notice says. It was published after that moment. Boxed, because several wait for it.
pub(super) fn notice<C: Codec>(
    coordinator: &Coordinator<C>,
    notice: Notice,
    since: Tick,
) -> BoxFuture<'_, Heard<C::Value>> {
    Box::pin(read_notice(coordinator, notice, since))
}

async fn read_notice<C: Codec>(coordinator: &Coordinator<C>, notice: Notice, since: Tick) -> Heard<C::Value> {
    match notice {
        Notice::Stored(value) | Notice::Released(Release::Shared(value)) => read_value(coordinator, value, since).await,
        Notice::Kept(token) => match kept(coordinator, token).await {
            Ok(Some(value)) => read_value(coordinator, value, since).await,
            Ok(None) => Heard::Freed,
            Err(error) => {
                coordinator.shared.store_failed(&coordinator.address, "kept", &error);
                Heard::Freed
            }
        },
        Notice::Announced => {
            if coordinator.address.is_derived() {
                spread(coordinator).await;
            }
            let asked = coordinator.shared.clock.tick();
            match look_in_store(coordinator).await {
                Some(Ok(outcome)) => Heard::Landed(outcome, Arrivals::Before(asked)),
                // It was stored, so the lock was given back, but it is for none of the waiters.
                Some(Err(NoUse)) => Heard::Again,
                None => Heard::Nothing,
            }
        }
        Notice::Part(id, at, bytes) => along::heard(coordinator, id, at, bytes, Arrivals::Before(since)).await,
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
async fn read_value<C: Codec>(coordinator: &Coordinator<C>, value: Value, since: Tick) -> Heard<C::Value> {
    let Some(found) = coordinator.shared.vouched(&coordinator.address, Some(value)).await else {
        return Heard::Again;
    };
    if planted(Planted::OldMessage) {
        return Heard::Landed(Outcome::Ready(found.value), Arrivals::All);
    }
    let is_old = found.soft_since.is_some() || !coordinator.shared.meets(coordinator.config.aim, &found);
    match outcome(coordinator, found) {
        Some(outcome @ (Outcome::Ready(_) | Outcome::Soft(_))) => Heard::Landed(outcome, Arrivals::Before(since)),
        // It counts for nothing.
        _ if is_old => Heard::Again,
        // Stored, but for none of the waiters.
        _ => Heard::Landed(Outcome::Pass, Arrivals::All),
    }
}
