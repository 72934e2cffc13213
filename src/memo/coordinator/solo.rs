//! How a keeper comes to a lease, or to none, without waiting for another computation.

use super::acquire::{self, LockReply};
use super::landing::{Landing, LeadEnd};
use super::progress::Search;
use super::{Coordinator, lead};
use crate::codec::Codec;
use crate::memo::leases::Holding;
use crate::memo::outcome::Past;
use crate::store::{Lock, Release};

/// Offers the lead if the lock is free and nothing is stored; else lands at once.
pub(crate) async fn run<C: Codec>(coordinator: Coordinator<C>) {
    let _in_flight = coordinator.shared.counters.in_flight.enter();
    let landing = Landing {
        coordinator: &coordinator,
    };
    let mut holding = Holding::new(&coordinator.shared.leases);
    if !holding.take() {
        return;
    }
    let LockReply {
        asked,
        lock,
        value,
        granted,
    } = match acquire::ask(&coordinator, false).await {
        Ok(reply) => reply,
        Err(error) => {
            // A caller that does not wait for others does not wait for this either.
            drop(landing);
            coordinator.release(error.kind().into(), Release::Abandoned).await;
            return;
        }
    };
    if lock != Lock::Granted {
        return;
    }
    coordinator.tenure.begin(asked);
    if coordinator.shared.vouched(&coordinator.address, value).await.is_some() {
        drop(landing);
        coordinator.release(granted.claim, Release::Abandoned).await;
        return;
    }
    let mut search = Search::new(Past::default());
    if let LeadEnd::Vain(past) = lead::to_the_end(&coordinator, granted, &mut search, &mut holding, &landing).await {
        landing.start_again(Some(past));
    }
}
