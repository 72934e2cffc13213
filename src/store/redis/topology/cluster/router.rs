//! [`Cluster`]: commands on their way to the right node.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::node::Node;
use super::redirect::Redirect;
use super::refresh::{self, Seeds};
use super::topology::Topology;
use super::view::View;
use super::watches::{ClusterSeat, Watches};
use crate::error::StoreError;
use crate::key::Address;
use crate::store::redis::conn::address::Endpoint;
use crate::store::redis::conn::bulk::Transfer;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::error::{self, DialError};
use crate::store::redis::conn::task::Task;
use crate::store::redis::near::{Near, NearFeed};
use crate::store::redis::protocol::slot::slot_of;
use crate::store::redis::pubsub::mailbox::Mailbox;
use crate::store::redis::resp::{Command, Pipeline, Reply};
use crate::store::redis::stats::{RedisCounters, RedisStats};
use crate::store::redis::topology::signals::Signals;

/// The first and the longest pause while a slot is on its way.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// The nodes, the map of the slots, and the watches.
pub(crate) struct Cluster {
    shared: Arc<ClusterShared>,
    _refresher: Task,
}

/// The parts that the refresher uses as well.
pub(crate) struct ClusterShared {
    topology: RwLock<Arc<Topology>>,
    /// Held while the topology changes, so that no change undoes another.
    changing: Mutex<()>,
    watches: Arc<Watches>,
    counters: Arc<RedisCounters>,
    /// The figures of nodes that are gone.
    departed: Mutex<RedisStats>,
    near: Arc<Near>,
    pub(crate) signals: Signals,
    pub(crate) seeds: Seeds,
    timeout: Duration,
    connect_timeout: Duration,
}

impl Cluster {
    /// Finds the nodes through the seeds, and connects to them for at most `connect_timeout`.
    ///
    /// An error only where it is of no use to go on trying.
    pub(crate) async fn start(
        seeds: Vec<Dialer>,
        timeout: Duration,
        connect_timeout: Duration,
        near: Arc<Near>,
    ) -> Result<Self, DialError> {
        let shared = Arc::new(ClusterShared {
            topology: RwLock::default(),
            changing: Mutex::default(),
            watches: Arc::default(),
            counters: Arc::default(),
            departed: Mutex::default(),
            near,
            signals: Signals::of_cluster(),
            seeds: Seeds::new(seeds),
            timeout,
            connect_timeout,
        });
        match refresh::now(&shared).await {
            Err(error) if error.is_permanent() => return Err(error),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no connection to Redis Cluster"
            ),
            Ok(()) => shared.connected().await,
        }
        Ok(Self {
            _refresher: Task::spawn(refresh::keep(Arc::clone(&shared))),
            shared,
        })
    }

    /// Sends one command about keys with this hash tag. The reply may be a [`Reply::ServerError`].
    pub(crate) async fn send(&self, hash_tag: &str, command: &Command) -> Result<Reply, StoreError> {
        self.shared.send(slot_of(hash_tag), command, None).await
    }

    /// The same for a command about a large value. While its slot moves from one node to another, the command goes with
    /// the others.
    pub(crate) async fn send_large(&self, tag: &str, command: &Command, large: Transfer) -> Result<Reply, StoreError> {
        self.shared.send(slot_of(tag), command, Some(large)).await
    }

    /// Sends several commands, in one round trip unless their slot is on its way. Each reply may be a
    /// [`Reply::ServerError`].
    pub(crate) async fn send_all(&self, hash_tag: &str, pipeline: &Pipeline) -> Result<Vec<Reply>, StoreError> {
        let (replies, _) = self.send_all_from(hash_tag, pipeline).await?;
        Ok(replies)
    }

    /// The same, and the feed of the node that has answered, if that node had the slot all the time.
    pub(crate) async fn send_all_from(
        &self,
        hash_tag: &str,
        pipeline: &Pipeline,
    ) -> Result<(Vec<Reply>, Option<Arc<NearFeed>>), StoreError> {
        let slot = slot_of(hash_tag);
        let home = self.shared.home(slot).await?;
        let mut replies = home.commands.send_all(pipeline).await?;
        let Some(first) = replies.iter().position(|reply| Redirect::read(reply).is_some()) else {
            return Ok((replies, Some(Arc::clone(&home.near))));
        };
        // The commands behind it in the pipeline may have been answered too early.
        for (at, command) in pipeline.iter().enumerate().skip(first) {
            replies[at] = if at == first {
                let reply = std::mem::replace(&mut replies[at], Reply::Nil);
                self.shared.follow(slot, command, None, reply).await?
            } else {
                self.shared.send(slot, command, None).await?
            };
        }
        Ok((replies, None))
    }

    /// The feed of the node for keys with this hash tag, which tells of their changes.
    pub(crate) fn near(&self, hash_tag: &str) -> Option<Arc<NearFeed>> {
        let topology = self.shared.topology();
        topology.home(slot_of(hash_tag)).map(|node| Arc::clone(&node.near))
    }

    /// A node to ask where slots do not matter.
    pub(crate) async fn any_node(&self) -> Result<(Dialer, Endpoint), StoreError> {
        let topology = self.shared.topology();
        let node = topology.nodes().iter().find(|node| node.commands.is_connected());
        tokio::task::consume_budget().await;
        let node = node.ok_or_else(error::unavailable)?;
        Ok((node.dialer.clone(), node.endpoint.clone()))
    }

    /// Sends several commands to that node.
    pub(crate) async fn send_all_to(&self, endpoint: &Endpoint, pipeline: &Pipeline) -> Result<Vec<Reply>, StoreError> {
        let topology = self.shared.topology();
        let node = topology.node(endpoint).ok_or_else(error::unavailable)?;
        node.commands.send_all(pipeline).await
    }

    /// The names of all keys that match, on whichever node.
    pub(crate) async fn scan(&self, pattern: &str) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for node in self.shared.topology().nodes() {
            names.extend(node.commands.scan(pattern).await?);
        }
        Ok(names)
    }

    pub(crate) fn watch(&self, address: &Address, hash_tag: &str, mailbox: &Arc<Mailbox>) -> ClusterSeat {
        self.shared.watches.add(address, slot_of(hash_tag), mailbox)
    }

    /// Counts what belongs to no node.
    pub(crate) fn counters(&self) -> &Arc<RedisCounters> {
        &self.shared.counters
    }

    pub(crate) fn stats(&self) -> RedisStats {
        let topology = self.shared.topology();
        let nodes = topology.nodes().iter().map(|node| node.commands.stats().snapshot());
        let departed = *self.shared.departed.lock().unwrap_or_else(PoisonError::into_inner);
        let own = self.shared.counters.snapshot();
        let all = nodes.reduce(RedisStats::and).unwrap_or(own);
        all.and(own.departed()).and(departed.departed())
    }

    /// Whether the node for keys with this hash tag is connected.
    pub(crate) fn is_connected(&self, hash_tag: &str) -> bool {
        let topology = self.shared.topology();
        let home = topology.home(slot_of(hash_tag));
        home.is_some_and(|node| node.commands.is_connected())
    }

    /// Changes whenever a node may have forgotten its locks.
    pub(crate) fn epoch(&self) -> u64 {
        self.shared.signals.epoch.load(Ordering::Acquire)
    }
}

impl ClusterShared {
    pub(crate) fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.topology.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The master of a slot. If it has just become the master, waits until there is a connection, or no hope for one.
    async fn home(&self, slot: u16) -> Result<Arc<Node>, StoreError> {
        let Some(home) = self.topology().home(slot).map(Arc::clone) else {
            // As without a connection: failing must not keep the thread from the tasks that repair it.
            tokio::task::consume_budget().await;
            return Err(error::unavailable());
        };
        self.ready(&home).await;
        Ok(home)
    }

    async fn send(&self, slot: u16, command: &Command, large: Option<Transfer>) -> Result<Reply, StoreError> {
        let home = self.home(slot).await?;
        let reply = home.send(command, large).await?;
        self.follow(slot, command, large, reply).await
    }

    /// Sends a command to wherever the reply to it says, for as long as an answer may take.
    async fn follow(
        &self,
        slot: u16,
        command: &Command,
        large: Option<Transfer>,
        mut reply: Reply,
    ) -> Result<Reply, StoreError> {
        let since = Instant::now();
        let mut pause = PAUSE.0;
        while let Some(redirect) = Redirect::read(&reply) {
            if since.elapsed() >= self.timeout {
                return Err(error::unsettled(reply));
            }
            reply = match redirect {
                Redirect::Moved(endpoint) => {
                    let node = self.moved(slot, endpoint);
                    self.ready(&node).await;
                    node.send(command, large).await?
                }
                Redirect::Ask(endpoint) => {
                    let node = self.node(endpoint, slot);
                    self.ready(&node).await;
                    ask(&node, command).await?
                }
                Redirect::Again => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                    self.home(slot).await?.send(command, large).await?
                }
            };
        }
        Ok(reply)
    }

    /// Waits for the first connection to a node, for as long as that may take. A connection that is lost later is not waited for.
    async fn ready(&self, node: &Node) {
        if !node.commands.was_connected() {
            let left = self.connect_timeout.saturating_sub(node.since.elapsed());
            node.commands.connected_within(left).await;
        }
    }

    /// Takes note that a slot has moved.
    fn moved(&self, slot: u16, endpoint: Endpoint) -> Arc<Node> {
        let node = self.node(endpoint, slot);
        // Of many commands that learn it together, the first takes note.
        if self.topology().home(slot).is_none_or(|home| !Arc::ptr_eq(home, &node)) {
            self.change(|topology| {
                let mut next = topology.clone();
                next.give(slot, &node.endpoint);
                next
            });
        }
        self.signals.trouble.notify_one();
        node
    }

    /// The node at an endpoint that was named in the answer of the master of `slot`.
    fn node(&self, (host, port): Endpoint, slot: u16) -> Arc<Node> {
        let topology = self.topology();
        let host = match topology.home(slot) {
            Some(home) if host.is_empty() => home.endpoint.0.clone(),
            _ => host,
        };
        let endpoint = (host, port);
        if let Some(node) = topology.node(&endpoint) {
            return Arc::clone(node);
        }
        let node = self.start(&endpoint);
        self.change(|topology| {
            let mut next = topology.clone();
            if next.node(&endpoint).is_none() {
                next.add(Arc::clone(&node));
            }
            next
        });
        self.topology().node(&endpoint).map_or(node, Arc::clone)
    }

    fn start(&self, endpoint: &Endpoint) -> Arc<Node> {
        Node::start(
            self.seeds.master_at(endpoint),
            endpoint.clone(),
            &self.signals,
            &self.near,
        )
    }

    /// Takes over a node's view of the cluster.
    pub(crate) fn adopt(&self, view: &View) {
        self.change(|topology| topology.next(view, |endpoint| self.start(endpoint)));
        for node in self.topology().nodes() {
            node.subscriber.retry();
        }
    }

    fn change(&self, next: impl FnOnce(&Topology) -> Topology) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.topology();
        let next = Arc::new(next(&old));
        let losers = old.losers(&next);
        if !losers.is_empty() {
            // Before a command can reach the new master: a holder that learns of a lost lease must see the change.
            self.signals.epoch.fetch_add(1, Ordering::AcqRel);
        }
        for node in old.nodes().iter().filter(|node| next.node(&node.endpoint).is_none()) {
            let mut departed = self.departed.lock().unwrap_or_else(PoisonError::into_inner);
            *departed = departed.and(node.commands.stats().snapshot());
        }
        *self.topology.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        self.watches.settle(&next);
        // These nodes need not have told of the keys that they have lost.
        losers.iter().for_each(|node| node.near.forget_all());
        self.near.map_changed();
    }

    /// Waits for all nodes to be connected, unless that takes too long.
    async fn connected(&self) {
        for node in self.topology().nodes() {
            self.ready(node).await;
        }
    }
}

/// Asks for a key that may have arrived where its slot is on its way to.
async fn ask(node: &Node, command: &Command) -> Result<Reply, StoreError> {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.command("ASKING");
    pipeline.add(command.clone());
    let replies = node.commands.send_all(&pipeline).await?;
    replies.into_iter().nth(1).ok_or_else(error::unexpected)
}
