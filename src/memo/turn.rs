//! How a caller at a limit waits: in line for a turn to compute, until it is answered or finds room.

use std::sync::Arc;

use super::config::Config;
use super::flights::line::{Line, QueueTurn};
use super::flights::patience::Patience;
use super::flights::waiter::{Turn as Waited, Waiter};
use super::join::{Caller, Obtained};
use super::limits::{AtLimit, Limit};
use super::memolock::MemoLock;
use super::outcome::Outcome;
use super::shared::Shared;
use crate::codec::Codec;
use crate::key::Address;

/// How a caller leaves the line.
enum Left<V> {
    /// It is this caller's turn.
    Turn(QueueTurn),
    /// The value that it wanted is there.
    Found(V),
    /// It may try again.
    Room,
}

impl<C: Codec> MemoLock<C> {
    /// As [`Shared::obtain`], with the waiting at a limit that the settings ask for. A caller that gets
    /// [`Limited`](Obtained::Limited) is to be bypassed or refused: it has done its waiting.
    ///
    /// A caller may lead only while `has_room` says that there is room for what it would record.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
    pub(crate) fn obtain(
        &self,
        address: &Address,
        config: &Config,
        patience: &mut Patience,
        caller: &mut Caller,
        has_room: impl Fn() -> bool,
    ) -> impl Future<Output = Obtained<C::Value>> {
        async move {
            let bypasses = config.limits.at_limit == AtLimit::Bypass;
            loop {
                let limit = match self.shared.obtain(address, config, patience, caller).await {
                    Obtained::Lead(lead) if !bypasses && !has_room() => {
                        drop(lead.crowded_out());
                        Limit::Recording
                    }
                    Obtained::Limited(limit) => limit,
                    obtained => return obtained,
                };
                // Callers that bypass were counted with the response that is not recorded.
                if limit == Limit::Recording && !bypasses {
                    self.shared.limited(address, limit);
                }
                let Some(line) = &self.line else {
                    return Obtained::Limited(limit);
                };
                let in_line = self.shared.stand_in_line(line, address, config, limit, &has_room);
                // Boxed, or all waiters would keep room for it.
                let waiting = Box::pin(patience.bound(in_line));
                match waiting.await.flatten() {
                    Some(Left::Turn(turn)) => return Obtained::Turn(turn),
                    Some(Left::Found(value)) => {
                        self.shared.counters.followed.add();
                        return Obtained::Followed(value, None);
                    }
                    // It tries again as if it had just come.
                    Some(Left::Room) => caller.arrived = self.shared.clock.tick(),
                    None => return Obtained::Limited(limit),
                }
            }
        }
    }
}

impl<C: Codec> Shared<C> {
    /// `None` where the line is too long.
    async fn stand_in_line(
        self: &Arc<Self>,
        line: &Line,
        address: &Address,
        config: &Config,
        limit: Limit,
        has_room: impl Fn() -> bool,
    ) -> Option<Left<C::Value>> {
        let _place = line.enter()?;
        let _queued = self.counters.queued.enter();
        let needless = async {
            match limit {
                Limit::Waiters => return self.beside(address).await,
                Limit::InFlight => {
                    let admits = || self.table.admits(address, &config.limits);
                    self.table.room.free(admits).await;
                }
                Limit::Recording => self.recording_room.free(has_room).await,
            }
            Left::Room
        };
        let (turn, waited) = tokio::select! {
            biased;
            turn = line.turn() => turn?,
            left = needless => return Some(left),
        };
        // The value may have been stored meanwhile.
        let found = match waited {
            true => self.lookup(address).await.filter(|found| self.is_fresh(found)),
            false => None,
        };
        Some(found.map_or(Left::Turn(turn), |found| Left::Found(found.value)))
    }

    /// Waits beside the other waiters, for the outcome and never for the lead.
    async fn beside(&self, address: &Address) -> Left<C::Value> {
        let Some(flight) = self.table.get(address) else {
            return Left::Room;
        };
        let Some(waiter) = Waiter::join(&flight, self.clock.tick()) else {
            return Left::Room;
        };
        match waiter.stand_by().await {
            Waited::Landed(landed) => match &landed.outcome {
                Outcome::Ready(value) => Left::Found(value.clone()),
                // The caller has to ask for the part of the value that there is.
                Outcome::Again(_) | Outcome::Stale | Outcome::Soft(_) | Outcome::Part(_) => Left::Room,
                // All other waiters go their own way now. This caller still has to wait for its turn.
                Outcome::Pass | Outcome::Limited(_) | Outcome::Failed(_) => std::future::pending().await,
            },
            Waited::Lead(_) | Waited::Late => Left::Room,
        }
    }
}
