//! A refresh: one process in the cluster computes a stored value anew. The stored value answers meanwhile, so no caller
//! waits.

use std::sync::Arc;

use tokio::time::Instant;

use crate::codec::Codec;
use crate::key::Address;
use crate::memo::config::Config;
use crate::memo::coordinator::{self, Coordinator};
use crate::memo::permit::{Lead, MemoWaiter};
use crate::memo::shared::Shared;
use crate::task::spawn;
use crate::trace::TraceContext;

/// Has `seen`, the value that is stored at `address`, computed anew, unless a process in the cluster does so
/// already.
///
/// `is_same` tells `seen` from a value that others may have put in its place meanwhile; in this process `version`
/// does. Where a refresh begins, the closure that `start` returns gets the lead. It must not block: it spawns the
/// computation.
pub(crate) fn start<C: Codec, F>(
    shared: &Arc<Shared<C>>,
    address: &Address,
    config: &Config,
    version: u64,
    caller: Option<TraceContext>,
    is_same: impl FnOnce(&C::Value) -> bool + Send + 'static,
    start: impl FnOnce() -> F,
) where
    F: FnOnce(Lead<C::Value>) + Send + 'static,
{
    if shared.leases.is_leaving() || !shared.refreshes.begin(address, version, Instant::now()) {
        return;
    }
    let start = start();
    let (coordinator, waiter) = Coordinator::unlisted(shared, config, address, caller);
    let running = RefreshTask {
        shared: Arc::clone(shared),
        address: address.clone(),
        version,
        not_before: None,
    };
    spawn((shared.tasks.refresh)(
        coordinator,
        running,
        waiter,
        Box::new(is_same),
        Box::new(start),
    ));
}

/// Whether a value is the one that is to be computed anew.
pub(crate) type IsSame<V> = Box<dyn FnOnce(&V) -> bool + Send>;

/// Gets the lead, and spawns the computation.
pub(crate) type Begin<V> = Box<dyn FnOnce(Lead<V>) + Send>;

/// A refresh under way. It is over as well once it is cancelled or panics.
pub(crate) struct RefreshTask<C: Codec> {
    shared: Arc<Shared<C>>,
    address: Address,
    version: u64,
    not_before: Option<Instant>,
}

impl<C: Codec> RefreshTask<C> {
    pub(crate) async fn run(
        mut self,
        coordinator: Coordinator<C>,
        waiter: MemoWaiter<C::Value>,
        is_same: IsSame<C::Value>,
        begin: Begin<C::Value>,
    ) {
        self.not_before = coordinator::refresh::run(coordinator, waiter, is_same, begin).await;
    }
}

impl<C: Codec> Drop for RefreshTask<C> {
    fn drop(&mut self) {
        self.shared.refreshes.end(&self.address, self.version, self.not_before);
    }
}
