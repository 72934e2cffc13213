//! [`Hub`]: handles what a connection for notifications hears, and wakes the task that acts on it.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::registry::Registry;
use crate::store::redis::conn::denied::Denials;
use crate::store::redis::near::NearFeed;
use crate::store::redis::protocol::keyspace::is_sharded;
use crate::store::redis::resp::{Push, PushKind, Reply};
use crate::store::redis::stats::RedisCounters;

/// No channel has this name. The server confirms at once, and among the messages, that it is not subscribed to.
pub(super) const FENCE: &str = "memolock/fence";

/// The registry, and what wakes the task that acts on it.
pub(crate) struct Hub {
    pub(crate) stats: Arc<RedisCounters>,
    pub(super) registry: Mutex<Registry>,
    pub(super) changed: Notify,
    pub(super) disconnected: Notify,
    pub(super) check: Notify,
    pub(super) replace: Notify,
    pub(crate) denials: Denials,
    /// Told by a node of a cluster of trouble that a look at the other nodes may explain.
    pub(super) trouble: Option<Arc<Notify>>,
    /// Whether a refused subscription will be refused again.
    pub(super) hopeless: AtomicBool,
    /// Where near copies hear of changes.
    pub(super) near: Option<Arc<NearFeed>>,
}

impl Default for Hub {
    fn default() -> Self {
        let stats = Arc::default();
        Self {
            registry: Mutex::new(Registry::new(Arc::clone(&stats))),
            stats,
            changed: Notify::new(),
            disconnected: Notify::new(),
            check: Notify::new(),
            replace: Notify::new(),
            denials: Denials::default(),
            trouble: None,
            hopeless: AtomicBool::new(false),
            near: None,
        }
    }
}

impl Hub {
    /// For one node of a cluster.
    pub(crate) fn of_cluster(trouble: Arc<Notify>, near: Arc<NearFeed>) -> Self {
        Self {
            trouble: Some(trouble),
            near: Some(near),
            ..Self::default()
        }
    }

    /// For one server, whose changes near copies follow.
    pub(crate) fn with_near(near: Arc<NearFeed>) -> Self {
        Self {
            near: Some(near),
            ..Self::default()
        }
    }

    pub(super) fn trouble(&self) {
        if let Some(trouble) = &self.trouble {
            trouble.notify_one();
        }
    }

    /// What to send about a channel.
    pub(super) fn command(&self, subscribe: bool, channel: &str) -> &'static str {
        match (subscribe, self.trouble.is_some() && is_sharded(channel)) {
            (true, false) => "SUBSCRIBE",
            (true, true) => "SSUBSCRIBE",
            (false, false) => "UNSUBSCRIBE",
            (false, true) => "SUNSUBSCRIBE",
        }
    }

    /// Asks for a sign of life, soon.
    pub(crate) fn check(&self) {
        self.check.notify_one();
    }

    /// Asks for another connection, because the server moved.
    pub(crate) fn replace(&self) {
        self.replace.notify_one();
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_if_changed(&self, registry: MutexGuard<'_, Registry>) {
        let changed = registry.has_changes();
        drop(registry);
        if changed {
            self.changed.notify_one();
        }
    }

    /// Handles a push message of the connection with this number.
    pub(super) fn receive(&self, connection: u64, push: Push) {
        if push.kind == PushKind::Disconnection {
            self.disconnect(connection);
            self.disconnected.notify_one();
            self.trouble();
            return;
        }
        let mut data = push.data.into_iter();
        if push.kind == PushKind::Invalidate {
            return self.changed(connection, data.next());
        }
        let Some(Reply::BulkString(channel)) = data.next() else {
            return;
        };
        let Ok(channel) = std::str::from_utf8(&channel) else {
            return;
        };
        if let Some(near) = &self.near {
            let is_near = match push.kind {
                PushKind::Message | PushKind::SMessage => match data.as_slice().first() {
                    Some(Reply::BulkString(payload)) => near.heard(connection, channel, payload),
                    _ => false,
                },
                PushKind::Subscribe | PushKind::SSubscribe => near.confirmed(connection, channel, true),
                PushKind::Unsubscribe | PushKind::SUnsubscribe => near.confirmed(connection, channel, false),
                _ => false,
            };
            if is_near {
                if push.kind == PushKind::SUnsubscribe {
                    // The slot has left this node.
                    self.trouble();
                }
                return;
            }
        }
        let mut registry = self.registry();
        if !registry.is_connected(connection) {
            return;
        }
        match push.kind {
            PushKind::Message | PushKind::SMessage => {
                if let Some(Reply::BulkString(payload)) = data.next() {
                    registry.deliver(channel, payload);
                }
            }
            PushKind::Subscribe | PushKind::SSubscribe => registry.confirm(channel, true),
            PushKind::Unsubscribe if channel == FENCE => registry.pass_fence(),
            PushKind::Unsubscribe => registry.confirm(channel, false),
            PushKind::SUnsubscribe => {
                if !registry.is_leaving(channel) {
                    // The slot has left this node.
                    self.trouble();
                }
                registry.confirm(channel, false);
            }
            _ => {}
        }
        self.wake_if_changed(registry);
    }

    /// The server says which keys have changed, or that all have.
    fn changed(&self, connection: u64, keys: Option<Reply>) {
        let Some(near) = &self.near else { return };
        match keys {
            Some(Reply::Array(keys)) => {
                let names = keys.iter().filter_map(|key| match key {
                    Reply::BulkString(name) => Some(name.as_slice()),
                    _ => None,
                });
                near.changed(connection, names);
            }
            // All keys, or a push that cannot be read.
            _ => near.changed_all(connection),
        }
    }

    pub(super) fn connect(&self, connection: u64) {
        self.registry().connect(connection);
        if let Some(near) = &self.near {
            near.connected(connection);
        }
    }

    pub(super) fn disconnect(&self, connection: u64) {
        // First, because others rely on it.
        if let Some(near) = &self.near {
            near.disconnected(connection);
        }
        self.registry().disconnect(connection);
    }

    /// Commands go by another connection from here on.
    pub(crate) fn commands_replaced(&self) {
        if let Some(near) = &self.near {
            near.commands_replaced();
        }
    }

    /// Resolves when near copies need something to be sent.
    pub(super) async fn near_to_prepare(&self) {
        match &self.near {
            Some(near) => near.to_prepare().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests;
