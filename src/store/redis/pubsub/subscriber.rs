//! The notification plane: a connection of its own, on which nothing but `SUBSCRIBE`, `UNSUBSCRIBE` and `PING` is
//! ever sent.
//!
//! A Redis Cluster has one for each master, and sharded channels besides plain ones. There a server is asked right away
//! whether it took a subscription: it may have given the slot away.
//!
//! The replies of subscriptions are not awaited; they arrive as push messages, in order, by name. Published messages
//! arrive in the same way, and both are handled on the connection's own task, without a hop through another.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::hub::{FENCE, Hub};
use super::mailbox::Mailbox;
use super::registry::{SubscriptionChange, WatcherId};
use crate::simulation::{Planted, planted};
use crate::store::redis::conn::connection::Connection;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::error::{self, DialVerdict};
use crate::store::redis::conn::hello::{is_master, standing};
use crate::store::redis::conn::recovery::Recovery;
use crate::store::redis::conn::task::Task;
use crate::store::redis::near::{NearFeed, NearStep, Probes, Sent};
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::resp::{Command, Pipeline, PushHandler, RedisError, Reply};

/// How often the connection has to show that it works: a server that vanished is noticed within about this time
/// and the answer timeout.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often a node of a cluster may refuse a subscription because of a slot on the move.
const MANY: usize = 8;

/// The plane as the store and its watches hold it: the task ends with the last of them.
pub(crate) struct Subscriber {
    hub: Arc<Hub>,
    _task: Task,
}

impl Subscriber {
    /// Starts to connect. A loss of the connection casts doubt on the command plane through `suspect`.
    pub(crate) fn start(hub: Arc<Hub>, dialer: Dialer, suspect: Arc<Notify>) -> Arc<Self> {
        let supervisor = SubscriberTask {
            hub: Arc::clone(&hub),
            dialer,
            suspect,
            recovery: Recovery::new(&hub.stats.notifications),
        };
        Arc::new(Self {
            hub,
            _task: Task::spawn(supervisor.run()),
        })
    }

    /// Adds a watcher, to be removed with [`detach`](Self::detach).
    pub(crate) fn attach(&self, keys: Keyspace<'_>, mailbox: Arc<Mailbox>) -> WatcherId {
        let mut registry = self.hub.registry();
        let id = registry.attach(keys, mailbox);
        self.hub.wake_if_changed(registry);
        id
    }

    pub(crate) fn detach(&self, id: WatcherId) {
        let mut registry = self.hub.registry();
        registry.detach(id, Instant::now());
        self.hub.wake_if_changed(registry);
    }

    /// Whether the server would not let us subscribe to something, which another server might.
    pub(crate) fn is_refused(&self) -> bool {
        !self.hub.hopeless.load(Ordering::Relaxed) && self.hub.registry().has_refused()
    }

    /// Tries once more what was refused.
    pub(crate) fn retry(&self) {
        let mut registry = self.hub.registry();
        registry.retry();
        self.hub.wake_if_changed(registry);
    }
}

struct SubscriberTask {
    hub: Arc<Hub>,
    dialer: Dialer,
    suspect: Arc<Notify>,
    recovery: Recovery,
}

impl SubscriberTask {
    async fn run(mut self) {
        for number in 0.. {
            let hub = Arc::clone(&self.hub);
            let pushes: PushHandler = Arc::new(move |push| hub.receive(number, push));
            match self.dialer.notifications(pushes).await {
                Ok(connection) => {
                    self.recovery.connected();
                    let since = Instant::now();
                    let reason = self.serve(number, connection).await;
                    self.hub.disconnect(number);
                    self.suspect.notify_one();
                    self.recovery.lost(since.elapsed(), &reason);
                }
                Err(error) => self.recovery.failed(&error),
            }
            tokio::time::sleep(self.recovery.delay()).await;
        }
    }

    /// Keeps the subscriptions of one connection in step with the registry until the connection fails.
    async fn serve(&self, number: u64, connection: Connection) -> RedisError {
        self.hub.connect(number);
        let mut session = Session {
            hub: &self.hub,
            dialer: &self.dialer,
            connection,
            number,
            mark: 0,
            refusals: 0,
            probes: Probes::default(),
            probed: 0,
        };
        let lease_period = self.hub.near.as_ref().and_then(|near| near.lease_period());
        let mut lease = tokio::time::interval(lease_period.unwrap_or(HEARTBEAT));
        lease.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let outcome = tokio::select! {
                biased;
                () = self.hub.disconnected.notified() => {
                    if self.hub.registry().is_connected(number) {
                        // It was an earlier connection.
                        continue;
                    }
                    return std::io::Error::from(std::io::ErrorKind::ConnectionReset).into();
                }
                () = self.hub.replace.notified() => return std::io::Error::other("the server moved").into(),
                _ = heartbeat.tick() => {
                    self.hub.registry().sweep(Instant::now());
                    session.ping().await
                }
                () = self.hub.check.notified() => session.ping().await,
                () = self.hub.near_to_prepare() => session.prepare_near().await,
                () = self.hub.changed.notified() => match self.hub.trouble {
                    None => session.forward().await,
                    Some(_) => session.ping().await,
                },
                // Last: where an answer takes longer than the period, this is always due.
                _ = lease.tick(), if lease_period.is_some() => session.renew_lease().await,
            };
            if let Err(error) = outcome {
                return error;
            }
        }
    }
}

/// The sending side of one connection.
struct Session<'a> {
    hub: &'a Hub,
    dialer: &'a Dialer,
    connection: Connection,
    number: u64,
    /// The changes up to here have been sent.
    mark: u64,
    refusals: usize,
    probes: Probes,
    /// How many there were.
    probed: u64,
}

impl Session<'_> {
    /// Asks for what near copies need.
    async fn prepare_near(&mut self) -> Result<(), RedisError> {
        let Some(near) = &self.hub.near else { return Ok(()) };
        let mut refusable = false;
        for step in near.steps(self.number) {
            match step {
                NearStep::Subscribe(channel) => {
                    refusable = self.dialer.is_in_cluster();
                    let mut subscribe = Command::new(if refusable { "SSUBSCRIBE" } else { "SUBSCRIBE" });
                    subscribe.arg(channel);
                    self.connection.tell(&subscribe).await?;
                }
                NearStep::Track { tag, prefixes } => {
                    let mut track = Command::new("CLIENT");
                    track.arg("TRACKING").arg("ON").arg("BCAST");
                    for prefix in &prefixes {
                        track.arg("PREFIX").arg(prefix);
                    }
                    let reply = self.connection.send(&track).await?;
                    if let Reply::ServerError(error) = &reply {
                        let error = RedisError::from(error.clone());
                        tracing::warn!(tag, %error, "no near copies: Redis does not tell of changes");
                    }
                    near.tracked(self.number, &tag, reply == Reply::Okay);
                }
            }
        }
        if refusable {
            // Replies come in order: what is not confirmed by then was answered with an error, because the slot is elsewhere.
            self.connection.send(&self.dialer.heartbeat()).await?;
            if near.refuse(self.number) {
                self.hub.trouble();
            }
        }
        self.renew_lease().await
    }

    /// Finds out up to when this process has heard of all changes.
    async fn renew_lease(&mut self) -> Result<(), RedisError> {
        let Some(near) = self.hub.near.as_ref().filter(|near| near.needs_lease()) else {
            self.probes = Probes::default();
            return Ok(());
        };
        // The first answer alone vouches for nothing.
        if self.probes.is_empty() {
            self.probe(near).await?;
        }
        self.probe(near).await
    }

    async fn probe(&mut self, near: &NearFeed) -> Result<(), RedisError> {
        let sent = Sent::now();
        if planted(Planted::NearUnanswered) {
            near.grant(self.number, sent);
        }
        let mut pipeline = Pipeline::with_capacity(3);
        // `HELLO` tells whether the server is a replica by now, which hears of changes late.
        pipeline.command("HELLO").number(3);
        // A server that is busy with a script answers `HELLO` but not `PING`, and does not tell of changes. This `PING`
        // has a word of its own, so that no other answer is taken for the answer to it.
        self.probed += 1;
        let word = self.probed.to_string();
        pipeline.command("PING").arg(&word);
        if self.dialer.is_in_cluster() {
            // A node that is cut off from the others may have been replaced, or have lost slots.
            pipeline.command("CLUSTER").arg("INFO");
        }
        let replies = self.connection.send_all(&pipeline).await?;
        let is_good = match &replies[..] {
            [hello, Reply::BulkString(pong), rest @ ..] if pong == word.as_bytes() && is_master(hello) => match rest {
                [info] => match standing(info) {
                    Some((true, epoch)) => {
                        near.has_map(self.number, epoch);
                        true
                    }
                    _ => false,
                },
                _ => !self.dialer.is_in_cluster(),
            },
            _ => false,
        };
        match is_good {
            true => {
                if let Some(sent) = self.probes.answered(sent) {
                    near.grant(self.number, sent);
                }
            }
            false => self.probes = Probes::default(),
        }
        Ok(())
    }

    /// Sends the changes of the registry, one channel a command, in order.
    async fn forward(&mut self) -> Result<(), RedisError> {
        let (changes, mark) = self.hub.registry().take_changes();
        for change in changes {
            let (name, channel) = match &change {
                SubscriptionChange::Subscribe(channel) => (self.hub.command(true, channel), &**channel),
                SubscriptionChange::Unsubscribe(channel) => (self.hub.command(false, channel), &**channel),
                SubscriptionChange::Fence => ("UNSUBSCRIBE", FENCE),
            };
            let mut command = Command::new(name);
            command.arg(channel);
            self.connection.tell(&command).await?;
        }
        self.mark = mark;
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), RedisError> {
        self.forward().await?;
        let reply = self.connection.send(&self.dialer.heartbeat()).await?;
        let right = self.dialer.check(&self.connection, &reply);
        right.map_err(std::io::Error::other)?;
        if let Reply::ServerError(error) = reply
            && error::verdict(&error) != DialVerdict::Keep
        {
            return Err(error.into());
        }
        // Replies come in order: what was sent before and is not confirmed by now was answered with an error.
        let mut registry = self.hub.registry();
        if let Some(channel) = registry.refuse(self.mark) {
            self.refusals += 1;
            let hopeless = self.hub.trouble.is_none() || self.refusals >= MANY;
            self.hub.hopeless.store(hopeless, Ordering::Relaxed);
            if hopeless {
                self.hub.denials.note_channel(&channel);
            } else {
                self.hub.trouble();
            }
        } else if self.refusals > 0 && !registry.has_refused() {
            self.refusals = 0;
            self.hub.hopeless.store(false, Ordering::Relaxed);
        }
        self.hub.wake_if_changed(registry);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
