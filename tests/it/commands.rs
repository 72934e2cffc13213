//! What requests cost Redis, in commands, as Redis itself counts them: those that a script runs count as well. What keeps a
//! connection alive does not, because it is sent by time and not for a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::support::cluster::{agree, ask, gated, joined, one_body, urls};
use crate::support::{Node, Origin, RedisServer, eventually};

/// One or several nodes, and an origin that answers once all requests have come.
struct World {
    redis: RedisServer,
    origin: Origin,
    gate: Arc<Semaphore>,
    nodes: Vec<Node>,
}

impl World {
    /// Every node has led once, and Redis knows the scripts.
    async fn of(count: usize) -> Self {
        let redis = RedisServer::start();
        let (origin, gate) = gated().await;
        let mut nodes = Vec::new();
        for _ in 0..count {
            // No lease has to be renewed because the machine is busy.
            let flags = ["--redis", &redis.url(), "--lease", "60s"];
            nodes.push(Node::reverse_proxy(&origin.url(), &flags).await);
        }
        gate.add_permits(1);
        for (at, node) in nodes.iter().enumerate() {
            agree(urls(std::slice::from_ref(node), &format!("/warm/{at}"), 1)).await;
        }
        gate.forget_permits(1);
        let world = Self {
            redis,
            origin,
            gate,
            nodes,
        };
        world.committed().await;
        world
    }

    /// Waits until no lock is held.
    async fn committed(&self) {
        let no_lock = || self.redis.cli(&["KEYS", "proxy/lock:*"]).is_empty();
        eventually("the end of the commit", no_lock).await;
    }

    /// What so many requests for one cold key cost.
    async fn stampede(&self, path: &str, requests: usize) -> BTreeMap<String, u64> {
        let before = self.origin.calls(path);
        self.redis.reset_commandstats();
        let asked = ask(urls(&self.nodes, path, requests));
        joined(&self.nodes, requests as u64 - 1).await;
        self.gate.add_permits(1);
        one_body(asked.await.expect("no panic"));
        self.committed().await;
        self.gate.forget_permits(1);
        assert_eq!(self.origin.calls(path), before + 1);
        commands(&self.redis)
    }
}

fn commands(redis: &RedisServer) -> BTreeMap<String, u64> {
    const OTHERS: [&str; 6] = ["ping", "hello", "info", "keys", "config|resetstat", "client|setinfo"];
    let mut stats = redis.commandstats();
    stats.retain(|name, _| !OTHERS.contains(&name.as_str()));
    stats
}

fn total(commands: &BTreeMap<String, u64>) -> u64 {
    commands.values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_miss_is_eight_commands() {
    let world = World::of(1).await;
    let commands = world.stampede("/lone", 1).await;
    assert!(total(&commands) <= 8, "{commands:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_requests_in_one_process_are_ten_commands_at_most() {
    let world = World::of(1).await;
    for wave in 0..5 {
        let commands = world.stampede(&format!("/{wave}"), 300).await;
        assert!(total(&commands) <= 10, "{commands:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn six_hundred_requests_on_three_nodes_are_forty_commands_at_most() {
    let world = World::of(3).await;
    for wave in 0..5 {
        let commands = world.stampede(&format!("/{wave}"), 600).await;
        assert!(total(&commands) <= 40, "{commands:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waves_of_stampedes_on_a_hot_key_subscribe_once() {
    let world = World::of(3).await;
    let first = world.stampede("/hot", 90).await;
    assert!((2..=4).contains(&first["subscribe"]), "{first:?}");
    // The nodes that waited last listen still; one that led may come to wait for the first time.
    let mut subscribed = first["subscribe"];
    for _ in 0..5 {
        for key in world.redis.keys() {
            world.redis.cli(&["DEL", &key]);
        }
        let commands = world.stampede("/hot", 90).await;
        subscribed += commands.get("subscribe").copied().unwrap_or(0);
        assert_eq!(commands.get("unsubscribe"), None, "{commands:?}");
    }
    assert!(subscribed <= 6, "two for each node: {subscribed}");
}
