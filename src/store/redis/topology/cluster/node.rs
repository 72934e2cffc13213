//! [`Node`]: one master, with both planes.

use std::sync::Arc;

use tokio::time::Instant;

use crate::error::StoreError;
use crate::store::redis::conn::address::Endpoint;
use crate::store::redis::conn::bulk::Transfer;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::task::Task;
use crate::store::redis::near::{Near, NearFeed};
use crate::store::redis::pubsub::hub::Hub;
use crate::store::redis::pubsub::subscriber::Subscriber;
use crate::store::redis::resp::{Command, Reply};
use crate::store::redis::topology::commands::Commands;
use crate::store::redis::topology::signals::Signals;

/// A master and the connections to it, which end with the last handle.
pub(crate) struct Node {
    pub(crate) endpoint: Endpoint,
    pub(crate) dialer: Dialer,
    pub(crate) commands: Arc<Commands>,
    pub(crate) subscriber: Arc<Subscriber>,
    pub(crate) near: Arc<NearFeed>,
    pub(crate) since: Instant,
    _supervisor: Task,
}

impl Node {
    /// Starts to connect. `signals` are those of the whole cluster.
    pub(crate) fn start(dialer: Dialer, endpoint: Endpoint, signals: &Signals, near: &Arc<Near>) -> Arc<Self> {
        let near = near.feed();
        let hub = Arc::new(Hub::of_cluster(Arc::clone(&signals.trouble), Arc::clone(&near)));
        let signals = signals.of_node();
        let subscriber = Subscriber::start(Arc::clone(&hub), dialer.clone(), Arc::clone(&signals.check));
        let (commands, supervisor) = Commands::start(dialer.clone(), hub, signals, None);
        Arc::new(Self {
            endpoint,
            dialer,
            commands,
            subscriber,
            near,
            since: Instant::now(),
            _supervisor: supervisor,
        })
    }

    /// Sends one command, on a way of its own if it is about something large.
    pub(crate) async fn send(&self, command: &Command, large: Option<Transfer>) -> Result<Reply, StoreError> {
        match large {
            None => self.commands.send(command).await,
            Some(transfer) => self.commands.send_large(command, transfer).await,
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.near.lost();
    }
}
