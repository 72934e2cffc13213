//! How one caller looks a value up: in this process, in the store, or together with other callers.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::flights::lookups::Seeking;
use super::found::Found;
use super::shared::Shared;
use crate::codec::Codec;
use crate::key::Address;
use crate::store::{Peeked, Store};
use crate::task::spawn;

/// How long a caller waits for a look-up that it shares, which begins once the one under way has ended.
const SHARES_FOR: Duration = Duration::from_millis(250);

/// The value, where the store has it in this process. It may be stale.
pub(crate) fn peek<C: Codec>(shared: &Shared<C>, address: &Address, now: Instant) -> Option<Found<C::Value>> {
    let mut value = shared.store.peek(address, now)?;
    shared.decode(address, &mut value)
}

/// The same for a caller that only reads it: the very object that the store has, unless it was softly invalidated.
#[inline]
pub(crate) fn peek_at<C: Codec>(shared: &Shared<C>, address: &Address, now: Instant) -> Option<Peeked<C>> {
    let value = shared.store.peek(address, now)?;
    if value.soft_since().is_some() || shared.lacks_stamp(address, &value) {
        return None;
    }
    match value.peeked(address, &shared.codec) {
        Ok(peeked) => Some(peeked),
        Err(error) => {
            shared.rejected(address, &*error);
            None
        }
    }
}

/// Looks the value up, unless it is being computed here: then it is more likely to be absent. It may be stale.
pub(crate) async fn unless_computing<C: Codec>(shared: &Arc<Shared<C>>, address: &Address) -> Option<Found<C::Value>> {
    if shared.table.contains(address) {
        return None;
    }
    seek(shared, address, Seeking::StoredOrComputed).await
}

/// The value, if it is stored, fresh or stale.
pub(crate) async fn stored<C: Codec>(shared: &Arc<Shared<C>>, address: &Address) -> Option<Found<C::Value>> {
    seek(shared, address, Seeking::Stored).await
}

async fn seek<C: Codec>(shared: &Arc<Shared<C>>, address: &Address, seeking: Seeking) -> Option<Found<C::Value>> {
    let looking = shared.lookups.enter(address);
    // Without a runtime there are no tasks.
    if looking.before == 0 || Handle::try_current().is_err() {
        return ask(shared, address).await;
    }
    (shared.tasks.look)(shared, address, seeking).await
}

/// Looks up together with all callers that come before that look-up begins.
pub(crate) async fn together<C: Codec>(
    shared: &Arc<Shared<C>>,
    address: &Address,
    seeking: Seeking,
) -> Option<Found<C::Value>> {
    let (found, task) = shared.lookups.join(address, seeking);
    if let Some(mut task) = task {
        let (this, address) = (Arc::clone(shared), address.clone());
        // In no span: it may outlast the caller that began it.
        spawn(Box::pin(async move {
            while let Some(callers) = task.next(this.table.contains(&address)) {
                callers.tell(&ask(&this, &address).await);
                // One of them may be about to have the value computed, which the others wait for.
                yield_now().await;
            }
        }));
    }
    match timeout(SHARES_FOR, found).await {
        Ok(found) => found.ok().flatten(),
        Err(_) => ask(shared, address).await,
    }
}

async fn ask<C: Codec>(shared: &Shared<C>, address: &Address) -> Option<Found<C::Value>> {
    match shared.look(address).await {
        Ok(found) => found,
        Err(error) => {
            shared.store_failed(address, "lookup", &error);
            None
        }
    }
}
