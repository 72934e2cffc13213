//! How a caller at a limit waits: in line for a turn to compute, until it is answered or finds room.

use std::sync::Arc;

use super::config::Config;
use super::flights::line::Line;
use super::flights::patience::Patience;
use super::flights::waiter::{Turn as Waited, Waiter};
use super::join::{self, Caller, Obtained};
use super::limits::{AtLimit, Limit};
use super::lookup;
use super::memolock::MemoLock;
use super::outcome::Outcome;
use super::shared::Shared;
use crate::codec::Codec;
use crate::key::Address;

/// As [`join::obtain`], with the waiting at a limit that the settings ask for. A caller that gets
/// [`Limited`](Outcome::Limited) is to be bypassed or refused: it has done its waiting.
///
/// All waiters keep each of its arguments, so there is one for the shared part and the line.
///
/// A caller may lead only while `has_room` says that there is room for what it would record.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
pub(crate) fn obtain<C: Codec>(
    memo: &MemoLock<C>,
    address: &Address,
    config: &Config,
    patience: &mut Patience,
    caller: &mut Caller,
    has_room: impl Fn() -> bool,
) -> impl Future<Output = Obtained<C::Value>> {
    async move {
        let bypasses = config.limits.at_limit == AtLimit::Bypass;
        loop {
            let limit = match join::obtain(&memo.shared, address, config, patience, caller).await {
                Obtained::Lead(lead) if !bypasses && !has_room() => {
                    drop(lead.crowded_out());
                    Limit::Recording
                }
                Obtained::Told(Outcome::Limited(limit), _) => limit,
                obtained => return obtained,
            };
            // Callers that bypass were counted with the response that is not recorded.
            if limit == Limit::Recording && !bypasses {
                memo.shared.limited(address, limit);
            }
            let Some(line) = &memo.line else {
                return Obtained::limited(limit);
            };
            let in_line = stand_in_line(&memo.shared, line, address, config, limit, &has_room);
            // Boxed, or all waiters would keep room for it.
            let waiting = Box::pin(patience.bound(in_line));
            match waiting.await {
                Some(Some(obtained)) => return obtained,
                // It tries again as if it had just come.
                Some(None) => caller.arrived = memo.shared.clock.tick(),
                None => return Obtained::limited(limit),
            }
        }
    }
}

/// What a caller obtains in line. `None` where there is room again: it may try once more.
async fn stand_in_line<C: Codec>(
    shared: &Arc<Shared<C>>,
    line: &Line,
    address: &Address,
    config: &Config,
    limit: Limit,
    has_room: impl Fn() -> bool,
) -> Option<Obtained<C::Value>> {
    let Some(_place) = line.enter() else {
        return Some(Obtained::limited(limit));
    };
    let _queued = shared.counters.queued.enter();
    let needless = async {
        match limit {
            Limit::Waiters => return beside(shared, address).await,
            Limit::InFlight => {
                let admits = || shared.table.admits(address, &config.limits);
                shared.table.room.free(admits).await;
            }
            Limit::Recording => shared.recording_room.free(has_room).await,
        }
        None
    };
    let turn = tokio::select! {
        biased;
        turn = line.turn() => turn,
        obtained = needless => return obtained,
    };
    let Some((turn, waited)) = turn else {
        return Some(Obtained::limited(limit));
    };
    // The value may have been stored meanwhile.
    let found = match waited {
        true => lookup::stored(shared, address)
            .await
            .filter(|found| shared.is_fresh(found)),
        false => None,
    };
    Some(match found {
        Some(found) => join::told(shared, Outcome::Ready(found.value), None),
        None => Obtained::Turn(turn),
    })
}

/// Waits beside the other waiters, for the outcome and never for the lead.
async fn beside<C: Codec>(shared: &Shared<C>, address: &Address) -> Option<Obtained<C::Value>> {
    let flight = shared.table.get(address)?;
    let waiter = Waiter::join(&flight, shared.clock.tick())?;
    match waiter.stand_by().await {
        Waited::Landed(landed) => match &landed.outcome {
            Ok(outcome @ Outcome::Ready(_)) => Some(join::told(shared, outcome.clone(), None)),
            // The caller has to ask for the part of the value that there is.
            Err(_) | Ok(Outcome::Stale | Outcome::Soft(_) | Outcome::Part(_)) => None,
            // All other waiters go their own way now. This caller still has to wait for its turn.
            Ok(Outcome::Pass | Outcome::Limited(_) | Outcome::Failed(_)) => std::future::pending().await,
        },
        Waited::Lead(_) | Waited::Late => None,
    }
}
