//! How a keeper finds a value that another process is making, for its waiters to read along.
//!
//! The holder of the lock uploads nothing before it is asked, so the keeper asks as soon as it follows. What the keeper
//! finds or hears of from then on belongs to the holder of that moment, so it is for all callers that came before.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::Coordinator;
use super::heard::Heard;
use crate::codec::Codec;
use crate::memo::flights::clock::Arrivals;
use crate::memo::outcome::Outcome;
use crate::memo::receipt::Aim;
use crate::memo::stream::Beginning;
use crate::store::parts::{FoundPart, Part, Parts};
use crate::store::{PartId, Standing, Value};

/// How much of a beginning is read at first: a head and its stamp at least.
const FIRST: usize = 56 * 1024;

/// How long after the first question a holder is asked again, which may not listen yet or not be connected. The pause
/// doubles each time.
const AGAIN: Duration = Duration::from_millis(100);

/// How often a holder is asked, which may have nothing to show.
const TIMES: u32 = 5;

/// Resolves once there is something to read along. Cancel safe.
pub(super) async fn look<C: Codec>(coordinator: &Coordinator<C>) -> Heard<C::Value> {
    for time in 0..TIMES {
        match find_part(coordinator, true).await {
            Some(heard) => return heard,
            None => sleep(AGAIN * 2_u32.pow(time)).await,
        }
    }
    pending().await
}

/// What there is to read along, if there is anything; otherwise asks for it. Where asking again is of no use, a
/// `patient` caller waits, and any other hears [`Heard::Nothing`].
pub(super) async fn find_part<C: Codec>(coordinator: &Coordinator<C>, patient: bool) -> Option<Heard<C::Value>> {
    let nothing = || async move {
        match patient {
            true => pending().await,
            false => Some(Heard::Nothing),
        }
    };
    let Some(parts) = parts_to_read(coordinator) else {
        return nothing().await;
    };
    let asked = coordinator.shared.clock.tick();
    let found = parts.find(&coordinator.address, FIRST).await;
    let Ok(Some(FoundPart { holder, beginning })) = found else {
        return nothing().await;
    };
    if let Some(beginning) = beginning_in(coordinator, beginning, |id| id.is_of(holder)).await {
        return Some(Heard::Landed(
            Outcome::Part(Box::new(beginning)),
            Arrivals::Before(asked),
        ));
    }
    match parts.ask(&coordinator.address, holder).await {
        Ok(false) => None,
        Ok(true) | Err(_) => nothing().await,
    }
}

/// What a notice about a part says to the waiters that came before that moment: it was published after they came.
pub(super) async fn heard<C: Codec>(
    coordinator: &Coordinator<C>,
    id: PartId,
    at: u64,
    bytes: Option<Bytes>,
    whom: Arrivals,
) -> Heard<C::Value> {
    if parts_to_read(coordinator).is_none() {
        return Heard::Nothing;
    }
    if let Some(bytes) = bytes.filter(|_| at == 0)
        && let Some(beginning) = beginning_in(coordinator, bytes, |found| found == id).await
    {
        return Heard::Landed(Outcome::Part(Box::new(beginning)), whom);
    }
    Box::pin(find_part(coordinator, false)).await.unwrap_or(Heard::Nothing)
}

/// What carries parts, for callers that do not care when the value was begun: only the whole value tells that.
fn parts_to_read<C: Codec>(coordinator: &Coordinator<C>) -> Option<&dyn Parts> {
    coordinator.parts().filter(|_| coordinator.config.aim == Aim::Fresh)
}

/// The beginning of a part, if it is one and current.
async fn beginning_in<C: Codec>(
    coordinator: &Coordinator<C>,
    bytes: Bytes,
    is_it: impl Fn(PartId) -> bool,
) -> Option<Beginning> {
    let length = bytes.len();
    let value = Value::encoded(bytes);
    let bytes = value.encoded_bytes()?;
    let id = Part::id_in(&bytes).filter(|id| is_it(*id))?;
    let is_current = match value.stamp() {
        None => !coordinator.shared.stamps_all(),
        Some(stamp) => {
            let standing = coordinator.shared.standing(&coordinator.address, stamp).await;
            matches!(standing, Some(Standing::Current))
        }
    };
    let offset = length - bytes.len();
    let part = Part {
        id,
        token: id.holder(),
        id_at: offset + Part::ID_AT,
    };
    is_current.then_some(Beginning { part, bytes, offset })
}
