//! [`Link`]: one server or many, as the store sees them.

use std::sync::Arc;

use super::cluster::{Cluster, ClusterSeat};
use super::commands::{Commands, Sending};
use super::failover;
use super::signals::Signals;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::Address;
use crate::store::Watch;
use crate::store::notice::{Notice, Release};
use crate::store::redis::backlog::Backlog;
use crate::store::redis::conn::bulk::Transfer;
use crate::store::redis::conn::connection::Connection;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::error::{DialError, Unroutable};
use crate::store::redis::conn::reply::GetReply;
use crate::store::redis::conn::task::Task;
use crate::store::redis::near::{Near, NearFeed};
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::pubsub::hub::Hub;
use crate::store::redis::pubsub::mailbox::Mailbox;
use crate::store::redis::pubsub::registry::WatcherId;
use crate::store::redis::pubsub::subscriber::Subscriber;
use crate::store::redis::resp::{Command, Pipeline, Reply};
use crate::store::redis::stats::RedisStats;

/// The way to whichever server has a key.
pub(crate) enum Link {
    Server(Box<Server>),
    Cluster(Cluster, Unroutable),
}

/// One server, or whichever is the master.
pub(crate) struct Server {
    dialer: Dialer,
    commands: Arc<Commands>,
    subscriber: Arc<Subscriber>,
    near: Arc<NearFeed>,
    _supervisor: Task,
    _scout: Option<Task>,
}

impl Server {
    pub(crate) fn start(dialer: Dialer, first: Result<Connection, DialError>, near: &Arc<Near>) -> Self {
        let near = near.feed();
        let hub = Arc::new(Hub::with_near(Arc::clone(&near)));
        let signals = Signals::default();
        let scout = dialer.sentinels().map(Arc::clone);
        let scout = scout.map(|sentinels| {
            let (hub, check) = (Arc::clone(&hub), Arc::clone(&signals.check));
            Task::spawn(failover::keep_looking(sentinels, dialer.clone(), hub, check))
        });
        let subscriber = Subscriber::start(Arc::clone(&hub), dialer.clone(), Arc::clone(&signals.check));
        let (commands, supervisor) = Commands::start(dialer.clone(), hub, signals, Some(first));
        Self {
            dialer,
            commands,
            subscriber,
            near,
            _supervisor: supervisor,
            _scout: scout,
        }
    }
}

impl Link {
    /// Sends one command about the keys of one address. The reply may be a [`Reply::ServerError`].
    pub(crate) async fn send(&self, keys: Keyspace<'_>, command: &Command) -> Result<Reply, StoreError> {
        match self {
            Self::Server(server) => server.commands.send(command).await,
            // Boxed, because a server of its own need not keep room for it.
            Self::Cluster(cluster, unroutable) => Box::pin(cluster.send(routed(unroutable, keys)?, command)).await,
        }
    }

    /// Sends `GET` of one of the names of one address. The reply may be a [`Reply::ServerError`].
    pub(crate) async fn get(&self, keys: Keyspace<'_>, name: &str) -> Result<GetReply, StoreError> {
        match self {
            Self::Server(server) => server.commands.get(name).await,
            Self::Cluster(..) => {
                let reply = Box::pin(async { self.send(keys, &Command::get(name)).await }).await;
                reply.map(GetReply::Other)
            }
        }
    }

    /// Sends one command about a large value under the keys of one address. The reply may be a [`Reply::ServerError`].
    pub(crate) fn send_large<'a>(
        &'a self,
        keys: Keyspace<'a>,
        command: &'a Command,
        transfer: Transfer,
    ) -> Sending<'a> {
        match self {
            Self::Server(server) => server.commands.send_large(command, transfer),
            Self::Cluster(cluster, unroutable) => Box::pin(async move {
                let hash_tag = routed(unroutable, keys)?;
                cluster.send_large(hash_tag, command, transfer).await
            }),
        }
    }

    /// Sends several commands about the keys of one address, in one round trip. Each reply may be a
    /// [`Reply::ServerError`].
    pub(crate) async fn send_all(&self, keys: Keyspace<'_>, pipeline: &Pipeline) -> Result<Vec<Reply>, StoreError> {
        match self {
            Self::Server(server) => server.commands.send_all(pipeline).await,
            Self::Cluster(cluster, unroutable) => Box::pin(cluster.send_all(routed(unroutable, keys)?, pipeline)).await,
        }
    }

    /// The same, and the feed of the server that has answered, unless several nodes of a cluster have.
    pub(crate) async fn send_all_from(
        &self,
        keys: Keyspace<'_>,
        pipeline: &Pipeline,
    ) -> Result<(Vec<Reply>, Option<Arc<NearFeed>>), StoreError> {
        match self {
            Self::Server(server) => {
                let replies = server.commands.send_all(pipeline).await?;
                Ok((replies, Some(Arc::clone(&server.near))))
            }
            Self::Cluster(cluster, unroutable) => {
                Box::pin(cluster.send_all_from(routed(unroutable, keys)?, pipeline)).await
            }
        }
    }

    /// The feed of the server with the keys of one address, which tells of their changes.
    pub(crate) fn near(&self, keys: Keyspace<'_>) -> Option<Arc<NearFeed>> {
        match self {
            Self::Server(server) => Some(Arc::clone(&server.near)),
            Self::Cluster(cluster, _) => cluster.near(keys.hash_tag()?),
        }
    }

    /// Sends several commands to any server, and says how that is connected to.
    pub(crate) async fn try_out(&self, pipeline: &Pipeline) -> Result<(Vec<Reply>, Dialer), StoreError> {
        match self {
            Self::Server(server) => Ok((server.commands.send_all(pipeline).await?, server.dialer.clone())),
            Self::Cluster(cluster, _) => {
                let (dialer, endpoint) = cluster.any_node().await?;
                Ok((cluster.send_all_to(&endpoint, pipeline).await?, dialer))
            }
        }
    }

    /// The database that the keys are in. A Redis Cluster has one.
    pub(crate) fn database(&self) -> i64 {
        match self {
            Self::Server(server) => server.dialer.database(),
            Self::Cluster(..) => 0,
        }
    }

    /// The names of all keys that match.
    pub(crate) async fn scan(&self, pattern: &str) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Server(server) => server.commands.scan(pattern).await,
            Self::Cluster(cluster, _) => cluster.scan(pattern).await,
        }
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(..))
    }

    pub(crate) fn epoch(&self) -> u64 {
        match self {
            Self::Server(server) => server.commands.epoch(),
            Self::Cluster(cluster, _) => cluster.epoch(),
        }
    }

    /// Whether commands about the keys of one address can be sent.
    pub(crate) fn is_connected(&self, keys: Keyspace<'_>) -> bool {
        match self {
            Self::Server(server) => server.commands.is_connected(),
            Self::Cluster(cluster, _) => keys.hash_tag().is_some_and(|hash_tag| cluster.is_connected(hash_tag)),
        }
    }

    pub(crate) fn stats(&self) -> RedisStats {
        match self {
            Self::Server(server) => server.commands.stats().snapshot(),
            Self::Cluster(cluster, _) => cluster.stats(),
        }
    }

    pub(crate) fn watch(&self, address: &Address, backlog: &Arc<Backlog>) -> RedisWatch {
        let stats = match self {
            Self::Server(server) => server.commands.stats(),
            Self::Cluster(cluster, _) => cluster.counters(),
        };
        let (keys, mailbox) = (
            Keyspace::new(address, self.database()),
            Arc::new(Mailbox::new(Arc::clone(stats))),
        );
        let place = match self {
            Self::Server(server) => {
                let id = server.subscriber.attach(keys, Arc::clone(&mailbox));
                WatchSeat::Server(Arc::clone(&server.subscriber), id)
            }
            Self::Cluster(cluster, unroutable) => match routed(unroutable, keys) {
                Ok(hash_tag) => WatchSeat::Cluster(cluster.watch(address, hash_tag, &mailbox)),
                Err(_) => {
                    // Reading tells what is wrong.
                    mailbox.push(Notice::Reread);
                    WatchSeat::Nowhere
                }
            },
        };
        RedisWatch {
            mailbox,
            address: address.clone(),
            backlog: Arc::clone(backlog),
            _place: place,
        }
    }
}

/// The hash tag, which decides where an address is.
fn routed<'a>(unroutable: &Unroutable, keys: Keyspace<'a>) -> Result<&'a str, StoreError> {
    keys.hash_tag().ok_or_else(|| {
        let refused = unroutable.refuse(keys.tag(), keys.id());
        StoreError::with_source(StoreErrorKind::Config, refused)
    })
}

/// The notices of a [`RedisStore`](crate::store::redis::RedisStore) about one address.
pub struct RedisWatch {
    mailbox: Arc<Mailbox>,
    address: Address,
    backlog: Arc<Backlog>,
    _place: WatchSeat,
}

enum WatchSeat {
    Server(Arc<Subscriber>, WatcherId),
    Cluster(#[expect(dead_code, reason = "held for its drop")] ClusterSeat),
    Nowhere,
}

impl Drop for WatchSeat {
    fn drop(&mut self) {
        if let Self::Server(subscriber, id) = self {
            subscriber.detach(*id);
        }
    }
}

impl Watch for RedisWatch {
    async fn next(&mut self) -> Notice {
        match self.mailbox.next().await {
            // The value may be from before an invalidation of which the publisher has not heard.
            Notice::Stored(_) | Notice::Kept(_) | Notice::Part(..) | Notice::Released(Release::Shared(_))
                if self.backlog.covers(&self.address) =>
            {
                Notice::Invalidated
            }
            notice => notice,
        }
    }
}

impl std::fmt::Debug for RedisWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisWatch").finish_non_exhaustive()
    }
}
