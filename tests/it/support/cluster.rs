//! A cluster of [`Node`]s over one Redis, and what its clients expect of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower::BoxError;

use super::{Answer, HttpClient, Node, Origin, RedisServer, Reply, eventually, until};

/// How long the nodes' locks last unless renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// Three nodes.
pub(crate) async fn nodes(origin: &Origin, redis: &RedisServer) -> Vec<Node> {
    nodes_at(origin, &redis.url(), 3).await
}

/// So many nodes, with Redis at this URL.
pub(crate) async fn nodes_at(origin: &Origin, redis: &str, count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        let flags = ["--redis", redis, "--lease", "2s"];
        nodes.push(Node::reverse_proxy(&origin.url(), &flags).await);
    }
    nodes
}

/// `count` URLs of a path, on all nodes in turn.
pub(crate) fn urls(nodes: &[Node], path: &str, count: usize) -> Vec<String> {
    let nodes = nodes.iter().cycle().take(count);
    nodes.map(|node| node.url(path)).collect()
}

/// Asks for all URLs at the same time, in the background.
pub(crate) fn ask(urls: Vec<String>) -> JoinHandle<Vec<Result<Answer, BoxError>>> {
    tokio::spawn(async move { HttpClient::http1().get_all(&urls).await })
}

/// Asks for all URLs at the same time, and checks that all get 200 and one body.
pub(crate) async fn agree(urls: Vec<String>) -> Bytes {
    one_body(ask(urls).await.expect("no panic"))
}

pub(crate) fn one_body(answers: Vec<Result<Answer, BoxError>>) -> Bytes {
    let mut bodies = HashSet::new();
    for answer in answers {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200);
        bodies.insert(answer.body);
    }
    assert_eq!(bodies.len(), 1, "so many different bodies");
    bodies.into_iter().next().unwrap_or_default()
}

/// Checks that all get 200.
pub(crate) fn all_served(answers: Vec<Result<Answer, BoxError>>) {
    for answer in answers {
        assert_eq!(answer.expect("an answer").status, 200);
    }
}

/// Waits until every promise that is waited for has at least `processes` processes waiting.
pub(crate) async fn waiting(redis: &RedisServer, processes: usize) {
    eventually("waiting processes", || {
        let channels = subscriptions(redis);
        !channels.is_empty() && channels.iter().all(|count| *count >= processes)
    })
    .await;
}

/// How many processes are subscribed to what their requests wait for.
pub(crate) fn subscribed(redis: &RedisServer) -> usize {
    subscriptions(redis).iter().sum()
}

/// How many processes are subscribed to each channel that a request waits on.
fn subscriptions(redis: &RedisServer) -> Vec<usize> {
    let channels = redis.cli(&["PUBSUB", "CHANNELS", "proxy/notif:*"]);
    let count = |channel: &str| {
        let subscribers = redis.cli(&["PUBSUB", "NUMSUB", channel]);
        subscribers.lines().last()?.parse().ok()
    };
    channels.lines().map(|channel| count(channel).unwrap_or(0)).collect()
}

/// Waits until so many requests wait for another one, at all of these nodes together.
pub(crate) async fn joined(nodes: impl IntoIterator<Item = &Node> + Clone, requests: u64) {
    until("requests that wait", async || {
        let mut waiting = 0;
        for node in nodes.clone() {
            waiting += node.stat("waiting").await;
        }
        waiting == requests
    })
    .await;
}

/// Waits until the one leader there is has had its lease confirmed for all callers that have joined: callers that join later, and
/// right before Redis is lost, cost a second call.
pub(crate) async fn confirmed(redis: &RedisServer) {
    let renewals = || redis.commandstats().get("evalsha").copied().unwrap_or(0);
    // The next one may be on its way already.
    let wanted = renewals() + 2;
    eventually("renewals of the lease", || renewals() >= wanted).await;
}

/// An origin whose calls all wait for a permit, and then say which one they are.
pub(crate) async fn gated() -> (Origin, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let origin = Origin::start(move |call| {
        let gate = Arc::clone(&closed);
        async move {
            let _permit = gate.acquire().await;
            Reply::fresh(format!("call {}", call.number))
        }
    })
    .await;
    (origin, gate)
}

/// Waits until the nodes share again, and checks that they then do.
pub(crate) async fn share_again(origin: &Origin, nodes: &[Node]) {
    let mut attempt = 0;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let path = format!("/again/{attempt}");
        all_served(ask(urls(nodes, &path, 3)).await.expect("no panic"));
        if origin.calls(&path) == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "the nodes do not share again");
        tokio::time::sleep(Duration::from_millis(50)).await;
        attempt += 1;
    }
    for n in 0..5 {
        let path = format!("/healed/{n}");
        agree(urls(nodes, &path, 60)).await;
        assert_eq!(origin.calls(&path), 1);
    }
}
