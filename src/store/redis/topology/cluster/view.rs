//! [`View`]: the cluster as one of its nodes sees it.

use crate::store::redis::conn::address::Endpoint;
use crate::store::redis::conn::hello::standing;
use crate::store::redis::protocol::slot::SLOTS;
use crate::store::redis::resp::{Pipeline, Reply};

/// What a node says about the cluster.
#[derive(Debug)]
pub(crate) struct View {
    /// Whether the node takes part in the majority, and the age of what it knows.
    pub(crate) rank: (bool, u64),
    /// First and last slot, and their master.
    pub(crate) ranges: Vec<(u16, u16, Endpoint)>,
    pub(crate) replicas: Vec<Endpoint>,
}

impl View {
    /// What to ask a node.
    ///
    /// `CLUSTER SLOTS` and not its successors, because it alone says how clients reach a node, and is everywhere.
    pub(crate) fn question() -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.command("CLUSTER").arg("INFO");
        pipeline.command("CLUSTER").arg("SLOTS");
        pipeline
    }

    /// Reads what a node answered. `host` is where it was asked.
    pub(crate) fn read(replies: &[Reply], host: &str) -> Option<Self> {
        let [info, Reply::Array(slots)] = replies else {
            return None;
        };
        let mut view = Self {
            rank: standing(info).unwrap_or((true, 0)),
            ranges: Vec::with_capacity(slots.len()),
            replicas: Vec::new(),
        };
        for range in slots {
            let Reply::Array(range) = range else { return None };
            let [Reply::Int(first), Reply::Int(last), master, replicas @ ..] = &range[..] else {
                return None;
            };
            let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
            if first > last || last >= SLOTS {
                return None;
            }
            // Whose master cannot be reached by name is as good as without one.
            if let Some(master) = endpoint(master, host) {
                view.ranges.push((first, last, master));
            }
            view.replicas
                .extend(replicas.iter().filter_map(|replica| endpoint(replica, host)));
        }
        Some(view)
    }
}

/// A node: its name, its port and more. A node that does not know its name is where we asked.
fn endpoint(node: &Reply, host: &str) -> Option<Endpoint> {
    let Reply::Array(node) = node else { return None };
    let [name, Reply::Int(port), ..] = &node[..] else {
        return None;
    };
    let name = match name {
        Reply::Nil => host,
        Reply::BulkString(name) if name.is_empty() => host,
        Reply::BulkString(name) => std::str::from_utf8(name).ok().filter(|name| *name != "?")?,
        _ => return None,
    };
    Some((name.to_owned(), u16::try_from(*port).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(resp: &str) -> Reply {
        Reply::read(resp.replace('\n', "\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn a_view_names_masters_and_replicas() {
        let info = reply("$46\ncluster_state:ok\ncluster_current_epoch:7\nx:y\n");
        let slots = reply(
            "*3\n\
             *4\n:0\n:5460\n*3\n$1\na\n:1\n$1\nx\n*3\n$1\nb\n:2\n$1\ny\n\
             *3\n:5461\n:5461\n*3\n$0\n\n:3\n$1\nx\n\
             *3\n:5462\n:16383\n*3\n$1\n?\n:4\n$1\nx\n",
        );
        let view = View::read(&[info, slots], "here").unwrap();
        let at = |host: &str, port| (host.to_owned(), port);
        assert_eq!(view.rank, (true, 7));
        assert_eq!(view.ranges, [(0, 5460, at("a", 1)), (5461, 5461, at("here", 3))]);
        assert_eq!(view.replicas, [at("b", 2)]);
    }

    #[test]
    fn an_answer_that_is_no_view_is_refused() {
        let error = || reply("-ERR This instance has cluster support disabled\n");
        assert!(View::read(&[error(), error()], "h").is_none());
        let impossible = reply("*1\n*3\n:0\n:16384\n*2\n$1\na\n:1\n");
        assert!(View::read(&[error(), impossible], "h").is_none());
    }
}
