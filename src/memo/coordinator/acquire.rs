//! How a keeper comes to an outcome or a lease: it asks, and listens, and asks again.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::heard::Heard;
use super::landing::Ending;
use super::progress::Search;
use super::watch::LiveWatch;
use super::{Coordinator, Granted, bid, hear};
use crate::codec::Codec;
use crate::error::{StoreError, StoreErrorKind};
use crate::memo::config::Config;
use crate::memo::flights::clock::{Arrivals, Tick};
use crate::memo::leases::Holding;
use crate::memo::outcome::Outcome;
use crate::memo::permit::Unleased;
use crate::simulation::{Planted, planted};
use crate::store::{Lock, Release, Store, Value};

/// How long a keeper that could not ask the store waits before it asks again what became of a promise.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// Whether the lock is ours while a waiter computes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LockState {
    /// It is ours, since this epoch of the store.
    Held(u64),
    /// The store did not answer in time. If the lock was taken after all it must not outlast the computation. When it
    /// was taken is not known, so the result stays in this process.
    Unknown,
    /// The store cannot be asked: the result stays in this process.
    None,
}

impl LockState {
    pub(super) fn is_held(self) -> bool {
        matches!(self, Self::Held(_))
    }
}

impl From<StoreErrorKind> for LockState {
    fn from(kind: StoreErrorKind) -> Self {
        match kind {
            // Nothing was sent.
            StoreErrorKind::Unavailable | StoreErrorKind::Config | StoreErrorKind::Unsupported => Self::None,
            StoreErrorKind::Timeout | StoreErrorKind::Rejected | StoreErrorKind::Encode | StoreErrorKind::Pending => {
                Self::Unknown
            }
        }
    }
}

/// The store's reply to a keeper that asked for the value and the lock.
pub(super) struct LockReply {
    /// When the keeper asked.
    pub(super) asked: Tick,
    pub(super) lock: Lock,
    pub(super) value: Option<Value>,
    /// What is known of the lock where it is granted.
    pub(super) granted: Granted,
}

/// Asks and listens until there is a reason to compute. An error where the flight ends before.
pub(super) async fn until_granted<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    holding: &mut Holding<'_>,
    search: &mut Search<'a, C>,
) -> Result<Granted, Ending<C::Value>> {
    loop {
        match (
            search.starts.exhausted(&coordinator.config),
            coordinator.flight.has_candidate(),
        ) {
            (None, true) => {
                if let Some(granted) = ask_or_follow(coordinator, holding, search).await? {
                    return Ok(granted);
                }
            }
            (Some(until), true) => {
                holding.give_back();
                look_on(coordinator, until, search).await?;
            }
            // No waiter is left to lead.
            (_, false) => {
                holding.give_back();
                tokio::select! {
                    biased;
                    seen = look_on(coordinator, Instant::now() + coordinator.config.lease.min(Config::LONG), search) => seen?,
                    () = poll_fn(|cx| coordinator.flight.poll_candidate(cx)) => {}
                }
            }
        }
    }
}

/// Asks for the value and the lock. Where it gets neither, it listens for as long as the lock lasts.
async fn ask_or_follow<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    holding: &mut Holding<'_>,
    search: &mut Search<'a, C>,
) -> Result<Option<Granted>, Ending<C::Value>> {
    let closed = !holding.take();
    // A waiter for another process goes on waiting: it will answer before a call of our own does.
    if closed && search.watch.is_none() {
        return Ok(Some(Granted::unleased(LockState::None, Unleased::Leaving)));
    }
    coordinator.flight.ask();
    let before = coordinator.shared.clock.tick();
    let LockReply {
        asked,
        lock,
        value,
        granted,
    } = match ask(coordinator, search.held).await {
        Ok(reply) => reply,
        // Without the store no process can resolve the work that was started, nor work that would be started now.
        Err(_) if search.starts.any() || (coordinator.config.requests && search.held) => {
            listen_for(coordinator, RETRY, before, search).await?;
            return Ok(None);
        }
        Err(error) => return Ok(Some(Granted::unleased(error.kind().into(), Unleased::Store))),
    };
    let claim = granted.claim;
    let value = hear::news(coordinator, value).await;
    let is_stale = value
        .as_ref()
        .is_some_and(|found| coordinator.shared.meets(coordinator.config.aim, found));
    if let Some(outcome) = value.and_then(|value| hear::outcome(coordinator, value)) {
        if lock == Lock::Granted {
            coordinator.release(claim, Release::Abandoned).await;
        }
        return Err(Ending::told(outcome, Arrivals::Before(asked)));
    }
    // Callers that have waited in vain this long need not wait for another computation.
    if search.holder_died && is_stale && lock == Lock::Granted {
        coordinator.release(claim, Release::Stale).await;
        return Err(Ending::told(Outcome::Stale, Arrivals::All));
    }
    match lock {
        Lock::Granted => on_granted(coordinator, granted, asked, closed, search).await,
        // A lock that never expires can only be waited for once.
        Lock::Held { remaining: None } if search.waited_for_immortal => {
            Ok(Some(Granted::unleased(LockState::None, Unleased::Lock)))
        }
        Lock::Held { remaining } => {
            holding.give_back();
            follow(coordinator, remaining, asked, search).await?;
            Ok(None)
        }
    }
}

/// Asks for the value and the lock, both at once. `is_held` says that another holder had it the last time.
pub(super) async fn ask<C: Codec>(coordinator: &Coordinator<C>, is_held: bool) -> Result<LockReply, StoreError> {
    let store = &coordinator.shared.store;
    let epoch = store.epoch();
    let asked = coordinator.shared.clock.tick();
    let asked_at = Instant::now();
    let (token, earlier) = bid::open(coordinator);
    // On one connection, all are on their way together. Only a holder needs to know where it starts.
    let ((), acquired, start) = tokio::join!(
        bid::withdraw(coordinator, earlier),
        store.acquire(&coordinator.address, token, coordinator.config.lease),
        async {
            match is_held {
                true => None,
                false => coordinator.start().await,
            }
        }
    );
    let acquired = acquired.inspect_err(|error| not_acquired(coordinator, error))?;
    if acquired.lock != Lock::Granted {
        coordinator.bid().close();
    }
    let start = match acquired.lock {
        Lock::Granted if is_held => coordinator.start().await,
        Lock::Granted | Lock::Held { .. } => start,
    };
    coordinator.by.set(acquired.holder);
    let granted = Granted {
        claim: LockState::Held(epoch),
        asked_at,
        start,
        unleased: None,
    };
    Ok(LockReply {
        asked,
        lock: acquired.lock,
        value: acquired.value,
        granted,
    })
}

fn not_acquired<C: Codec>(coordinator: &Coordinator<C>, error: &StoreError) {
    coordinator.shared.store_failed(&coordinator.address, "acquire", error);
    // Nothing was sent.
    if LockState::from(error.kind()) == LockState::None {
        coordinator.bid().close();
    }
}

/// Listens for as long as another holder's lock lasts.
async fn follow<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    remaining: Option<Duration>,
    asked: Tick,
    search: &mut Search<'a, C>,
) -> Result<(), Ending<C::Value>> {
    let immortal = remaining.is_none();
    let remaining = remaining.unwrap_or(coordinator.config.lease);
    search.held = true;
    // It has renewed its lease, or another has it.
    search.holder_died = false;
    let end = Instant::now() + remaining.min(Config::LONG);
    coordinator.flight.lease_until((!immortal).then_some(end));
    let is_over = listen_for(coordinator, remaining, asked, search).await?;
    if is_over {
        search.waited_for_immortal = immortal;
        search.holder_died = true;
    }
    Ok(())
}

/// What to do with a lock that is ours. Where the work was started often enough, the lock is given back.
async fn on_granted<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    granted: Granted,
    asked: Tick,
    closed: bool,
    search: &mut Search<'a, C>,
) -> Result<Option<Granted>, Ending<C::Value>> {
    if let Err(ending) = heard_meanwhile(coordinator, search).await {
        coordinator.release(granted.claim, Release::Abandoned).await;
        return Err(ending);
    }
    coordinator.tenure.begin(asked);
    if closed {
        coordinator.release(granted.claim, Release::Abandoned).await;
        return Ok(Some(Granted::unleased(LockState::None, Unleased::Leaving)));
    }
    if coordinator.config.requests && search.lapsed(&coordinator.config) {
        coordinator.release(granted.claim, Release::Abandoned).await;
        return Ok(None);
    }
    if search.watch.is_some() || search.past != coordinator.past {
        coordinator.shared.counters.taken_over.add();
        tracing::debug!(address = %coordinator.address.readable(), "taking over");
    }
    Ok(Some(granted))
}

/// Reads the value, and listens for as long as one more start of the work would have to finish it. Nothing is
/// started any more, but work that was started before may still come to its end.
async fn look_on<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    until: Instant,
    search: &mut Search<'a, C>,
) -> Result<(), Ending<C::Value>> {
    let asked = coordinator.shared.clock.tick();
    let time = match coordinator.shared.store.lookup(&coordinator.address).await {
        Ok(value) => {
            let value = hear::news(coordinator, value).await;
            if let Some(outcome) = value.and_then(|value| hear::outcome(coordinator, value)) {
                return Err(Ending::told(outcome, Arrivals::Before(asked)));
            }
            coordinator.config.lease
        }
        Err(error) => {
            coordinator.shared.store_failed(&coordinator.address, "lookup", &error);
            RETRY
        }
    };
    let left = until.saturating_duration_since(Instant::now());
    listen_for(coordinator, time.min(left), asked, search).await?;
    Ok(())
}

/// Listens for this long, and a little longer, or until there is a reason to ask again. `asked` is when the store was
/// last asked for the value. Whether the time is over.
async fn listen_for<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    time: Duration,
    asked: Tick,
    search: &mut Search<'a, C>,
) -> Result<bool, Ending<C::Value>> {
    coordinator.flight.follow();
    let watch = search.watch.get_or_insert_with(|| LiveWatch::start(coordinator));
    let time = match planted(Planted::WaitsForever) {
        true => Config::LONG,
        false => time,
    };
    match timeout(
        time.saturating_add(coordinator.config.jitter()),
        hear::listen(coordinator, watch, asked),
    )
    .await
    {
        Ok(heard) => learn(coordinator, heard, search).map(|()| false),
        Err(_) => Ok(true),
    }
}

/// What the keeper heard while it asked. The lock is free because its leader gave it back. If the leader failed, or
/// shared a result without storing it, the waiters that listened by then need no other computation.
async fn heard_meanwhile<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    search: &mut Search<'a, C>,
) -> Result<(), Ending<C::Value>> {
    while let Some(watch) = &mut search.watch
        && let Some((notice, since)) = watch.at_once().await
    {
        let heard = hear::notice(coordinator, notice, since).await;
        learn(coordinator, heard, search)?;
    }
    Ok(())
}

/// Takes in what was heard. An error where it ends the flight; otherwise the keeper is to ask again.
fn learn<C: Codec>(
    coordinator: &Coordinator<C>,
    heard: Heard<C::Value>,
    search: &mut Search<'_, C>,
) -> Result<(), Ending<C::Value>> {
    match heard {
        Heard::Landed(outcome, whom) => return Err(Ending::told(outcome, whom)),
        Heard::Again | Heard::Nothing => {}
        Heard::Freed => search.held = false,
        Heard::Deferred(starts) => search.starts.hear(starts),
        Heard::Vain { attempts, failed } => {
            search.held = false;
            search.hear_of(attempts, failed, coordinator.shared.clock.tick());
            if !search.past.may_go_on() {
                return Err(Ending::start_again(Some(search.past)));
            }
        }
    }
    Ok(())
}
