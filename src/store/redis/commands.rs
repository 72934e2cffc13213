//! The command plane: one multiplexed connection without subscriptions, replaced as soon as it fails.
//!
//! It is its own circuit breaker. While there is no connection, commands fail at once, and a task of its own opens
//! the next one. Of several commands that fail together, the first takes the connection out of use.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redis::{Cmd, Pipeline, RedisError, Value as Reply};
use tokio::sync::{Notify, mpsc};

use super::connection::Connection;
use super::dial::Dialer;
use super::error::{self, DialError, Verdict};
use super::recovery::Recovery;
use super::subscriber::Hub;
use super::task::Task;
use crate::error::StoreError;

/// How often a connection has to show that it works, used or not.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The connection in use, for everybody to send on.
pub(super) struct Commands {
    current: RwLock<Option<Current>>,
    /// The number of the connection in use, or of the last one. 0 before the first.
    generation: AtomicU64,
    lost: mpsc::UnboundedSender<RedisError>,
    hub: Arc<Hub>,
}

#[derive(Clone)]
struct Current {
    generation: u64,
    connection: Connection,
}

/// Keeps [`Commands`] connected.
struct Supervisor {
    commands: Arc<Commands>,
    dialer: Dialer,
    lost: mpsc::UnboundedReceiver<RedisError>,
    check: Arc<Notify>,
    recovery: Recovery,
    since: Instant,
}

impl Commands {
    /// Starts from the outcome of a first attempt to connect. Whoever doubts the connection notifies `check`. The
    /// task ends with what is returned.
    pub(super) fn start(
        dialer: Dialer,
        hub: Arc<Hub>,
        check: Arc<Notify>,
        first: Result<Connection, DialError>,
    ) -> (Arc<Self>, Task) {
        let (sender, lost) = mpsc::unbounded_channel();
        let commands = Arc::new(Self {
            current: RwLock::new(None),
            generation: AtomicU64::new(0),
            lost: sender,
            hub,
        });
        let mut supervisor = Supervisor {
            commands: Arc::clone(&commands),
            dialer,
            lost,
            check,
            recovery: Recovery::new("commands"),
            since: Instant::now(),
        };
        match first {
            Ok(connection) => supervisor.install(connection),
            Err(error) => supervisor.recovery.failed(&error),
        }
        (commands, Task::spawn(supervisor.run()))
    }

    /// Sends one command. The reply may be a [`Reply::ServerError`].
    pub(super) async fn send(&self, command: &Cmd) -> Result<Reply, StoreError> {
        let mut current = self.current().await?;
        match current.connection.send(command).await {
            Ok(reply) => {
                self.judge(current.generation, &reply);
                Ok(reply)
            }
            Err(error) => Err(self.failed(current.generation, error)),
        }
    }

    /// Sends several commands in one round trip. Each reply may be a [`Reply::ServerError`].
    pub(super) async fn send_all(&self, pipeline: &Pipeline) -> Result<Vec<Reply>, StoreError> {
        let mut current = self.current().await?;
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

    /// Asks for a sign of life, and leaves a server that is not the one to talk to any more.
    async fn beat(&self, dialer: &Dialer, heartbeat: &Cmd) {
        let Some(current) = self.connected() else {
            return;
        };
        let Ok(answer) = self.send(heartbeat).await else {
            return;
        };
        if let Err(error) = dialer.check(&current.connection, &answer)
            && self.lose(current.generation, std::io::Error::other(error).into())
        {
            self.hub.replace();
        }
    }

    async fn current(&self) -> Result<Current, StoreError> {
        let current = self.connected();
        if current.is_none() {
            // Failing takes no time, so a caller that tries again and again would keep its thread from the very
            // task that connects.
            tokio::task::consume_budget().await;
        }
        current.ok_or_else(error::unavailable)
    }

    fn connected(&self) -> Option<Current> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Replaces the connection if the server says that it cannot serve on it.
    fn judge(&self, generation: u64, reply: &Reply) {
        if let Reply::ServerError(error) = reply {
            match error::verdict(error) {
                Verdict::Keep => self.hub.denials.note(error),
                Verdict::Replace => {
                    self.lose(generation, error.clone().into());
                }
                Verdict::Elsewhere => {
                    if self.lose(generation, error.clone().into()) {
                        self.hub.replace();
                    }
                }
            }
        }
    }

    fn failed(&self, generation: u64, error: RedisError) -> StoreError {
        if self.lose(generation, error.clone()) {
            self.hub.check();
        }
        error::unanswered(error)
    }

    /// Takes the connection out of use, unless it is already another one.
    fn lose(&self, generation: u64, reason: RedisError) -> bool {
        let lost = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            current.take_if(|c| c.generation == generation).is_some()
        };
        if lost {
            // The supervisor ends only with the store.
            let _ = self.lost.send(reason);
        }
        lost
    }
}

impl Supervisor {
    async fn run(mut self) {
        loop {
            if self.commands.generation() > 0 {
                let reason = self.until_lost().await;
                self.recovery.lost(self.since.elapsed(), &reason);
            }
            let connection = self.reconnect().await;
            self.install(connection);
        }
    }

    fn install(&mut self, connection: Connection) {
        self.recovery.connected();
        self.since = Instant::now();
        let mut current = self.commands.current.write().unwrap_or_else(PoisonError::into_inner);
        // Before anybody can hear from the new server: who learns from it that a lease is lost must see the change.
        let generation = self.commands.generation.fetch_add(1, Ordering::AcqRel) + 1;
        *current = Some(Current { generation, connection });
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
                () = self.check.notified() => {}
                () = tokio::time::sleep(HEARTBEAT) => {}
            }
            // A failure takes the connection out of use and is received above.
            self.commands.beat(&self.dialer, &heartbeat).await;
        }
    }
}
