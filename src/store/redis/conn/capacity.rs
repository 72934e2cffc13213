//! What a full Redis does: the log tells the operator once, at the start.

use super::connection::Connection;
use super::hello::text;
use crate::store::redis::resp::Command;

/// What happens once there is no room for one more value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capacity {
    /// Some value makes room, or the server does not say.
    Evicts,
    /// There is room until the machine has no more memory.
    Unlimited,
    /// It is refused.
    Refuses,
}

/// Warns where nothing but the lifetimes of values bounds the memory of the server.
///
/// Where the Redis user may not ask, nothing is logged: a permission that only serves a warning is not required.
pub(crate) async fn warn(connection: &Connection) {
    let mut info = Command::new("INFO");
    info.arg("memory");
    let said = connection.send(&info).await;
    match said.as_ref().ok().and_then(text).map_or(Capacity::Evicts, capacity) {
        Capacity::Evicts => {}
        Capacity::Unlimited => tracing::warn!(
            "Redis has no memory limit: responses to keys that are asked for once can fill it before they expire; set \
             maxmemory, and maxmemory-policy to volatile-lru or another one that evicts"
        ),
        Capacity::Refuses => tracing::warn!(
            "Redis refuses to store anything once it is full, until something expires: set maxmemory-policy to \
             volatile-lru or another one that evicts"
        ),
    }
}

fn capacity(info: &str) -> Capacity {
    let field = |name| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    match (field("maxmemory"), field("maxmemory_policy")) {
        (Some("0"), Some(_)) => Capacity::Unlimited,
        (Some(_), Some("noeviction")) => Capacity::Refuses,
        _ => Capacity::Evicts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_taken_at_its_word() {
        let info = |limit: &str, policy: &str| {
            format!(
                "# Memory\r\nused_memory:1\r\nmaxmemory:{limit}\r\nmaxmemory_human:0B\r\nmaxmemory_policy:{policy}\r\n"
            )
        };
        for (limit, policy, expected) in [
            ("0", "noeviction", Capacity::Unlimited),
            ("0", "allkeys-lru", Capacity::Unlimited),
            ("1048576", "noeviction", Capacity::Refuses),
            ("1048576", "volatile-ttl", Capacity::Evicts),
            ("1048576", "allkeys-lfu", Capacity::Evicts),
        ] {
            assert_eq!(capacity(&info(limit, policy)), expected, "{limit} {policy}");
        }
        for other in [
            "",
            "maxmemory:0\r\n",
            "maxmemory_policy:noeviction\r\n",
            "something else",
        ] {
            assert_eq!(capacity(other), Capacity::Evicts, "{other:?}");
        }
    }
}
