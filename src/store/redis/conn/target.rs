//! The servers that a store is to connect to, and whether the settings make sense.

use super::address::{ServerAddress, ServerUrl};
use crate::error::{StoreError, StoreErrorKind};

/// Servers, as the user names them: by URLs.
pub(crate) enum Target {
    Server(String),
    Sentinel { sentinels: Vec<String>, master: String },
    Cluster(Vec<String>),
}

/// A [`Target`] that has been checked.
pub(crate) enum CheckedTarget {
    Server(ServerUrl),
    Sentinel {
        sentinels: Vec<ServerUrl>,
        master: String,
        /// How to connect to the master. The address stands for the one the sentinels name.
        server: ServerUrl,
    },
    Cluster {
        seeds: Vec<ServerUrl>,
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

impl Target {
    /// Reads the URLs and checks that everything fits together.
    pub(crate) fn check(self, settings: TargetSettings) -> Result<CheckedTarget, StoreError> {
        match self {
            Self::Server(server) => Ok(CheckedTarget::Server(settings.apply(ServerUrl::read(&server)?))),
            Self::Sentinel { sentinels, master } => sentinel(&sentinels, master, settings),
            Self::Cluster(seeds) => cluster(&seeds, &settings),
        }
    }
}

#[cfg(feature = "tls")]
impl CheckedTarget {
    /// Changes how to connect, everywhere alike.
    pub(crate) fn try_map(
        self,
        change: impl Fn(ServerUrl) -> Result<ServerUrl, StoreError>,
    ) -> Result<Self, StoreError> {
        let all = |urls: Vec<ServerUrl>| urls.into_iter().map(&change).collect::<Result<_, _>>();
        Ok(match self {
            Self::Server(server) => Self::Server(change(server)?),
            Self::Sentinel {
                sentinels,
                master,
                server,
            } => Self::Sentinel {
                sentinels: all(sentinels)?,
                master,
                server: change(server)?,
            },
            Self::Cluster { seeds } => Self::Cluster { seeds: all(seeds)? },
        })
    }
}

impl TargetSettings {
    fn apply(self, url: ServerUrl) -> ServerUrl {
        ServerUrl {
            username: self.username.or(url.username),
            password: self.password.or(url.password),
            database: self.database.unwrap_or(url.database),
            ..url
        }
    }
}

fn sentinel(sentinels: &[String], master: String, settings: TargetSettings) -> Result<CheckedTarget, StoreError> {
    let sentinels = urls(sentinels)?;
    let Some(first) = sentinels.first() else {
        return Err(UnusableUrl::NoSentinels.into());
    };
    if master.is_empty() {
        return Err(UnusableUrl::NoMaster.into());
    }
    if sentinels.iter().any(|url| url.database != 0) {
        return Err(UnusableUrl::SentinelDatabase.into());
    }
    let server = settings.apply(ServerUrl::at(first.address.clone()));
    Ok(CheckedTarget::Sentinel {
        sentinels,
        master,
        server,
    })
}

fn cluster(seeds: &[String], settings: &TargetSettings) -> Result<CheckedTarget, StoreError> {
    let seeds = urls(seeds)?;
    let seeds: Vec<_> = seeds.into_iter().map(|url| settings.clone().apply(url)).collect();
    let Some(first) = seeds.first() else {
        return Err(UnusableUrl::NoSeeds.into());
    };
    let numbers = seeds.iter().map(|url| url.database);
    if let Some(database) = numbers.into_iter().find(|database| *database != 0) {
        return Err(UnusableUrl::ClusterDatabase(database).into());
    }
    let credentials = |url: &ServerUrl| (url.username.clone(), url.password.clone());
    if seeds.iter().any(|info| credentials(info) != credentials(first)) {
        return Err(UnusableUrl::MixedCredentials.into());
    }
    Ok(CheckedTarget::Cluster { seeds })
}

/// Several servers, all of them reached over TCP and in the same way.
fn urls(servers: &[String]) -> Result<Vec<ServerUrl>, StoreError> {
    let urls: Vec<_> = servers
        .iter()
        .map(|url| ServerUrl::read(url))
        .collect::<Result<_, _>>()?;
    if urls.iter().any(|url| matches!(url.address, ServerAddress::Unix(_))) {
        return Err(UnusableUrl::UnixSocket.into());
    }
    let secure = urls.iter().filter(|url| url.address.is_secure()).count();
    if secure > 0 && secure < urls.len() {
        return Err(UnusableUrl::MixedTls.into());
    }
    Ok(urls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|url| (*url).to_owned()).collect()
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
            (
                refusal(sentinel(&["redis://h", "redis://i/1"], "m"), none()),
                "to `database`",
            ),
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
    fn what_the_builder_does_not_say_the_url_does() {
        let read = |settings: TargetSettings| {
            let Ok(CheckedTarget::Server(url)) = Target::Server("redis://u:p@h/3".to_owned()).check(settings) else {
                panic!("no server");
            };
            (url.username.unwrap(), url.password.unwrap(), url.database)
        };
        let of = |username: &str, password: &str, database| (username.to_owned(), password.to_owned(), database);
        assert_eq!(read(TargetSettings::default()), of("u", "p", 3));
        let settings = TargetSettings {
            username: Some("v".to_owned()),
            password: Some("q".to_owned()),
            database: Some(0),
        };
        assert_eq!(read(settings), of("v", "q", 0));
    }

    #[test]
    fn several_servers_may_have_the_same_credentials_and_all_of_them_tls() {
        let mut targets = vec![
            Target::Cluster(urls(&["redis://u:p@h", "redis://u:p@i"])),
            sentinel(&["redis://:a@h", "redis://:b@i"], "m"),
        ];
        #[cfg(feature = "tls")]
        targets.extend([
            Target::Cluster(urls(&["rediss://h", "rediss://i"])),
            sentinel(&["rediss://h", "rediss://i"], "m"),
        ]);
        for target in targets.drain(..) {
            assert!(target.check(TargetSettings::default()).is_ok());
        }
    }

    #[test]
    fn the_credentials_of_sentinels_are_not_those_of_the_master() {
        let settings = TargetSettings {
            password: Some("servers".to_owned()),
            database: Some(3),
            ..TargetSettings::default()
        };
        let Ok(CheckedTarget::Sentinel { sentinels, server, .. }) =
            sentinel(&["redis://:sentinels@h"], "m").check(settings)
        else {
            panic!("no sentinels");
        };
        assert_eq!(sentinels[0].password.as_deref(), Some("sentinels"));
        assert_eq!(server.password.as_deref(), Some("servers"));
        assert_eq!(server.database, 3);
    }
}
