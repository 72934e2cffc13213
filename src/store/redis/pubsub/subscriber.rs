//! The notification plane: a connection of its own, on which nothing but `SUBSCRIBE`, `UNSUBSCRIBE` and `PING` is
//! ever sent.
//!
//! A Redis Cluster has one for each master, and sharded channels besides plain ones. There a server is asked right away
//! whether it took a subscription: it may have given the slot away.
//!
//! The replies of subscriptions are not awaited; they arrive as push messages, in order, by name. So does whatever
//! is published, and both are handled on the connection's own task, without a hop through another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::SendError;
use redis::{Cmd, Pipeline, PushInfo, PushKind, RedisError, Value as Reply};
use tokio::sync::Notify;

use super::mailbox::Mailbox;
use super::registry::{Registry, SubscriptionChange, WatcherId};
use crate::store::redis::conn::connection::Connection;
use crate::store::redis::conn::denied::Denials;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::error::{self, DialVerdict};
use crate::store::redis::conn::hello::is_master;
use crate::store::redis::conn::recovery::Recovery;
use crate::store::redis::conn::task::Task;
use crate::store::redis::near::{Near, NearStep, Probes, Sent};
use crate::store::redis::protocol::keyspace::{Keyspace, is_sharded};
use crate::store::redis::stats::RedisCounters;

/// How often the connection has to show that it works: a server that vanished is noticed within about this time
/// and the answer timeout.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// So often may a node of a cluster refuse a subscription because of a slot on the move.
const MANY: usize = 8;

/// The registry, and what wakes the task that acts on it.
pub(crate) struct Hub {
    pub(crate) stats: Arc<RedisCounters>,
    registry: Mutex<Registry>,
    changed: Notify,
    disconnected: Notify,
    check: Notify,
    replace: Notify,
    pub(crate) denials: Denials,
    /// To whom a node of a cluster tells what a look at the others may explain.
    trouble: Option<Arc<Notify>>,
    /// What is refused will be refused again.
    hopeless: AtomicBool,
    /// What is known of near copies. Not in a cluster.
    near: Option<Arc<Near>>,
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
    pub(crate) fn of_cluster(trouble: Arc<Notify>) -> Self {
        Self {
            trouble: Some(trouble),
            ..Self::default()
        }
    }

    /// For one server, whose changes near copies follow.
    pub(crate) fn with_near(near: Arc<Near>) -> Self {
        Self {
            near: Some(near),
            ..Self::default()
        }
    }

    fn trouble(&self) {
        if let Some(trouble) = &self.trouble {
            trouble.notify_one();
        }
    }

    /// What to send about a channel.
    fn command(&self, subscribe: bool, channel: &str) -> &'static str {
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

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_if_changed(&self, registry: MutexGuard<'_, Registry>) {
        let changed = registry.has_changes();
        drop(registry);
        if changed {
            self.changed.notify_one();
        }
    }

    /// Handles a push message of the connection with this number.
    fn receive(&self, connection: u64, push: PushInfo) {
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
                PushKind::Message => match data.as_slice().first() {
                    Some(Reply::BulkString(payload)) => near.heard(connection, channel, payload),
                    _ => false,
                },
                PushKind::Subscribe => near.confirmed(connection, channel, true),
                PushKind::Unsubscribe => near.confirmed(connection, channel, false),
                _ => false,
            };
            if is_near {
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
}

impl Hub {
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
            // All of them, or what cannot be read.
            _ => near.changed_all(connection),
        }
    }

    fn connect(&self, connection: u64) {
        self.registry().connect(connection);
        if let Some(near) = &self.near {
            near.connected(connection);
        }
    }

    fn disconnect(&self, connection: u64) {
        // First, because it is what others rely on.
        if let Some(near) = &self.near {
            near.disconnected(connection);
        }
        self.registry().disconnect(connection);
    }

    /// Resolves when near copies need something to be sent.
    async fn near_to_prepare(&self) {
        match &self.near {
            Some(near) => near.to_prepare().await,
            None => std::future::pending().await,
        }
    }
}

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
        registry.detach(id);
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
            let sender = move |push| {
                hub.receive(number, push);
                Ok::<(), SendError>(())
            };
            match self.dialer.notifications(sender).await {
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
                _ = heartbeat.tick() => session.ping().await,
                () = self.hub.check.notified() => session.ping().await,
                () = self.hub.near_to_prepare() => session.prepare_near().await,
                _ = lease.tick(), if lease_period.is_some() => session.renew_lease().await,
                () = self.hub.changed.notified() => match self.hub.trouble {
                    None => session.forward().await,
                    Some(_) => session.ping().await,
                },
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
        for step in near.steps(self.number) {
            match step {
                NearStep::Subscribe(channel) => {
                    let mut subscribe = Cmd::new();
                    subscribe.arg("SUBSCRIBE").arg(channel).set_no_response(true);
                    self.connection.send(&subscribe).await?;
                }
                NearStep::Track { tag, prefixes } => {
                    let mut track = Cmd::new();
                    track.arg("CLIENT").arg("TRACKING").arg("ON").arg("BCAST");
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
        self.renew_lease().await
    }

    /// Finds out until when all has been heard that was changed.
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

    async fn probe(&mut self, near: &Near) -> Result<(), RedisError> {
        let sent = Sent::now();
        let mut pipeline = Pipeline::with_capacity(2);
        // A server that answers this may be a replica by now, which hears of changes when it can.
        pipeline.cmd("HELLO").arg(3);
        // One that is busy with a script answers that, and does not tell of changes. With a word of its own, so that no other
        // answer is taken for this one.
        self.probed += 1;
        let word = self.probed.to_string();
        pipeline.cmd("PING").arg(&word);
        let replies = self.connection.send_all(&pipeline).await?;
        let is_good = match &replies[..] {
            [hello, Reply::BulkString(pong)] => pong == word.as_bytes() && is_master(hello),
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
            let (subscribe, channel) = match change {
                SubscriptionChange::Subscribe(channel) => (true, channel),
                SubscriptionChange::Unsubscribe(channel) => (false, channel),
            };
            let mut command = Cmd::new();
            command
                .arg(self.hub.command(subscribe, &channel))
                .arg(&*channel)
                .set_no_response(true);
            self.connection.send(&command).await?;
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
