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

impl<C: Codec> Shared<C> {
    /// The value, where the store has it in this process. It may be stale.
    pub(crate) fn peek(&self, address: &Address, now: Instant) -> Option<Found<C::Value>> {
        let mut value = self.store.peek(address, now)?;
        self.decode(address, &mut value)
    }

    /// The same for a caller that only reads it: the very object that the store has, unless it was softly invalidated.
    #[inline]
    pub(crate) fn peek_at(&self, address: &Address, now: Instant) -> Option<Peeked<C>> {
        let value = self.store.peek(address, now)?;
        if value.soft_since().is_some() || self.lacks_stamp(address, &value) {
            return None;
        }
        match value.peeked(address, &self.codec) {
            Ok(peeked) => Some(peeked),
            Err(error) => {
                self.rejected(address, &*error);
                None
            }
        }
    }

    /// Looks the value up, unless it is being computed here: then it is more likely to be absent. It may be stale.
    pub(crate) async fn look_up(self: &Arc<Self>, address: &Address) -> Option<Found<C::Value>> {
        if self.table.contains(address) {
            return None;
        }
        self.seek(address, Seeking::StoredOrComputed).await
    }

    /// The value, if it is stored, fresh or stale.
    pub(crate) async fn lookup(self: &Arc<Self>, address: &Address) -> Option<Found<C::Value>> {
        self.seek(address, Seeking::Stored).await
    }

    async fn seek(self: &Arc<Self>, address: &Address, seeking: Seeking) -> Option<Found<C::Value>> {
        let looking = self.lookups.enter(address);
        // Without a runtime there are no tasks.
        if looking.before == 0 || Handle::try_current().is_err() {
            return self.ask(address).await;
        }
        (self.tasks.look)(self, address, seeking).await
    }

    /// Looks up together with all callers that come before that look-up begins.
    pub(crate) async fn look_together(
        self: &Arc<Self>,
        address: &Address,
        seeking: Seeking,
    ) -> Option<Found<C::Value>> {
        let (shared, task) = self.lookups.join(address, seeking);
        if let Some(mut task) = task {
            let (this, address) = (Arc::clone(self), address.clone());
            // In no span: it may outlast the caller that began it.
            spawn(Box::pin(async move {
                while let Some(callers) = task.next(this.table.contains(&address)) {
                    callers.tell(&this.ask(&address).await);
                    // One of them may be about to have the value computed, which the others wait for.
                    yield_now().await;
                }
            }));
        }
        match timeout(SHARES_FOR, shared).await {
            Ok(found) => found.ok().flatten(),
            Err(_) => self.ask(address).await,
        }
    }

    async fn ask(&self, address: &Address) -> Option<Found<C::Value>> {
        match self.look(address).await {
            Ok(found) => found,
            Err(error) => {
                self.store_failed(address, "lookup", &error);
                None
            }
        }
    }
}
