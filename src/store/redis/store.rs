//! [`RedisStore`]: a handle on its connections.

mod delivery;
mod operations;
mod parts;
mod reading;
mod staging;
mod steps;

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;

use super::acl;
use super::backlog::Backlog;
use super::builder::RedisStoreBuilder;
use super::conn::task::Task;
use super::large::Sizes;
use super::near::{self, HasLink, Near, NearOwed};
use super::oversized::Oversized;
use super::parts::Askings;
use super::reads::Reads;
use super::stats::RedisStats;
use super::topology::link::Link;
use super::writing::WriteSettings;
use crate::counter::Visit;
use crate::crowd::Crowds;
use crate::error::StoreError;
use crate::key::Tag;
use crate::task::BoxFuture;

/// A store that the nodes of a cluster share: one Redis server of version 6 or newer, the master that
/// [Sentinel](Self::sentinel) names, or a [Redis Cluster](Self::cluster).
///
/// Clones share two connections to a server, which are replaced as soon as they fail, and open a third for [large
/// values](#large-values). While there is no connection for commands, every method fails at once.
///
/// # What is sent
///
/// With the tag `T` and the id `ID`:
///
/// | what | name | |
/// |---|---|---|
/// | value | `T:ID` | the encoded value, or a marker that there is none to share, with a TTL |
/// | lock | `T/lock:ID` | the holder's token, `SET NX PX` |
/// | promise | `T/notif:ID` | each payload is a stored value, to the letter, of some database of the server |
/// | control | `T/ctl:ID`, or `T/ctl/N:ID` in database *N* | everything else there is to say |
/// | generations | `T/gen:{T}` | what was invalidated by tag, and when: one sorted set |
/// | part | `T/part:ID` | what there is of a value under way, if another process [reads along](crate::docs::guide::streaming) |
/// | near | `T/gen:{T}/near` | the processes that keep [near copies](crate::docs::guide::near), if there are some |
///
/// A lookup is one `GET`, and one `ZSCORE` for each tag of the value. Acquiring is one pipeline of plain commands.
/// Commit, renew and release are scripts that act only while the lock holds the caller's token. An idle connection is
/// sent a `PING` every second, with Sentinel and in a Redis Cluster a `HELLO`.
///
/// # Other members of the family
///
/// Programs in any language may lead, wait and resolve under ids to the letter, with plain commands: `SET lock token NX
/// EX`, `SET value EX` and `PUBLISH promise value`. If such a program leaves a step out, that costs time and no answer:
/// a value that it does not publish is found when the lock's lease ends; callers wait until then for a lock that it
/// does not give back, and for the [wait timeout](crate::MemoLock::wait_timeout) for a lock that lasts for centuries.
/// The program reads and hears the value to the letter, with two exceptions. A value with tags, or under a
/// [`stamped`](crate::MemoLock::stamped) handle, stands behind its stamp and is not published. A value that itself
/// begins with the sixteen bytes in front of a stamp is escaped by them. Any other value that begins with these bytes
/// and has no stamp behind them counts as absent.
///
/// # Invalidations
///
/// If Redis does not acknowledge an invalidation, the store sends it again on the next connection, for which the caller
/// waits about a second, once in an outage. If that does not help, because Redis is away, stands still, is read-only or
/// the like, the call ends in a [`Pending`](crate::StoreErrorKind::Pending) error and the store keeps the invalidation.
/// Until Redis has taken it, the store and its clones count the values that it concerns as absent, and store none
/// there. The store tries at least twice a second, and before it reads anything else that the invalidation concerns.
/// Other nodes serve what they find until then.
///
/// The store keeps up to 65,536 invalidations. Beyond that, everything under the tag counts as absent, and is removed
/// once Redis can be reached. Removing it takes `SCAN`, for which the user needs the permission; otherwise the tag
/// stays out of use until a restart.
///
/// A Redis that is full takes no invalidation by tag. The store then deletes what Redis knows of the tag's generations,
/// so that everything with a stamp under it is out of date.
///
/// [`RedisStats`] counts pending invalidations. Those that are pending when the runtime ends are lost, and logged as an
/// error; a [`shutdown`](crate::MemoLock::shutdown) waits up to two seconds for them.
///
/// # Two planes
///
/// Commands and subscriptions have a connection each, because a client that mixes them can take the confirmation of a
/// subscription for the reply of a command, and hand one caller the value of another. Both are supervised: a connection
/// that breaks, or does not answer in time, is replaced in the background, as often as need be.
///
/// # Large values
///
/// Values of 64 KiB and more pass over a connection of their own, which is opened when it is needed and closed after
/// half a minute without use. The store learns which values are large from what it has read and written; where a large
/// one turns up among other commands, those that come later go on with another connection. At most one read of a large
/// value is under way in each process. The callers that arrive meanwhile share the next one.
///
/// The store waits for an answer that keeps arriving, however long it takes: the [timeout](RedisStoreBuilder::timeout)
/// is for a server that falls silent. To send a large value it allows a further second for each half MiB. With TLS the
/// store cannot see bytes arrive, and allows as much time for reading. A read or write that finds two others in front
/// of it for as long as the timeout fails, as if there were no connection.
///
/// # Sentinel
///
/// The master is the server that most of the sentinels name, if it says so too. The store asks the sentinels for every
/// connection, and once a second besides. Both connections leave a master that was demoted, or cut off without being
/// told, within some two seconds. Callers that only wait then read again what they may have missed.
///
/// # Redis Cluster
///
/// Redis 7.0, Valkey 7.2 or newer. There are two connections to every master, and a third for large values; replicas
/// are never read. A master that is down is out of use for the keys it has, and no other key is slower for it, except that
/// invalidations under a tag wait for half a second while the master with the tag's own slot is down: they may have to be told to
/// [near copies](crate::docs::guide::near). The
/// store looks at the map of the slots on every `MOVED`, lost connection, late heartbeat and `sunsubscribe`, and every
/// ten seconds. A watch moves with the slot of its key, and its watcher is told to read again. While a slot moves, the
/// store asks for its keys at both ends. A commit then has to wait for the slot to arrive, for at most the
/// [timeout](RedisStoreBuilder::timeout), after which its value stays in this process.
///
/// A command that is sent from node to node takes no longer than two timeouts and the time to connect.
///
/// Value and lock have to be in one slot, so an id needs a hash tag. The ids of the middleware and of
/// [`Key::builder`](crate::Key::builder) have one. An id to the letter is `{kristoff}` and not `kristoff`; otherwise it
/// is refused with a [`Config`](crate::StoreErrorKind::Config) error, and computed without the store.
///
/// Ids that are derived from several parts, `{GET /x}` for instance, use sharded Pub/Sub: their channels live on the
/// node of the slot, and other programs publish and listen there with `SPUBLISH` and `SSUBSCRIBE`. Such an id is one
/// pair of braces with a blank, and no brace, in it. All other ids use plain Pub/Sub as on a single server, and reach
/// any member of the family on any node.
///
/// # TLS
///
/// `rediss://` URLs are for TLS 1.2 and 1.3, with the feature `tls`. The [builder](RedisStoreBuilder) takes a private
/// CA and a client certificate. A program that installs a crypto provider of rustls does so before it connects, or
/// finds ring installed.
///
/// # Permissions
///
/// A Redis user for the tag `report` that may do what the store does and nothing else:
///
/// ```text
/// ACL SETUSER memo on >password resetchannels ~report:* ~report/lock:* ~report/gen:* &report/notif:*
///     &report/ctl:* +get +set +pttl +pexpire +del +zscore +zrevrange +zadd +zcard +zremrangebyrank +time
///     +eval +evalsha +publish +subscribe +unsubscribe +ping
/// ```
///
/// and `+getrange`, without which the whole of a large response is read for a `HEAD`, a 304 or a range, and none as its
/// client reads, and `~report/part:* +rename`, without which a script carries each value over the
/// [`inline_limit`](RedisStoreBuilder::inline_limit) and holds up other clients, and `+select` and `&report/ctl/N:*` where the URL names database *N*, and in a Redis Cluster
/// `+spublish +ssubscribe +sunsubscribe +asking +cluster|info +cluster|slots`. [Near copies](RedisStoreBuilder::near) need
/// `+client|tracking` as well, on Redis 6 `+client`; there are none without it. Followers that [read along](crate::docs::guide::streaming) in other
/// processes need `~report/part:* +append +strlen +getrange +rename +hset +hvals`, and wait for the end without it. Every further tag needs its own five
/// patterns. Redis 6.0, which knows no patterns of channels, takes the rest.
///
/// [`connect`](Self::connect) tries the commands, on names that begin with `memolock`, which the server's `ACL LOG` may
/// show as denied; [`check`](Self::check) tries the patterns of a tag. A permission that is taken away later makes
/// operations fail; their callers go on without them, and the log says so once.
///
/// # Memory
///
/// Everything that the store keeps expires, except one small set for each tag. Where keys come without end and live
/// long, give Redis a `maxmemory` and a `maxmemory-policy` that evicts, `volatile-lru` for instance. Under `noeviction`
/// a full Redis refuses new values, and requests go on without them. [`connect`](Self::connect) asks the server, of a
/// cluster one node, and warns once where it has no limit or does not evict. For that the user needs `+info`, which the
/// one above does not have: without it, or without a connection at the start, the store logs nothing. Ignore the
/// warning if you know that the values fit.
#[derive(Clone)]
pub struct RedisStore {
    inner: Arc<RedisInner>,
}

struct RedisInner {
    address: String,
    writing: WriteSettings,
    link: Link,
    oversized: Oversized,
    sizes: Sizes,
    crowds: Crowds,
    reads: Reads,
    /// Whether the user may not read parts of values.
    no_parts: AtomicBool,
    /// Whether the user may not send values to another key first.
    no_staging: AtomicBool,
    /// Which values under way other processes want.
    askings: Askings,
    /// Invalidations that Redis has not acknowledged.
    backlog: Arc<Backlog>,
    /// Copies in this process, or what is known of those in others.
    near: Arc<Near>,
    /// Ends with the store.
    near_keeper: OnceLock<Task>,
    /// The runtime that the store belongs to.
    runtime: Handle,
}

impl RedisStore {
    /// Connects to `redis://user:password@host:port/database`, or `rediss://` for TLS. All but the host may be left
    /// out.
    ///
    /// The store belongs to the tokio runtime in which this is called, and works as long as that runs. A server
    /// that cannot be reached is no error unless the [builder](RedisStoreBuilder::require_connected) is told so: it is logged,
    /// commands fail, and the store goes on trying.
    ///
    /// # Errors
    ///
    /// A [`Config`](crate::StoreErrorKind::Config) error where the URL cannot be used, where it needs the feature
    /// `tls`, or where the server's certificate cannot be trusted; a [`Rejected`](crate::StoreErrorKind::Rejected) one
    /// where the server refuses the credentials, the database or a command. The source says what to change.
    ///
    /// # Panics
    ///
    /// When called outside of a tokio runtime.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    /// Starts a store with settings of its own. The URL is as for [`connect`](Self::connect), and is read there.
    pub fn builder(url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url)
    }

    /// Starts a store of the master that these sentinels, `redis://user:password@host:26379`, know as `master`.
    ///
    /// Name all of them. The credentials in the URLs are for the sentinels; those for the master are set with
    /// [`username`](RedisStoreBuilder::username) and [`password`](RedisStoreBuilder::password). The master is reached
    /// with TLS if the sentinels are. The URLs are read when connecting.
    ///
    /// ```no_run
    /// # use tower_memolock::{RedisStore, StoreError};
    /// # async fn run() -> Result<(), StoreError> {
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
    /// let store = RedisStore::sentinel(sentinels, "mymaster").connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sentinel<U: Into<String>>(
        urls: impl IntoIterator<Item = U>,
        master: impl Into<String>,
    ) -> RedisStoreBuilder {
        RedisStoreBuilder::sentinel(urls, master)
    }

    /// Starts a store that spreads over the Redis Cluster to which these nodes, `redis://user:password@host:port`,
    /// belong.
    ///
    /// Name a few of them: the store finds the others through any that answers, and reaches them with the same
    /// credentials. It reads the URLs when connecting.
    ///
    /// ```no_run
    /// # use tower_memolock::{RedisStore, StoreError};
    /// # async fn run() -> Result<(), StoreError> {
    /// let nodes = ["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"];
    /// let store = RedisStore::cluster(nodes).connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> RedisStoreBuilder {
        RedisStoreBuilder::cluster(urls)
    }

    /// Whether the Redis user may use the keys and channels of `tag`, tried on names that no program uses.
    ///
    /// Call it once at start-up, before requests find out that every one of them goes on without the store.
    ///
    /// # Errors
    ///
    /// A [`Rejected`](crate::StoreErrorKind::Rejected) error where a permission is missing: its source names what to
    /// add to the user. An [`Unavailable`](crate::StoreErrorKind::Unavailable) or
    /// [`Timeout`](crate::StoreErrorKind::Timeout) one where the server could not be asked.
    pub async fn check(&self, tag: &Tag) -> Result<(), StoreError> {
        self.inner.near.expect(tag);
        self.try_tag(tag).await
    }

    fn try_tag<'a>(&'a self, tag: &'a Tag) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(acl::check_tag(&self.inner.link, tag))
    }

    pub(super) fn new(
        link: Link,
        address: String,
        writing: WriteSettings,
        (near, owed): (Arc<Near>, NearOwed),
    ) -> Self {
        let inner = Arc::new(RedisInner {
            address,
            writing,
            link,
            oversized: Oversized::default(),
            sizes: Sizes::default(),
            crowds: Crowds::new(256),
            reads: Reads::default(),
            no_parts: AtomicBool::new(false),
            no_staging: AtomicBool::new(false),
            askings: Askings::default(),
            backlog: Arc::new(Backlog::new()),
            runtime: Handle::current(),
            near,
            near_keeper: OnceLock::new(),
        });
        // Spawned only once the store is there, because the task ends when the store is gone.
        let keeper = near::keep(Arc::clone(&inner.near), Arc::downgrade(&inner), owed);
        inner.near_keeper.get_or_init(|| Task::spawn(keeper));
        Self { inner }
    }

    /// What this store and its clones have been through, and whether they are connected.
    #[must_use]
    pub fn stats(&self) -> RedisStats {
        RedisStats {
            pending_invalidations: self.inner.backlog.pending(),
            deferred_invalidations: self.inner.backlog.deferred(),
            near: self.inner.near.counters.snapshot(),
            ..self.inner.link.stats()
        }
    }
}

impl RedisStore {
    /// Whether both are handles on one store.
    #[cfg(feature = "admin")]
    pub(crate) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Shows all figures.
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "the admin service shows them"))]
    pub(crate) fn visit(&self, each: Visit<'_>) {
        self.stats().visit(each);
    }
}

impl HasLink for RedisInner {
    fn link(&self) -> &Link {
        &self.link
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("address", &self.inner.address)
            .field("writing", &self.inner.writing)
            .finish_non_exhaustive()
    }
}
