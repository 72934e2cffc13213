//! Messages that do not arrive as they were sent, and connections that lose them.

use std::time::Instant;

use tokio::sync::Semaphore;

use super::fixture::SLACK;
use crate::support::cluster::{LEASE, ask, gated, nodes_at, one_body, urls, waiting};
use crate::support::{Fault, FaultProxy, Injection, Node, RedisServer, Target, eventually, within};

/// Runs one computation on a node that leads while two follow through a proxy, of whose messages something is done.
/// Every client gets the leader's result, and at the latest a little after the lease that ended with the commit.
async fn only_latency_changes(fault: Fault) -> Injection {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let (origin, gate) = gated().await;
    let leader = nodes_at(&origin, &redis.url(), 1).await;
    let followers = nodes_at(&origin, &proxy.url(), 2).await;
    let leading = ask(urls(&leader, "/", 10));
    origin.called("/", 1).await;
    let following = ask(urls(&followers, "/", 20));
    waiting(&redis, 2).await;
    let injection = proxy.inject(Target::messages(), fault);

    gate.add_permits(1);
    assert_eq!(one_body(leading.await.expect("no panic")), "call 1");
    let committed = Instant::now();
    assert_eq!(
        one_body(within("answers", following).await.expect("no panic")),
        "call 1"
    );
    let late = committed.elapsed();
    assert!(late < LEASE + SLACK, "{late:?}");
    injection.happened(2).await;
    assert_eq!(origin.all_calls(), 1);
    proxy.heal();
    assert_eq!(
        one_body(ask(urls(&followers, "/", 4)).await.expect("no panic")),
        "call 1"
    );
    assert_eq!(origin.all_calls(), 1);
    injection
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_messages_change_nothing_but_latency() {
    only_latency_changes(Fault::Drop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicated_messages_change_nothing() {
    only_latency_changes(Fault::Duplicate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn corrupted_messages_change_nothing_but_latency() {
    only_latency_changes(Fault::Corrupt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_messages_change_nothing_but_latency() {
    only_latency_changes(Fault::Truncate).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_delayed_past_the_lease_change_nothing_but_latency() {
    only_latency_changes(Fault::Delay(LEASE * 5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_goes_mute_changes_nothing_but_latency() {
    only_latency_changes(Fault::Mute).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reordered_messages_change_nothing_but_latency() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let (origin, gate) = gated().await;
    let leader = nodes_at(&origin, &redis.url(), 1).await;
    let followers = nodes_at(&origin, &proxy.url(), 2).await;
    let paths = ["/one", "/two", "/three"];
    let mut asked = Vec::new();
    for path in paths {
        asked.push(ask(urls(&leader, path, 5)));
        origin.called(path, 1).await;
        asked.push(ask(urls(&followers, path, 10)));
    }
    eventually("six subscriptions", || {
        redis.cli(&["PUBSUB", "CHANNELS", "proxy/notif:*"]).lines().count() == paths.len()
    })
    .await;
    waiting(&redis, 2).await;
    let injection = proxy.inject(Target::messages(), Fault::Reorder);
    gate.add_permits(Semaphore::MAX_PERMITS);
    let committed = Instant::now();
    for answers in asked {
        let answers = within("answers", answers).await.expect("no panic");
        assert_eq!(one_body(answers), "call 1");
    }
    let late = committed.elapsed();
    assert!(late < LEASE + SLACK, "{late:?}");
    injection.happened(2 * paths.len()).await;
    assert_eq!(origin.all_calls(), paths.len());
}

/// Kills the subscriber connections of all nodes, as many as wait.
fn kill_subscribers(redis: &RedisServer, expected: usize) {
    let killed = redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_eq!(killed, expected.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_subscriber_connections_cost_no_call_and_hardly_any_time() {
    // So long that no caller that waits for its end is in time.
    const LONG: &str = "20s";
    let redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let flags = ["--redis", &redis.url(), "--lease", LONG];
        nodes.push(Node::reverse_proxy(&origin.url(), &flags).await);
    }
    let leading = ask(urls(&nodes[..1], "/", 10));
    origin.called("/", 1).await;
    let following = ask(urls(&nodes[1..], "/", 20));
    waiting(&redis, 2).await;
    kill_subscribers(&redis, 2);
    waiting(&redis, 2).await;
    kill_subscribers(&redis, 2);
    // The message is published while no node listens.
    gate.add_permits(1);
    let committed = Instant::now();
    for answers in [leading, following] {
        let answers = within("answers", answers).await.expect("no panic");
        assert_eq!(one_body(answers), "call 1");
    }
    let late = committed.elapsed();
    assert!(late < LEASE * 2, "{late:?}");
    assert_eq!(origin.all_calls(), 1);
}
