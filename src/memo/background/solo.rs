//! Leading alone: for a caller that computes rather than wait, but may have a result for others.

use std::sync::Arc;

use tokio::time::Instant;

use crate::codec::Codec;
use crate::key::Address;
use crate::memo::config::Config;
use crate::memo::coordinator::{self, Coordinator};
use crate::memo::flights::waiter::Turn;
use crate::memo::permit::Lead;
use crate::memo::shared::Shared;
use crate::task::spawn;
use crate::trace::TraceContext;

/// One of an address at a time needs no number.
const VERSION: u64 = 0;

/// The lead, where nothing is stored at `address` and no process computes it. Waits for the store, and for
/// no other computation.
///
/// No caller joins it in this process: a caller that has to wait for the value waits for the lock.
pub(crate) async fn lead<C: Codec>(
    shared: &Arc<Shared<C>>,
    address: &Address,
    config: &Config,
    caller: Option<TraceContext>,
) -> Option<Lead<C::Value>> {
    let full = shared.counters.in_flight.get() >= config.limits.in_flight as u64;
    if full || shared.leases.is_closed() || !shared.solos.begin(address, VERSION, Instant::now()) {
        return None;
    }
    let (coordinator, waiter) = Coordinator::unlisted(shared, config, address, caller);
    let running = SoloTask {
        shared: Arc::clone(shared),
        address: address.clone(),
    };
    spawn((shared.tasks.solo)(coordinator, running));
    match waiter.await {
        Turn::Lead(mut lead) => {
            shared.counters.led.add();
            // A caller that does not wait does not leave the value to others either.
            lead.held = false;
            Some(lead)
        }
        Turn::Landed(_) | Turn::Late => None,
    }
}

/// A computation under way. It is over as well once it is cancelled or panics.
pub(crate) struct SoloTask<C: Codec> {
    shared: Arc<Shared<C>>,
    address: Address,
}

impl<C: Codec> SoloTask<C> {
    pub(crate) async fn run(self, coordinator: Coordinator<C>) {
        coordinator::solo::run(coordinator).await;
    }
}

impl<C: Codec> Drop for SoloTask<C> {
    fn drop(&mut self) {
        self.shared.solos.end(&self.address, VERSION, None);
    }
}
