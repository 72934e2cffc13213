//! Redis goes away: killed, restarted empty, frozen, out of reach.

use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tower::BoxError;

use super::fixture::{SLACK, TIMEOUT, echo, one_after_the_other};
use crate::support::cluster::{
    LEASE, agree, all_served, ask, confirmed, gated, joined, nodes, nodes_at, one_body, share_again, subscribed, urls,
    waiting,
};
use crate::support::{Answer, Fault, FaultProxy, Link, Plane, RedisServer, Target, eventually, within};

/// How often a node makes sure that Redis is there.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The longest pause between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);

/// Answers, and how long after `since` the last of them came.
async fn answers_after(
    asked: JoinHandle<Vec<Result<Answer, BoxError>>>,
    since: Instant,
) -> (Vec<Result<Answer, BoxError>>, Duration) {
    let answers = within("answers", asked).await.expect("no panic");
    (answers, since.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_down_from_the_start_a_process_makes_one_call() {
    let mut redis = RedisServer::start();
    redis.kill();
    let origin = echo().await;
    let nodes = nodes(&origin, &redis).await;
    for path in ["/slow/first", "/slow/second"] {
        assert_eq!(agree(urls(&nodes, path, 90)).await, path);
        assert!(origin.calls(path) <= 3, "{} calls", origin.calls(path));
    }
    let took = one_after_the_other(&nodes[0], &origin, "down", 100).await;
    assert!(took < TIMEOUT + SLACK, "{took:?}");
    redis.restart_empty();
    share_again(&origin, &nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_has_seen_nothing_but_the_outage_joins_the_cluster() {
    let mut redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let busy = nodes_at(&origin, &redis.url(), 1).await;
    redis.kill();
    let idle = nodes_at(&origin, &redis.url(), 1).await;
    // Long enough for the longest delay between two attempts to connect.
    tokio::time::sleep(LEASE * 2).await;
    redis.restart_empty();
    let since = Instant::now();
    eventually("both connections of both nodes", || {
        redis.cli(&["CLIENT", "LIST"]).lines().count() > 4
    })
    .await;
    let took = since.elapsed();
    assert!(took < RETRY + SLACK, "{took:?}");

    let leading = ask(urls(&busy, "/", 10));
    origin.called("/", 1).await;
    let following = ask(urls(&idle, "/", 10));
    waiting(&redis, 1).await;
    gate.add_permits(Semaphore::MAX_PERMITS);
    for answers in [leading, following] {
        assert_eq!(one_body(within("answers", answers).await.expect("no panic")), "call 1");
    }
    assert_eq!(origin.all_calls(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_going_down_midway_a_process_makes_one_call() {
    let mut redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let nodes = nodes(&origin, &redis).await;
    let leading = ask(urls(&nodes[..1], "/", 30));
    origin.called("/", 1).await;
    let following = ask(urls(&nodes[1..], "/", 60));
    waiting(&redis, 2).await;
    joined(&nodes, 89).await;
    confirmed(&redis).await;

    redis.kill();
    gate.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(one_body(leading.await.expect("no panic")), "call 1");
    all_served(following.await.expect("no panic"));
    assert!(origin.calls("/") <= 3, "{} calls", origin.calls("/"));

    redis.restart_empty();
    share_again(&origin, &nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_restarts_empty_midway_costs_no_process_a_second_call() {
    let mut redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let nodes = nodes(&origin, &redis).await;
    let asked = ask(urls(&nodes, "/", 30));
    origin.called("/", 1).await;
    waiting(&redis, 2).await;
    joined(&nodes, 29).await;
    confirmed(&redis).await;
    redis.kill();
    redis.restart_empty();
    // A process that waited calls the service, or waits again. The leader renews its lease at the next heartbeat.
    eventually("every process noticing", || {
        let renewed = redis.commandstats().contains_key("evalsha");
        renewed && origin.all_calls() + subscribed(&redis) >= 3
    })
    .await;
    gate.add_permits(Semaphore::MAX_PERMITS);
    all_served(asked.await.expect("no panic"));
    assert!(origin.all_calls() <= 3, "{} calls", origin.all_calls());
    share_again(&origin, &nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leaders_own_process_does_not_compute_again_because_redis_restarted_empty() {
    let mut redis = RedisServer::start();
    let (origin, gate) = gated().await;
    let nodes = nodes(&origin, &redis).await;
    let asked = ask(urls(&nodes[..1], "/", 30));
    origin.called("/", 1).await;
    joined(&nodes, 29).await;
    confirmed(&redis).await;
    redis.restart_empty();
    // Several heartbeats, each of which finds the lock gone: a second call would come now.
    tokio::time::sleep(LEASE).await;
    gate.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(one_body(asked.await.expect("no panic")), "call 1");
    assert_eq!(origin.all_calls(), 1);
}

/// Redis does not answer any more, and after a while answers again. Meanwhile one node leads, two follow, and two more
/// are asked for other things.
async fn silence(redis: &RedisServer, url: &str, begin: impl FnOnce(), lasting: Duration, end: impl FnOnce()) {
    let (origin, gate) = gated().await;
    let other = echo().await;
    let nodes = nodes_at(&origin, url, 3).await;
    let others = nodes_at(&other, url, 2).await;
    let leading = ask(urls(&nodes[..1], "/", 30));
    origin.called("/", 1).await;
    let following = ask(urls(&nodes[1..], "/", 60));
    waiting(redis, 2).await;
    joined(&nodes, 89).await;
    confirmed(redis).await;
    // The heartbeats of a node's two connections are not to come together.
    tokio::time::sleep(HEARTBEAT / 2).await;
    redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    waiting(redis, 2).await;

    begin();
    let since = Instant::now();
    // Processes that ask meet the silence once, and not again.
    let (wave, took) = answers_after(ask(urls(&others, "/slow/wave", 100)), since).await;
    assert_eq!(one_body(wave), "/slow/wave");
    assert!(took < TIMEOUT + SLACK, "{took:?}");
    assert_eq!(other.calls("/slow/wave"), 2);
    let took = one_after_the_other(&others[0], &other, "silent", 100).await;
    assert!(took < SLACK, "{took:?}");
    // Processes that only wait notice it by themselves, and compute.
    origin.called("/", 3).await;
    let noticed = since.elapsed();
    assert!(noticed < HEARTBEAT + TIMEOUT + SLACK, "{noticed:?}");
    gate.add_permits(Semaphore::MAX_PERMITS);
    let opened = Instant::now();
    let (following, late) = answers_after(following, opened).await;
    all_served(following);
    assert!(late < TIMEOUT + SLACK, "{late:?}");
    let (leading, late) = answers_after(leading, opened).await;
    assert_eq!(one_body(leading), "call 1");
    assert!(late < TIMEOUT + SLACK, "{late:?}");
    assert_eq!(origin.all_calls(), 3);

    tokio::time::sleep_until((since + lasting).into()).await;
    let took = one_after_the_other(&others[0], &other, "still", 100).await;
    assert!(took < SLACK, "{took:?}");
    end();
    share_again(&origin, &nodes).await;
    share_again(&other, &others).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_redis_is_noticed_once_and_found_again() {
    let redis = RedisServer::start();
    let (freeze, thaw) = (|| redis.stop(), || redis.cont());
    silence(&redis, &redis.url(), freeze, Duration::from_secs(10), thaw).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_everything_is_noticed_once_and_found_again() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let swallow = || proxy.links(Link::Silent);
    silence(&redis, &proxy.url(), swallow, Duration::from_secs(4), || proxy.heal()).await;
    // More than one of each node.
    assert!(proxy.opened(Plane::Commands) > 5 && proxy.opened(Plane::Notifications) > 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_replaced_one_plane_at_a_time() {
    for plane in [Plane::Commands, Plane::Notifications] {
        let redis = RedisServer::start();
        let proxy = FaultProxy::start(redis.port()).await;
        let (origin, gate) = gated().await;
        let nodes = nodes_at(&origin, &proxy.url(), 3).await;
        let asked = ask(urls(&nodes, "/", 60));
        origin.called("/", 1).await;
        waiting(&redis, 2).await;
        joined(&nodes, 59).await;
        confirmed(&redis).await;
        let opened = proxy.opened(plane);
        proxy.link(plane, Link::Silent);
        let since = Instant::now();
        eventually("new connections of all nodes", || proxy.opened(plane) >= opened + 3).await;
        let noticed = since.elapsed();
        assert!(noticed < HEARTBEAT + TIMEOUT + SLACK, "{plane:?}: {noticed:?}");
        gate.add_permits(Semaphore::MAX_PERMITS);
        let since = Instant::now();
        let (answers, late) = answers_after(asked, since).await;
        all_served(answers);
        assert!(late < LEASE + TIMEOUT + SLACK, "{plane:?}: {late:?}");
        assert!(origin.all_calls() <= 3, "{plane:?}: {} calls", origin.all_calls());
        proxy.heal();
        share_again(&origin, &nodes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_connections_cost_no_request_any_time() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let origin = echo().await;
    let nodes = nodes_at(&origin, &proxy.url(), 3).await;
    for path in ["/slow/1", "/slow/2"] {
        proxy.links(Link::Refused);
        assert_eq!(agree(urls(&nodes, path, 60)).await, path);
        assert!(origin.calls(path) <= 3, "{} calls", origin.calls(path));
        let took = one_after_the_other(&nodes[0], &origin, path, 100).await;
        assert!(took < TIMEOUT + SLACK, "{took:?}");
        proxy.heal();
        share_again(&origin, &nodes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_nothing_but_pings_costs_hardly_more() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    let origin = echo().await;
    let nodes = nodes_at(&origin, &proxy.url(), 2).await;
    let mute = proxy.inject(Target::replies(&["GET", "SET", "EVALSHA", "EVAL"]), Fault::Mute);
    let since = Instant::now();
    let (wave, took) = answers_after(ask(urls(&nodes, "/slow", 100)), since).await;
    assert_eq!(one_body(wave), "/slow");
    assert!(took < TIMEOUT + SLACK, "{took:?}");
    assert_eq!(origin.calls("/slow"), 2);
    // The first command on a new connection finds out for the others.
    let took = one_after_the_other(&nodes[0], &origin, "mute", 20).await;
    assert!(took < TIMEOUT * 2 + SLACK, "{took:?}");
    mute.happened(3).await;
    proxy.heal();
    share_again(&origin, &nodes).await;
}
