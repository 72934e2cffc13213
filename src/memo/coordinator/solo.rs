//! How a keeper comes to a lease, or to none, without waiting for another computation.

use super::lead::LeadEnd;
use super::progress::Search;
use super::{Coordinator, Granted, Landing};
use tokio::time::Instant;

use crate::codec::Codec;
use crate::memo::leases::Holding;
use crate::memo::leases::lock_state::LockState;
use crate::memo::marking::Start;
use crate::memo::outcome::{Outcome, Past};
use crate::store::{Lock, Release, Store};

impl<C: Codec> Coordinator<C> {
    /// Offers the lead if the lock is free and nothing is stored; else lands at once.
    pub(crate) async fn solo(self) {
        let _in_flight = self.shared.counters.in_flight.enter();
        let landing = Landing { keeper: &self };
        let mut holding = Holding::new(&self.shared.leases);
        if !holding.take() {
            return;
        }
        let store = &self.shared.store;
        let epoch = store.epoch();
        let asked = self.shared.clock.tick();
        let asked_at = Instant::now();
        let (acquired, generation) = tokio::join!(
            store.acquire(&self.address, self.token, self.config.lease),
            self.shared.generation(&self.address, &self.config)
        );
        let acquired = match acquired {
            Ok(acquired) => acquired,
            Err(error) => {
                self.shared.store_failed(&self.address, "acquire", &error);
                // A caller that does not wait need not wait for that either.
                drop(landing);
                self.release(error.kind().into(), Release::Abandoned).await;
                return;
            }
        };
        if acquired.lock != Lock::Granted {
            return;
        }
        self.tenure.begin(asked);
        let claim = LockState::Held(epoch);
        if self.shared.vouched(&self.address, acquired.value).await.is_some() {
            drop(landing);
            self.release(claim, Release::Abandoned).await;
            return;
        }
        let granted = Granted {
            claim,
            asked_at,
            start: generation.map(|generation| Start { generation, asked }),
        };
        let mut search = Search::new(Past::default());
        if let LeadEnd::Vain(past) = self.lead(granted, &mut search, &mut holding, &landing).await {
            landing.land(Outcome::Again(Some(past)));
        }
    }
}
