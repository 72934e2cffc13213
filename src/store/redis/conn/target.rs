//! What a store is to connect to, and whether that makes sense.

use redis::{Client, ConnectionAddr, ConnectionInfo};

use super::address;
use crate::error::{StoreError, StoreErrorKind};

/// A server, as the user names it.
pub(crate) enum GivenServer {
    Url(String),
    Info(Box<ConnectionInfo>),
}

/// Servers, as the user names them.
pub(crate) enum Target {
    Server(GivenServer),
    Sentinel {
        sentinels: Vec<GivenServer>,
        master: String,
    },
    Cluster(Vec<GivenServer>),
}

/// A [`Target`] that has been checked.
pub(crate) enum CheckedTarget {
    Server(ConnectionInfo),
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// How to connect to the master. The address stands for the one the sentinels name.
        info: ConnectionInfo,
    },
    Cluster {
        seeds: Vec<ConnectionInfo>,
    },
}

/// What the builder says about the servers, whatever the URLs say.
#[derive(Clone, Default)]
pub(crate) struct TargetSettings {
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<i64>,
}

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusableUrl {
    #[error("no address of a sentinel is given: name at least one, redis://host:26379")]
    NoSentinels,
    #[error("the name of the master is empty: give the one after `sentinel monitor` in the sentinels' configuration")]
    NoMaster,
    #[error("a sentinel has no databases: remove the number from its URL, and give the master's to `database`")]
    SentinelDatabase,
    #[error("no address of a node is given: name at least one of the cluster, redis://host:6379")]
    NoSeeds,
    #[error("Redis Cluster has database 0 only, not {0}: remove the number")]
    ClusterDatabase(i64),
    #[error("some URLs begin with redis:// and some with rediss://: use TLS for all of them, or for none")]
    MixedTls,
    #[error("the URLs have different user names or passwords, but all nodes of a cluster need the same")]
    MixedCredentials,
    #[error("a Unix socket leads to one server only: give host and port, redis://host:port")]
    UnixSocket,
}

impl From<UnusableUrl> for StoreError {
    fn from(reason: UnusableUrl) -> Self {
        Self::with_source(StoreErrorKind::Config, reason)
    }
}

impl GivenServer {
    pub(crate) fn url(url: impl Into<String>) -> Self {
        Self::Url(url.into())
    }

    pub(crate) fn client(client: &Client) -> Self {
        Self::Info(Box::new(client.get_connection_info().clone()))
    }

    fn into_info(self) -> Result<ConnectionInfo, StoreError> {
        match self {
            Self::Url(url) => address::parse_url(&url),
            Self::Info(info) => Ok(*info),
        }
    }
}

impl Target {
    /// Reads the URLs and checks that everything fits together.
    pub(crate) fn check(self, settings: TargetSettings) -> Result<CheckedTarget, StoreError> {
        match self {
            Self::Server(server) => Ok(CheckedTarget::Server(settings.apply(server.into_info()?))),
            Self::Sentinel { sentinels, master } => sentinel(sentinels, master, settings),
            Self::Cluster(seeds) => cluster(seeds, &settings),
        }
    }
}

#[cfg(feature = "tls")]
impl CheckedTarget {
    /// Changes how to connect, everywhere alike.
    pub(crate) fn try_map(
        self,
        change: impl Fn(ConnectionInfo) -> Result<ConnectionInfo, StoreError>,
    ) -> Result<Self, StoreError> {
        let all = |infos: Vec<ConnectionInfo>| infos.into_iter().map(&change).collect::<Result<_, _>>();
        Ok(match self {
            Self::Server(info) => Self::Server(change(info)?),
            Self::Sentinel {
                sentinels,
                master,
                info,
            } => Self::Sentinel {
                sentinels: all(sentinels)?,
                master,
                info: change(info)?,
            },
            Self::Cluster { seeds } => Self::Cluster { seeds: all(seeds)? },
        })
    }
}

impl TargetSettings {
    fn apply(self, info: ConnectionInfo) -> ConnectionInfo {
        let mut settings = info.redis_settings().clone();
        if let Some(username) = self.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = self.password {
            settings = settings.set_password(password);
        }
        if let Some(database) = self.database {
            settings = settings.set_db(database);
        }
        info.set_redis_settings(settings)
    }
}

fn sentinel(
    sentinels: Vec<GivenServer>,
    master: String,
    settings: TargetSettings,
) -> Result<CheckedTarget, StoreError> {
    let sentinels = infos(sentinels)?;
    let Some(first) = sentinels.first() else {
        return Err(UnusableUrl::NoSentinels.into());
    };
    if master.is_empty() {
        return Err(UnusableUrl::NoMaster.into());
    }
    if sentinels.iter().any(|info| info.redis_settings().db() != 0) {
        return Err(UnusableUrl::SentinelDatabase.into());
    }
    let info = settings.apply(first.clone().set_redis_settings(redis::RedisConnectionInfo::default()));
    Ok(CheckedTarget::Sentinel {
        sentinels,
        master,
        info,
    })
}

fn cluster(seeds: Vec<GivenServer>, settings: &TargetSettings) -> Result<CheckedTarget, StoreError> {
    let seeds = infos(seeds)?;
    let seeds: Vec<_> = seeds.into_iter().map(|info| settings.clone().apply(info)).collect();
    let Some(first) = seeds.first() else {
        return Err(UnusableUrl::NoSeeds.into());
    };
    let numbers = seeds.iter().map(|info| info.redis_settings().db());
    if let Some(database) = numbers.into_iter().find(|database| *database != 0) {
        return Err(UnusableUrl::ClusterDatabase(database).into());
    }
    let credentials = |info: &ConnectionInfo| {
        let settings = info.redis_settings();
        (
            settings.username().map(str::to_owned),
            settings.password().map(str::to_owned),
        )
    };
    if seeds.iter().any(|info| credentials(info) != credentials(first)) {
        return Err(UnusableUrl::MixedCredentials.into());
    }
    Ok(CheckedTarget::Cluster { seeds })
}

/// Several servers, all of them reached over TCP and in the same way.
fn infos(servers: Vec<GivenServer>) -> Result<Vec<ConnectionInfo>, StoreError> {
    let infos: Vec<_> = servers
        .into_iter()
        .map(GivenServer::into_info)
        .collect::<Result<_, _>>()?;
    let secure = |info: &ConnectionInfo| matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    if infos.iter().any(|info| matches!(info.addr(), ConnectionAddr::Unix(_))) {
        return Err(UnusableUrl::UnixSocket.into());
    }
    if infos.iter().any(secure) && !infos.iter().all(secure) {
        return Err(UnusableUrl::MixedTls.into());
    }
    Ok(infos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(urls: &[&str]) -> Vec<GivenServer> {
        urls.iter().map(|url| GivenServer::url(*url)).collect()
    }

    fn refusal(target: Target, settings: TargetSettings) -> String {
        let error = target.check(settings).err().expect("an error");
        assert_eq!(error.kind(), StoreErrorKind::Config);
        std::error::Error::source(&error).expect("a cause").to_string()
    }

    fn sentinel(addresses: &[&str], master: &str) -> Target {
        Target::Sentinel {
            sentinels: urls(addresses),
            master: master.to_owned(),
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_remedy() {
        let none = TargetSettings::default;
        let database = || TargetSettings {
            database: Some(3),
            ..none()
        };
        let cluster = |addresses: &[&str]| Target::Cluster(urls(addresses));
        for (refused, remedy) in [
            (refusal(sentinel(&[], "m"), none()), "name at least one"),
            (refusal(sentinel(&["redis://h"], ""), none()), "sentinel monitor"),
            (refusal(sentinel(&["redis://h/1"], "m"), none()), "to `database`"),
            (refusal(sentinel(&["unix:///tmp/s"], "m"), none()), "host and port"),
            (refusal(cluster(&[]), none()), "name at least one"),
            (refusal(cluster(&["redis://h/2"]), none()), "remove the number"),
            (refusal(cluster(&["redis://h"]), database()), "remove the number"),
            (
                refusal(cluster(&["redis://:a@h", "redis://:b@i"]), none()),
                "need the same",
            ),
        ] {
            assert!(refused.contains(remedy), "{refused}");
        }
        #[cfg(feature = "tls")]
        for target in [
            sentinel(&["redis://h", "rediss://i"], "m"),
            cluster(&["rediss://h", "redis://i"]),
        ] {
            let refused = refusal(target, none());
            assert!(refused.contains("all of them, or for none"), "{refused}");
        }
    }

    #[test]
    fn the_credentials_of_sentinels_are_not_those_of_the_master() {
        let settings = TargetSettings {
            password: Some("servers".to_owned()),
            database: Some(3),
            ..TargetSettings::default()
        };
        let Ok(CheckedTarget::Sentinel { sentinels, info, .. }) =
            sentinel(&["redis://:sentinels@h"], "m").check(settings)
        else {
            panic!("no sentinels");
        };
        assert_eq!(sentinels[0].redis_settings().password(), Some("sentinels"));
        assert_eq!(info.redis_settings().password(), Some("servers"));
        assert_eq!(info.redis_settings().db(), 3);
    }
}
