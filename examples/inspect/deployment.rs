//! [`Deployment`]: a server, the master that sentinels name, or the masters of a Redis Cluster.

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult, Value};
use support::causes;
use tower::BoxError;
use tower_memolock::RedisStore;
use tower_memolock::store::RedisStoreBuilder;

use super::server::config;

/// Which Redis is meant.
pub(crate) enum Deployment {
    Server(String),
    Sentinel { sentinels: Vec<String>, master: String },
    Cluster(Vec<String>),
}

impl Deployment {
    /// A store of it.
    pub(crate) fn store(&self) -> RedisStoreBuilder {
        match self {
            Self::Server(url) => RedisStore::builder(url),
            Self::Sentinel { sentinels, master } => RedisStore::sentinel(sentinels, master),
            Self::Cluster(nodes) => RedisStore::cluster(nodes),
        }
    }

    /// The servers that have the data: one, unless it is a cluster.
    pub(crate) async fn servers(&self) -> Result<Vec<Client>, BoxError> {
        match self {
            Self::Server(url) => Ok(vec![Client::open(url.as_str())?]),
            Self::Sentinel { sentinels, master } => {
                let named = first(sentinels, async |sentinel| {
                    let mut ask = redis::cmd("SENTINEL");
                    ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
                    let named: Option<(String, u16)> = ask.query_async(&mut connect(sentinel).await?).await?;
                    Ok(named.map(|address| (address, sentinel.clone())))
                });
                let ((host, port), sentinel) = named.await?.ok_or("the sentinels know of no such master")?;
                // The credentials are those for the sentinels, and so is the database.
                let info = at(&sentinel, host, port).set_redis_settings(Default::default());
                Ok(vec![Client::open(info)?])
            }
            Self::Cluster(nodes) => {
                let known = first(nodes, async |node| {
                    let slots: Vec<Vec<Value>> = redis::cmd("CLUSTER")
                        .arg("SLOTS")
                        .query_async(&mut connect(node).await?)
                        .await?;
                    Ok(masters(node, slots))
                });
                let masters = known.await?.into_iter().map(Client::open);
                Ok(masters.collect::<RedisResult<_>>()?)
            }
        }
    }
}

/// What the first of these servers says that says anything.
async fn first<T>(urls: &[String], ask: impl AsyncFn(&ConnectionInfo) -> RedisResult<T>) -> Result<T, BoxError> {
    let mut failures = Vec::new();
    for url in urls {
        let info = url.as_str().into_connection_info()?;
        match ask(&info).await {
            Ok(said) => return Ok(said),
            Err(error) => failures.push(causes(&error)),
        }
    }
    Err(format!("none of the servers answers: {}", failures.join("; ")).into())
}

async fn connect(info: &ConnectionInfo) -> RedisResult<redis::aio::MultiplexedConnection> {
    let client = Client::open(info.clone())?;
    client.get_multiplexed_async_connection_with_config(&config()).await
}

/// The masters in an answer to `CLUSTER SLOTS`, each once, reached as `node` is.
fn masters(node: &ConnectionInfo, slots: Vec<Vec<Value>>) -> Vec<ConnectionInfo> {
    let mut masters: Vec<(String, u16)> = Vec::new();
    for range in slots {
        let Some(Value::Array(master)) = range.into_iter().nth(2) else {
            continue;
        };
        let [host, port, ..] = &master[..] else { continue };
        let host = redis::from_redis_value::<Option<String>>(host.clone()).ok().flatten();
        let Ok(port) = redis::from_redis_value(port.clone()) else {
            continue;
        };
        // No host is the one that was asked.
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| host_of(node));
        if !masters.contains(&(host.clone(), port)) {
            masters.push((host, port));
        }
    }
    masters.into_iter().map(|(host, port)| at(node, host, port)).collect()
}

fn host_of(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => "127.0.0.1".to_owned(),
    }
}

/// Another server, reached as this one is.
fn at(info: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let address = match info.addr() {
        ConnectionAddr::TcpTls {
            insecure, tls_params, ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(address)
}
