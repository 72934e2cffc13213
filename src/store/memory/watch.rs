//! [`MemoryWatch`]: what a watcher hears of one address.

use std::fmt;
use std::sync::{Arc, Weak};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::MemoryInner;
use crate::key::Address;
use crate::store::{Notice, Watch};

/// What [`MemoryStore`](super::MemoryStore)'s [`watch`](crate::store::Store::watch) returns.
pub struct MemoryWatch {
    store: Weak<MemoryInner>,
    address: Address,
    id: usize,
    notices: UnboundedReceiver<Notice>,
}

impl MemoryWatch {
    pub(super) fn new(store: &Arc<MemoryInner>, address: &Address) -> Self {
        let (sender, notices) = unbounded_channel();
        let _ = sender.send(Notice::Reread);
        let id = store
            .slots()
            .entry(address.clone())
            .or_default()
            .watchers
            .insert(sender);
        Self {
            store: Arc::downgrade(store),
            address: address.clone(),
            id,
            notices,
        }
    }
}

impl Watch for MemoryWatch {
    async fn next(&mut self) -> Notice {
        match self.notices.recv().await {
            Some(notice) => notice,
            // The store is gone, so no notice will ever come.
            None => std::future::pending().await,
        }
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            store.unwatch(&self.address, self.id);
        }
    }
}

impl fmt::Debug for MemoryWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWatch")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
