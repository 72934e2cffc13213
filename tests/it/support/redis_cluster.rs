//! [`RedisCluster`]: three masters with a replica each.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use super::redis::free_port_in;
use super::{PATIENCE, RedisServer};

const SLOTS: u32 = 16384;

/// Six nodes of a Redis Cluster: the masters first, then their replicas in the same order. All killed on drop.
///
/// A master stays one, however long a busy machine keeps it from answering, until the test says otherwise.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts the nodes and waits until all of them see one cluster.
    pub(crate) fn start() -> Self {
        let started: Vec<_> = (0..6).map(|_| thread::spawn(start_node)).collect();
        let started: Vec<_> = started.into_iter().map(|node| node.join().expect("a node")).collect();
        // Only a node that knows no other one takes a number.
        for (n, (node, _)) in started.iter().enumerate() {
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
        }
        for (node, _) in &started {
            for (other, bus) in started.iter().filter(|(other, _)| other.port() != node.port()) {
                let (port, bus) = (other.port().to_string(), bus.to_string());
                node.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            }
        }
        let cluster = Self {
            nodes: started.into_iter().map(|(node, _)| node).collect(),
        };
        for (n, first) in (0..3).zip((0..SLOTS).step_by(5462)) {
            let last = (first + 5461).min(SLOTS - 1);
            cluster.nodes[n].cli(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
        }
        let known = |node: &RedisServer| node.cli(&["CLUSTER", "INFO"]).contains("cluster_known_nodes:6");
        wait_for("nodes that know each other", || cluster.nodes.iter().all(known));
        for n in 0..3 {
            let master = cluster.id(n);
            wait_for("a replica", || {
                cluster.nodes[n + 3].try_cli(&["CLUSTER", "REPLICATE", &master]).is_ok()
            });
        }
        wait_for("a whole cluster", || cluster.is_whole());
        cluster
    }

    fn is_whole(&self) -> bool {
        let synced = |node: &RedisServer| node.cli(&["ROLE"]).contains("\nconnected");
        let sees_all = |node: &RedisServer| {
            let slots = node.cli(&["CLUSTER", "SLOTS"]);
            let ok = node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
            ok && self.nodes.iter().all(|node| slots.contains(&node.port().to_string()))
        };
        self.nodes[3..].iter().all(synced) && self.nodes.iter().all(sees_all)
    }

    /// The name by which the others know a node.
    pub(crate) fn id(&self, node: usize) -> String {
        self.nodes[node].cli(&["CLUSTER", "MYID"])
    }

    /// The addresses of all nodes.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The slot of a key.
    pub(crate) fn slot(&self, key: &str) -> String {
        self.nodes[5].cli(&["CLUSTER", "KEYSLOT", key])
    }

    /// Which of the three first nodes has the slot of a key, as long as nothing has moved.
    pub(crate) fn home(&self, key: &str) -> usize {
        self.slot(key).parse::<usize>().expect("a slot") / 5462
    }

    /// An id of this shape, with a number for `#`, whose slot is on this node.
    pub(crate) fn id_on(&self, node: usize, shape: &str) -> String {
        let ids = (0..).map(|n: u32| shape.replace('#', &n.to_string()));
        ids.into_iter().find(|id| self.home(id) == node).expect("an id")
    }

    /// Lets the replicas take the place of masters that do not answer. Without this, only a replica that is told to does.
    pub(crate) fn let_fail_over(&self) {
        for replica in &self.nodes[3..] {
            replica.cli(&["CONFIG", "SET", "cluster-replica-no-failover", "no"]);
        }
    }

    /// Kills a master, for its replica to take its place.
    pub(crate) fn lose(&mut self, master: usize) {
        self.let_fail_over();
        self.nodes[master].kill();
    }

    /// Whether a replica has become a master, and all others that live know it.
    pub(crate) fn has_promoted(&self, replica: usize) -> bool {
        let port = self.nodes[replica].port().to_string();
        let master = self.nodes[replica].cli(&["ROLE"]).starts_with("master");
        // The master of a range is the first to be named.
        let knows = |node: &RedisServer| match node.try_cli(&["CLUSTER", "SLOTS"]) {
            Ok(slots) => slots.split("127.0.0.1\n").any(|node| node.starts_with(&port)),
            Err(_) => true,
        };
        master
            && self
                .nodes
                .iter()
                .filter(|node| node.port() != self.nodes[replica - 3].port())
                .all(knows)
    }

    /// Says that a slot is on its way from one master to another.
    pub(crate) fn begin_migration(&self, slot: &str, from: usize, to: usize) {
        let (source, target) = (self.id(from), self.id(to));
        self.nodes[to].cli(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &source]);
        self.nodes[from].cli(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &target]);
    }

    /// Moves the keys of a slot that is on its way.
    pub(crate) fn move_keys(&self, slot: &str, from: usize, to: usize) {
        let port = self.nodes[to].port().to_string();
        let keys = self.nodes[from].cli(&["CLUSTER", "GETKEYSINSLOT", slot, "1000"]);
        for key in keys.lines() {
            self.nodes[from].cli(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
        }
    }

    /// Says that a slot has arrived.
    pub(crate) fn end_migration(&self, slot: &str, from: usize, to: usize) {
        let target = self.id(to);
        for node in [to, from] {
            self.nodes[node].cli(&["CLUSTER", "SETSLOT", slot, "NODE", &target]);
        }
    }
}

fn start_node() -> (RedisServer, u16) {
    let flags = ["--cluster-enabled", "yes", "--cluster-node-timeout", "700"];
    let steady = ["--cluster-replica-no-failover", "yes"];
    let more = [
        "--cluster-require-full-coverage",
        "no",
        "--repl-diskless-sync-delay",
        "0",
    ];
    // A replica counts as one once it has heard from its master.
    let soon = ["--repl-ping-replica-period", "1"];
    let bus = Cell::new(0);
    let node = RedisServer::start_as(|| {
        bus.set(free_port_in(12_000..32_000));
        let own = ["--cluster-port".to_owned(), bus.get().to_string()];
        let all = [&flags[..], &steady, &more, &soon].concat();
        all.into_iter().map(str::to_owned).chain(own).collect()
    });
    (node, bus.get())
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
