//! How a keeper has a value computed that no caller waits for.

use std::time::Duration;

use tokio::time::Instant;

use super::lead::LeadEnd;
use super::progress::Search;
use super::{Coordinator, Landing, LockReply};
use crate::codec::Codec;
use crate::memo::flights::waiter::Turn;
use crate::memo::leases::Holding;
use crate::memo::outcome::{Outcome, Past};
use crate::memo::permit::{Lead, MemoWaiter};
use crate::store::{Lock, Release};

/// How long after a refresh that stored nothing there is no point in another: where computing fails, or another process has
/// the lock, it is not to be tried over and over again by every caller.
const REST: Duration = Duration::from_secs(1);

impl<C: Codec> Coordinator<C> {
    /// Computes if the lock is free. Returns before when there is no point in asking again.
    pub(crate) async fn refresh(
        self,
        waiter: MemoWaiter<C::Value>,
        is_same: impl FnOnce(&C::Value) -> bool,
        start: impl FnOnce(Lead<C::Value>),
    ) -> Option<Instant> {
        let _in_flight = self.shared.counters.in_flight.enter();
        let landing = Landing { keeper: &self };
        let mut holding = Holding::new(&self.shared.leases);
        let rest = || Some(Instant::now() + REST);
        if !holding.take() {
            return rest();
        }
        let LockReply {
            asked,
            lock,
            value,
            granted,
        } = match self.acquire(false).await {
            Ok(reply) => reply,
            Err(error) => {
                // What is stored answers; without the store nothing does, and nothing can take its place.
                self.release(error.kind().into(), Release::Abandoned).await;
                return rest();
            }
        };
        if let Lock::Held { remaining } = lock {
            // The holder computes, and what is stored answers until it is done. Or it has only looked, and gives the lock back.
            let remaining = remaining.map_or(REST, |remaining| remaining.min(REST));
            return Some(Instant::now() + remaining + self.config.jitter());
        }
        let found = self.shared.vouched(&self.address, value).await;
        if found.is_some_and(|found| found.soft_since.is_none() && !is_same(&found.value)) {
            self.release(granted.claim, Release::Abandoned).await;
            return None;
        }
        self.tenure.begin(asked);
        self.shared.counters.refreshed.add();
        let compute = async {
            if let Turn::Lead(mut lead) = waiter.await {
                lead.in_background();
                start(lead);
            }
        };
        let mut search = Search::new(Past::default());
        let lead = self.lead(granted, &mut search, &mut holding, &landing);
        let stored = match tokio::join!(lead, compute).0 {
            LeadEnd::Landed { stored } => stored,
            LeadEnd::Again => false,
            LeadEnd::Vain(past) => {
                landing.land(Outcome::Again(Some(past)));
                false
            }
        };
        match stored {
            true => None,
            false => rest(),
        }
    }
}
