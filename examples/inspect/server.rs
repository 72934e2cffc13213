//! [`Server`]: what is asked of Redis.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisResult, ServerErrorKind, Value,
};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;
use tower::BoxError;
use tower_memolock::{RedisStore, Tag};

use super::deployment::Deployment;

/// How long Redis may take to be there.
const CONNECT: Duration = Duration::from_secs(5);

/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// After how much silence a connection has to show that it is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How many messages may wait to be printed.
const BACKLOG: usize = 1024;

/// How many keys one `SCAN` looks at.
const STEP: usize = 1000;

/// How much of a value is read to say what it is.
pub(crate) const HEAD: usize = 64 * 1024;

/// Another server has the key.
const MOVED: ErrorKind = ErrorKind::Server(ServerErrorKind::Moved);

/// How long something is kept yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ttl {
    For(Duration),
    Ever,
    /// It is gone.
    Gone,
}

/// A key that was read.
#[derive(Debug)]
pub(crate) struct Read {
    /// All of it, or its first [`HEAD`] bytes; nothing where it is no string.
    pub(crate) bytes: Bytes,
    pub(crate) len: usize,
    pub(crate) ttl: Ttl,
    /// What Redis calls its type.
    pub(crate) kind: String,
}

/// Names that were found, in their order, and whether there are more.
pub(crate) struct Found {
    pub(crate) ids: Vec<Vec<u8>>,
    pub(crate) more: bool,
}

/// A Redis, and a tag.
pub(crate) struct Server {
    pub(crate) tag: Tag,
    /// It knows what is out of date, and how to make something so.
    pub(crate) store: RedisStore,
    pub(crate) database: i64,
    client: Client,
    /// To all servers that have data; of a cluster there are several.
    connections: Vec<MultiplexedConnection>,
    /// On which of them ids were found.
    homes: HashMap<Vec<u8>, usize>,
}

impl Server {
    pub(crate) async fn connect(redis: &Deployment, tag: Tag) -> Result<Self, BoxError> {
        // It says best what is wrong with a server.
        let store = redis
            .store()
            .connect_timeout(CONNECT)
            .require_connected()
            .connect()
            .await?;
        let clients = redis.servers().await?;
        let mut connections = Vec::new();
        for client in &clients {
            connections.push(client.get_multiplexed_async_connection_with_config(&config()).await?);
        }
        let client = clients.into_iter().next().ok_or("the cluster has no master")?;
        Ok(Self {
            tag,
            store,
            database: client.get_connection_info().redis_settings().db(),
            client,
            connections,
            homes: HashMap::new(),
        })
    }

    /// Whether this is one server of several, which hears nothing of what others announce on sharded channels.
    pub(crate) fn is_one_of_several(&self) -> bool {
        self.connections.len() > 1
    }

    /// The name of the value, or with `/lock` of the lock, of an id.
    fn name(&self, infix: &str, id: &[u8]) -> Vec<u8> {
        [self.tag.as_str().as_bytes(), infix.as_bytes(), b":", id].concat()
    }

    /// The ids whose values, or locks with `/lock`, there are, so many at most. `wanted` says which of them.
    pub(crate) async fn ids(
        &mut self,
        infix: &str,
        limit: usize,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> RedisResult<Found> {
        let prefix = self.name(infix, b"");
        // A tag has none of the characters that mean something in a pattern.
        let pattern = [&prefix[..], b"*"].concat();
        let mut ids = HashSet::new();
        for (home, connection) in self.connections.iter_mut().enumerate() {
            let mut cursor = 0_u64;
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(STEP);
                let (next, names): (u64, Vec<Vec<u8>>) = scan.query_async(connection).await?;
                for name in &names {
                    let Some(id) = name.strip_prefix(&prefix[..]).filter(|id| wanted(id)) else {
                        continue;
                    };
                    if ids.len() == limit && !ids.contains(id) {
                        return Ok(Found::new(ids, true));
                    }
                    ids.insert(id.to_vec());
                    self.homes.insert(id.to_vec(), home);
                }
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(Found::new(ids, false))
    }

    /// What is under an id, or under its lock with `/lock`; all of it, or its beginning.
    pub(crate) async fn read(&mut self, infix: &str, id: &[u8], whole: bool) -> RedisResult<Read> {
        let name = self.name(infix, id);
        let home = self.homes.get(id).copied().unwrap_or(0);
        let several = self.connections.len();
        // Where the server of the key is not known, or was another: all but its own server refuse.
        for at in (home..several).chain(0..home) {
            match read(&mut self.connections[at], &name, whole).await {
                Err(error) if error.kind() == MOVED => {}
                read => return read,
            }
        }
        Err((MOVED, "no server has it: the cluster has changed").into())
    }

    /// Hears all that is announced about the tag, from the return on.
    pub(crate) async fn listen(&self) -> RedisResult<Listening> {
        let (send, heard) = mpsc::channel(BACKLOG);
        let missed = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&missed);
        let config = config().set_push_sender(move |push| {
            // A terminal that stands still does not make this program grow.
            if let Err(TrySendError::Full(_)) = send.try_send(push) {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, Infallible>(())
        });
        let info = self.client.get_connection_info().clone();
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings))?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        for infix in ["/notif", &self.control()] {
            connection.psubscribe(self.name(infix, b"*")).await?;
        }
        Ok(Listening {
            connection,
            heard,
            missed,
        })
    }

    /// What stands between tag and id in the name of the channel with control words.
    pub(crate) fn control(&self) -> String {
        match self.database {
            0 => "/ctl".to_owned(),
            number => format!("/ctl/{number}"),
        }
    }
}

/// A connection that hears what is announced.
pub(crate) struct Listening {
    connection: MultiplexedConnection,
    heard: mpsc::Receiver<PushInfo>,
    missed: Arc<AtomicU64>,
}

impl Listening {
    /// The next message, as its channel and its payload. `None` once the connection is lost.
    pub(crate) async fn next(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        loop {
            let push = match timeout(HEARTBEAT, self.heard.recv()).await {
                Ok(push) => push?,
                Err(_) => {
                    redis::cmd("PING").exec_async(&mut self.connection).await.ok()?;
                    continue;
                }
            };
            match push.kind {
                PushKind::Disconnection => return None,
                PushKind::PMessage => {}
                _ => continue,
            }
            let mut words = push.data.into_iter().skip(1);
            if let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) = (words.next(), words.next()) {
                return Some((channel, payload));
            }
        }
    }

    /// How many messages came faster than they were taken, since it was last asked.
    pub(crate) fn missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

/// What is under a name; all of it, or its beginning.
async fn read(connection: &mut MultiplexedConnection, name: &[u8], whole: bool) -> RedisResult<Read> {
    let mut pipe = redis::pipe();
    pipe.cmd("PTTL").arg(name).cmd("TYPE").arg(name);
    let (ttl, kind): (i64, String) = pipe.query_async(connection).await?;
    let ttl = match u64::try_from(ttl) {
        Ok(millis) => Ttl::For(Duration::from_millis(millis)),
        Err(_) if ttl == -1 => Ttl::Ever,
        Err(_) => Ttl::Gone,
    };
    let mut read = Read {
        bytes: Bytes::new(),
        len: 0,
        ttl,
        kind,
    };
    if read.kind == "string" {
        let mut pipe = redis::pipe();
        let end = if whole { -1 } else { HEAD as i64 - 1 };
        pipe.cmd("GETRANGE").arg(name).arg(0).arg(end).cmd("STRLEN").arg(name);
        let (bytes, len): (Vec<u8>, usize) = pipe.query_async(connection).await?;
        (read.bytes, read.len) = (bytes.into(), len);
    }
    Ok(read)
}

pub(crate) fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER))
}

impl Found {
    fn new(ids: HashSet<Vec<u8>>, more: bool) -> Self {
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_unstable();
        Self { ids, more }
    }
}
