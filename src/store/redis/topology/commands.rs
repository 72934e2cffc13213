//! The command plane: one multiplexed connection without subscriptions, replaced as soon as it fails, and a [`Bulk`]
//! connection for values that are known to be large. Where a large answer turns up on the first connection, the
//! commands that wait there keep it to themselves, and all later ones go on with another.
//!
//! The plane is its own circuit breaker. While there is no connection, commands fail at once, and a task of its own
//! opens the next one. Of several commands that fail together, the first takes the connection out of use.

mod supervisor;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use self::supervisor::CommandSupervisor;
use super::signals::Signals;
use crate::error::StoreError;
use crate::simulation::{Planted, planted};
use crate::store::redis::conn::bulk::{Bulk, BulkError, Transfer};
use crate::store::redis::conn::connection::Connection;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::error::{self, DialError, DialVerdict};
use crate::store::redis::conn::recovery::Recovery;
use crate::store::redis::conn::reply::GetReply;
use crate::store::redis::conn::task::Task;
use crate::store::redis::pubsub::hub::Hub;
use crate::store::redis::resp::{Command, Pipeline, RedisError, Reply, ServerError};
use crate::store::redis::stats::RedisCounters;
use crate::task::BoxFuture;

/// A command on its way.
pub(crate) type Sending<'a> = BoxFuture<'a, Result<Reply, StoreError>>;

/// The connection in use, for all callers to send on.
pub(crate) struct Commands {
    current: RwLock<Option<CommandConnection>>,
    /// The number of the connection in use, or of the last one. 0 before the first.
    generation: AtomicU64,
    lost: mpsc::UnboundedSender<RedisError>,
    ready: Notify,
    bulk: Bulk,
    hub: Arc<Hub>,
    signals: Signals,
}

#[derive(Clone)]
struct CommandConnection {
    generation: u64,
    connection: Connection,
}

impl Commands {
    /// Starts from the outcome of a first attempt to connect, if there was one. The task ends with what is returned.
    pub(crate) fn start(
        dialer: Dialer,
        hub: Arc<Hub>,
        signals: Signals,
        first: Option<Result<Connection, DialError>>,
    ) -> (Arc<Self>, Task) {
        let (sender, lost) = mpsc::unbounded_channel();
        let commands = Arc::new(Self {
            current: RwLock::new(None),
            generation: AtomicU64::new(0),
            lost: sender,
            ready: Notify::new(),
            bulk: Bulk::new(dialer.clone()),
            hub,
            signals,
        });
        let mut supervisor = CommandSupervisor {
            commands: Arc::clone(&commands),
            dialer,
            lost,
            recovery: Recovery::new(&commands.hub.stats.commands),
            since: Instant::now(),
            crowded: Arc::default(),
        };
        match first {
            Some(Ok(connection)) => supervisor.install(connection),
            Some(Err(error)) => supervisor.recovery.failed(&error),
            None => {}
        }
        (commands, Task::spawn(supervisor.run()))
    }

    /// Sends one command. The reply may be a [`Reply::ServerError`].
    pub(crate) async fn send(&self, command: &Command) -> Result<Reply, StoreError> {
        let current = self.current().await?;
        let reply = current.connection.send(command).await;
        let reply = reply.map_err(|error| self.failed(current.generation, error))?;
        self.judge(current.generation, &reply);
        Ok(reply)
    }

    /// Sends `GET` of this name. The reply may be a [`Reply::ServerError`].
    pub(crate) async fn get(&self, name: &str) -> Result<GetReply, StoreError> {
        let current = self.current().await?;
        let reply = current.connection.get(name).await;
        let reply = reply.map_err(|error| self.failed(current.generation, error))?;
        if let GetReply::Other(reply) = &reply {
            self.judge(current.generation, reply);
        }
        Ok(reply)
    }

    /// Sends one command about a large value, for this caller alone. The reply may be a [`Reply::ServerError`].
    ///
    /// Boxed, because no other command should have to keep room for it.
    pub(crate) fn send_large<'a>(&'a self, command: &'a Command, transfer: Transfer) -> Sending<'a> {
        Box::pin(self.try_large(command, transfer))
    }

    async fn try_large(&self, command: &Command, transfer: Transfer) -> Result<Reply, StoreError> {
        // Without a server there is nothing to connect to.
        self.current().await?;
        match self.bulk.send(command, transfer).await {
            Ok(reply) => {
                self.judge_large(&reply);
                Ok(reply)
            }
            Err(BulkError::Dial(error)) => {
                tracing::debug!(%error, "no connection to Redis for large values");
                self.send(command).await
            }
            Err(BulkError::Busy) => {
                self.hub.stats.unavailable.add();
                Err(error::unavailable())
            }
            Err(BulkError::Unanswered(error)) => {
                self.hub.stats.timeouts.add();
                // If the server is the trouble, the other connection shows that as well.
                self.signals.check.notify_one();
                Err(error::unanswered(error))
            }
        }
    }

    /// Sends several commands in one round trip. Each reply may be a [`Reply::ServerError`].
    pub(crate) async fn send_all(&self, pipeline: &Pipeline) -> Result<Vec<Reply>, StoreError> {
        let current = self.current().await?;
        match current.connection.send_all(pipeline).await {
            Ok(replies) => {
                for reply in &replies {
                    self.judge(current.generation, reply);
                }
                Ok(replies)
            }
            Err(error) => Err(self.failed(current.generation, error)),
        }
    }

    /// The names of all keys on this server that match. Those that are no text are left out.
    pub(crate) fn scan<'a>(&'a self, pattern: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(self.scan_all(pattern))
    }

    async fn scan_all(&self, pattern: &str) -> Result<Vec<String>, StoreError> {
        let (mut names, mut cursor) = (Vec::new(), b"0".to_vec());
        loop {
            let mut scan = Command::new("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(pattern);
            scan.arg("COUNT").number(1000);
            let (next, found) = match self.send(&scan).await? {
                Reply::Array(parts) => <[Reply; 2]>::try_from(parts).map(|[next, found]| (next, found)),
                Reply::ServerError(error) => return Err(error::rejected(&error)),
                _ => return Err(error::unexpected()),
            }
            .map_err(|_| error::unexpected())?;
            let (Reply::BulkString(next), Reply::Array(found)) = (next, found) else {
                return Err(error::unexpected());
            };
            names.extend(found.into_iter().filter_map(|name| match name {
                Reply::BulkString(name) => String::from_utf8(name).ok(),
                _ => None,
            }));
            if next == b"0" {
                return Ok(names);
            }
            cursor = next;
        }
    }

    /// Asks for a sign of life, and leaves a server that is not the right one to talk to any more.
    async fn beat(&self, dialer: &Dialer, heartbeat: &Command) {
        let Some(current) = self.connected() else {
            return;
        };
        let Ok(answer) = self.send(heartbeat).await else {
            return;
        };
        if let Err(error) = dialer.check(&current.connection, &answer) {
            self.bulk.retire();
            if self.lose(current.generation, std::io::Error::other(error).into()) {
                self.hub.replace();
            }
        }
    }

    async fn current(&self) -> Result<CommandConnection, StoreError> {
        let current = self.connected();
        if current.is_none() {
            // Failing takes no time, so a caller that tries again and again would keep its thread from the very
            // task that connects.
            tokio::task::consume_budget().await;
        }
        current.ok_or_else(|| {
            self.hub.stats.unavailable.add();
            error::unavailable()
        })
    }

    fn connected(&self) -> Option<CommandConnection> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected().is_some()
    }

    /// Waits for a connection, but not for longer than `limit`.
    pub(crate) async fn connected_within(&self, limit: Duration) {
        let mut ready = pin!(self.ready.notified());
        ready.as_mut().enable();
        if !self.is_connected() {
            // A caller that goes on without one learns it from the next command.
            let _ = tokio::time::timeout(limit, ready).await;
        }
    }

    /// Whether there is a connection, or was one.
    pub(crate) fn was_connected(&self) -> bool {
        self.generation() > 0
    }

    /// Changes with every connection but the first.
    pub(crate) fn epoch(&self) -> u64 {
        self.signals.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn stats(&self) -> &Arc<RedisCounters> {
        &self.hub.stats
    }

    /// The number of the connection in use, or of the last one.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Replaces the connection if the server says that it cannot serve on it.
    fn judge(&self, generation: u64, reply: &Reply) {
        let Some((error, verdict)) = self.verdict(reply) else {
            return;
        };
        match verdict {
            DialVerdict::Keep | DialVerdict::Astray => {}
            DialVerdict::Replace => {
                self.lose(generation, error.clone().into());
            }
            DialVerdict::Elsewhere => {
                self.bulk.retire();
                if self.lose(generation, error.clone().into()) {
                    self.hub.replace();
                }
            }
        }
    }

    /// The same for the connection for large values. The other connection finds out for itself what this means for it.
    fn judge_large(&self, reply: &Reply) {
        if let Some((_, DialVerdict::Replace | DialVerdict::Elsewhere)) = self.verdict(reply) {
            self.bulk.retire();
            self.signals.check.notify_one();
        }
    }

    fn verdict<'a>(&self, reply: &'a Reply) -> Option<(&'a ServerError, DialVerdict)> {
        let Reply::ServerError(error) = reply else {
            return None;
        };
        if error.code() != "NOSCRIPT" {
            self.hub.stats.rejected.add();
        }
        let verdict = error::verdict(error);
        match verdict {
            DialVerdict::Keep => {
                self.hub.denials.note(error);
                if !self.signals.cluster && error::is_of_cluster(error) {
                    self.hub.denials.note_cluster();
                }
            }
            DialVerdict::Astray => self.signals.trouble.notify_one(),
            DialVerdict::Replace | DialVerdict::Elsewhere => {}
        }
        Some((error, verdict))
    }

    fn failed(&self, generation: u64, error: RedisError) -> StoreError {
        self.hub.stats.timeouts.add();
        if !planted(Planted::NotReplaced) && self.lose(generation, error.clone()) {
            self.hub.check();
        }
        error::unanswered(error)
    }

    /// Takes the connection out of use, unless it is already another one.
    fn lose(&self, generation: u64, reason: RedisError) -> bool {
        let lost = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            current.take_if(|c| c.generation == generation)
        };
        if let Some(lost) = &lost {
            lost.connection.retire();
            self.bulk.leave();
            self.signals.trouble.notify_one();
            // The supervisor ends only with the store.
            let _ = self.lost.send(reason);
        }
        lost.is_some()
    }
}
