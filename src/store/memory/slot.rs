//! [`Slot`]: the lock and the watchers of one address.

use std::collections::HashMap;
use std::time::SystemTime;

use slab::Slab;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::key::Address;
use crate::store::{Notice, Token};

/// The lock and the watchers of one address.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) lock: Option<HeldLock>,
    pub(super) watchers: Slab<UnboundedSender<Notice>>,
}

#[derive(Clone, Copy)]
pub(super) struct HeldLock {
    pub(super) token: Token,
    pub(super) expires_at: Instant,
    /// When the value was softly invalidated, if it was since the lock was taken.
    pub(super) soft_since: Option<SystemTime>,
}

impl Slot {
    pub(super) fn holder(&self) -> Option<HeldLock> {
        self.lock.filter(|lock| lock.expires_at > Instant::now())
    }

    /// The slot and its lock, where that is held with `token`.
    pub(super) fn held_with(&mut self, token: Token) -> Option<(&mut Self, HeldLock)> {
        let held = self.holder().filter(|lock| lock.token == token)?;
        Some((self, held))
    }

    pub(super) fn tell(&self, notice: &Notice) {
        for (_, watcher) in &self.watchers {
            // A watcher that is going away wants to hear nothing.
            let _ = watcher.send(notice.clone());
        }
    }
}

/// Removes the slot of an address without a lock or a watcher.
pub(super) fn forget_idle(slots: &mut HashMap<Address, Slot>, address: &Address) {
    if let Some(slot) = slots.get(address)
        && slot.watchers.is_empty()
        && slot.holder().is_none()
    {
        slots.remove(address);
    }
}
