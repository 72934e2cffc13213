//! How a keeper comes to a lease, or to none, without waiting for another computation.

use super::acquire::LockReply;
use super::lead::LeadEnd;
use super::progress::Search;
use super::{Coordinator, Landing};
use crate::codec::Codec;
use crate::memo::leases::Holding;
use crate::memo::outcome::Past;
use crate::store::{Lock, Release};

impl<C: Codec> Coordinator<C> {
    /// Offers the lead if the lock is free and nothing is stored; else lands at once.
    pub(crate) async fn solo(self) {
        let _in_flight = self.shared.counters.in_flight.enter();
        let landing = Landing { keeper: &self };
        let mut holding = Holding::new(&self.shared.leases);
        if !holding.take() {
            return;
        }
        let LockReply {
            asked,
            lock,
            value,
            granted,
        } = match self.acquire(false).await {
            Ok(reply) => reply,
            Err(error) => {
                // A caller that does not wait for others does not wait for this either.
                drop(landing);
                self.release(error.kind().into(), Release::Abandoned).await;
                return;
            }
        };
        if lock != Lock::Granted {
            return;
        }
        self.tenure.begin(asked);
        if self.shared.vouched(&self.address, value).await.is_some() {
            drop(landing);
            self.release(granted.claim, Release::Abandoned).await;
            return;
        }
        let mut search = Search::new(Past::default());
        if let LeadEnd::Vain(past) = self.lead(granted, &mut search, &mut holding, &landing).await {
            landing.start_again(Some(past));
        }
    }
}
