//! [`CommandSupervisor`]: the task that keeps [`Commands`] connected.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::{CommandConnection, Commands};
use crate::store::redis::conn::connection::Connection;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::recovery::Recovery;
use crate::store::redis::resp::RedisError;

/// How often a connection has to show that it works, used or not.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How long an answer to a heartbeat may take. After that the rest of the cluster is asked whether it has replaced the
/// node.
const SLOW: Duration = Duration::from_millis(250);

/// Keeps [`Commands`] connected.
pub(crate) struct CommandSupervisor {
    pub(crate) commands: Arc<Commands>,
    pub(crate) dialer: Dialer,
    pub(crate) lost: mpsc::UnboundedReceiver<RedisError>,
    pub(crate) recovery: Recovery,
    pub(crate) since: Instant,
    /// Of the connection in use.
    pub(crate) crowded: Arc<Notify>,
}

impl CommandSupervisor {
    pub(crate) async fn run(mut self) {
        loop {
            if self.commands.was_connected() {
                let reason = self.until_lost().await;
                self.recovery.lost(self.since.elapsed(), &reason);
            }
            let connection = self.reconnect().await;
            self.install(connection);
        }
    }

    pub(crate) fn install(&mut self, connection: Connection) {
        self.recovery.connected();
        self.since = Instant::now();
        let mut current = self.commands.current.write().unwrap_or_else(PoisonError::into_inner);
        // Before a command can reach the new server: a holder that learns of a lost lease must see the change.
        self.commands.signals.epoch.fetch_add(1, Ordering::AcqRel);
        let generation = self.commands.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.commands.hub.commands_replaced();
        self.crowded = connection.crowded();
        *current = Some(CommandConnection { generation, connection });
        drop(current);
        self.commands.ready.notify_waiters();
    }

    /// Leaves a connection on which something large arrives to its waiting commands, for another to the same server.
    async fn step_aside(&mut self) {
        let Some(old) = self.commands.connected() else {
            return;
        };
        let connection = match self.dialer.commands().await {
            Ok(connection) if connection.endpoint() == old.connection.endpoint() => connection,
            // The connection in use is no worse than before.
            _ => return,
        };
        let mut current = self.commands.current.write().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_none_or(|current| current.generation != old.generation)
        {
            return;
        }
        let generation = self.commands.generation.fetch_add(1, Ordering::AcqRel) + 1;
        self.commands.hub.commands_replaced();
        self.crowded = connection.crowded();
        *current = Some(CommandConnection { generation, connection });
        drop(current);
        tracing::debug!("a large value arrives from Redis; going on with another connection");
    }

    async fn reconnect(&mut self) -> Connection {
        loop {
            tokio::time::sleep(self.recovery.delay()).await;
            match self.dialer.commands().await {
                Ok(connection) => return connection,
                Err(error) => self.recovery.failed(&error),
            }
        }
    }

    async fn until_lost(&mut self) -> RedisError {
        let heartbeat = self.dialer.heartbeat();
        loop {
            tokio::select! {
                biased;
                Some(reason) = self.lost.recv() => return reason,
                () = self.crowded.notified() => {
                    self.step_aside().await;
                    continue;
                }
                () = self.commands.signals.check.notified() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            // A failure takes the connection out of use and is received above.
            let mut beat = pin!(self.commands.beat(&self.dialer, &heartbeat));
            if tokio::time::timeout(SLOW, beat.as_mut()).await.is_err() {
                self.commands.signals.trouble.notify_one();
                beat.await;
            }
        }
    }
}
