//! How an invalidation gets to Redis: at once, or later.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::RedisInner;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Key, Tag};
use crate::simulation::{Planted, planted};
use crate::store::Purge;
use crate::store::envelope::SOFTENED;
use crate::store::notice::payload;
use crate::store::redis::backlog::Debt;
use crate::store::redis::conn::error::is_full;
use crate::store::redis::generations::RedisGenerations;
use crate::store::redis::near::{self, Evidence, NearCall, evidence};
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::script::{self, Script};
use crate::task::{BoxFuture, spawn_on};

/// How long a caller waits for the next connection: as long as it may take to the next attempt at one.
const PATIENCE: Duration = Duration::from_millis(1100);

/// The first and the longest pause between two attempts at the pending invalidations.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// How long the end of a program may wait for pending invalidations.
const LAST: Duration = Duration::from_secs(2);

/// Has Redis do the invalidation, or keeps it for later: a pending invalidation is [`Hard`](Purge).
pub(super) async fn deliver(inner: &Arc<RedisInner>, debt: Debt, purge: Purge) -> Result<(), StoreError> {
    let mut attempt = Attempt {
        inner,
        debt: Some(debt.clone()),
    };
    forget(inner, &debt);
    match insist(inner, &debt, purge).await {
        Ok(told) => {
            attempt.debt = None;
            // A value that was asked for before the invalidation was done may have been kept meanwhile.
            forget(inner, &debt);
            settle(inner, told).await;
            Ok(())
        }
        // Redis could never do it.
        Err(error) if matches!(error.kind(), StoreErrorKind::Config | StoreErrorKind::Unsupported) => {
            attempt.debt = None;
            Err(error)
        }
        Err(error) => Err(StoreError::with_source(StoreErrorKind::Pending, error)),
    }
}

/// Waits until nothing is pending, but not for long. Returns how many invalidations are.
pub(super) async fn pay(inner: &RedisInner) -> usize {
    let _ = timeout(LAST, inner.backlog.empty()).await;
    usize::try_from(inner.backlog.pending()).unwrap_or(usize::MAX)
}

/// The notice that the processes with near copies were sent, and which processes these are.
struct Delivered {
    call: Option<NearCall>,
    evidence: Option<Evidence>,
}

/// An invalidation on its way. If this is dropped before Redis has done it, it is pending.
struct Attempt<'a> {
    inner: &'a Arc<RedisInner>,
    debt: Option<Debt>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(debt) = self.debt.take()
            && self.inner.backlog.add(debt)
        {
            tracing::warn!(
                "an invalidation is pending: Redis does not take it; other nodes may serve what is out of date"
            );
            spawn_on(&self.inner.runtime, Box::pin(replay(Arc::clone(self.inner))));
        }
    }
}

/// Sends it until it is acknowledged, as long as that may be a matter of the connection.
async fn insist(inner: &RedisInner, debt: &Debt, purge: Purge) -> Result<Delivered, StoreError> {
    let mut error = match carry_out(inner, debt, purge).await {
        Ok(told) => return Ok(told),
        Err(error) => error,
    };
    let deadline = Instant::now() + PATIENCE;
    // Where another invalidation is pending, the outage is known, and no caller has to find it out once more.
    while inner.backlog.is_empty() && Instant::now() < deadline && error.kind() != StoreErrorKind::Config {
        sleep(PAUSE.0).await;
        match carry_out(inner, debt, purge).await {
            Ok(told) => return Ok(told),
            Err(again) if again.kind() == StoreErrorKind::Unavailable => error = again,
            Err(again) => return Err(again),
        }
    }
    Err(error)
}

async fn carry_out(inner: &RedisInner, debt: &Debt, purge: Purge) -> Result<Delivered, StoreError> {
    let is_soft = purge == Purge::Soft;
    let (call, evidence) = match debt {
        Debt::Value(address) => return remove(inner, address, purge).await,
        Debt::Labels(tag, labels) => {
            let call = near::call_tags(&inner.near, &inner.link, tag);
            let generations = RedisGenerations::new(&inner.link, tag);
            let said = said(inner, &call);
            let evidence = match generations.invalidate(labels, is_soft, said).await {
                // A set that takes no more can still be deleted, which covers all labels.
                Err(error) if !is_soft && is_full(&error) => generations.invalidate_all(said).await,
                result => result,
            };
            (call, evidence?)
        }
        Debt::Stamped(tag) => {
            let call = near::call_tags(&inner.near, &inner.link, tag);
            let generations = RedisGenerations::new(&inner.link, tag);
            let evidence = match purge {
                Purge::Hard => generations.invalidate_all(said(inner, &call)).await?,
                Purge::Soft => generations.soften_all(said(inner, &call)).await?,
            };
            (call, evidence)
        }
        Debt::Tag(tag) => {
            sweep(inner, tag).await?;
            (None, None)
        }
    };
    Ok(Delivered { call, evidence })
}

fn remove<'a>(
    inner: &'a RedisInner,
    address: &'a Address,
    purge: Purge,
) -> BoxFuture<'a, Result<Delivered, StoreError>> {
    Box::pin(try_remove(inner, address, purge))
}

async fn try_remove(inner: &RedisInner, address: &Address, purge: Purge) -> Result<Delivered, StoreError> {
    let keys = Keyspace::new(address, inner.link.database());
    let (lock, channel) = (keys.lock(), keys.control());
    let call = near::call_value(&inner.near, &inner.link, address);
    let (script, args): (&Script, Vec<_>) = match purge {
        Purge::Hard => (&script::INVALIDATE, vec![channel.as_bytes(), payload::INVALIDATED]),
        Purge::Soft if keys.is_common() => (
            &script::SOFTEN,
            vec![&SOFTENED, channel.as_bytes(), payload::INVALIDATED],
        ),
        Purge::Soft => (&script::SOFTEN, vec![&SOFTENED, b"", b""]),
    };
    let args: Vec<_> = args
        .into_iter()
        .chain(said(inner, &call).into_iter().flat_map(NearCall::args))
        .collect();
    let reply = script.reply(&inner.link, keys, &[&lock, keys.value()], &args).await?;
    let evidence = evidence(&reply);
    Ok(Delivered { call, evidence })
}

/// The notice that goes with the invalidation to the processes that may have near copies. In a cluster it is a step
/// of its own, because it goes to another node.
fn said<'a>(inner: &RedisInner, call: &'a Option<NearCall>) -> Option<&'a NearCall> {
    call.as_ref().filter(|_| !inner.link.is_cluster())
}

/// Near copies of it are of no use here any more.
fn forget(inner: &RedisInner, debt: &Debt) {
    match debt {
        _ if planted(Planted::NearOwnKept) => {}
        Debt::Value(address) => inner.near.forget(address),
        Debt::Labels(tag, _) | Debt::Stamped(tag) => inner.near.forget_stamped(tag),
        Debt::Tag(_) => inner.near.forget_all(),
    }
}

/// Waits until no process can serve a near copy from before it.
async fn settle(inner: &RedisInner, told: Delivered) {
    if let Some(call) = told.call {
        // Boxed, because most have nothing to wait for.
        Box::pin(near::settle(&inner.near, &inner.link, call, told.evidence)).await;
    }
}

/// Removes all there is under a tag: locks first, so that no older computation stores what was removed.
async fn sweep(inner: &RedisInner, tag: &Tag) -> Result<(), StoreError> {
    let call = near::call_tags(&inner.near, &inner.link, tag);
    RedisGenerations::new(&inner.link, tag)
        .invalidate_all(said(inner, &call))
        .await?;
    for prefix in [format!("{}/lock:", tag.as_str()), format!("{}:", tag.as_str())] {
        for name in inner.link.scan(&format!("{prefix}*")).await? {
            let id = name.strip_prefix(&prefix).and_then(|id| Key::new(id).ok());
            if let Some(id) = id {
                remove(inner, &Address::new(tag, &id), Purge::Hard).await?;
            }
        }
    }
    Ok(())
}

/// Tries all pending invalidations. Returns whether it is worth trying again at once.
async fn pay_off(inner: &RedisInner) -> bool {
    let mut paid = true;
    for (debt, number) in inner.backlog.all() {
        match carry_out(inner, &debt, Purge::Hard).await {
            Ok(_) => inner.backlog.remove(&debt, number),
            // The others would have no better fate, unless they are for another server.
            Err(error) if error.kind() == StoreErrorKind::Unavailable && !inner.link.is_cluster() => return false,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "an invalidation is still pending");
                paid = false;
            }
        }
    }
    paid
}

/// Sees to the pending invalidations until none is left. Keeps the store connected for as long.
async fn replay(inner: Arc<RedisInner>) {
    let mut unpaid = Unpaid { inner, left: false };
    let inner = Arc::clone(&unpaid.inner);
    let mut pause = PAUSE.0;
    loop {
        // Not at once, however many are in a hurry: an attempt may cost a connection.
        sleep(pause / 4).await;
        let _ = timeout(pause, inner.backlog.hurried()).await;
        if pay_off(&inner).await {
            pause = PAUSE.0;
        } else {
            pause = (pause * 2).min(PAUSE.1);
        }
        unpaid.left = inner.backlog.leave();
        if unpaid.left {
            tracing::info!("Redis has taken all invalidations that were pending");
            return;
        }
    }
}

/// Says so where the runtime ends first.
struct Unpaid {
    inner: Arc<RedisInner>,
    left: bool,
}

impl Drop for Unpaid {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let pending = self.inner.backlog.abandon();
        tracing::error!(
            pending,
            "invalidations are lost: Redis did not take them before the runtime ended"
        );
    }
}
