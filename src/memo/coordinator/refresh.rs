//! How a keeper has a value computed for which no caller waits.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::acquire::{self, LockReply};
use super::landing::{Landing, LeadEnd};
use super::progress::Search;
use super::{Coordinator, lead};
use crate::codec::Codec;
use crate::memo::flights::waiter::Turn;
use crate::memo::leases::Holding;
use crate::memo::outcome::Past;
use crate::memo::permit::{Lead, MemoWaiter};
use crate::store::{Lock, Release};

/// How long there is no point in another refresh after one that stored nothing. Where the computation fails, or another
/// process has the lock, not every caller should try again.
const REST: Duration = Duration::from_secs(1);

/// How long a process holds the lock that took it, and then found the value already there: it gives the lock back after
/// a round trip or two. A refresh that finds the lock held asks once more after this time.
const GLANCE: Duration = Duration::from_millis(100);

/// Computes if the lock is free. Returns before when there is no point in asking again.
pub(crate) async fn run<C: Codec>(
    coordinator: Coordinator<C>,
    waiter: MemoWaiter<C::Value>,
    is_same: impl FnOnce(&C::Value) -> bool,
    start: impl FnOnce(Lead<C::Value>),
) -> Option<Instant> {
    let _in_flight = coordinator.shared.counters.in_flight.enter();
    let landing = Landing {
        coordinator: &coordinator,
    };
    let mut holding = Holding::new(&coordinator.shared.leases);
    let LockReply {
        asked, value, granted, ..
    } = match lock_for_refresh(&coordinator, &mut holding).await {
        Ok(reply) => reply,
        Err(not_before) => return Some(not_before),
    };
    let seen = value.clone();
    let found = coordinator.shared.vouched(&coordinator.address, value).await;
    if found.is_some_and(|found| found.soft_since.is_none() && !is_same(&found.value)) {
        coordinator.release(granted.claim, Release::Abandoned).await;
        return None;
    }
    // Where another program does the work, the work is not done as long as this value is stored.
    let _ = coordinator.before.set(seen);
    coordinator.tenure.begin(asked);
    coordinator.shared.counters.refreshed.add();
    let compute = async {
        if let Turn::Lead(mut lead) = waiter.await {
            lead.in_background();
            start(lead);
        }
    };
    let mut search = Search::new(Past::default());
    let lead = lead::to_the_end(&coordinator, granted, &mut search, &mut holding, &landing);
    let stored = match tokio::join!(lead, compute).0 {
        LeadEnd::Landed { stored } => stored,
        LeadEnd::Again => false,
        LeadEnd::Vain(past) => {
            landing.start_again(Some(past));
            false
        }
    };
    match stored {
        true => None,
        false => Some(Instant::now() + REST),
    }
}

/// The lock, if it is free now or in a moment. Otherwise when it makes sense to ask again.
async fn lock_for_refresh<C: Codec>(
    coordinator: &Coordinator<C>,
    holding: &mut Holding<'_>,
) -> Result<LockReply, Instant> {
    let mut was_held = false;
    loop {
        if !holding.take() {
            return Err(Instant::now() + REST);
        }
        let reply = match acquire::ask(coordinator, was_held).await {
            Ok(reply) => reply,
            Err(error) => {
                // The stored value answers. Without the store no value does, and none can be stored in its place.
                coordinator.release(error.kind().into(), Release::Abandoned).await;
                return Err(Instant::now() + REST);
            }
        };
        match reply.lock {
            Lock::Granted => return Ok(reply),
            Lock::Held { .. } if !was_held => {
                was_held = true;
                holding.give_back();
                sleep(GLANCE + coordinator.config.jitter()).await;
            }
            // The holder computes, and the stored value answers until it is done.
            Lock::Held { remaining } => {
                let remaining = remaining.map_or(REST, |remaining| remaining.min(REST));
                return Err(Instant::now() + remaining + coordinator.config.jitter());
            }
        }
    }
}
