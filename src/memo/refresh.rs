//! Computing anew what goes on answering meanwhile: nobody waits, and one in the cluster does it.

use std::sync::Arc;

use tokio::time::Instant;

use super::clock::Moment;
use super::config::Config;
use super::flight::Flight;
use super::keeper::Keeper;
use super::lead::Lead;
use super::outcome::Past;
use super::shared::Shared;
use crate::codec::Codec;
use crate::key::Address;

impl<C: Codec> Shared<C> {
    /// Has `seen`, which is stored at `address`, computed anew, unless somebody in the cluster does so already.
    ///
    /// `is_same` tells `seen` from what others may have put in its place meanwhile, and so does `version` in this process. What `start`
    /// returns, if one begins, gets the lead, and must not
    /// block: it spawns whatever computes.
    pub(crate) fn refresh<F>(
        self: &Arc<Self>,
        address: &Address,
        config: &Config,
        version: u64,
        is_same: impl FnOnce(&C::Value) -> bool + Send + 'static,
        start: impl FnOnce() -> F,
    ) where
        F: FnOnce(Lead<C::Value>) + Send + 'static,
    {
        if self.leases.is_leaving() || !self.refreshes.begin(address, version, Instant::now()) {
            return;
        }
        let start = start();
        // Not in the table: whoever has to wait for the value waits for the lock.
        let (flight, waiter) = Flight::start(Moment::START);
        let keeper = Keeper::new(Arc::clone(self), *config, address.clone(), flight, Past::default());
        let running = Running {
            shared: Arc::clone(self),
            address: address.clone(),
            version,
            not_before: None,
        };
        let refresh = (self.tasks.refresh)(keeper, waiter, Box::new(is_same), Box::new(start));
        let refresh = async move {
            // All of it, or it would end here.
            let mut running = running;
            running.not_before = refresh.await;
        };
        tokio::spawn(refresh);
    }
}

/// A refresh under way. One that is cancelled or panics is over as well.
struct Running<C: Codec> {
    shared: Arc<Shared<C>>,
    address: Address,
    version: u64,
    not_before: Option<Instant>,
}

impl<C: Codec> Drop for Running<C> {
    fn drop(&mut self) {
        self.shared.refreshes.end(&self.address, self.version, self.not_before);
    }
}
