//! What a server says of itself.

use super::error::DialError;
use crate::store::redis::resp::{Command, Reply};

/// The oldest major version with sharded Pub/Sub. Valkey calls its first version 7.2.
const SHARDED_SINCE: u32 = 7;

/// What has to be true of the server at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Required {
    /// That it answers.
    Nothing,
    /// That it takes writes.
    Master,
    /// That it takes writes for some slots of a Redis Cluster.
    ClusterMaster,
    /// That it belongs to a Redis Cluster.
    ClusterNode,
}

impl Required {
    /// The command that keeps a connection alive. Its answer goes to [`check`](Self::check).
    ///
    /// `HELLO` and not `ROLE`, which says the same, but only to administrators.
    pub(crate) fn heartbeat(self) -> Command {
        Command::new(match self {
            Self::Nothing => "PING",
            _ => "HELLO",
        })
    }

    /// Whether the answer to [`heartbeat`](Self::heartbeat) is that of such a server.
    pub(crate) fn check(self, reply: &Reply) -> Result<(), DialError> {
        if self == Self::Nothing || matches!(reply, Reply::ServerError(_)) {
            // A user without the permission has to rely on `READONLY` and `MOVED`.
            return Ok(());
        }
        let hello = Hello::read(reply).ok_or(DialError::Garbled)?;
        let cluster = matches!(self, Self::ClusterMaster | Self::ClusterNode);
        if cluster && !hello.cluster {
            return Err(DialError::NotCluster);
        }
        let major = hello.version.split('.').next().and_then(|major| major.parse().ok());
        if cluster && major.is_none_or(|major: u32| major < SHARDED_SINCE) {
            return Err(DialError::TooOld(hello.version));
        }
        if self != Self::ClusterNode && !hello.master {
            return Err(DialError::NotMaster);
        }
        Ok(())
    }
}

struct Hello {
    version: String,
    cluster: bool,
    master: bool,
}

impl Hello {
    fn read(reply: &Reply) -> Option<Self> {
        let field = |name: &str| match reply {
            Reply::Array(fields) => {
                let mut pairs = fields.chunks_exact(2);
                pairs.find(|pair| text(&pair[0]) == Some(name)).map(|pair| &pair[1])
            }
            _ => None,
        };
        let mode = text(field("mode")?)?;
        Some(Self {
            version: text(field("version")?)?.to_owned(),
            cluster: mode == "cluster",
            // A sentinel has no role, and a proxy may not tell.
            master: field("role")
                .and_then(text)
                .map_or(mode != "sentinel", |role| role == "master"),
        })
    }
}

/// Whether this is the answer to `HELLO` of a server that takes writes, as far as the answer tells.
pub(crate) fn is_master(reply: &Reply) -> bool {
    Hello::read(reply).is_some_and(|hello| hello.master)
}

/// What a node says to `CLUSTER INFO`, where the user may ask: whether it takes part in the majority, and the age of its map.
pub(crate) fn standing(info: &Reply) -> Option<(bool, u64)> {
    let text = text(info)?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let epoch = field("cluster_current_epoch")?.trim().parse().ok()?;
    Some((field("cluster_state")?.trim() == "ok", epoch))
}

/// The text of a reply, whichever kind of string it is.
pub(crate) fn text(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Reply::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(mode: &str, role: &str, version: &str) -> Reply {
        let bulk = |text: &str| Reply::BulkString(text.as_bytes().to_vec());
        let fields = [
            ("server", "redis"),
            ("version", version),
            ("mode", mode),
            ("role", role),
        ];
        let fields = fields.iter().flat_map(|(name, value)| [bulk(name), bulk(value)]);
        Reply::Array(fields.collect())
    }

    #[test]
    fn a_server_has_to_be_what_is_required() {
        let alone = hello("standalone", "replica", "6.2.0");
        assert!(Required::Nothing.check(&alone).is_ok());
        assert!(matches!(Required::Master.check(&alone), Err(DialError::NotMaster)));
        assert!(matches!(
            Required::ClusterNode.check(&alone),
            Err(DialError::NotCluster)
        ));
        let replica = hello("cluster", "replica", "7.0.15");
        assert!(Required::ClusterNode.check(&replica).is_ok());
        let refused = Required::ClusterMaster.check(&replica);
        assert!(matches!(refused, Err(DialError::NotMaster)));
        let refused = Required::ClusterMaster.check(&hello("cluster", "master", "6.2.14"));
        assert!(matches!(refused, Err(DialError::TooOld(_))));
        let master = hello("cluster", "master", "8.1.3");
        assert!(Required::ClusterMaster.check(&master).is_ok());
    }

    #[test]
    fn an_answer_to_something_else_is_noticed() {
        for reply in [Reply::Nil, Reply::Okay, Reply::Array(Vec::new())] {
            assert!(matches!(Required::Master.check(&reply), Err(DialError::Garbled)));
        }
    }
}
